"""How often somebody may do something: so many at once, and then so many in each window of time, as GCRA counts.

What one has is one number, the instant when all that was spent is had again. It needs no window that everybody begins
anew, at whose edge twice as much would pass, no list of what was done, and it is gone from Redis once it is whole.

All processes share what is in Redis: one round trip for any number of limits, all of them charged or none. What it
says is remembered here, so that whoever is refused is so without asking it again, and so that each process goes on by
itself from there when Redis does not answer within `REDIS_SECONDS`; it is then left alone for a while.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter
from redis.asyncio import Redis
from redis.exceptions import RedisError

REDIS_SECONDS: Final = 0.05
"""What asking Redis may take: so much later, at the most, is any answer."""

MOST_REMEMBERED: Final = 65_536
"""Of whom a process remembers what they have spent. Beyond that, those are forgiven that spent nothing for longest."""

_SECOND: Final = 1_000_000
_PAUSE: Final = 5 * _SECOND
"""Before a Redis that did not answer is asked again, by one request alone."""

# Every number is of microseconds. Redis's own clock counts, which all processes have in common; should it be set back,
# nobody owes more than everything.
_SPEND: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local debts, fits = {}, true
for i, key in ipairs(KEYS) do
    local cost, most = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    local whole_at = tonumber(redis.call('GET', key) or now)
    debts[i] = math.min(math.max(whole_at - now, 0), most)
    fits = fits and debts[i] + cost <= most
end
if fits then
    for i, key in ipairs(KEYS) do
        local debt = debts[i] + ARGV[2 * i - 1]
        redis.call('SET', key, string.format('%.0f', now + debt), 'PX', math.ceil(debt / 1000))
    end
end
return debts
"""

_log = logging.getLogger(__name__)


class Limit:
    """At most `count` at once, and `count` in `seconds` from then on, evenly."""

    __slots__ = ("count", "interval", "most", "seconds")

    def __init__(self, count: int, seconds: int) -> None:
        self.count: Final = count
        self.seconds: Final = seconds
        self.interval: Final = -(-seconds * _SECOND // count)
        """Microseconds in which one is had again."""
        self.most: Final = count * self.interval

    def __repr__(self) -> str:
        return f"{self.count};w={self.seconds}"


class Charge(NamedTuple):
    """Something that counts `amount` against a limit, under a key; never more than the limit's count, nor nothing."""

    key: str
    limit: Limit
    amount: int = 1

    @property
    def cost(self) -> int:
        """In microseconds."""
        return self.amount * self.limit.interval


class Spent(NamedTuple):
    """What became of charges, told of the one that is nearest to its limit, or furthest beyond. Times in seconds."""

    allowed: bool
    limit: Limit
    remaining: int
    whole_in: float
    """Until all of it is had again."""
    wait: float
    """Until as much would be allowed; 0 where it was."""


class Rates:
    """The counts of one process, and of all those on `redis`; without one, each counts for itself.

    `clock` is in microseconds from anywhere, and never goes back.
    """

    def __init__(
        self,
        redis: Redis | None,
        registry: CollectorRegistry,
        *,
        clock: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
        patience: float = REDIS_SECONDS,
        most: int = MOST_REMEMBERED,
    ) -> None:
        self._script = redis.register_script(_SPEND) if redis is not None else None
        self._clock = clock
        self._patience = patience
        self._memory = _Memory(most)
        self._away_until = 0
        self._failures = Counter(
            "plyr_rate_redis_failures",
            "Requests whose limits could not be asked of Redis, and were this process's own.",
            registry=registry,
        )

    async def spend(self, charges: Sequence[Charge]) -> Spent:
        """Charge all of `charges`, of which there is at least one; or none, where one would go beyond its limit."""
        now = self._clock()
        here = self._debts(charges, now)
        if self._script is None or not _fits(charges, here):
            return self._settle(charges, here, now)
        shared = await self._asked(charges)
        if shared is None:
            return self.spend_here(charges)
        # Counted from before it was asked, so that no more is remembered than is owed there; but for what was spent
        # here while it was away.
        return self._settle(charges, list(map(max, here, shared)), now)

    def spend_here(self, charges: Sequence[Charge]) -> Spent:
        """The same by what this process knows alone, at once."""
        now = self._clock()
        return self._settle(charges, self._debts(charges, now), now)

    def pass_here(self, key: str, limit: Limit) -> bool:
        """Charge one, where it fits: `spend_here` for what is asked so often that a microsecond counts."""
        now = self._clock()
        until = max(self._memory.whole_at(key), now) + limit.interval
        if until - now > limit.most:
            return False
        self._memory.owe(key, until)
        return True

    def look_here(self, charges: Sequence[Charge]) -> Spent:
        """What `spend_here` would say, while nothing is charged."""
        return _outcome(charges, self._debts(charges, self._clock()))

    def _debts(self, charges: Sequence[Charge], now: int) -> list[int]:
        return [max(self._memory.whole_at(charge.key) - now, 0) for charge in charges]

    def _settle(self, charges: Sequence[Charge], debts: Sequence[int], now: int) -> Spent:
        """Remember what is owed after the charges, where `debts` were owed before."""
        spent = _outcome(charges, debts)
        for charge, debt in zip(charges, debts, strict=True):
            # Also of who is refused, so as not to forget them.
            self._memory.owe(charge.key, now + debt + (charge.cost if spent.allowed else 0))
        return spent

    async def _asked(self, charges: Sequence[Charge]) -> list[int] | None:
        """Charge them in Redis, if they fit: what was owed there before; None where it does not say."""
        now = self._clock()
        if self._script is None or now < self._away_until:
            self._failures.inc()
            return None
        if self._away_until:
            # One asks whether it is back; the others do not wait to hear.
            self._away_until = now + _PAUSE
        numbers = [number for charge in charges for number in (charge.cost, charge.limit.most)]
        try:
            async with asyncio.timeout(self._patience):
                debts: list[int] = await self._script([charge.key for charge in charges], numbers)
        except (RedisError, OSError) as error:
            self._failures.inc()
            self._away_until = self._clock() + _PAUSE
            _log.warning("Redis does not say who did how much; asking again in %d s: %r", _PAUSE // _SECOND, error)
            return None
        self._away_until = 0
        return debts


class _Memory:
    """When each has all of theirs again, of the last so many; two halves, of which the older is dropped at a time."""

    def __init__(self, most: int) -> None:
        self._half = most // 2
        self._young: dict[str, int] = {}
        self._old: dict[str, int] = {}

    def whole_at(self, key: str) -> int:
        return self._young.get(key) or self._old.get(key, 0)

    def owe(self, key: str, until: int) -> None:
        """Not whole before `until`; where it is not later anyway."""
        self._young[key] = max(until, self.whole_at(key))
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}


def _fits(charges: Sequence[Charge], debts: Sequence[int]) -> bool:
    return all(debt + charge.cost <= charge.limit.most for charge, debt in zip(charges, debts, strict=True))


def _outcome(charges: Sequence[Charge], debts: Sequence[int]) -> Spent:
    """Of what was owed before, what follows, told of the charge that has the least room left."""
    allowed = _fits(charges, debts)
    told = []
    for charge, debt in zip(charges, debts, strict=True):
        limit = charge.limit
        after = debt + charge.cost if allowed else debt
        wait = 0 if allowed else max(debt + charge.cost - limit.most, 0)
        told.append(Spent(allowed, limit, (limit.most - after) // limit.interval, after / _SECOND, wait / _SECOND))
    return min(told, key=lambda spent: (-spent.wait, spent.remaining))
