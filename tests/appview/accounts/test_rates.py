"""How often somebody may do something: against what was promised, with a real Redis, and with one that is away."""

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from appview.accounts.rates import REDIS_SECONDS, Charge, Limit, Rates
from appview.accounts.replays import connect_redis
from appview.embedded.redis import redis

SECOND = 1_000_000
HOURLY = Limit(10, 36_000)
"""Of which nothing comes back while a test runs."""
PATIENT = 5.0


class Clock:
    """Real time, which can be moved on."""

    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        return time.monotonic_ns() // 1000 + self.ahead


class Still:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.now = 12_345

    def __call__(self) -> int:
        return self.now


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="plyr-") as folder, redis(Path(folder)) as url:
        yield url


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Redis]:
    client = connect_redis(url)
    try:
        yield client
    finally:
        await client.aclose()


def alone(clock: Still) -> Rates:
    return Rates(None, CollectorRegistry(), clock=clock)


class Promise:
    """What a limit means, looked up in all that was ever allowed: since none of the earlier instants was more allowed
    than `count` and what comes back since then."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._allowed: list[tuple[int, int]] = []

    def keeps(self, amount: int, now: int) -> bool:
        allowed = [*self._allowed, (now, amount)]
        for since, _ in allowed:
            spent = sum(much for at, much in allowed if at >= since)
            if spent * self._limit.interval > self._limit.most + now - since:
                return False
        self._allowed = allowed
        return True


@given(
    count=st.integers(1, 7),
    seconds=st.integers(1, 3),
    asked=st.lists(st.tuples(st.integers(0, 2 * SECOND), st.integers(1, 7)), max_size=40),
)
async def test_exactly_what_is_promised_is_allowed(count: int, seconds: int, asked: list[tuple[int, int]]) -> None:
    clock, limit = Still(), Limit(count, seconds)
    rates, promise = alone(clock), Promise(limit)
    for after, much in asked:
        clock.now += after
        amount = min(much, count)
        spent = await rates.spend([Charge("a", limit, amount)])
        assert spent.allowed == promise.keeps(amount, clock.now)
        if not spent.allowed:
            clock.now += round(spent.wait * SECOND) - 1
            assert not rates.look_here([Charge("a", limit, amount)]).allowed, "and not a microsecond too late"
            clock.now += 1
            assert rates.look_here([Charge("a", limit, amount)]).allowed
        left = rates.look_here([Charge("a", limit)])
        assert 0 <= left.remaining <= count


@given(st.lists(st.integers(0, SECOND), max_size=40))
async def test_the_short_way_is_the_long_way(asked: list[int]) -> None:
    clock, limit = Still(), Limit(3, 2)
    short, long = alone(clock), alone(clock)
    for after in asked:
        clock.now += after
        assert short.pass_here("a", limit) == long.spend_here([Charge("a", limit)]).allowed


async def test_what_is_left_and_when_the_rest_is_back() -> None:
    clock, limit = Still(), Limit(10, 60)
    rates = alone(clock)
    spent = await rates.spend([Charge("a", limit, 4)])
    assert (spent.allowed, spent.remaining, spent.whole_in, spent.wait) == (True, 6, 24.0, 0.0)
    spent = await rates.spend([Charge("a", limit, 7)])
    assert (spent.allowed, spent.remaining, spent.whole_in, spent.wait) == (False, 6, 24.0, 6.0)
    clock.now += 12 * SECOND
    assert (await rates.spend([Charge("a", limit, 8)])).remaining == 0


async def test_of_several_limits_all_are_charged_or_none() -> None:
    clock = Still()
    rates = alone(clock)
    narrow, wide = Charge("narrow", Limit(2, 60)), Charge("wide", Limit(5, 60))
    assert (await rates.spend([wide, narrow])).limit is narrow.limit
    assert (await rates.spend([wide, narrow])).remaining == 0
    refused = await rates.spend([wide, narrow])
    assert (refused.allowed, refused.limit) == (False, narrow.limit)
    assert (await rates.spend([wide])).remaining == 2


async def test_a_process_forgets_those_who_spent_nothing_for_longest() -> None:
    rates = Rates(None, CollectorRegistry(), clock=Still(), most=64)
    once = Limit(1, 60)
    assert rates.pass_here("flooder", once)
    for number in range(1_000):
        assert rates.pass_here(f"{number}", once)
        assert not rates.spend_here([Charge("flooder", once)]).allowed
    assert len(rates._memory._young) + len(rates._memory._old) <= 64
    assert rates.pass_here("0", once)


async def test_two_processes_at_once_share_what_there_is(redis_url: str) -> None:
    arguments = (redis_url, "plyr:rate:shared", str(HOURLY.count), str(HOURLY.seconds), "40")
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.appview.accounts.spender", *arguments, stdout=asyncio.subprocess.PIPE
        )
        for _ in range(2)
    ]
    said = [await process.communicate() for process in processes]
    assert sum(int(out) for out, _ in said) == HOURLY.count


async def test_all_at_once_are_counted_one_by_one(redis_url: str) -> None:
    async with connected(redis_url) as one, connected(redis_url) as another:
        both = [Rates(client, CollectorRegistry(), patience=PATIENT) for client in (one, another)]
        tries = [rates.spend([Charge("plyr:rate:crowd", HOURLY, 2)]) for rates in both for _ in range(60)]
        spent = await asyncio.gather(*tries)
        assert sum(one.allowed for one in spent) == HOURLY.count // 2
        assert 0 < await one.pttl("plyr:rate:crowd") <= HOURLY.seconds * 1000


async def test_what_comes_back_in_redis_comes_back_evenly(redis_url: str) -> None:
    limit = Limit(20, 1)
    async with connected(redis_url) as client:
        rates = Rates(client, CollectorRegistry(), patience=PATIENT)
        await rates.spend([Charge("plyr:rate:other", limit)])
        began = time.monotonic()
        allowed = 0
        while time.monotonic() < began + 0.5:
            allowed += (await rates.spend([Charge("plyr:rate:evenly", limit)])).allowed
        lasted = time.monotonic() - began
        assert 20 + 9 <= allowed <= 20 + lasted * 20 + 1
        await asyncio.sleep(1.1)
        assert not await client.exists("plyr:rate:evenly"), "who has everything is not remembered"


async def test_who_is_refused_is_so_without_redis(redis_url: str) -> None:
    async with connected(redis_url) as client:
        rates = Rates(client, CollectorRegistry(), patience=PATIENT)
        charge = Charge("plyr:rate:refused", HOURLY, 10)
        assert (await rates.spend([charge])).allowed
        await client.delete(charge.key)
        assert not (await rates.spend([charge])).allowed, "it is remembered here"


async def test_it_goes_on_alone_while_redis_is_gone_and_together_once_it_is_back() -> None:
    clock, registry = Clock(), CollectorRegistry()
    charge = Charge("plyr:rate:gone", HOURLY)
    with tempfile.TemporaryDirectory(prefix="plyr-") as folder:
        with redis(Path(folder)) as url:
            client, other = connect_redis(url), connect_redis(url)
            rates = Rates(client, registry, clock=clock, patience=PATIENT)
            another = Rates(other, CollectorRegistry(), clock=clock, patience=PATIENT)
            for _ in range(3):
                await another.spend([charge])
            assert (await rates.spend([charge])).remaining == 6
        spent = [await rates.spend([charge]) for _ in range(8)]
        assert [one.allowed for one in spent] == [True] * 6 + [False] * 2, "it knows what others spent before"
        assert registry.get_sample_value("plyr_rate_redis_failures_total") == 6
        with redis(Path(folder)) as again:
            assert again == url
            fresh = Charge("plyr:rate:fresh", HOURLY)
            assert (await rates.spend([fresh])).remaining == 9
            assert not await other.exists(fresh.key), "it is left alone for a while"
            clock.ahead += 6 * SECOND
            assert (await rates.spend([fresh])).remaining == 8
            assert await other.exists(fresh.key)
            assert (await another.spend([fresh])).remaining == 8, "of the first, only its own process knows"
            await client.aclose()
            await other.aclose()


async def test_a_redis_that_says_nothing_costs_a_moment_once() -> None:
    release = asyncio.Event()

    async def silence(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.close()

    server = await asyncio.start_server(silence, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    clock, registry = Clock(), CollectorRegistry()
    async with connected(f"redis://127.0.0.1:{port}") as client:
        rates = Rates(client, registry, clock=clock)
        began = time.monotonic()
        spent = await asyncio.gather(*(rates.spend([Charge("a", HOURLY)]) for _ in range(40)))
        first = time.monotonic() - began
        assert sum(one.allowed for one in spent) == HOURLY.count
        assert REDIS_SECONDS * 0.9 < first < 1.0
        began = time.monotonic()
        for number in range(100):
            await rates.spend([Charge(f"{number}", HOURLY)])
        assert time.monotonic() - began < REDIS_SECONDS
        clock.ahead += 6 * SECOND
        before = registry.get_sample_value("plyr_rate_redis_failures_total")
        began = time.monotonic()
        probe = asyncio.create_task(rates.spend([Charge("b", HOURLY)]))
        await asyncio.sleep(0)
        await asyncio.gather(*(rates.spend([Charge("c", HOURLY)]) for _ in range(40)))
        assert not probe.done(), "one asks whether it is back, the others do not wait"
        assert (await probe).allowed
        assert registry.get_sample_value("plyr_rate_redis_failures_total") != before
        release.set()
    server.close()
    await server.wait_closed()


async def test_a_redis_that_refuses_is_one_that_is_away(redis_url: str) -> None:
    async with connected(redis_url) as client:
        await client.rpush("plyr:rate:list", "not a number")
        rates = Rates(client, CollectorRegistry(), patience=PATIENT)
        assert (await rates.spend([Charge("plyr:rate:list", HOURLY)])).remaining == 9


async def test_a_clock_of_redis_that_was_set_back_locks_nobody_out(redis_url: str) -> None:
    limit = Limit(10, 10)
    async with connected(redis_url) as client:
        seconds, _ = await client.time()
        await client.set("plyr:rate:ahead", (seconds + 86_400) * SECOND)
        rates = Rates(client, CollectorRegistry(), patience=PATIENT)
        spent = await rates.spend([Charge("plyr:rate:ahead", limit)])
        assert not spent.allowed
        assert spent.wait <= 1.0
