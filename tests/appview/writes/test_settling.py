"""What is left of writes, and what the job makes of it."""

import asyncio
from datetime import timedelta

import pytest
from aiohttp import web

from appview.accounts.forget import forget
from appview.db import Pool
from appview.index.lock import index_lock
from appview.index.pending import track
from appview.jobs.family import Tools, perform
from appview.jobs.rows import take
from appview.jobs.writes import WRITES, want_settled
from appview.writes import Written
from appview.writes.errors import InvalidSwap, Unsettled
from appview.writes.settling import NotYet
from tests.appview.writes.proxy import Forward, before, deaf_after, fail_before, lose_reply, lose_request
from tests.appview.writes.stand import NAMESPACE, QUICK, Stand, makers, stand
from tests.network import records
from tests.network.network import Network


async def wanted(here: Stand) -> list[str]:
    async with here.pool.acquire() as connection:
        await want_settled(connection)
        rows = await connection.fetch("select subject from jobs where kind = 'writes'")
    return [row["subject"] for row in rows]


async def lost(here: Stand) -> None:
    """A write that the PDS has, and of which nobody knows so."""
    here.wire.deaf = None
    here.wire.faults = [deaf_after(here.wire, lose_reply, fail_before)]
    with pytest.raises(Unsettled):
        await here.repo.create(records.TRACK, records.track())


async def age(here: Stand, by: timedelta) -> None:
    await here.pool.execute("update write_intents set created_at = created_at - $1::interval", by)


async def test_the_job(here: Stand) -> None:
    await lost(here)
    here.wire.deaf = None
    assert await wanted(here) == [here.user.did]
    tools = Tools(here.pool, here.identities, makers(NAMESPACE), here.http)
    async with here.pool.acquire() as connection:
        await take(connection, WRITES.kind, 1)
    await perform(tools, WRITES, here.user.did)
    assert await here.states() == ["settled"]
    assert await wanted(here) == []


async def test_a_pds_that_is_away_is_asked_again_later(here: Stand) -> None:
    await lost(here)
    tools = Tools(here.pool, here.identities, makers(NAMESPACE), here.http)
    assert await wanted(here) == [here.user.did]
    async with here.pool.acquire() as connection:
        await take(connection, WRITES.kind, 1)
    await perform(tools, WRITES, here.user.did)
    job = await here.pool.fetchrow("select leased, error from jobs where kind = 'writes'")
    assert job is not None
    assert (job["leased"], "The PDS answered 500" in job["error"]) == (False, True)
    assert await here.states() == ["intended"]
    await age(here, timedelta(days=8))
    with pytest.raises(NotYet):
        await here.settle()
    assert await here.states() == ["unknown"]


async def test_one_that_cannot_be_looked_for_does_not_keep_the_others_waiting(here: Stand) -> None:
    for _ in range(2):
        await lost(here)
    (first, _) = await here.journal()

    async def fault(request: web.Request, forward: Forward) -> web.StreamResponse:
        is_first = request.query.get("rkey") == first["uris"][0].rpartition("/")[2]
        return await (fail_before(request, forward) if is_first else forward())

    here.wire.deaf = fault
    with pytest.raises(NotYet):
        await here.settle()
    assert await here.states() == ["intended", "intended"]
    await here.pool.execute("update write_intents set attempts = 2 where id = $1", first["id"])
    with pytest.raises(NotYet):
        await here.settle()
    assert await here.states() == ["intended", "settled"]


async def test_what_is_under_way_is_let_be(here: Stand) -> None:
    await lost(here)
    here.wire.deaf = None
    await here.pool.execute("update write_intents set held_until = now() + interval '10 s'")
    await here.settle()
    assert await wanted(here) == []
    assert await here.states() == ["intended"]


async def test_what_the_index_has_is_settled_without_a_look(here: Stand) -> None:
    await here.repo.create(records.TRACK, records.track())
    await here.lapse()
    assert await wanted(here) == []
    assert await here.states() == ["settled"]
    assert await here.pool.fetchval("select blocks from write_intents") == []


async def test_what_could_not_be_shown_is_shown_later(here: Stand) -> None:
    async with here.pool.acquire() as connection, connection.transaction():
        await index_lock(connection)
        written = await here.repo.create(records.TRACK, records.track())
        assert written.rev == await here.rev()
    assert await here.shown() == {}
    assert here.counted("plyr_pds_writes_not_shown_total") == 1
    await here.lapse()
    assert await wanted(here) == [here.user.did]
    await here.settle()
    assert list(await here.shown()) == [written.uri]
    assert await here.states() == ["settled"]


async def test_a_repository_that_was_fetched_since(here: Stand) -> None:
    """Where the chain has passed the write by, it is settled whatever the record is now."""
    await track(here.pool, here.user.did)
    await lost(here)
    here.wire.deaf = None
    await here.pool.execute("update repos set rev = 'zzzzzzzzzzzzz', status = 'synchronized'")
    await here.lapse()
    await here.settle()
    assert await here.states() == ["settled"]
    assert not await here.pool.fetchval("select exists (select from jobs where note = 'unseen_write')")


async def test_a_journal_that_is_away_once_the_pds_has_it(here: Stand) -> None:
    """What the PDS has is answered with, whether or not it can be noted or shown."""

    async def break_off() -> None:
        await here.pool.execute(
            """
            create function fail() returns trigger language plpgsql as
                'begin perform pg_terminate_backend(pg_backend_pid()); return new; end';
            create trigger fail before update on write_intents for each row execute function fail()
            """
        )

    here.wire.faults = [before(break_off)]
    written = await here.repo.create(records.TRACK, records.track())
    assert written.rev == await here.rev()
    await here.pool.execute("drop trigger fail on write_intents")
    assert await here.states() == ["intended"]
    await here.lapse()
    await here.settle()
    assert await here.states() == ["settled"]


async def test_what_is_old_goes(here: Stand) -> None:
    await here.repo.create(records.TRACK, records.track(), key="a key")
    with pytest.raises(InvalidSwap):
        await here.repo.put(records.TRACK, here.tids.mint(), records.track(), swap=(await made(here)).cid)
    await here.lapse()
    await wanted(here)
    await age(here, timedelta(hours=23))
    await wanted(here)
    assert await here.states() == ["settled", "settled", "refused"]
    await lost(here)
    here.wire.deaf = None
    await age(here, timedelta(hours=2))
    await wanted(here)
    assert await here.states() == ["intended"]
    again = await here.repo.create(records.TRACK, records.track(), key="a key")
    assert again.rev == await here.rev()


async def test_by_the_same_key_it_is_the_same_record_that_is_tried_again(here: Stand) -> None:
    """What was lost on the way may arrive late: then it is what is there already."""
    for settled in (False, True):
        key = f"settled: {settled}"
        here.wire.faults = [deaf_after(here.wire, lose_request, fail_before)]
        with pytest.raises(Unsettled):
            await here.repo.create(records.TRACK, records.track(createdAt="2026-03-01T12:00:00.000Z"), key=key)
        here.wire.deaf = None
        if settled:
            await here.lapse()
            await here.settle()
        written = await here.repo.create(records.TRACK, records.track(createdAt="2026-03-01T12:00:01.000Z"), key=key)
        there = await here.record(written.uri)
        assert there is not None
        assert there["value"]["createdAt"] == "2026-03-01T12:00:00.000Z"


async def test_a_call_that_takes_long(network: Network, pool: Pool) -> None:
    """Another by the same key does not wait for ever; and one that nobody is at any more is taken over."""
    async with stand(network, pool, patience=QUICK._replace(same=0.3)) as here:
        here.wire.faults = [deaf_after(here.wire, lose_request, fail_before)]
        with pytest.raises(Unsettled):
            await here.repo.create(records.TRACK, records.track(), key="a key")
        here.wire.deaf = None
        await here.pool.execute("update write_intents set held_until = now() + interval '1.5 s'")
        with pytest.raises(Unsettled, match="under way"):
            await here.repo.create(records.TRACK, records.track(), key="a key")
        await asyncio.sleep(1.5)
        written = await here.repo.create(records.TRACK, records.track(), key="a key")
        assert await here.record(written.uri) is not None


async def made(here: Stand) -> Written:
    return await here.repo.create(records.TRACK, records.track("Made"))


async def test_an_account_that_is_forgotten_while_it_writes(here: Stand) -> None:
    async def forgotten() -> None:
        async with here.pool.acquire() as connection:
            await forget(connection, here.user.did)

    here.wire.faults = [before(forgotten)]
    written = await here.repo.create(records.TRACK, records.track(), key="a key")
    assert await here.record(written.uri) is not None
    assert await here.states() == []


async def test_a_caller_who_leaves(here: Stand) -> None:
    """What was begun is brought to its end."""
    arrived = asyncio.Event()

    async def note() -> None:
        arrived.set()
        await asyncio.sleep(0.2)

    here.wire.faults = [before(note)]
    call = asyncio.create_task(here.repo.create(records.TRACK, records.track()))
    await arrived.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await here.writes.aclose()
    assert await here.states() == ["written"]
    assert len(await here.shown()) == 1
