"""Projections and counts: exact after whatever comes and goes, in a handful of statements."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from appview.db import Connection
from appview.index import actors
from appview.index.counts import Changes
from appview.index.lock import index_lock
from appview.index.records import Incoming, record_types
from appview.index.recount import differences, repair
from tests.appview.index.samples import NOW, SUBJECT, TRACK_URI, did, incoming, record, rkey
from tests.appview.index.tables import actor_counts, contents, subject_counts, total

TYPES = record_types("fm.plyr")
TRACK, LIKE, COMMENT, LIST, FOLLOW = (
    TYPES[nsid]
    for nsid in ("fm.plyr.track", "fm.plyr.like", "fm.plyr.comment", "fm.plyr.list", "app.bsky.graph.follow")
)
ALICE, BOB, CAROL = did(1), did(2), did(3)
NOTHING: dict[str, Any] = {}


def track_uri(who: str, n: int) -> str:
    return f"at://{who}/fm.plyr.track/{rkey(n)}"


def like(who: str, n: int, subject: str = TRACK_URI) -> Incoming:
    return incoming(f"at://{who}/fm.plyr.like/{rkey(n)}", record(LIKE.nsid, {"subject": SUBJECT | {"uri": subject}}))


def comment(who: str, n: int, subject: str = TRACK_URI) -> Incoming:
    value = record(COMMENT.nsid, {"subject": SUBJECT | {"uri": subject}, "timestampMs": n})
    return incoming(f"at://{who}/fm.plyr.comment/{rkey(n)}", value)


def playlist(who: str, n: int, *subjects: str, **names: str) -> Incoming:
    items = [{"subject": SUBJECT | {"uri": subject}} for subject in subjects]
    return incoming(f"at://{who}/fm.plyr.list/{rkey(n)}", record(LIST.nsid, {"items": items} | names))


def follow(who: str, n: int, whom: str) -> Incoming:
    return incoming(f"at://{who}/app.bsky.graph.follow/{rkey(n)}", record(FOLLOW.nsid, {"subject": whom}))


@pytest.fixture(autouse=True)
async def known(connection: Connection) -> None:
    await actors.see(connection, [ALICE, BOB, CAROL, ALICE])


@asynccontextmanager
async def statements(connection: "asyncpg.Connection[asyncpg.Record]") -> AsyncIterator[list[str]]:
    """What is executed on `connection` during the block; what the driver asks once about types left out."""
    seen: list[str] = []

    def log(executed: asyncpg.connection.LoggedQuery) -> None:
        if "typeinfo" not in executed.query and "'jit'" not in executed.query:
            seen.append(executed.query)

    with connection.query_logger(log):
        yield seen
        # The driver calls back when the loop comes round.
        await asyncio.sleep(0)


async def test_two_likes_of_one_account_are_one(connection: Connection) -> None:
    first, second = like(ALICE, 1), like(ALICE, 2)
    await LIKE.replace(connection, [], [first])
    await LIKE.replace(connection, [], [second, like(BOB, 3)])
    assert (await subject_counts(connection, TRACK_URI))[0] == 2
    assert (await actor_counts(connection, ALICE))[2] == 1
    assert await total(connection, "like") == 3
    await LIKE.replace(connection, [first.uri], [])
    assert (await subject_counts(connection, TRACK_URI))[0] == 2
    await LIKE.replace(connection, [second.uri, "at://not/fm.plyr.like/there"], [])
    assert (await subject_counts(connection, TRACK_URI))[0] == 1
    assert (await actor_counts(connection, ALICE))[2] == 0
    assert await differences(connection) == []


async def test_two_likes_of_one_account_in_one_batch_are_one(connection: Connection) -> None:
    both = [like(ALICE, 1), like(ALICE, 2)]
    await LIKE.replace(connection, [], both)
    await LIKE.replace(connection, [], both)
    assert await subject_counts(connection, TRACK_URI) == (1, 0, 0)
    await LIKE.replace(connection, [record.uri for record in both], [])
    assert await subject_counts(connection, TRACK_URI) == (0, 0, 0)


async def test_a_like_counts_with_and_without_its_track(connection: Connection) -> None:
    song = incoming(TRACK_URI, record(TRACK.nsid))
    await actors.see(connection, [song.did])
    await LIKE.replace(connection, [], [like(ALICE, 1)])
    before = await subject_counts(connection, TRACK_URI)
    await TRACK.replace(connection, [], [song])
    await TRACK.replace(connection, [TRACK_URI], [])
    assert before == await subject_counts(connection, TRACK_URI) == (1, 0, 0)
    assert (await actor_counts(connection, song.did))[0] == 0


async def test_a_like_that_turns_to_another_track(connection: Connection) -> None:
    other = track_uri(BOB, 9)
    await LIKE.replace(connection, [], [like(ALICE, 1)])
    await LIKE.replace(connection, [], [like(ALICE, 1, other)])
    assert await subject_counts(connection, TRACK_URI) == (0, 0, 0)
    assert await subject_counts(connection, other) == (1, 0, 0)
    # What is liked now is no track: the like is kept elsewhere, and shown nowhere.
    await LIKE.replace(connection, [], [like(ALICE, 1, f"at://{BOB}/fm.plyr.list/x")])
    assert await contents(connection, "likes", "subject_counts", "totals") == {
        "likes": [],
        "subject_counts": [],
        "totals": [],
    }


async def test_comments_count_each_and_lists_once(connection: Connection) -> None:
    await COMMENT.replace(connection, [], [comment(ALICE, 1), comment(ALICE, 2), comment(BOB, 3)])
    await LIST.replace(connection, [], [playlist(ALICE, 1, TRACK_URI, TRACK_URI), playlist(ALICE, 2, TRACK_URI)])
    assert await subject_counts(connection, TRACK_URI) == (0, 3, 2)
    await LIST.replace(connection, [], [playlist(ALICE, 1, TRACK_URI), playlist(ALICE, 2)])
    assert await subject_counts(connection, TRACK_URI) == (0, 3, 1)
    assert await actor_counts(connection, ALICE) == (0, 2, 0, 0)
    assert await differences(connection) == []


async def test_hidden_accounts_count_for_nobody_else(connection: Connection) -> None:
    await actors.set_taken_down(connection, ALICE, True)
    await LIKE.replace(connection, [], [like(ALICE, 1), like(BOB, 1)])
    await COMMENT.replace(connection, [], [comment(ALICE, 1)])
    await LIST.replace(connection, [], [playlist(ALICE, 1, TRACK_URI)])
    await FOLLOW.replace(connection, [], [follow(ALICE, 1, BOB), follow(ALICE, 2, BOB), follow(CAROL, 1, BOB)])
    assert await subject_counts(connection, TRACK_URI) == (1, 0, 0)
    assert await actor_counts(connection, ALICE) == (0, 1, 1, 0)
    assert (await actor_counts(connection, BOB))[3] == 1
    assert [await total(connection, name) for name in ("like", "comment", "list", "follow")] == [1, 0, 0, 1]
    assert await actors.set_taken_down(connection, ALICE, False)
    assert await subject_counts(connection, TRACK_URI) == (2, 1, 1)
    assert (await actor_counts(connection, BOB))[3] == 2
    assert [await total(connection, name) for name in ("like", "comment", "list", "follow")] == [2, 1, 1, 3]
    assert await differences(connection) == []


async def test_an_edit_moves_no_counter(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await TRACK.replace(connection, [], [incoming(track_uri(ALICE, 1), record(TRACK.nsid))])
    async with statements(connection) as seen:
        await TRACK.replace(connection, [], [incoming(track_uri(ALICE, 1), record(TRACK.nsid, {"duration": 7}))])
    # Out, in, and a look whether it is still found by the same words.
    assert len(seen) == 4
    assert await connection.fetchval("select duration from tracks") == 7


async def test_five_hundred_likes_are_a_handful_of_statements(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    likes = [like(who, n, track_uri(BOB, n)) for who in (ALICE, CAROL) for n in range(250)]
    async with statements(connection) as seen:
        await LIKE.replace(connection, [], likes)
    assert len(seen) == 9
    assert await total(connection, "like") == 500
    assert await differences(connection) == []


async def test_several_types_share_the_statements_that_count(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    changes = Changes()
    async with statements(connection) as seen:
        await LIKE.swap(connection, [], [like(ALICE, 1)], changes)
        await COMMENT.swap(connection, [], [comment(ALICE, 1)], changes)
        await changes.apply(connection)
    assert len(seen) == 9
    assert await differences(connection) == []


async def test_names_that_a_list_lost(connection: Connection) -> None:
    async def names() -> tuple[Any, ...]:
        row = await connection.fetchrow("select name, list_type, inherited from lists")
        return tuple(row) if row else ()

    whole = playlist(ALICE, 1, TRACK_URI, name="2026", listType="album")
    bare, liked = playlist(ALICE, 1), playlist(ALICE, 1, listType="liked")
    await LIST.replace(connection, [], [whole])
    assert await names() == ("2026", "album", [])
    await LIST.replace(connection, [], [bare])
    await LIST.replace(connection, [], [bare])
    assert await names() == ("2026", "album", ["name", "listType"])
    await LIST.replace(connection, [], [liked])
    assert await names() == ("2026", "liked", ["name"])
    # Gone and come back within a batch, it is another list.
    await LIST.replace(connection, [], [bare._replace(fresh=True)])
    assert await names() == (None, None, [])
    await LIST.replace(connection, [], [bare._replace(fresh=True, earlier=(whole.value, liked.value))])
    assert await names() == ("2026", "liked", ["name", "listType"])
    await LIST.replace(connection, [bare.uri], [])
    assert await contents(connection, "lists", "list_items") == {"lists": [], "list_items": []}
    await LIST.replace(connection, [], [bare])
    assert await names() == (None, None, [])


async def test_a_list_of_five_thousand_items(connection: Connection) -> None:
    await LIST.replace(
        connection, [], [playlist(ALICE, n, *(track_uri(BOB, m) for m in range(5000))) for n in range(5)]
    )
    assert await connection.fetchval("select count(*) from list_items") == 25_000
    assert await connection.fetchval("select min(lists) || ' ' || max(lists) from subject_counts") == "5 5"


async def test_any_history_leaves_the_counts_exact(connection: Connection) -> None:
    chance = random.Random(11)
    people = [did(n) for n in range(1, 6)]
    songs = [track_uri(who, n) for who in people for n in range(2)]
    await actors.see(connection, people)

    def some(make: Any, *choices: list[str]) -> list[Incoming]:
        found = [make(chance.choice(people), chance.randrange(4), *map(chance.choice, choices)) for _ in range(6)]
        return list({record.uri: record for record in found}.values())

    for step in range(150):
        changes = Changes()
        come = {
            LIKE: some(like, songs),
            COMMENT: some(comment, songs),
            LIST: some(playlist, songs, songs, songs),
            FOLLOW: some(follow, people),
            TRACK: [incoming(chance.choice(songs), record(TRACK.nsid, {"title": str(step)}))],
        }
        for kind in chance.sample(list(come), 2):
            gone = [record.uri for record in chance.sample(come[kind], len(come[kind]) // 2)]
            chosen = [record for record in come[kind] if record.uri not in gone or chance.random() < 0.3]
            await kind.swap(connection, [*gone, *(record.uri for record in chosen)], chosen, changes)
        await changes.apply(connection)
        who = chance.choice(people)
        match chance.randrange(8):
            case 0 | 1:
                await actors.set_taken_down(connection, who, chance.random() < 0.5)
            case 2 | 3:
                await actors.set_status(connection, who, active=chance.random() < 0.6, status=None, now=NOW)
            case 4 if step % 5 == 0:
                await actors.purge(connection, who)
            case _:
                pass
        if step % 10 == 9:
            assert await differences(connection) == []
    counters = await contents(connection, "subject_counts", "actor_counts", "totals")
    assert all(min(row[1:]) >= 0 for rows in counters.values() for row in rows)
    assert await connection.fetchval("select count(*) from likes") > 10


async def test_differences_are_found_and_repaired(connection: Connection) -> None:
    await LIKE.replace(connection, [], [like(ALICE, 1), like(BOB, 1)])
    await FOLLOW.replace(connection, [], [follow(ALICE, 1, BOB)])
    await connection.execute("update subject_counts set likes = 5, comments = 1")
    await connection.execute("insert into subject_counts (subject, lists) values ('at://x/y/z', 3)")
    await connection.execute("delete from actor_counts where did = $1", BOB)
    await connection.execute("update totals set n = 0 where name = 'like'")
    found = await differences(connection)
    assert [(item.table, item.column, item.held, item.counted) for item in found] == [
        ("subject_counts", "likes", 5, 2),
        ("subject_counts", "comments", 1, 0),
        ("subject_counts", "lists", 3, 0),
        ("actor_counts", "likes", 0, 1),
        ("actor_counts", "followers", 0, 1),
        ("totals", "n", 0, 2),
    ]
    assert str(found[-1]) == "totals: n of like is 0 and should be 2"
    await repair(connection, found)
    assert await differences(connection) == []


async def test_counting_looks_up_keys_however_small_the_tables_were(connection: Connection) -> None:
    """Plans are made and kept when there is one like, and analyzed as that; then come thousands, all of one account."""
    await LIKE.replace(connection, [], [like(ALICE, 1)])
    await FOLLOW.replace(connection, [], [follow(ALICE, 1, BOB)])
    await connection.execute("analyze")
    for n in range(10):
        await _write(connection, [like(ALICE, n)], [follow(ALICE, n, BOB)])
    before = await _rows_read(connection)
    for n in range(10):
        numbers = range(100 * n, 100 * n + 100)
        await _write(
            connection,
            [like(ALICE, m, track_uri(BOB, m)) for m in numbers],
            [follow(ALICE, m, did(m)) for m in numbers],
        )
    # A few for each that was written; a scan, or an index of the account alone, would read hundreds.
    assert await _rows_read(connection) - before < 2000 * 10


async def _write(connection: Connection, likes: list[Incoming], follows: list[Incoming]) -> None:
    async with connection.transaction():
        await index_lock(connection)
        changes = Changes()
        await LIKE.swap(connection, [like.uri for like in likes], likes, changes)
        await FOLLOW.swap(connection, [follow.uri for follow in follows], follows, changes)
        await changes.apply(connection)


async def _rows_read(connection: Connection) -> int:
    await connection.execute("select pg_stat_force_next_flush()")
    found: int = await connection.fetchval("select sum(seq_tup_read + idx_tup_fetch)::bigint from pg_stat_user_tables")
    return found
