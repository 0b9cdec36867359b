"""Accounts: hidden, shown again, renamed, forgotten."""

import asyncio
import itertools
from typing import Any

import pytest

from appview import db
from appview.db import Connection
from appview.index import actors
from appview.index.check import check_orphans, check_records
from appview.index.lock import index_lock
from appview.index.records import TABLES, record_types
from appview.index.recount import differences
from appview.jobs.rows import want
from tests.appview.index.filled import MAKERS, PEOPLE, change, fill, write
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
        assert await actors.purge(connection, ALICE)

    assert await differences(connection) == []
    assert await actor_counts(connection, ALICE) == (0, 0, 0, 1)
    await TYPES["app.bsky.graph.follow"].replace(connection, [follow.uri], [])
    assert await contents(connection, *DERIVED) == without
    left = await row(connection)
    assert (left["active"], left["handle"], left["pds"]) == (False, None, None)
    for table in ("records", "held_frames", "dead_letters", "repos", "did_documents"):
        assert {who for (who,) in await connection.fetch(f"select did from {table}")} == {BOB, f"{ALICE}0"}
    assert [who for (who,) in await connection.fetch("select subject from jobs")] == [BOB]
    # It is as if it had never written; should it come back, all begins anew.
    assert await say(connection, active=True)
    await publish(connection, ALICE)
    assert await differences(connection) == []


async def keep(connection: Connection, who: str) -> None:
    """What is held of an account beside its projections: a record, a tombstone, and what is no record."""
    insert = (
        "insert into records"
        " (uri, did, collection, rev, cid, value, verdict, sort_at, first_seen_at, indexed_at, proven_by)"
        " values ($1, $2, 'fm.plyr.track', '3', $3, $3, $4, $5, $5, $5, 'live')"
    )
    await connection.execute(insert, f"at://{who}/fm.plyr.track/a", who, b"x", "ok", NOW)
    await connection.execute(insert, f"at://{who}/fm.plyr.track/b", who, None, None, NOW)
    await keep_beside(connection, who)


async def keep_beside(connection: Connection, who: str) -> None:
    """The chain of an account, its document, and frames."""
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


async def test_a_purge_of_many_steps(connection: Connection) -> None:
    """Each step is small, and leaves an index that agrees with itself and shows nothing of the account."""
    await fill(connection)
    who, others = PEOPLE[0], await _rows_of_others(connection, PEOPLE[0])
    tracks = [f"at://{DID}/fm.plyr.track/{rkey(n)}" for n in range(40)]
    items = [{"subject": SUBJECT | {"uri": uri}} for uri in tracks]
    likes = [
        change(f"at://{who}/fm.plyr.like/{rkey(100 + n)}", record("fm.plyr.like", item)) for n, item in enumerate(items)
    ]
    lists = [
        change(f"at://{who}/fm.plyr.list/{rkey(100 + n)}", record("fm.plyr.list", {"items": items[:30]}))
        for n in range(4)
    ]
    large = [
        change(f"at://{who}/fm.plyr.track/{rkey(100 + n)}", record("fm.plyr.track", {"title": title, "x": "x" * 10**5}))
        for n, title in enumerate(("shown", 7))
    ]
    await write(connection, *likes, *lists, *large)
    await keep_beside(connection, who)
    await want(connection, "status", [who], note="deleted")

    rows = [await _rows_of(connection, who)]
    is_over = False
    while not is_over:
        async with connection.transaction():
            await index_lock(connection)
            is_over = await actors.purge(connection, who, limit=10)
        rows.append(await _rows_of(connection, who))
        assert await differences(connection) == []
        assert [found async for found in check_records(connection, MAKERS, lambda _: None)] == []
        assert await check_orphans(connection, MAKERS) == []
        assert await _rows_of_others(connection, who) == others
        assert not (await row(connection, who))["visible"]
        chain = await connection.fetchrow("select status, rev from repos where did = $1", who)
        job = await connection.fetchval("select note from jobs where subject = $1", who)
        assert (chain and tuple(chain), job) == ((None, None) if is_over else (("desynchronized", None), "deleted"))
    assert rows[-1] == 0
    # Ten records with their rows, and what is left of a list.
    assert max(before - after for before, after in itertools.pairwise(rows)) <= 2 * 10 + 32
    assert len(rows) > 10


async def _rows_of(connection: Connection, who: str) -> int:
    count = await connection.fetchval("select count(*) from list_items where list like $1 || '%'", f"at://{who}/")
    for table in dict.fromkeys((*TABLES.values(), "records", "held_frames", "dead_letters", "repos", "did_documents")):
        count += await connection.fetchval(f"select count(*) from {table} where did = $1", who)
    return int(count)


async def _rows_of_others(connection: Connection, who: str) -> dict[str, list[Any]]:
    tables = dict.fromkeys((*TABLES.values(), "records"))
    return {
        table: sorted(await connection.fetch(f"select * from {table} where did <> $1", who), key=repr)
        for table in tables
    }


async def test_a_purge_that_was_overtaken_goes_on(connection: Connection) -> None:
    """The account is back before all of it is gone, and then is not."""
    await fill(connection)
    who = PEOPLE[0]
    assert not await actors.purge(connection, who, limit=5)
    assert await actors.set_status(connection, who, active=True, status=None, now=NOW)
    assert await differences(connection) == []
    while not await actors.purge(connection, who, limit=5):
        assert await differences(connection) == []
    assert await _rows_of(connection, who) == 0


async def test_hiding_and_forgetting_read_what_is_the_accounts_alone(connection: Connection, database_url: str) -> None:
    await publish(connection, ALICE)
    await connection.execute("analyze")
    await publish(connection, *(did(n) for n in range(100, 600)))
    read = await _rows_read(connection)
    command = await db.connect(database_url)
    async with command.transaction():
        await index_lock(command)
        await actors.set_taken_down(command, ALICE, True)
        await actors.set_taken_down(command, ALICE, False)
        await actors.purge(command, ALICE)
    # A scan of any one of the tables would read 500.
    assert 50 < await _rows_read(command) - read < 250
    await command.close()


async def _rows_read(connection: Connection) -> int:
    await connection.execute("select pg_stat_force_next_flush()")
    found: int = await connection.fetchval("select sum(seq_tup_read + idx_tup_fetch)::bigint from pg_stat_user_tables")
    return found


async def test_to_forget_nobody(connection: Connection) -> None:
    assert await actors.purge(connection, ALICE)
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
