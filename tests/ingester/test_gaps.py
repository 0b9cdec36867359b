"""Holes in a stream: found without a word from the server, never forgotten, and closed by asking."""

import asyncio
import time
from collections.abc import Callable

import pytest

from appview.db import Connection
from appview.index import repos
from ingester.engine import Engine
from ingester.gaps import LARGE
from ingester.patience import Patience
from ingester.scope import Scope
from ingester.shard import Shard
from ingester.stream import Stream
from ingester.upstream import MIN_BUSY, Upstream
from tests.ingester.saying import in_turn, message, saying
from tests.ingester.world import SECONDS, World, create, world

QUICK = Patience(first_wait=0.01, small_gap=0.05, large_gap=0.05)
LAZY = Patience(first_wait=0.01, small_gap=3_600.0)
Gap = tuple[str, int | None, int | None]


async def lose(there: World, *, admits: bool) -> tuple[str, str]:
    """Follow an artist, be away while it and a new one write, and the server forgets it; who they are."""
    artist = there.pds.create_account("artist")
    async with there.ingesting() as made:
        await there.followed(made)
        artist.write(create(artist, 1))
        await there.settled(made)
    artist.write(create(artist, 2))
    late = there.pds.create_account("late")
    late.write(create(late, 1))
    there.pds.stream.forget(there.pds.stream.head)
    there.pds.stream.admits_gaps = admits
    there.pds.create_account("another")
    return artist.did, late.did


def use_up(made: Engine, url: str) -> None:
    """Let the hole that is closed at once have been an earlier one."""
    for limit in made.gaps._at_once.values():
        assert limit.allow(url)


async def all_there(there: World, made: Engine) -> None:
    async with asyncio.timeout(SECONDS):
        while len(await there.uris()) < 3:
            await asyncio.sleep(0.01)
    await there.settled(made)


@pytest.mark.parametrize("admits", [True, False])
async def test_what_fell_out_of_the_replay_window_is_asked_for(admits: bool, database_url: str) -> None:
    async with world(database_url) as there:
        await lose(there, admits=admits)
        async with there.ingesting(patience=QUICK) as made:
            await all_there(there, made)
            # Both repositories lack what no message brought.
            async with asyncio.timeout(SECONDS):
                while made.metrics.gaps != {(there.pds.url, "found"): 1, (there.pds.url, "closed"): 1}:
                    await asyncio.sleep(0.01)
        assert await there.value("select count(*) from jobs where kind = 'gap'") == 0


async def test_a_hole_that_waits_to_be_asked_about_is_not_forgotten(database_url: str) -> None:
    async with world(database_url) as there:
        await lose(there, admits=False)
        async with there.ingesting(patience=LAZY) as made:
            use_up(made, there.pds.url)
            await there.until(f"select cursor = {there.pds.stream.head} from upstreams")
            assert await there.value("select due_at > now() + interval '59 minutes' from jobs where kind = 'gap'")
            assert len(await there.uris()) == 1
        async with there.ingesting(patience=LAZY) as made:
            use_up(made, there.pds.url)
            await there.settled(made)
            assert len(await there.uris()) == 1
            await there.connection.execute("update jobs set due_at = now() where kind = 'gap'")
            await all_there(there, made)


async def test_one_that_breaks_off_is_closed_again(database_url: str) -> None:
    async with world(database_url) as there:
        await lose(there, admits=False)
        # Killed while it does so, an ingester leaves a job that is taken.
        await there.connection.execute(
            "insert into jobs (kind, subject, leased, due_at) values ('gap', $1, true, now() + interval '1 day')",
            there.pds.url,
        )
        await there.connection.execute("update upstreams set cursor = $1", there.pds.stream.head)
        async with there.ingesting(patience=LAZY) as made:
            await all_there(there, made)


async def test_holes_are_asked_about_together(database_url: str) -> None:
    async with world(database_url) as there, there.ingesting(live=False, patience=LAZY) as made:
        made.gaps.found(there.pds.url, 1, 3)
        async with asyncio.timeout(SECONDS):
            while not made.metrics.gaps[there.pds.url, "closed"]:
                await asyncio.sleep(0.01)
        for seq in range(10):
            made.gaps.found(there.pds.url, seq, seq + LARGE)
            await made.writer.durable()
        assert await there.value("select wanted from jobs where kind = 'gap' and due_at > now()") == 10
        made.gaps.found(there.pds.url, 1, LARGE + 2)
        async with asyncio.timeout(SECONDS):
            while made.metrics.gaps != {(there.pds.url, "found"): 12, (there.pds.url, "closed"): 12}:
                await asyncio.sleep(0.01)
        # A server that has a large one on each connection does not have us ask on each.
        made.gaps.found(there.pds.url, 1, None)
        await made.writer.durable()
        assert await there.value("select due_at > now() + interval '50 seconds' from jobs where kind = 'gap'")


async def test_a_pass_of_discovery_that_is_under_way_is_followed_by_another(database_url: str) -> None:
    async with world(database_url) as there, there.ingesting(live=False, patience=QUICK) as made:
        (source,) = made.discovery.sources
        await made.discovery.once(source)
        assert await made.discovery._due_in(source) > 3_600
        await there.connection.execute("update discoveries set finished_at = null, cursor = 'x'")
        made.gaps.found(there.pds.url, 1, None)
        # What it has not listed yet is still to come, from where it stopped; the rest comes once more.
        await there.until("select not again and finished_at is not null from discoveries")
        assert there.pds.asked["com.atproto.sync.listRepos"] == 3
        assert await made.discovery._due_in(source) > 3_600


async def found(
    there: World, url: str, cursor: int | None, is_over: Callable[[Upstream], bool], connections: int = 1
) -> list[Gap]:
    """The holes that an upstream finds, followed until then."""
    gaps: list[Gap] = []
    async with there.ingesting(live=False) as made:
        upstream = Upstream(
            Stream(url, cursor),
            Scope(set(), frozenset(), Shard(0, 1)),
            made.lanes,
            made.effects,
            lambda _: None,
            lambda *gap: gaps.append(gap),
            Patience(first_wait=0.001),
        )
        running = asyncio.create_task(upstream.run())
        async with asyncio.timeout(SECONDS):
            while not is_over(upstream) or made.metrics.connects[url] < connections:
                await asyncio.sleep(0.005)
        running.cancel()
        await asyncio.wait({running})
    return gaps


@pytest.mark.parametrize(
    ("cursor", "seqs", "hole"),
    [
        (5, (5, 6, 20), None),
        (5, (6, 7, 20), None),
        (5, (5, 20), None),
        (5, (3, 4, 20), None),
        (5, (7, 8, 20), (5, 7)),
        (0, (7, 8, 20), (0, 7)),
        (None, (7, 8, 20), None),
    ],
    ids=["from the cursor on", "behind it", "in it", "before it", "a hole", "from the start", "no cursor"],
)
async def test_what_is_a_hole(
    cursor: int | None, seqs: tuple[int, ...], hole: tuple[int, int] | None, database_url: str
) -> None:
    async with world(database_url) as there, saying(*(message("#new", seq=seq) for seq in seqs)) as url:
        gaps = await found(there, url, cursor, lambda upstream: upstream.stream.last == 20)
    assert gaps == ([] if hole is None else [(url, *hole)])


async def test_a_server_that_numbers_by_the_clock_has_no_hole_on_each_connection(database_url: str) -> None:
    start = time.time_ns() // 1_000

    def frames(first: int) -> list[bytes]:
        return [message("#new", seq=start + first + 900 * number) for number in range(2 * MIN_BUSY)]

    batches = [frames(0), frames(10_000_000), frames(10_050_000 + 900 * 2 * MIN_BUSY)]
    last = start + 10_050_000 + 900 * (4 * MIN_BUSY - 1)
    async with world(database_url) as there, in_turn(*batches) as url:
        gaps = await found(there, url, start - 1, lambda upstream: upstream.stream.last == last, connections=3)
    # The second began ten seconds later, and the third behind a pause as there are many.
    assert [(from_seq, to_seq) for _, from_seq, to_seq in gaps] == [
        (start + 900 * (2 * MIN_BUSY - 1), start + 10_000_000)
    ]


@pytest.mark.parametrize(("behind", "is_hole"), [(50_000, False), (10_000_000, True)], ids=["a pause", "a hole"])
async def test_after_a_restart_its_first_messages_tell_how_a_server_counts(
    behind: int, is_hole: bool, database_url: str
) -> None:
    start = time.time_ns() // 1_000
    frames = [message("#new", seq=start + 900 * number) for number in range(2 * MIN_BUSY)]
    last = start + 900 * (2 * MIN_BUSY - 1)
    async with world(database_url) as there, saying(*frames) as url:
        gaps = await found(there, url, start - behind, lambda upstream: upstream.stream.cursor == last)
    assert gaps == ([(url, start - behind, start)] if is_hole else [])


async def test_the_cursor_stays_before_what_may_be_a_hole(database_url: str) -> None:
    async with world(database_url) as there, saying(message("#new", seq=50_000)) as url:
        cursors: set[int | None] = set()

        def is_over(upstream: Upstream) -> bool:
            cursors.add(upstream.stream.cursor)
            return upstream.stream.last == 50_000

        assert await found(there, url, 7, is_over) == []
        assert cursors == {7}


async def test_an_upstream_that_never_said_a_word_is_a_hole_from_the_second_connection_on(database_url: str) -> None:
    async with world(database_url) as there, in_turn([], []) as url:
        gaps = await found(there, url, None, lambda upstream: upstream.state == "live", connections=2)
    assert gaps == [(url, None, None)]


async def test_of_a_pds_only_its_own_repositories_are_asked_about(connection: Connection) -> None:
    hosts = {"a": "https://one.test", "b": "https://two.test", "c": None, "d": "https://one.test"}
    await connection.executemany("insert into actors (did, pds) values ($1, $2)", list(hosts.items()))
    await connection.execute(
        "insert into repos (did, status, reason, status_at) select did, 'synchronized', 'x', now() from actors"
    )

    async def asked(host: str | None, *, after: str = "", limit: int = 99) -> tuple[str | None, list[str]]:
        await connection.execute("delete from jobs")
        end = await repos.recheck(connection, (0, 1), host, after=after, limit=limit)
        return end, [row["subject"] for row in await connection.fetch("select subject from jobs order by subject")]

    assert await asked(None) == (None, ["a", "b", "c", "d"])
    assert await asked("https://one.test") == (None, ["a", "c", "d"])
    assert await asked(None, limit=3) == ("c", ["a", "b", "c"])
    assert await asked(None, after="c", limit=3) == (None, ["d"])
    assert await repos.is_host(connection, "https://two.test")
    assert not await repos.is_host(connection, "https://three.test")
