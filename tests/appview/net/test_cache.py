"""What is remembered, for how long, and who waits for whom."""

import asyncio
import traceback

import pytest

from appview.net.cache import ERROR_TTL, MAX_AGE, MAX_RENEWALS, STALE_AFTER, FetchCache, RateLimit
from appview.net.errors import BadSyntax, CouldNotCheck, IdentityError, NotFound


class Source:
    """A clock that stands still, and answers that come when they are let."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.asked: list[str] = []
        self.answer: str | IdentityError = "a"
        self.gate = asyncio.Event()
        self.gate.set()

    def clock(self) -> float:
        return self.now

    async def fetch(self, key: str) -> str:
        self.asked.append(key)
        answer = self.answer
        await self.gate.wait()
        if isinstance(answer, IdentityError):
            raise answer
        return answer

    def cache(self, size: int = 100) -> FetchCache[str]:
        return FetchCache(self.fetch, size=size, clock=self.clock)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_value_is_remembered() -> None:
    source = Source()
    cache = source.cache()
    assert cache.peek("k") is None
    assert (await cache.get("k")).value == "a"
    source.now += STALE_AFTER - 1
    fetched = await cache.get("k")
    assert (fetched.value, fetched.at) == ("a", 1_000_000.0)
    assert cache.peek("k") == "a"
    assert source.asked == ["k"]


async def test_a_stale_value_is_given_and_renewed() -> None:
    source = Source()
    cache = source.cache()
    await cache.get("k")
    source.now += STALE_AFTER
    source.answer = "b"
    source.gate.clear()
    assert (await cache.get("k")).value == "a"
    assert (await cache.get("k")).value == "a"
    await settle()
    source.gate.set()
    await settle()
    assert (await cache.get("k")).value == "b"
    assert source.asked == ["k", "k"]


async def test_an_old_value_is_fetched_first() -> None:
    source = Source()
    cache = source.cache()
    await cache.get("k")
    source.now += MAX_AGE
    source.answer = "b"
    assert (await cache.get("k")).value == "b"


async def test_max_age() -> None:
    source = Source()
    cache = source.cache()
    await cache.get("k")
    source.now += 600
    source.answer = "b"
    assert (await cache.get("k", max_age=601)).value == "a"
    assert (await cache.get("k", max_age=600)).value == "b"
    assert (await cache.get("k", max_age=0)).value == "b"
    assert len(source.asked) == 3


async def test_errors_are_remembered_for_a_while() -> None:
    source = Source()
    cache = source.cache()
    source.answer = NotFound("none")
    for _ in range(3):
        with pytest.raises(NotFound):
            await cache.get("k")
    assert len(source.asked) == 1
    source.now += ERROR_TTL
    source.answer = "a"
    assert (await cache.get("k")).value == "a"


async def test_a_remembered_error_does_not_grow() -> None:
    source = Source()
    cache = source.cache()
    source.answer = NotFound("none")
    lengths = []
    for _ in range(5):
        with pytest.raises(NotFound) as caught:
            await cache.get("k")
        lengths.append(len(traceback.extract_tb(caught.value.__traceback__)))
    assert len(set(lengths)) == 1


async def test_a_temporary_error_displaces_no_value() -> None:
    source = Source()
    cache = source.cache()
    await cache.get("k")
    source.now += STALE_AFTER
    source.answer = CouldNotCheck("down")
    with pytest.raises(CouldNotCheck):
        await cache.get("k", max_age=0)
    for _ in range(3):
        assert (await cache.get("k")).value == "a"
        await settle()
    assert len(source.asked) == 2  # renewal waits as long as an error lasts
    source.now += ERROR_TTL
    source.answer = "b"
    await cache.get("k")
    await settle()
    assert (await cache.get("k")).value == "b"


async def test_a_definite_error_displaces_a_value() -> None:
    source = Source()
    cache = source.cache()
    await cache.get("k")
    source.now += STALE_AFTER
    source.answer = NotFound("none")
    await cache.get("k")
    await settle()
    with pytest.raises(NotFound):
        await cache.get("k")


async def test_bad_syntax_takes_no_place() -> None:
    source = Source()
    cache = source.cache()
    source.answer = BadSyntax("no")
    with pytest.raises(BadSyntax):
        await cache.get("k")
    assert len(cache) == 0


async def test_the_cache_is_bounded_and_keeps_what_is_used() -> None:
    source = Source()
    cache = source.cache(size=3)
    for key in ("a", "b", "c", "a", "d"):
        await cache.get(key)
    assert len(cache) == 3
    assert [cache.peek(key) is not None for key in "abcd"] == [True, False, True, True]


async def test_one_flight_for_all() -> None:
    source = Source()
    source.gate.clear()
    cache = source.cache()
    callers = [asyncio.create_task(cache.get("k")) for _ in range(50)]
    await settle()
    source.gate.set()
    assert {(await caller).value for caller in callers} == {"a"}
    assert source.asked == ["k"]


async def test_a_cancelled_caller_harms_nobody() -> None:
    source = Source()
    source.gate.clear()
    cache = source.cache()
    first, second = asyncio.create_task(cache.get("k")), asyncio.create_task(cache.get("k"))
    await settle()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    source.gate.set()
    assert (await second).value == "a"
    assert source.asked == ["k"]


async def test_a_flight_whose_callers_all_left_is_kept() -> None:
    source = Source()
    source.gate.clear()
    cache = source.cache()
    caller = asyncio.create_task(cache.get("k"))
    await settle()
    caller.cancel()
    source.gate.set()
    await settle()
    assert cache.peek("k") == "a"


async def test_a_purge_outdates_the_flight_under_way() -> None:
    source = Source()
    source.gate.clear()
    cache = source.cache()
    before = asyncio.create_task(cache.get("k"))
    await settle()
    cache.purge("k")
    source.answer = "b"
    after = asyncio.create_task(cache.get("k"))
    await settle()
    source.gate.set()
    assert ((await before).value, (await after).value) == ("a", "b")
    assert cache.peek("k") == "b"


async def test_renewals_are_bounded() -> None:
    source = Source()
    cache = source.cache(size=1000)
    keys = [str(number) for number in range(100)]
    for key in keys:
        await cache.get(key)
    source.now += STALE_AFTER
    source.gate.clear()
    for key in keys:
        assert (await cache.get(key)).value == "a"
    await settle()
    assert len(source.asked) == 100 + MAX_RENEWALS
    await cache.aclose()


async def test_closing_ends_the_flights() -> None:
    source = Source()
    source.gate.clear()
    cache = source.cache()
    caller = asyncio.create_task(cache.get("k"))
    await settle()
    await cache.aclose()
    with pytest.raises(asyncio.CancelledError):
        await caller


async def test_an_error_of_our_own_reaches_the_caller() -> None:
    async def fetch(key: str) -> str:
        raise ZeroDivisionError

    cache = FetchCache(fetch, size=1, clock=lambda: 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await cache.get("k")


def test_rate_limit() -> None:
    source = Source()
    limit = RateLimit(2, 60, clock=source.clock, size=2)
    assert [limit.allow("a") for _ in range(4)] == [True, True, False, False]
    assert limit.allow("b")
    source.now += 59.9
    assert not limit.allow("a")
    source.now += 0.1
    assert [limit.allow("a") for _ in range(3)] == [True, True, False]


def test_rate_limit_is_bounded() -> None:
    limit = RateLimit(1, 60, clock=lambda: 0, size=2)
    assert [limit.allow(key) for key in ("a", "b", "c", "b", "a")] == [True, True, True, False, True]
