"""Accounts: hidden, shown again, renamed, forgotten."""

import asyncio
from typing import Any

import pytest

from appview import db
from appview.db import Connection
from appview.index import actors
from appview.index.records import TABLES, record_types
from appview.index.recount import differences
from appview.jobs.rows import want
from tests.appview.index.samples import DID, MINIMAL, NOW, SUBJECT, TRACK_URI, did, incoming, record, rkey
from tests.appview.index.tables import DERIVED, actor_counts, contents, subject_counts

TYPES = record_types("fm.plyr")
ALICE, BOB = did(1), did(2)


async def publish(connection: Connection, *who: str) -> None:
    """One record of each type by each of these; their likes, comments, lists and follows are about the same."""
    await actors.see(connection, [DID, *who])
    for nsid, kind in TYPES.items():
        key = "self" if nsid.endswith("actor.profile") else rkey(1)
        await kind.replace(connection, [], [incoming(f"at://{author}/{nsid}/{key}", record(nsid)) for author in who])


async def say(connection: Connection, active: bool, status: str | None = None) -> bool:
    return await actors.set_status(connection, ALICE, active=active, status=status, now=NOW)


async def row(connection: Connection, who: str = ALICE) -> dict[str, Any]:
    return dict(await connection.fetchrow("select * from actors where did = $1", who) or {})


async def test_an_account_that_was_never_heard_of(connection: Connection) -> None:
    await actors.see(connection, [BOB, ALICE, BOB])
    await actors.see(connection, [])
    assert (await row(connection))["visible"]
    assert await actors.set_status(connection, did(9), active=False, status="deactivated", now=NOW)
    assert not await actors.set_status(connection, did(8), active=True, status=None, now=NOW)


async def test_hiding_takes_from_the_counts_and_showing_gives_back(connection: Connection) -> None:
    await publish(connection, ALICE, BOB)
    both = await contents(connection, *DERIVED)
    assert await subject_counts(connection, TRACK_URI) == (2, 2, 2)
    assert await say(connection, active=False, status="deactivated")
    assert await subject_counts(connection, TRACK_URI) == (1, 1, 1)
    assert (await actor_counts(connection, DID))[3] == 1
    assert await actor_counts(connection, ALICE) == (1, 1, 1, 0)
    assert {n for (n,) in await connection.fetch("select n from totals where name <> 'play'")} == {1}
    assert await differences(connection) == []
    assert await say(connection, active=True)
    assert await contents(connection, *DERIVED) == both


async def test_two_reasons_to_hide(connection: Connection) -> None:
    await publish(connection, ALICE)
    assert await say(connection, active=False, status="suspended")
    assert not await actors.set_taken_down(connection, ALICE, True)
    assert not await say(connection, active=True)
    assert await subject_counts(connection, TRACK_URI) == (0, 0, 0)
    assert await actors.set_taken_down(connection, ALICE, False)
    assert await subject_counts(connection, TRACK_URI) == (1, 1, 1)
    assert await differences(connection) == []


@pytest.mark.parametrize("status", ["throttled", "desynchronized", "a word of days to come\0", "x" * 5000, None])
@pytest.mark.parametrize("active", [True, False])
async def test_active_decides_whatever_the_status(connection: Connection, status: str | None, *, active: bool) -> None:
    await actors.see(connection, [ALICE])
    assert await say(connection, active=active, status=status) is not active
    assert (await row(connection))["visible"] is active
    assert (await row(connection))["status_at"] == NOW


async def test_a_handle_has_one_holder(connection: Connection) -> None:
    async with connection.transaction():
        await actors.set_identity(connection, ALICE, handle="Music.Example", pds="https://pds1.example", now=NOW)
        await actors.set_identity(connection, BOB, handle="music.example", pds=None, now=NOW)
        await actors.set_identity(connection, BOB, handle="music.example", pds=None, now=NOW)
    assert (await row(connection))["handle"] is None
    assert (await row(connection))["pds"] == "https://pds1.example"
    assert (await row(connection, BOB))["handle"] == "music.example"
    await actors.set_identity(connection, BOB, handle=None, pds=None, now=NOW)
    assert (await row(connection, BOB))["handle"] is None
    assert (await row(connection, BOB))["identity_at"] == NOW


async def test_handles_that_change_hands_all_at_once(pool: db.Pool) -> None:
    """Every account takes every handle, at the same time: none waits for ever, and each handle ends with one holder."""
    people, names = [did(n) for n in range(4)], [f"h{n}.example" for n in range(3)]

    async def take(who: str, name: str) -> None:
        async with pool.acquire() as connection, connection.transaction():
            await actors.set_identity(connection, who, handle=name, pds=None, now=NOW)

    for n in range(12):
        await asyncio.gather(*(take(who, names[(n + m) % 3]) for m, who in enumerate(people)))
    held = [name for (name,) in await pool.fetch("select handle from actors where handle is not null")]
    assert sorted(held) == sorted(set(held))
    assert held


@pytest.mark.parametrize("active", [True, False])
async def test_a_purge_reaches_everything(connection: Connection, *, active: bool) -> None:
    await publish(connection, BOB)
    without = await contents(connection, *DERIVED)
    await publish(connection, ALICE)
    follow = incoming(
        f"at://{BOB}/app.bsky.graph.follow/{rkey(2)}", record("app.bsky.graph.follow", {"subject": ALICE})
    )
    await TYPES["app.bsky.graph.follow"].replace(connection, [], [follow])
    await actors.set_identity(connection, ALICE, handle="alice.example", pds="https://pds1.example", now=NOW)
    await want(connection, "fetch", [ALICE, BOB])
    for who in (ALICE, BOB, f"{ALICE}0"):
        await keep(connection, who)
    await say(connection, active=active, status=None if active else "deleted")

    async with connection.transaction():
        await actors.purge(connection, ALICE)

    assert await differences(connection) == []
    assert await actor_counts(connection, ALICE) == (0, 0, 0, 1)
    await TYPES["app.bsky.graph.follow"].replace(connection, [follow.uri], [])
    assert await contents(connection, *DERIVED) == without
    left = await row(connection)
    assert (left["active"], left["handle"], left["pds"]) == (active, None, None)
    for table in ("records", "held_frames", "dead_letters", "repos", "did_documents"):
        assert {who for (who,) in await connection.fetch(f"select did from {table}")} == {BOB, f"{ALICE}0"}
    assert [who for (who,) in await connection.fetch("select subject from jobs")] == [BOB]
    # It is as if it had never written; should it come back, all begins anew.
    await publish(connection, ALICE)
    assert await differences(connection) == []


async def keep(connection: Connection, who: str) -> None:
    """What is held of an account beside its projections: a record, a tombstone, its chain, and frames."""
    insert = (
        "insert into records"
        " (uri, did, collection, rev, cid, value, verdict, sort_at, first_seen_at, indexed_at, proven_by)"
        " values ($1, $2, 'fm.plyr.track', '3', $3, $3, $4, $5, $5, $5, 'live')"
    )
    await connection.execute(insert, f"at://{who}/fm.plyr.track/a", who, b"x", "ok", NOW)
    await connection.execute(insert, f"at://{who}/fm.plyr.track/b", who, None, None, NOW)
    await connection.execute(
        "insert into held_frames (did, frame, reason, received_at) values ($1, 'x', 'r', $2)", who, NOW
    )
    await connection.execute(
        "insert into dead_letters (upstream, did, reason, detail, received_at) values ('u', $1, 'r', 'd', $2)", who, NOW
    )
    await connection.execute(
        "insert into repos (did, status, reason, status_at) values ($1, 'desynchronized', 'r', $2)", who, NOW
    )
    await connection.execute("insert into did_documents (did, document, fetched_at) values ($1, '{}', $2)", who, NOW)


async def test_to_forget_nobody(connection: Connection) -> None:
    await actors.purge(connection, ALICE)
    assert await contents(connection, "actors", *TABLES.values()) == {"actors": []} | {
        table: [] for table in TABLES.values()
    }


async def test_one_record_of_each_type_is_what_is_published(connection: Connection) -> None:
    """The fixture of these tests: if a type is added, it takes part."""
    await publish(connection, ALICE)
    assert set(MINIMAL) == set(TYPES)
    assert SUBJECT["uri"] == TRACK_URI
    for table in TABLES.values():
        assert await connection.fetchval(f"select count(*) from {table}") >= 1
