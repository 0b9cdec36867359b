"""What readers see of a write whose answer was lost, and of one that found nothing to do at the PDS."""

from datetime import UTC, datetime

from appview.index import actors, repos
from appview.index.apply import apply
from appview.index.lock import index_lock
from appview.index.settling import settle
from lexicons.data import from_json
from tests.appview.index.filled import change
from tests.appview.writes.proxy import lose_reply_after
from tests.appview.writes.stand import NAMESPACE, Stand, makers
from tests.network import records
from tests.network.xrpc import Json

RKEY, OTHER = "3l2wryxkduc2a", "3l2wryxkduc2b"


async def echo(here: Stand, rev: str, uri: str | None = None, value: Json | None = None) -> None:
    """The commit `rev` comes by the firehose."""
    changes = []
    if uri is not None:
        changes = [change(uri, None if value is None else from_json(value))._replace(rev=rev)]
    async with here.pool.acquire() as connection, connection.transaction():
        await index_lock(connection)
        await actors.see(connection, [here.user.did])
        await apply(connection, makers(NAMESPACE).types, changes, datetime.now(UTC))
        chain = repos.Chain(here.user.did, "synchronized", rev, b"data", b"commit", None, "test", "live")
        await repos.save(connection, [chain], datetime.now(UTC))


async def fetch_is_wanted(here: Stand) -> bool:
    await settle(here.pool, makers(NAMESPACE).types, datetime.now(UTC))
    return bool(await here.pool.fetchval("select exists (select from jobs where kind = 'fetch')"))


async def test_a_lost_reply_and_a_later_commit_of_another_app(here: Stand) -> None:
    await echo(here, await here.rev())
    revs: list[str] = []

    async def another() -> None:
        revs.append(await here.rev())
        await here.user.put_record(records.TRACK, OTHER, records.track("Another app's"))

    here.wire.faults = [lose_reply_after(another)]
    done = await here.repo.create(records.TRACK, records.track("Ours"))
    assert done.uri in await here.shown()
    there = await here.record(done.uri)
    assert there is not None
    await echo(here, revs[0], done.uri, there["value"])
    await echo(here, await here.rev())
    assert not await fetch_is_wanted(here)
    assert done.uri in await here.shown(), "its own commit has proven it, and the later one is none of it"
    assert await here.pool.fetchval("select outcome from echoes") == "seen"


async def test_what_the_owner_deletes_and_the_repository_has_not(here: Stand) -> None:
    """A ghost, of a delete that never came here: its owner can have it go."""
    uri = f"at://{here.user.did}/{records.TRACK}/{RKEY}"
    await echo(here, await here.rev(), uri, records.track("Ghost"))
    assert (await here.repo.delete(records.TRACK, OTHER)).rev is None
    assert not await fetch_is_wanted(here)
    assert (await here.repo.delete(records.TRACK, RKEY)).rev is None
    assert await fetch_is_wanted(here)


async def test_what_the_owner_puts_and_the_repository_has(here: Stand) -> None:
    await here.user.put_record(records.TRACK, RKEY, records.track("Missed"))
    await echo(here, await here.rev())
    assert (await here.repo.put(records.TRACK, RKEY, records.track("Missed"))).rev is None
    assert await fetch_is_wanted(here)
