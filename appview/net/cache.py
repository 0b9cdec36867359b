"""Answers kept in memory: bounded, one flight per key, served a little stale while they are fetched again.

A flight belongs to nobody: a caller that is cancelled leaves it to the others, and its outcome is kept. Below the
memory there may be a store, which outlives the process and is asked before anybody else.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from appview.net.errors import BadSyntax, IdentityError, Unsupported

V = TypeVar("V")

Clock = Callable[[], float]
"""Seconds since the epoch."""

STALE_AFTER: Final = 3600.0
MAX_AGE: Final = 86_400.0
ERROR_TTL: Final = 120.0
MAX_RENEWALS: Final = 16
"""Flights at once beyond which a stale value starts no other: no herd on the directory after a long pause."""


@dataclass(frozen=True, slots=True)
class Fetched(Generic[V]):
    """A value, when it was asked for, and when to ask again behind its readers' backs; seconds since the epoch."""

    value: V
    at: float
    renew_at: float


@dataclass(frozen=True, slots=True)
class _Failed:
    error: IdentityError
    at: float


class _Flight(NamedTuple, Generic[V]):
    task: asyncio.Task[Fetched[V] | _Failed]
    max_age: float
    """How old an answer from the store it takes, in seconds; 0: it does not ask there."""


class Store(Protocol[V]):
    """Where values outlive the process. It may know nothing, late or never keep a thing; it does not raise."""

    async def load(self, key: str) -> tuple[V, float] | None:
        """The value of `key`, and when it was asked for."""

    def save(self, key: str, value: V, at: float) -> None:
        """Keep `value`, asked for at `at`, and give it from now on."""

    def forget(self, key: str) -> None:
        """Give nothing for `key` from now on that was saved before."""


class FetchCache(Generic[V]):
    """`fetch` by key, remembered for at most `size` keys, of which the longest unused go first.

    A value older than `STALE_AFTER` is given as it is and renewed in the background, one older than `MAX_AGE` is
    fetched first. An IdentityError is remembered for `ERROR_TTL`, and a temporary one displaces no value. What is not
    in memory is taken from `store`, when there is one, as if it had stayed in memory since.
    """

    def __init__(
        self, fetch: Callable[[str], Awaitable[V]], *, size: int, clock: Clock, store: Store[V] | None = None
    ) -> None:
        self._fetch = fetch
        self._size = size
        self._clock = clock
        self._store = store
        self._kept: OrderedDict[str, Fetched[V] | _Failed] = OrderedDict()
        self._flights: dict[str, _Flight[V]] = {}
        self._tasks: set[asyncio.Task[Fetched[V] | _Failed]] = set()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def under_way(self) -> int:
        """How many keys are being asked for."""
        return len(self._flights)

    def peek(self, key: str) -> V | None:
        """The value that is kept, however old; nobody is asked."""
        kept = self.peek_fetched(key)
        return None if kept is None else kept.value

    def peek_fetched(self, key: str) -> Fetched[V] | None:
        """As `peek`, with its times."""
        kept = self._kept.get(key)
        return kept if isinstance(kept, Fetched) else None

    async def get(self, key: str, *, max_age: float = MAX_AGE) -> Fetched[V]:
        """The value of `key`, asked for at most `max_age` seconds ago. Raises what `fetch` raises."""
        now, kept = self._clock(), self._kept.get(key)
        lasts = ERROR_TTL if isinstance(kept, _Failed) else MAX_AGE
        if kept is None or now - kept.at >= min(max_age, lasts):
            kept = await asyncio.shield(self._flight(key, min(max_age, MAX_AGE)))
        else:
            self._kept.move_to_end(key)
            if isinstance(kept, Fetched) and now >= kept.renew_at and len(self._flights) < MAX_RENEWALS:
                self._flight(key, STALE_AFTER)
        if isinstance(kept, _Failed):
            # One error is raised to many; without this, every raise would lengthen its traceback.
            raise kept.error.with_traceback(None)
        return kept

    def put(self, key: str, value: V, at: float) -> None:
        """Remember `value`, asked for at `at`, unless something is known of `key` already."""
        if key not in self._kept:
            self._keep(key, Fetched(value, at, at + STALE_AFTER))

    def purge(self, key: str) -> None:
        """Forget `key`. A flight under way still serves those who wait for it, but what it brings is not kept."""
        self._kept.pop(key, None)
        self._flights.pop(key, None)
        if self._store is not None:
            self._store.forget(key)

    async def aclose(self) -> None:
        """Cancel the flights under way, and those who wait for them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _flight(self, key: str, max_age: float) -> "asyncio.Task[Fetched[V] | _Failed]":
        """The flight under way for `key`, or a new one if there is none or it would take too old an answer."""
        flight = self._flights.get(key)
        if flight is None or flight.max_age > max_age:
            max_age = max_age if self._store is not None else 0.0
            flight = self._flights[key] = _Flight(asyncio.create_task(self._fly(key, max_age)), max_age)
            self._tasks.add(flight.task)
            flight.task.add_done_callback(self._tasks.discard)
        return flight.task

    async def _fly(self, key: str, max_age: float) -> Fetched[V] | _Failed:
        at = self._clock()
        stored: Fetched[V] | None = None
        outcome: Fetched[V] | _Failed
        try:
            stored = await self._load(key, at - max_age) if max_age > 0 else None
            outcome = stored or Fetched(await self._fetch(key), at, at + STALE_AFTER)
        except IdentityError as error:
            outcome = _Failed(error, at)
        finally:
            # After a purge the key may be another flight's, and this one is too old to be kept.
            flight = self._flights.get(key)
            ours = flight is not None and flight.task is asyncio.current_task()
            if ours:
                del self._flights[key]
        # What is refused by its form alone costs nobody a question, and is not worth a place.
        if ours and not (isinstance(outcome, _Failed) and isinstance(outcome.error, BadSyntax | Unsupported)):
            self._keep(key, outcome)
            if stored is None:
                self._record(key, outcome)
        return outcome

    async def _load(self, key: str, after: float) -> Fetched[V] | None:
        """What the store has of `key`, if that was asked for later than `after`."""
        loaded = await self._store.load(key) if self._store is not None else None
        if loaded is None or loaded[1] <= after:
            return None
        value, at = loaded
        return Fetched(value, at, at + STALE_AFTER)

    def _record(self, key: str, outcome: Fetched[V] | _Failed) -> None:
        """Let the store know what was just fetched."""
        if self._store is None:
            return
        if isinstance(outcome, Fetched):
            self._store.save(key, outcome.value, outcome.at)
        elif not outcome.error.temporary:
            self._store.forget(key)

    def _keep(self, key: str, outcome: Fetched[V] | _Failed) -> None:
        kept = self._kept.get(key)
        if isinstance(outcome, _Failed) and outcome.error.temporary and isinstance(kept, Fetched):
            outcome = replace(kept, renew_at=outcome.at + ERROR_TTL)
        self._kept[key] = outcome
        self._kept.move_to_end(key)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)


class RateLimit:
    """At most `count` uses of a key in `seconds`; remembers at most `size` keys."""

    def __init__(self, count: int, seconds: float, *, clock: Clock, size: int = 10_000) -> None:
        self._count = count
        self._seconds = seconds
        self._clock = clock
        self._size = size
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def allow(self, key: str) -> bool:
        """Use `key` once more, or say that it is used up."""
        now = self._clock()
        start, used = self._windows.get(key, (now, 0))
        if now - start >= self._seconds:
            start, used = now, 0
        if used >= self._count:
            return False
        self._windows[key] = start, used + 1
        self._windows.move_to_end(key)
        if len(self._windows) > self._size:
            self._windows.popitem(last=False)
        return True
