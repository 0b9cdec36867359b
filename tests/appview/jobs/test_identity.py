"""What is written down of an account when it is looked at anew, and who is looked at again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from appview.db import Connection
from appview.index.actors import see, set_identity
from appview.jobs import identity
from appview.jobs.family import Tools, TryLater, perform
from appview.jobs.identity import GIVEN_UP, IDENTITY, MOVED, UNCHECKED_ATTEMPTS, refresh_identity, want_rechecks
from appview.jobs.rows import Job, take, want
from tests.appview.net.world import ALICE, BOB, World, document

PDS = "https://pds.test"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def job(did: str = ALICE, attempts: int = 1) -> Job:
    return Job("identity", did, 1, attempts, None)


async def known(tools: Tools, did: str = ALICE) -> tuple[Any, ...] | None:
    row = await tools.pool.fetchrow(
        "select handle, pds, identity_at > now() - interval '1 hour' from actors where did = $1", did
    )
    return tuple(row) if row else None


async def was(tools: Tools, handle: str | None, pds: str | None = "https://old.test", did: str = ALICE) -> None:
    async with tools.pool.acquire() as connection:
        await set_identity(connection, did, handle=handle, pds=pds, now=NOW)


async def test_a_new_account(world: World, tools: Tools) -> None:
    world.publish(ALICE, document(ALICE))
    world.name("alice.test", ALICE)
    await refresh_identity(tools, job())
    assert await known(tools) == ("alice.test", PDS, True)


async def test_a_handle_that_names_another_is_not_shown(world: World, tools: Tools) -> None:
    await was(tools, "alice.test")
    world.publish(ALICE, document(ALICE))
    world.name("alice.test", BOB)
    await refresh_identity(tools, job())
    assert await known(tools) == (None, PDS, True)


async def test_what_the_memory_holds_is_not_believed(world: World, tools: Tools) -> None:
    world.publish(ALICE, document(ALICE))
    world.name("alice.test", ALICE)
    await refresh_identity(tools, job())
    world.publish(ALICE, document(ALICE, handle="other.test", pds="https://new.test"))
    world.name("other.test", ALICE)
    await refresh_identity(tools, job())
    assert await known(tools) == ("other.test", "https://new.test", True)


async def test_a_handle_passes_to_another_account(world: World, tools: Tools) -> None:
    for did in (ALICE, BOB):
        world.publish(did, document(did))
        world.name("alice.test", did)
        await refresh_identity(tools, job(did))
    assert await known(tools) == (None, PDS, True)
    assert await known(tools, BOB) == ("alice.test", PDS, True)


async def test_a_silent_host_takes_no_handle_away_at_first(world: World, tools: Tools) -> None:
    await was(tools, "alice.test")
    world.publish(ALICE, document(ALICE))
    world.hosts.pages["alice.test", "/.well-known/atproto-did"] = 503
    with pytest.raises(TryLater, match=r"the host of the handle alice\.test did not answer"):
        await refresh_identity(tools, job(attempts=UNCHECKED_ATTEMPTS))
    assert await known(tools) == ("alice.test", PDS, True)
    with pytest.raises(TryLater):
        await refresh_identity(tools, job(attempts=UNCHECKED_ATTEMPTS + 1))
    assert await known(tools) == (None, PDS, True)


async def test_a_silent_host_gives_no_handle(world: World, tools: Tools) -> None:
    await was(tools, "before.test")
    world.publish(ALICE, document(ALICE))
    world.hosts.pages["alice.test", "/.well-known/atproto-did"] = 503
    with pytest.raises(TryLater):
        await refresh_identity(tools, job())
    assert await known(tools) == (None, PDS, True)


async def test_a_directory_that_is_down_changes_nothing(world: World, tools: Tools) -> None:
    await was(tools, "alice.test")
    world.publish(ALICE, 503)
    with pytest.raises(TryLater):
        await refresh_identity(tools, job())
    assert await known(tools) == ("alice.test", "https://old.test", False)


@pytest.mark.parametrize("said", [404, 410, b"{}"])
async def test_a_did_that_is_none_any_more(world: World, tools: Tools, said: int | bytes) -> None:
    await was(tools, "alice.test")
    world.publish(ALICE, said)
    world.publish(BOB, said)
    await refresh_identity(tools, job())
    await refresh_identity(tools, job(BOB))
    assert await known(tools) == (None, None, True)
    assert await known(tools, BOB) is None  # nobody has heard of that one


# What follows for its repository


async def tracked(tools: Tools, did: str = ALICE) -> None:
    await tools.pool.execute(
        "insert into repos (did, status, reason, status_at) values ($1, 'synchronized', 'fetched', now())", did
    )


async def asked_about(tools: Tools) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await tools.pool.fetch("select subject, note from jobs where kind = 'status'")]


async def test_one_that_moved_is_compared_with_its_new_host_once(world: World, tools: Tools) -> None:
    await tracked(tools)
    world.name("alice.test", ALICE)
    world.publish(ALICE, document(ALICE))
    await refresh_identity(tools, job())  # seen for the first time
    await refresh_identity(tools, job())
    assert await asked_about(tools) == []
    world.publish(ALICE, document(ALICE, pds="https://new.test"))
    await refresh_identity(tools, job())
    assert await asked_about(tools) == [(ALICE, MOVED)]
    await tools.pool.execute("delete from jobs")
    await refresh_identity(tools, job())
    assert await asked_about(tools) == []


async def test_one_of_whom_nothing_is_held_may_move(world: World, tools: Tools) -> None:
    await was(tools, "alice.test")
    world.publish(ALICE, document(ALICE, pds="https://new.test"))
    await refresh_identity(tools, job())
    assert await asked_about(tools) == []


async def test_a_document_that_was_broken_for_a_while_may_name_another_host(world: World, tools: Tools) -> None:
    await tracked(tools)
    await was(tools, None)
    world.publish(ALICE, document(ALICE, handle=None, pds="http:/nowhere"))
    await refresh_identity(tools, job())
    assert await known(tools) == (None, None, True)
    assert await asked_about(tools) == []
    world.publish(ALICE, document(ALICE, handle=None, pds="https://new.test"))
    await refresh_identity(tools, job())
    assert await asked_about(tools) == [(ALICE, MOVED)]


async def test_a_tombstone_is_for_the_status_to_say(world: World, tools: Tools) -> None:
    for did in (ALICE, BOB):
        await tracked(tools, did)
        await was(tools, None, did=did)
    world.publish(ALICE, 410)
    world.publish(BOB, 404)  # a name server's mistake, say: no log tells of a tombstone
    await refresh_identity(tools, job())
    await refresh_identity(tools, job(BOB))
    assert await asked_about(tools) == [(ALICE, GIVEN_UP)]


async def test_what_was_purged_is_not_written_down_again(world: World, tools: Tools) -> None:
    await tools.pool.execute("insert into actors (did, active, status) values ($1, false, 'deleted')", ALICE)
    world.publish(ALICE, document(ALICE))
    world.name("alice.test", ALICE)
    await refresh_identity(tools, job())
    assert await known(tools) == (None, None, None)
    world.hosts.pages["alice.test", "/.well-known/atproto-did"] = 503
    await refresh_identity(tools, job())  # nor is it tried again
    await tracked(tools)  # hidden, and kept
    world.name("alice.test", ALICE)
    await refresh_identity(tools, job())
    assert await known(tools) == ("alice.test", PDS, True)


# One job, with its row


async def rows(tools: Tools) -> list[tuple[Any, ...]]:
    said = "select subject, error, extract(epoch from due_at - now())::int from jobs order by subject"
    return [tuple(row) for row in await tools.pool.fetch(said)]


async def wanted(tools: Tools, did: str = ALICE) -> None:
    async with tools.pool.acquire() as connection:
        await want(connection, "identity", [did])
        await take(connection, "identity", 1)


async def test_a_row_goes_when_its_job_is_done(world: World, tools: Tools) -> None:
    world.publish(ALICE, document(ALICE))
    world.name("alice.test", ALICE)
    await wanted(tools)
    await perform(tools, IDENTITY, ALICE)
    assert await rows(tools) == []
    await perform(tools, IDENTITY, ALICE)  # the message came twice
    assert world.asked(ALICE) == 1


async def test_a_row_says_what_went_wrong_and_waits(
    world: World, tools: Tools, caplog: pytest.LogCaptureFixture
) -> None:
    world.publish(ALICE, 503)
    await wanted(tools)
    await perform(tools, IDENTITY, ALICE)
    [(subject, error, wait)] = await rows(tools)
    assert subject == ALICE
    assert "answered with status 503" in error
    assert 0 <= wait <= 5
    assert f"identity of {ALICE} failed, to be tried again in" in caplog.text


async def test_a_server_that_asks_for_a_pause_is_given_it(tools: Tools) -> None:
    async def busy(_tools: Tools, _job: Job) -> None:
        raise TryLater("too many at once", retry_after=500.0)

    await wanted(tools)
    await perform(tools, IDENTITY._replace(work=busy), ALICE)
    [(_, error, wait)] = await rows(tools)
    assert error == "too many at once"
    assert 490 <= wait <= 500


# Who is looked at again


async def account(
    connection: Connection, name: str, *, handle: bool, age: timedelta | None, tracked: bool = True, active: bool = True
) -> str:
    did = f"did:plc:{name:a<24}"
    await see(connection, [did])
    await connection.execute(
        """
        update actors set handle = $2, identity_at = now() - $3::interval, active = $4,
            first_seen_at = now() - interval '1 week' where did = $1
        """,
        did,
        f"{name}.test" if handle else None,
        age,
        active,
    )
    if tracked:
        await connection.execute(
            "insert into repos (did, status, reason, status_at) values ($1, 'synchronized', 'test', now())", did
        )
    return did


async def test_who_is_looked_at_again(connection: Connection) -> None:
    hours = [timedelta(hours=n) for n in range(25)]
    due = {
        await account(connection, "old", handle=True, age=hours[24]),
        await account(connection, "oldfeatured", handle=False, age=hours[24], tracked=False),
        await account(connection, "nohandle", handle=False, age=hours[2]),
        await account(connection, "never", handle=False, age=None),
    }
    await account(connection, "young", handle=True, age=hours[22])
    await account(connection, "youngfeatured", handle=False, age=hours[22], tracked=False)
    await account(connection, "neverfeatured", handle=False, age=None, tracked=False)
    await account(connection, "fresh", handle=False, age=hours[0])
    await account(connection, "gone", handle=False, age=None, active=False)
    waiting = await account(connection, "waiting", handle=True, age=hours[24])
    await want(connection, "identity", [waiting], delay=900)
    await want_rechecks(connection)
    await want_rechecks(connection)
    rows = await connection.fetch("select subject, wanted, due_at <= now() as due from jobs")
    assert {row["subject"] for row in rows if row["due"]} == due
    assert {row["subject"] for row in rows if not row["due"]} == {waiting}
    assert {row["wanted"] for row in rows} == {1}


async def test_not_too_many_are_looked_at_at_once(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "RECHECKS", 2)
    names = ["a", "b", "c"]
    dids = [await account(connection, n, handle=True, age=timedelta(days=5 - len(n) - names.index(n))) for n in names]
    await want_rechecks(connection)
    assert {row["subject"] for row in await connection.fetch("select subject from jobs")} == set(dids[:2])
