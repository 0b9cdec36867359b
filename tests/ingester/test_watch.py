"""Upstreams beside each other: one that is blind is set aside, one that is silent connected to anew, none disturbed."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ingester.engine import Engine
from ingester.patience import Patience
from ingester.upstream import Upstream
from ingester.witness import MIN_COMMITS
from tests.ingester.world import SECONDS, World, create, world
from tests.system.relay import Relay
from tests.system.synthetic import Account, Pds, Server

QUICK = Patience(first_wait=0.01, look=0.02, grace=0.05, blind=0.1, aside=0.2, silence=0.4)
FRAMES = 150


def nothing(_: bytes) -> tuple[bytes, ...]:
    """A wire on which all is lost."""
    return ()


def artists(pds: Pds, number: int = 4) -> list[Account]:
    # What is said to be made long ago is a replay, in which nothing is expected.
    pds.host.now_us = time.time_ns() // 1_000
    return [pds.create_account(f"artist{place}") for place in range(number)]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def relayed(database_url: str) -> AsyncIterator[tuple[World, Relay, Relay, list[Account]]]:
    """A PDS with artists, and two relays that follow it, and that were followed to their heads."""
    async with world(database_url) as there:
        accounts = artists(there.pds)
        async with Relay(there.pds.url, crawl=False) as one, Relay(there.pds.url, crawl=False) as two:
            await until(lambda: one.stream.head == two.stream.head == there.pds.stream.head)
            await there.connection.executemany(
                "insert into upstreams values ('0/1', $1, $2)", [(up.url, up.stream.head) for up in (one, two)]
            )
            yield there, one, two, accounts


@asynccontextmanager
async def following(there: World, *hosts: Server, patience: Patience = QUICK) -> AsyncIterator[tuple[Engine, Upstream]]:
    """The ingester on these upstreams, all live and known for what they are; and the last of them."""
    urls = [host.url for host in hosts]
    async with there.ingesting(
        patience=patience, PLYR_RELAY_URLS=",".join(urls), PLYR_DISCOVERY_URL=there.pds.url
    ) as made:
        await until(lambda: all(up.state == "live" and up.steady_since for up in made.upstreams))
        await until(lambda: all(made.watch._witness.is_known(url) for url in urls))
        yield made, made.upstreams[-1]


async def write(accounts: list[Account], *, until: Callable[[], object] = lambda: False, commits: int = 1_000) -> int:
    """Commits, one after the other, till something is so; how many."""
    for number in range(commits):
        if until():
            return number
        account = accounts[number % len(accounts)]
        account.pds.host.now_us = time.time_ns() // 1_000
        account.write(create(account, account.pds.stream.head))
        await asyncio.sleep(0.01)
    return commits


async def test_one_that_brings_nothing_is_set_aside_and_brings_it_when_it_sees_again(database_url: str) -> None:
    async with relayed(database_url) as (there, one, two, accounts):
        two.stream.wire = nothing
        async with following(there, one, two) as (made, blind):
            written = await write(accounts, until=lambda: blind.state == "blind")
            two.stream.wire = None
            assert made.metrics.blind == {two.url: 1}
            assert made.metrics.missed[two.url] >= MIN_COMMITS
            assert not made.metrics.missed[one.url]
            assert "it is blind: others brought" in str(blind.status()["error"])
            await until(lambda: two.stream.subscribers == 0)
            await until(lambda: blind.state == "live" and blind.stream.cursor == two.stream.head)
            await until(lambda: blind.doubt is None)
            await until(lambda: made.upstreams[0].stream.cursor == one.stream.head)
            await made.writer.durable()
        assert len(await there.uris()) == written
        assert await there.value("select count(*) from dead_letters") == 0


async def test_the_last_relay_is_never_set_aside(database_url: str) -> None:
    async with relayed(database_url) as (there, one, _, accounts):
        one.stream.wire = nothing
        async with following(there, there.pds, one) as (made, blind):
            await write(accounts, until=lambda: made.metrics.blind[one.url])
            assert blind.state == "live"
            assert "it is blind" in str(blind.status()["error"])
            one.stream.wire = None
            await write(accounts, until=lambda: blind.status()["error"] is None)
            assert made.metrics.connects[one.url] == 1


async def test_one_that_is_set_aside_is_called_back_when_nobody_else_is_left(database_url: str) -> None:
    async with relayed(database_url) as (there, one, two, accounts):
        two.stream.wire = nothing
        async with following(there, one, two, patience=QUICK._replace(aside=3_600.0)) as (made, blind):
            await write(accounts, until=lambda: blind.state == "blind")
            two.stream.wire = None
            one.refuses = {"com.atproto.sync.subscribeRepos"}
            made.upstreams[0].drop("for this test")
            await until(lambda: blind.state == "live" and blind.stream.cursor == there.pds.stream.head)


async def test_a_pds_whose_accounts_are_quiet_is_not_blind(database_url: str) -> None:
    async with (
        relayed(database_url) as (there, one, two, accounts),
        Pds(there.directory, "pds2") as quiet,
        following(there, one, two, quiet) as (made, upstream),
    ):
        await write(accounts, commits=2 * MIN_COMMITS)
        await until(lambda: not made.watch._witness._awaited)
        assert upstream.state == "live"
        assert not made.metrics.missed[quiet.url]
        assert not made.metrics.blind[quiet.url]


async def test_one_that_is_not_read_at_present_is_not_looked_at(database_url: str) -> None:
    async with relayed(database_url) as (there, one, two, _), following(there, one, two) as (_, upstream):
        # As when the database is away, or there is too much to do.
        upstream._flow.pause()
        upstream.look()
        assert upstream.steady_since is None
        upstream._flow.resume()
        upstream.look()
        assert upstream.steady_since is not None


async def test_a_busy_relay_from_which_nothing_comes_any_more_is_connected_to_anew(database_url: str) -> None:
    async with relayed(database_url) as (there, one, _, (artist, *_)), following(there, one) as (made, upstream):
        for number in range(FRAMES):
            artist.write(create(artist, number))
        await until(lambda: upstream.stream.last == one.stream.head == FRAMES + 16)
        # Until the very moment at which it is connected to anew: what it then sends again is not lost once more.
        one.stream.wire = lambda frame: (frame,) if made.metrics.silent[one.url] else ()
        artist.write(create(artist, FRAMES))
        await until(lambda: made.metrics.silent[one.url])
        await until(lambda: upstream.stream.last == FRAMES + 17)
        assert made.metrics.connects[one.url] == 2
        # It has said little since: it may be as quiet as it likes.
        await asyncio.sleep(2 * QUICK.silence)
        assert made.metrics.connects[one.url] == 2


async def test_a_pds_that_is_quiet_after_much_is_not_disturbed(database_url: str) -> None:
    async with world(database_url) as there:
        (artist,) = artists(there.pds, 1)
        async with following(there, there.pds) as (made, upstream):
            for number in range(FRAMES):
                artist.write(create(artist, number))
            await until(lambda: upstream.stream.last == there.pds.stream.head)
            assert upstream._frames >= FRAMES
            await until(lambda: upstream.is_silent)
            await asyncio.sleep(2 * QUICK.silence)
            assert made.metrics.connects[there.pds.url] == 1


async def test_one_that_is_behind_while_a_relay_is_not_does_not_mean_that_the_index_is(database_url: str) -> None:
    async with relayed(database_url) as (there, one, two, accounts), following(there, one, two) as (made, upstream):
        await write(accounts, commits=4)
        await until(lambda: all(up.stream.cursor == there.pds.stream.head for up in made.upstreams))
        assert not made.watch.is_behind
        two.stream.append(two.stream.head + 1, accounts[0].repo._message("#new", time="2025-01-01T00:00:00Z"))
        await until(lambda: upstream.is_behind)
        assert not made.watch.is_behind
        one.stream.append(one.stream.head + 1, accounts[0].repo._message("#new", time="2025-01-01T00:00:00Z"))
        await until(lambda: made.watch.is_behind)
