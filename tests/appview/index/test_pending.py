"""Own writes: shown at once, settled by the chain, and taken back without a trace."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from appview.db import Connection, Pool
from appview.index import actors, check, recount, repos
from appview.index.echoes import unheard
from appview.index.lock import index_lock
from appview.index.pending import MOST_PENDING, OwnWrite, Shows, doubt, show, track
from appview.index.search import differences as search
from appview.index.settling import (
    FETCH_AGAIN_SECONDS,
    FETCH_SECONDS,
    GIVE_UP_SECONDS,
    LOOK_SECONDS,
    REFUSED_SECONDS,
    REFUSED_TIMES,
    SKEW_SECONDS,
    settle,
)
from lexicons.data import CID, encode
from tests.appview.index.filled import (
    ELSEWHERE,
    HIDDEN,
    MAKERS,
    PEOPLE,
    REJECTED,
    TOMBSTONE,
    WHOLE,
    change,
    fill,
    write,
)
from tests.appview.index.samples import MINIMAL, NOW, did, record, rkey
from tests.appview.index.tables import DERIVED, contents

ALICE = did(1)
SONG = f"at://{ALICE}/fm.plyr.track/{rkey(1)}"
LIKE = f"at://{ALICE}/fm.plyr.like/{rkey(2)}"
LIST = f"at://{ALICE}/fm.plyr.list/{rkey(3)}"
NAMED = record("fm.plyr.list", {"name": "2026", "listType": "album"})
SECOND = timedelta(seconds=1)


def rev(n: int) -> str:
    """As in `change`."""
    return rkey(1000 - n)


def own(uri: str, value: Mapping[str, Any] | None, n: int) -> OwnWrite:
    """A write of ours that the PDS said has the rev number `n`."""
    _, _, who, collection, key = uri.split("/")
    block = None if value is None else encode(value)
    return OwnWrite(uri, who, collection, key, rev(n), None if block is None else CID.of(block), block)


def like(of: str = SONG) -> dict[str, Any]:
    return record("fm.plyr.like", {"subject": {"uri": of, "cid": str(CID.of(b""))}})


def song(title: str) -> dict[str, Any]:
    return record("fm.plyr.track", {"title": title})


async def stands(
    connection: Connection,
    n: int,
    *,
    who: str = ALICE,
    status: repos.Status = "synchronized",
    fetched_at: datetime | None = None,
) -> None:
    """The chain of a repository is at the rev number `n`."""
    data = CID.of(b"")
    async with connection.transaction():
        await index_lock(connection)
        await actors.see(connection, [who])
        chain = repos.Chain(who, status, rev(n), data, data, None, "test", "live", NOW + SECOND / 2, fetched_at)
        await repos.save(connection, [chain], NOW)


async def shown(pool: Pool, *writes: OwnWrite, at: datetime = NOW) -> None:
    await show(pool, MAKERS, writes, at)


async def settled(pool: Pool, after: float = 1.0) -> float | None:
    return await settle(pool, MAKERS.types, NOW + timedelta(seconds=after))


async def outcomes(connection: Connection) -> dict[str, int]:
    rows = await connection.fetch("select outcome, sum(n)::int as n from echoes group by outcome")
    return {row["outcome"]: row["n"] for row in rows}


async def wanted(connection: Connection) -> set[tuple[str, str, str | None]]:
    rows = await connection.fetch("select kind, subject, note from jobs where kind <> 'pending'")
    return {(row["kind"], row["subject"], row["note"]) for row in rows}


async def row(connection: Connection, uri: str = SONG) -> tuple[Any, ...] | None:
    found = await connection.fetchrow("select rev, cid, proven_by from records where uri = $1", uri)
    return None if found is None else tuple(found)


def cid(value: Mapping[str, Any]) -> bytes:
    return bytes(CID.of(encode(value)))


async def everything(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    return await contents(connection, "records", *DERIVED)


async def consistent(connection: Connection) -> list[object]:
    found: list[object] = [finding async for finding in check.check_records(connection, MAKERS)]
    found += [*await check.check_orphans(connection, MAKERS), *await check.check_proofs(connection)]
    return [*found, *await recount.differences(connection), *await search.differences(connection)]


# --- shown, and seen ---


async def test_a_write_is_there_at_once(pool: Pool, connection: Connection) -> None:
    await stands(connection, 1)
    await write(connection, change(SONG, song("Song")))
    await shown(pool, own(LIKE, like(), 5))
    assert await row(connection, LIKE) == (rev(5), cid(like()), "write")
    assert await connection.fetchval("select likes from subject_counts where subject = $1", SONG) == 1
    assert await connection.fetchval("select due_at > now() from jobs where kind = 'pending' and subject = 'all'")
    assert not await consistent(connection)
    assert not await check.check_revs(connection), "that it is later than its repository is no fault"


async def test_it_is_proven_by_its_echo(pool: Pool, connection: Connection) -> None:
    await stands(connection, 1)
    await shown(pool, own(SONG, song("Song"), 5))
    assert await settled(pool) == LOOK_SECONDS
    assert await connection.fetchval("select count(*) from pending") == 1
    before = await everything(connection)
    await write(connection, change(SONG, song("Song"), 5))
    await stands(connection, 5)
    assert await settled(pool) is None
    assert await row(connection) == (rev(5), cid(song("Song")), "live")
    assert await contents(connection) == {name: before[name] for name in DERIVED}
    assert await connection.fetchval("select count(*) from pending") == 0
    assert await outcomes(connection) == {"seen": 1}
    assert await connection.fetchval("select seconds from echoes") == 0.5, "as soon as it was proven"


async def test_what_has_come_back_before_stays_proven(pool: Pool, connection: Connection) -> None:
    await stands(connection, 5)
    await write(connection, change(SONG, song("Song"), 5))
    await shown(pool, own(SONG, song("Song"), 5))
    assert await row(connection) == (rev(5), cid(song("Song")), "live")
    assert await connection.fetchval("select count(*) from pending") == 0
    assert await outcomes(connection) == {"seen": 1}


async def test_what_the_chain_has_passed_by_is_not_shown_at_all(pool: Pool, connection: Connection) -> None:
    await stands(connection, 6)
    await shown(pool, own(SONG, song("Song"), 5))
    assert await row(connection) is None
    await stands(connection, 7, fetched_at=NOW + timedelta(seconds=SKEW_SECONDS + 1))
    await shown(pool, own(SONG, song("Song"), 8))
    assert await row(connection) is None, "all of it was fetched after that, without it"


async def test_an_echo_with_another_version_wins(pool: Pool, connection: Connection) -> None:
    await stands(connection, 1)
    await shown(pool, own(SONG, song("Ours"), 5))
    await write(connection, change(SONG, song("Theirs"), 5))
    await stands(connection, 5)
    await settled(pool)
    assert await row(connection) == (rev(5), cid(song("Theirs")), "live")
    assert await connection.fetchval("select count(*) from pending") == 0


async def test_shown_twice_is_shown_once(pool: Pool, connection: Connection) -> None:
    await stands(connection, 1)
    await write(connection, change(SONG, song("Before"), 1))
    await shown(pool, own(SONG, song("After"), 5))
    first = await contents(connection, "records", "pending", *DERIVED)
    await shown(pool, own(SONG, song("After"), 5), at=NOW + SECOND)
    assert await contents(connection, "records", "pending", *DERIVED) == first


async def test_an_earlier_write_that_is_told_late_changes_nothing(pool: Pool, connection: Connection) -> None:
    await stands(connection, 1)
    await shown(pool, own(SONG, song("Second"), 6))
    await shown(pool, own(SONG, song("First"), 5))
    await stands(connection, 5)
    await settled(pool)
    assert await row(connection) == (rev(6), cid(song("Second")), "write")


async def test_what_a_fetch_brings_is_proven(pool: Pool, connection: Connection) -> None:
    await stands(connection, 1)
    await shown(pool, own(SONG, song("Song"), 5))
    await settled(pool, FETCH_SECONDS)
    await write(connection, change(SONG, song("Song"), 6)._replace(proven_by="fetch"))
    await stands(connection, 6)
    await settled(pool, FETCH_SECONDS + 1)
    assert await outcomes(connection) == {"fetched": 1}
    assert await row(connection) == (rev(6), cid(song("Song")), "fetch")


# --- taken back ---


async def test_nothing_is_left_of_what_the_chain_passes_by(pool: Pool, connection: Connection) -> None:
    """Of every type: changed, gone, new, back from the dead, now readable, nameless; of the hidden too."""
    await fill(connection)
    for who in PEOPLE:
        await stands(connection, 10, who=who)
    before = await everything(connection)
    writes = []
    for who in PEOPLE:
        for nsid in MINIMAL:
            keys = ["self"] if nsid.endswith("actor.profile") else [rkey(0), rkey(1), rkey(99)]
            for key, value in zip(keys, (another(nsid), None, record(nsid)), strict=False):
                writes.append(own(f"at://{who}/{nsid}/{key}", value, 20))
    writes += [
        own(WHOLE, record("fm.plyr.list", {"items": [{"subject": {"uri": SONG, "cid": ""}}]}), 20),
        own(REJECTED, song("Readable"), 20),
        own(TOMBSTONE, song("Back"), 20),
        own(ELSEWHERE, None, 20),
    ]
    await shown(pool, *writes)
    assert not await consistent(connection)
    await shown(pool, own(WHOLE, NAMED, 21), own(ELSEWHERE, like(), 21))
    assert await connection.fetchval("select count(*) from pending") == len(writes)
    after = await everything(connection)
    assert all(after[name] != before[name] for name in ("records", "tracks", "likes", "lists", "profiles", "totals"))
    for who in PEOPLE:
        await stands(connection, 30, who=who)
    await settled(pool)
    assert await everything(connection) == before
    assert not await consistent(connection)
    assert await connection.fetchval("select count(*) from pending") == 0
    assert await outcomes(connection) == {"rolled_back": len(writes)}
    fetches = {("fetch", who, "unseen_write") for who in PEOPLE}
    assert await wanted(connection) >= fetches, "the repositories themselves have the last word"
    assert HIDDEN in PEOPLE


def another(nsid: str) -> dict[str, Any]:
    """Another version of a minimal record."""
    changes: dict[str, dict[str, Any]] = {
        "fm.plyr.track": {"title": "Another", "album": "Another"},
        "fm.plyr.like": {"subject": {"uri": SONG, "cid": str(CID.of(b""))}},
        "fm.plyr.comment": {"text": "?", "timestampMs": 7},
        "fm.plyr.list": {"name": "Another", "items": []},
        "fm.plyr.actor.profile": {"bio": "Another"},
        "app.bsky.actor.profile": {"displayName": "Another"},
        "app.bsky.graph.follow": {"subject": ALICE},
        "fm.plyr.feed.generator": {"displayName": "Another"},
    }
    return record(nsid, changes.get(nsid, {"trackName": "Another"}))


async def test_the_first_of_several_writes_says_what_was_there_before(pool: Pool, connection: Connection) -> None:
    await stands(connection, 1)
    await write(connection, change(SONG, song("Before"), 1))
    before = await everything(connection)
    for n, value in ((5, song("One")), (6, None), (7, song("Two"))):
        await shown(pool, own(SONG, value, n))
    await stands(connection, 8)
    await settled(pool)
    assert await everything(connection) == before


async def test_what_was_seen_by_now_is_what_was_there_before(pool: Pool, connection: Connection) -> None:
    await stands(connection, 1)
    await shown(pool, own(SONG, song("Seen"), 5))
    await write(connection, change(SONG, song("Seen"), 5))
    await stands(connection, 5)
    seen = await everything(connection)
    await shown(pool, own(SONG, song("Lost"), 6))
    await stands(connection, 7)
    await settled(pool)
    assert await everything(connection) == seen
    assert await outcomes(connection) == {"seen": 1, "rolled_back": 1}


async def test_a_late_echo_of_what_was_taken_back_is_believed(pool: Pool, connection: Connection) -> None:
    await stands(connection, 1)
    await shown(pool, own(SONG, song("Song"), 5))
    await stands(connection, 2, fetched_at=NOW + timedelta(seconds=31))
    await settled(pool, 32)
    assert await row(connection) is None
    await write(connection, change(SONG, song("Song"), 5))
    assert await row(connection) == (rev(5), cid(song("Song")), "live")
    assert not await consistent(connection)


@pytest.mark.parametrize(
    ("after", "status", "is_gone"),
    [
        (SKEW_SECONDS + 1, "synchronized", True),
        (SKEW_SECONDS - 1, "synchronized", False),
        (SKEW_SECONDS + 1, "in_progress", False),
        (None, "synchronized", False),
    ],
)
async def test_a_fetch_decides_that_was_later_for_sure(
    pool: Pool, connection: Connection, after: float | None, status: repos.Status, *, is_gone: bool
) -> None:
    await stands(connection, 1, fetched_at=NOW - SECOND)
    await shown(pool, own(SONG, song("Song"), 5))
    fetched_at = None if after is None else NOW + timedelta(seconds=after)
    await stands(connection, 2, status=status, fetched_at=fetched_at)
    await settled(pool, 20)
    assert (await row(connection) is None) is is_gone


# --- not seen ---


async def test_what_does_not_come_back_is_fetched_now_and_then(pool: Pool, connection: Connection) -> None:
    await stands(connection, 1)
    await shown(pool, own(SONG, song("Song"), 5))
    await connection.execute("delete from jobs")
    await settled(pool, FETCH_SECONDS - 1)
    assert await wanted(connection) == set()
    await settled(pool, FETCH_SECONDS)
    assert await wanted(connection) == {("fetch", ALICE, "unseen_write")}
    await connection.execute("delete from jobs")
    await settled(pool, FETCH_SECONDS + FETCH_AGAIN_SECONDS - 1)
    assert await wanted(connection) == set()
    assert await settled(pool, FETCH_SECONDS + FETCH_AGAIN_SECONDS) is None, "once a minute is enough"
    assert await wanted(connection) == {("fetch", ALICE, "unseen_write")}
    assert await row(connection) == (rev(5), cid(song("Song")), "write"), "nobody has said that it is not so"


async def test_what_nothing_ever_bears_out_is_taken_back_after_a_day(pool: Pool, connection: Connection) -> None:
    await stands(connection, 1)
    await write(connection, change(SONG, song("Before"), 1))
    before = await everything(connection)
    await shown(pool, own(SONG, song("Told"), 5), own(LIKE, like(), 5))
    await shown(pool, own(SONG, song("Told again"), 6), at=NOW + timedelta(seconds=GIVE_UP_SECONDS - 2))
    await settled(pool, GIVE_UP_SECONDS - 1)
    assert await row(connection) == (rev(6), cid(song("Told again")), "write")
    await settled(pool, GIVE_UP_SECONDS)
    assert await everything(connection) == before
    assert await connection.fetchval("select count(*) from pending") == 0
    assert await outcomes(connection) == {"rolled_back": 2}
    assert (await unheard(pool)).hosts == 0, "that a PDS shows nothing says nothing of us"
    await write(connection, change(SONG, song("Told again"), 6))
    assert await row(connection) == (rev(6), cid(song("Told again")), "live"), "it was true after all"


async def test_a_repository_that_never_comes_bears_nothing_out(pool: Pool, connection: Connection) -> None:
    await stands(connection, 1)
    await shown(pool, own(SONG, song("Song"), 5))
    await settled(pool, FETCH_SECONDS)
    for tries, after, is_shown in (
        (REFUSED_TIMES, REFUSED_SECONDS - 1, True),
        (REFUSED_TIMES - 1, REFUSED_SECONDS + 1, True),
        (REFUSED_TIMES, REFUSED_SECONDS + 1, False),
    ):
        await connection.execute("update jobs set attempts = $1 where kind = 'fetch'", tries)
        await settled(pool, after)
        assert (await row(connection) is not None) is is_shown
    assert await outcomes(connection) == {"rolled_back": 1}


async def test_one_account_has_only_so_many(pool: Pool, connection: Connection) -> None:
    await stands(connection, 1)
    await stands(connection, 1, who=did(2))
    await connection.execute(
        """
        insert into pending (uri, did, rev, written_at, since)
        select 'at://' || $1 || '/fm.plyr.track/' || n, $1, $3, $4, $4 from generate_series(2, $2::int) as n
        """,
        ALICE,
        MOST_PENDING,
        rev(5),
        NOW,
    )
    await shown(pool, own(SONG, song("Song"), 5), own(LIST, NAMED, 5))
    assert await row(connection) is None, "all of a commit, or nothing"
    await shown(pool, own(SONG, song("Song"), 5))
    await shown(pool, own(LIST, NAMED, 6))
    assert await row(connection, LIST) is None
    await shown(pool, own(SONG, song("Renamed"), 6))
    assert await row(connection) == (rev(6), cid(song("Renamed")), "write"), "it was one of them"
    theirs = f"at://{did(2)}/fm.plyr.track/{rkey(7)}"
    await shown(pool, own(theirs, song("Theirs"), 5))
    assert await row(connection, theirs) is not None


async def test_who_is_away_is_not_asked(pool: Pool, connection: Connection) -> None:
    await stands(connection, 1)
    await shown(pool, own(SONG, song("Song"), 5))
    async with connection.transaction():
        await index_lock(connection)
        await actors.set_status(connection, ALICE, active=False, status="deactivated", now=NOW)
    await connection.execute("delete from jobs")
    await settled(pool, FETCH_SECONDS)
    assert await wanted(connection) == set()
    assert (await unheard(pool)).hosts == 0


# --- found by looking: of which only an upper bound of the rev is known ---


def found(uri: str, value: Mapping[str, Any] | None, n: int) -> OwnWrite:
    """A write whose answer was lost, found as of the rev number `n`."""
    return own(uri, value, n)._replace(is_found=True)


@pytest.mark.parametrize("value", [song("After"), None], ids=["changed", "deleted"])
async def test_what_was_found_meets_its_own_commit(
    pool: Pool, connection: Connection, value: dict[str, Any] | None
) -> None:
    await stands(connection, 1)
    await write(connection, change(SONG, song("Before"), 1))
    await shown(pool, found(SONG, value, 9))
    version = None if value is None else cid(value)
    there = await row(connection)
    assert there is not None
    assert there[1:] == (version, "write")
    assert not await consistent(connection)
    assert not await check.check_revs(connection)
    await stands(connection, 4)
    await settled(pool)
    assert await row(connection) == there
    await write(connection, change(SONG, value, 5))
    await stands(connection, 9)
    await settled(pool)
    assert await row(connection) == (rev(5), version, "live")
    assert await outcomes(connection) == {"seen": 1}
    assert not {kind for kind, _, _ in await wanted(connection)}


async def test_what_was_found_is_taken_back_where_the_chain_has_passed_it_by(
    pool: Pool, connection: Connection
) -> None:
    await stands(connection, 1)
    await write(connection, change(SONG, song("Before"), 1))
    before = await everything(connection)
    await shown(pool, found(SONG, song("After"), 9), found(LIKE, like(), 9))
    await stands(connection, 8)
    await settled(pool)
    assert await connection.fetchval("select count(*) from pending") == 2
    await stands(connection, 9)
    await settled(pool)
    assert await everything(connection) == before
    assert await outcomes(connection) == {"rolled_back": 2}


async def test_what_was_found_may_be_here_already(pool: Pool, connection: Connection) -> None:
    await stands(connection, 5)
    await write(connection, change(SONG, song("Song"), 5))
    await shown(pool, found(SONG, song("Song"), 9))
    assert await row(connection) == (rev(5), cid(song("Song")), "live")
    assert await connection.fetchval("select count(*) from pending") == 0
    await stands(connection, 9)
    await shown(pool, found(SONG, song("Other"), 9))
    assert await row(connection) == (rev(5), cid(song("Song")), "live"), "the chain has passed that by"


async def test_what_was_found_follows_what_was_answered(pool: Pool, connection: Connection) -> None:
    """The echo of the write before it comes when it is shown already."""
    await stands(connection, 1)
    first, second = own(SONG, song("First"), 5), found(SONG, song("Second"), 9)
    await shown(pool, first)
    await shown(pool, second)
    await shown(pool, own(SONG, song("Late"), 4))
    await write(connection, change(SONG, song("First"), 5))
    await stands(connection, 5)
    await settled(pool)
    there = await row(connection)
    assert there is not None
    assert there[1:] == (cid(song("Second")), "write")
    await shown(pool, own(SONG, song("Third"), 10))
    assert await row(connection) == (rev(10), cid(song("Third")), "write")


async def test_what_was_found_is_shown_with_others_of_the_same_record(pool: Pool, connection: Connection) -> None:
    await stands(connection, 1)
    await shown(pool, found(SONG, song("Found"), 9), own(SONG, song("Before it"), 5))
    there = await row(connection)
    assert there is not None
    assert there[1:] == (cid(song("Found")), "write")
    await shown(pool, found(LIST, NAMED, 9), own(LIST, None, 10))
    assert await row(connection, LIST) == (rev(10), None, "write")


# --- where the PDS had nothing to do ---


async def test_what_the_index_has_otherwise_is_fetched(pool: Pool, connection: Connection) -> None:
    await stands(connection, 1)
    await write(connection, change(SONG, song("Ghost"), 1))
    await doubt(pool, ALICE, {SONG: cid(song("Ghost")), LIKE: None})
    assert await wanted(connection) == set()
    await doubt(pool, ALICE, {SONG: None})
    assert await wanted(connection) == {("fetch", ALICE, "unseen_write")}
    await connection.execute("update jobs set due_at = now() + interval '1 hour', note = 'first'")
    await doubt(pool, ALICE, {SONG: None})
    assert await connection.fetchval("select due_at > now() and note = 'first' from jobs"), "it is under way"
    await connection.execute("delete from jobs")
    await connection.execute("update repos set fetched_at = now() - interval '1 minute'")
    await doubt(pool, ALICE, {SONG: None})
    assert await wanted(connection) == set(), "it was fetched just now"
    await connection.execute("update repos set fetched_at = now() - make_interval(secs => $1)", FETCH_AGAIN_SECONDS + 1)
    await doubt(pool, ALICE, {LIKE: cid(like())})
    assert await wanted(connection) == {("fetch", ALICE, "unseen_write")}


async def test_what_is_on_its_way_is_not_doubted(pool: Pool, connection: Connection) -> None:
    await stands(connection, 1)
    await shown(pool, own(SONG, song("Song"), 5))
    await doubt(pool, ALICE, {SONG: None})
    assert await wanted(connection) == set()


async def test_of_who_is_away_nothing_is_doubted(pool: Pool, connection: Connection) -> None:
    async with connection.transaction():
        await index_lock(connection)
        await actors.set_status(connection, ALICE, active=False, status="deactivated", now=NOW)
    await connection.execute("delete from jobs")
    await doubt(pool, ALICE, {SONG: cid(song("Song"))})
    assert await wanted(connection) == set()


# --- whose repository is not here, or not any more ---


async def test_a_stranger_who_writes_is_tracked(pool: Pool, connection: Connection) -> None:
    await shown(pool, own(SONG, song("Song"), 5))
    assert await connection.fetchval("select title from tracks join actors using (did) where visible") == "Song"
    found = await connection.fetchrow("select status, reason, rev from repos where did = $1", ALICE)
    assert tuple(found or ()) == ("desynchronized", "signed_in", None)
    assert await wanted(connection) == {("fetch", ALICE, "signed_in"), ("identity", ALICE, "signed_in")}


async def test_who_signs_in_is_tracked(pool: Pool, connection: Connection) -> None:
    await track(pool, ALICE)
    await track(pool, ALICE)
    assert await connection.fetchval("select count(*) from repos where status = 'desynchronized'") == 1
    assert await wanted(connection) == {("fetch", ALICE, "signed_in"), ("identity", ALICE, "signed_in")}
    await connection.execute("delete from jobs")
    await stands(connection, 5)
    await track(pool, ALICE)
    assert await connection.fetchval("select status from repos") == "synchronized"
    assert await wanted(connection) == set()


async def test_who_was_away_is_asked_about_and_nothing_is_shown(pool: Pool, connection: Connection) -> None:
    async with connection.transaction():
        await index_lock(connection)
        await actors.set_status(connection, ALICE, active=False, status="deleted", now=NOW)
    await shown(pool, own(SONG, song("Song"), 5))
    await track(pool, ALICE)
    assert await row(connection) is None
    assert await connection.fetchval("select count(*) from repos") == 0
    assert await wanted(connection) == {("status", ALICE, "signed_in")}


async def test_of_who_is_purged_nothing_is_put_back(pool: Pool, connection: Connection) -> None:
    await stands(connection, 1)
    await write(connection, change(SONG, song("Before"), 1))
    await shown(pool, own(SONG, None, 5), own(LIKE, like(), 5))
    async with connection.transaction():
        await index_lock(connection)
        assert await actors.purge(connection, ALICE)
    await settled(pool, FETCH_SECONDS)
    assert await connection.fetchval("select count(*) from records") == 0
    assert await connection.fetchval("select count(*) from pending") == 0
    assert not await consistent(connection)


# --- what is not to be believed, and what is to be waited for ---


@pytest.mark.parametrize(
    "doubtful",
    [
        own(SONG, song("Song"), 5)._replace(rev=rkey(-301)),
        own(SONG, song("Song"), 5)._replace(rev="zzzzzzzzzzzzz"),
        own(SONG, song("Song"), 5)._replace(rev="' or true --"),
        own(SONG, song("Song"), 5)._replace(collection="app.bsky.feed.post"),
    ],
    ids=["ahead", "far ahead", "no rev", "not ours"],
)
async def test_what_cannot_be_is_left_to_the_firehose(pool: Pool, connection: Connection, doubtful: OwnWrite) -> None:
    await shown(pool, doubtful)
    assert await connection.fetchval("select count(*) from records") == 0
    assert await connection.fetchval("select count(*) from repos") == 0


async def test_whoever_writes_does_not_wait_for_long(pool: Pool, connection: Connection) -> None:
    async with connection.transaction():
        await index_lock(connection)
        with pytest.raises(TimeoutError, match="held the index"):
            await asyncio.gather(shown(pool, own(SONG, song("Song"), 5)), track(pool, ALICE))
        # Who signs in is tracked by the job at the latest.
        async with asyncio.timeout(5):
            while await wanted(connection) != {("fetch", ALICE, "signed_in")}:
                await asyncio.sleep(0.01)
    await shown(pool, own(SONG, song("Song"), 5))
    assert await row(connection) == (rev(5), cid(song("Song")), "write")


async def test_those_who_wait_are_shown_together(pool: Pool, connection: Connection) -> None:
    await stands(connection, 1)
    shows = Shows(pool, MAKERS)
    async with connection.transaction():
        await index_lock(connection)
        calls = [
            asyncio.create_task(shows.show([own(f"at://{ALICE}/fm.plyr.track/{rkey(n)}", song("Song"), 5)], NOW))
            for n in range(9)
        ]
        await asyncio.sleep(0.05)
        calls[0].cancel()
        calls[5].cancel()
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(one) for one in done].count(asyncio.CancelledError) == 2
    assert await connection.fetchval("select count(*) from tracks") >= 7
    assert await connection.fetchval("select count(distinct xmin::text) from records") <= 2
    assert not await consistent(connection)


async def test_a_word_that_nobody_waits_to_be_proven_is_found(pool: Pool, connection: Connection) -> None:
    await stands(connection, 1)
    await shown(pool, own(SONG, song("Song"), 5))
    await connection.execute("delete from pending")
    assert [finding.uri for finding in await check.check_proofs(connection)] == [SONG]
    assert [finding.uri for finding in await check.check_revs(connection)] == [SONG]
    await check.repair(connection, MAKERS, [*await check.check_revs(connection), *await check.check_proofs(connection)])
    assert await row(connection) == (rev(1), cid(song("Song")), "write"), "so that a fetch can prove it, or end it"
    assert ("fetch", ALICE, "check") in await wanted(connection)
