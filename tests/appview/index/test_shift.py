"""Counts that follow behind an account that was hidden, or shown again: at each moment they are what they claim."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from appview.db import Connection
from appview.index import actors
from appview.index.lock import index_lock
from appview.index.rebuild import page, rebuild
from appview.index.recount import Difference, differences, repair
from appview.index.shift import AT_ONCE, JOB, STEP, step
from appview.jobs import rows as jobs
from tests.appview.index.filled import MAKERS, change, write
from tests.appview.index.samples import NOW, SUBJECT, did, record, rkey
from tests.appview.index.tables import actor_counts, contents, subject_counts, total

WHO, OTHER = did(1), did(2)
COUNTERS = {
    "subject_counts": ("likes", "comments", "lists"),
    "actor_counts": ("tracks", "lists", "likes", "followers"),
    "totals": ("n",),
}


class Died(Exception):
    """The process that was at it, before it came to the end."""


@asynccontextmanager
async def writing(connection: Connection, *, dies: bool = False) -> AsyncIterator[None]:
    """A transaction of a writer's; with `dies`, one that does not come to its end."""
    try:
        async with connection.transaction():
            await index_lock(connection)
            yield
            if dies:
                raise Died
    except Died:
        pass


async def take_down(connection: Connection, taken_down: bool, at_once: int = AT_ONCE) -> None:
    async with writing(connection):
        assert await actors.set_taken_down(connection, WHO, taken_down, at_once=at_once)


async def work(connection: Connection, who: str, limit: int) -> bool:
    """One step, as the ingester makes them: whether it was the last. In a transaction."""
    job = await jobs.find(connection, JOB, who)
    is_over = await step(connection, who, limit=limit)
    if is_over and job is not None:
        await jobs.done(connection, job)
    return is_over


async def finish(connection: Connection, who: str = WHO, limit: int = STEP) -> int:
    """All the steps there are left, each in a transaction; how many those were."""
    for count in range(1, 1000):
        async with writing(connection):
            if await work(connection, who, limit):
                return count
    raise AssertionError("there is no end to it")


async def agree(connection: Connection) -> None:
    """Each counter is what the rows come to, as far as they are counted at the moment. None is negative, somebody sees
    to what is on its way, and a repair of all of them changes nothing.
    """
    assert await differences(connection) == []
    counters = await contents(connection, *COUNTERS)
    assert all(min(row[1:]) >= 0 for rows in counters.values() for row in rows)
    assert not await connection.fetch(
        "select did from shifts where not exists (select from jobs where kind = $1 and subject = did)", JOB
    )
    doubts = [Difference(table, row[0], "", 0, 0) for table, rows in counters.items() for row in rows]
    await repair(connection, doubts)
    assert await contents(connection, *COUNTERS) == counters


# --- generated histories ---


def song(who: str, n: int) -> str:
    return f"at://{who}/fm.plyr.track/{rkey(n)}"


class History:
    """What may happen to some accounts, in any order."""

    def __init__(self, connection: Connection, seed: int) -> None:
        self.connection = connection
        self.chance = random.Random(seed)
        self.people = [did(n) for n in range(1, 4)]
        self.songs = [song(who, n) for who in self.people for n in range(2)]
        self.revs = 1

    async def happen(self) -> None:
        """One thing or another. A part of them is of a process that dies before it has said so."""
        chance, connection = self.chance, self.connection
        who, dies = chance.choice(self.people), chance.random() < 0.15
        match chance.randrange(12):
            case 0 | 1:
                async with writing(connection, dies=dies):
                    await actors.set_taken_down(connection, who, chance.random() < 0.5, at_once=chance.randrange(1, 4))
            case 2:
                is_active, at_once = chance.random() < 0.6, chance.randrange(1, 4)
                async with writing(connection, dies=dies):
                    await actors.set_status(connection, who, active=is_active, status=None, now=NOW, at_once=at_once)
            case 3 if chance.random() < 0.3:
                async with writing(connection, dies=dies):
                    await actors.purge(connection, who, limit=chance.randrange(1, 6))
            case 4 | 5 | 6 | 7:
                async with writing(connection, dies=dies):
                    await work(connection, who, chance.randrange(1, 4))
            case 8:
                async with writing(connection, dies=dies):
                    await rebuild(connection, MAKERS, await page(connection, f"at://{who}/"))
            case _:
                await self._write()

    async def _write(self) -> None:
        """Records come, change and go: of one account, in one batch."""
        chance, who = self.chance, self.chance.choice(self.people)
        self.revs += 1
        batch = {}
        for _ in range(chance.randrange(1, 8)):
            nsid, value = self._record()
            key = "self" if nsid.endswith("profile") else rkey(100 + chance.randrange(5))
            uri = chance.choice(self.songs) if nsid == "fm.plyr.track" else f"at://{who}/{nsid}/{key}"
            batch[uri] = change(uri, None if chance.random() < 0.3 else value, rev=self.revs)
        await write(self.connection, *batch.values())

    def _record(self) -> tuple[str, dict[str, object]]:
        chance = self.chance
        subject = {"subject": SUBJECT | {"uri": chance.choice(self.songs)}}
        items = [{"subject": SUBJECT | {"uri": uri}} for uri in chance.choices(self.songs, k=chance.randrange(4))]
        nsid, fields = chance.choice(
            (
                ("fm.plyr.like", subject),
                ("fm.plyr.like", subject),
                ("fm.plyr.comment", subject),
                ("fm.plyr.list", {"items": items}),
                ("app.bsky.graph.follow", {"subject": chance.choice(self.people)}),
                ("fm.plyr.track", {"title": str(self.revs)}),
                ("fm.plyr.actor.profile", {}),
                ("fm.teal.feed.play", {"originUrl": chance.choice(self.songs)}),
            )
        )
        return nsid, record(nsid, fields)


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_happens_on_the_way_the_counts_are_what_is_said(connection: Connection, seed: int) -> None:
    history, on_the_way = History(connection, seed), 0
    await actors.see(connection, history.people)
    for n in range(120):
        await history.happen()
        if n % 4 == 0:
            await agree(connection)
            on_the_way += await connection.fetchval("select count(*) from shifts")
    assert on_the_way > 10
    assert await connection.fetchval("select count(*) from likes") > 0
    for who in history.people:
        await finish(connection, who, limit=2)
    # Now what is counted is what is visible, and nothing is left to be done.
    assert await contents(connection, "shifts", "jobs") == {"shifts": [], "jobs": []}
    await agree(connection)


# --- by hand ---


async def publish(connection: Connection, who: str = WHO) -> None:
    """Five follows, five likes, each twice, and five of each that is a record alone."""
    batch = []
    for n in range(5):
        subject = {"subject": SUBJECT | {"uri": song(OTHER, n)}}
        for nsid, key, fields in (
            ("app.bsky.graph.follow", n, {"subject": did(10 + n)}),
            ("fm.plyr.like", n, subject),
            ("fm.plyr.like", 50 - n, subject),
            ("fm.plyr.comment", n, subject),
            ("fm.plyr.list", n, {"items": [subject, subject]}),
            ("fm.plyr.track", n, {}),
        ):
            batch.append(change(f"at://{who}/{nsid}/{rkey(key)}", record(nsid, fields)))
    await write(connection, *batch)


async def counts(connection: Connection) -> tuple[int, ...]:
    """What five follows, likes, comments and lists come to, by kind, and the rows that are said to be there."""
    followers = [(await actor_counts(connection, did(10 + n)))[3] for n in range(5)]
    said = [await subject_counts(connection, song(OTHER, n)) for n in range(5)]
    rows = [await total(connection, name) for name in ("follow", "like", "comment", "list", "track")]
    return (sum(followers), *map(sum, zip(*said, strict=True)), sum(rows))


async def test_a_small_account_is_hidden_with_its_counts(connection: Connection) -> None:
    await publish(connection)
    assert await counts(connection) == (5, 5, 5, 5, 30)
    await take_down(connection, True)
    assert await counts(connection) == (0, 0, 0, 0, 0)
    await take_down(connection, False)
    assert await counts(connection) == (5, 5, 5, 5, 30)
    assert await contents(connection, "shifts", "jobs") == {"shifts": [], "jobs": []}


async def test_a_large_one_is_hidden_at_once_and_its_counts_follow(connection: Connection) -> None:
    await publish(connection)
    await take_down(connection, True, at_once=3)
    assert not await connection.fetchval("select visible from actors where did = $1", WHO)
    assert await counts(connection) == (2, 5, 5, 5, 30)
    assert [tuple(row) for row in await connection.fetch("select kind, subject from jobs")] == [(JOB, WHO)]
    assert await finish(connection, limit=3) > 10
    assert await counts(connection) == (0, 0, 0, 0, 0)
    assert await contents(connection, "shifts", "jobs") == {"shifts": [], "jobs": []}
    assert await actor_counts(connection, WHO) == (5, 5, 5, 0)


async def test_one_that_turns_on_the_way_is_counted_when_its_counts_arrive(connection: Connection) -> None:
    await publish(connection)
    await take_down(connection, True, at_once=8)
    await take_down(connection, False, at_once=1)
    await agree(connection)
    assert (await counts(connection))[:2] == (0, 2)
    assert await finish(connection, limit=5) > 10
    assert await counts(connection) == (5, 5, 5, 5, 30)
    assert await contents(connection, "shifts", "jobs") == {"shifts": [], "jobs": []}


async def test_what_is_written_on_the_way_counts_by_its_place(connection: Connection) -> None:
    await publish(connection)
    # Follows have been taken out, and the likes of the first of the tracks.
    await take_down(connection, True, at_once=7)
    before = await counts(connection)
    places = sorted(song(OTHER, n) for n in range(5))
    again = {"subject": SUBJECT | {"uri": places[0]}}
    await write(connection, change(f"at://{WHO}/fm.plyr.like/{rkey(90)}", record("fm.plyr.like", again)))
    new = {"subject": SUBJECT | {"uri": song(OTHER, -9)}}
    await write(connection, change(f"at://{WHO}/fm.plyr.like/{rkey(91)}", record("fm.plyr.like", new)))
    await write(
        connection,
        change(f"at://{WHO}/app.bsky.graph.follow/{rkey(92)}", record("app.bsky.graph.follow", {"subject": did(19)})),
    )
    await agree(connection)
    assert (await actor_counts(connection, did(19)))[3] == 0
    assert (await subject_counts(connection, song(OTHER, -9)))[0] == 1
    assert (await counts(connection))[:2] == before[:2]
    await finish(connection, limit=1)
    assert await counts(connection) == (0, 0, 0, 0, 0)
    assert (await subject_counts(connection, song(OTHER, -9)))[0] == 0


async def test_a_counter_that_is_off_is_found_and_repaired_on_the_way(connection: Connection) -> None:
    await publish(connection)
    await take_down(connection, True, at_once=20)
    await connection.execute("update subject_counts set comments = comments + 3")
    await connection.execute("update totals set n = 0")
    found = await differences(connection)
    assert {(one.column, one.held - one.counted) for one in found if one.table == "subject_counts"} == {("comments", 3)}
    assert "totals" in {one.table for one in found}
    await repair(connection, found)
    await agree(connection)
    await finish(connection, limit=4)
    assert await counts(connection) == (0, 0, 0, 0, 0)


async def test_a_purge_on_the_way_leaves_nothing_of_either(connection: Connection) -> None:
    await publish(connection)
    await publish(connection, OTHER)
    await take_down(connection, True, at_once=17)
    is_over, steps = False, 2
    while not is_over:
        async with writing(connection):
            is_over = await actors.purge(connection, WHO, limit=4)
        await agree(connection)
        if steps:
            steps -= 1
            async with writing(connection):
                assert not await work(connection, WHO, 1)
            await agree(connection)
    assert await counts(connection) == (5, 5, 5, 5, 30)
    assert await contents(connection, "shifts", "jobs") == {"shifts": [], "jobs": []}


async def test_there_is_nothing_to_be_done_for_nobody(connection: Connection) -> None:
    assert await step(connection, WHO)


# --- what it costs ---


async def like_many(connection: Connection, count: int, subjects: int) -> None:
    """So many likes of so many tracks."""
    await actors.see(connection, [WHO])
    await connection.execute(
        """
        insert into likes (uri, did, subject, sort_at)
        select 'at://' || $1 || '/fm.plyr.like/' || n, $1, 'at://did:plc:x/fm.plyr.track/' || n % $3, now()
        from generate_series(1, $2::integer) as n
        """,
        WHO,
        count,
        subjects,
    )
    await connection.execute(
        "insert into subject_counts (subject, likes) select distinct subject, 1 from likes order by subject"
    )
    await connection.execute("insert into actor_counts (did, likes) values ($1, $2)", WHO, subjects)
    await connection.execute("insert into totals values ('like', $1)", count)
    await connection.execute("analyze")


async def _touched(connection: Connection) -> int:
    """Rows, and entries of indexes, that were read or written since the beginning."""
    await connection.execute("select pg_stat_force_next_flush()")
    found: int = await connection.fetchval(
        """
        select (select sum(seq_tup_read + idx_tup_fetch + n_tup_ins + n_tup_upd + n_tup_del) from pg_stat_user_tables)
            + (select sum(idx_tup_read) from pg_stat_user_indexes)
        """
    )
    return found


@pytest.mark.parametrize("subjects", [20_000, 3], ids=["each of another track", "of a few tracks"])
async def test_no_transaction_touches_more_than_a_step(connection: Connection, subjects: int) -> None:
    await like_many(connection, 20_000, subjects)
    before = await _touched(connection)
    await take_down(connection, True)
    after = await _touched(connection)
    assert after - before < 8 * AT_ONCE
    assert not await connection.fetchval("select visible from actors where did = $1", WHO)
    is_over = False
    while not is_over:
        before = after
        async with writing(connection):
            is_over = await work(connection, WHO, STEP)
        after = await _touched(connection)
        assert after - before < 8 * STEP
    assert await connection.fetchval("select sum(likes) from subject_counts") == 0
    assert await total(connection, "like") == 0
    assert await connection.fetchval("select likes from actor_counts where did = $1", WHO) == subjects
