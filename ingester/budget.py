"""How often a host is asked, and how much at once: a bucket of tokens each, slowed and stopped by what it says itself.

One host, however slow or strict, takes neither the time nor the places of the others.
"""

import asyncio
import re
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from appview.net.errors import BadStatus, NetError
from appview.net.http import Answer, HttpClient, Stream

AT_ONCE: Final = 3
"""Requests to one host under way: an eighth of the fetches that there are at a time."""
HOSTS: Final = 10_000
"""Hosts remembered; the longest unused go first, and are then as if they had never been asked."""
BURST: Final = 2.0
"""Seconds' worth of tokens that a bucket holds."""
PAUSE_SECONDS: Final = 10.0
"""After a 429 that does not say for how long."""
SLOW_SECONDS: Final = 3.0
"""A request that fails after more than this has cost a place for nothing."""
LONGEST_SLOW_SECONDS: Final = 300.0
"""The longest pause of a host that lets its requests fail slowly."""
LONGEST_SECONDS: Final = 3_600.0
"""The longest that a host's limits are taken to last; a Retry-After may name more, up to a day."""
_UNIX_TIME: Final = 1_000_000_000
"""From here on a RateLimit-Reset is a time, as the reference PDS gives it (XR-33), and no number of seconds."""

_is_number = re.compile(r"\s*([0-9]{1,12})").match
_quotas = re.compile(r"([0-9]{1,12})\s*;\s*w\s*=\s*([0-9]{1,12})").findall


class Exhausted(NetError):
    """The host is not to be asked now; `wait` is the seconds until there may be a token, behind all told so before."""

    temporary = True

    def __init__(self, message: str, wait: float) -> None:
        super().__init__(message)
        self.wait = wait


class _Bucket:
    """The tokens of a host at `at`; times are those of the budget's clock."""

    __slots__ = ("at", "closed_until", "pace", "pace_until", "promised", "slow", "tokens")

    def __init__(self, tokens: float, now: float) -> None:
        self.tokens = tokens
        self.at = now
        self.closed_until = now
        self.pace = 0.0
        """Tokens a second until `pace_until`, by what the host has said."""
        self.pace_until = now
        self.promised = now
        """When the last token comes that somebody was told to wait for."""
        self.slow = 0
        """How often it let requests fail slowly, less how often it gave an answer since."""

    def close(self, until: float) -> None:
        """Nothing is to be had until then, and then one token at first."""
        if until > self.closed_until:
            self.tokens, self.at = min(self.tokens, 1.0), until
            self.closed_until = until


class Budget:
    """The buckets of all hosts, which are origins: at most `rate` requests a second to each.

    `clock` is in seconds and never goes back; `wall` is in seconds since 1970.
    """

    def __init__(
        self, rate: float, *, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._rate = rate
        self._burst = max(1.0, BURST * rate)
        self._clock = clock
        self._wall = wall
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._under_way: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._buckets)

    @property
    def now(self) -> float:
        """The time by the budget's clock."""
        return self._clock()

    def has_room(self, host: str) -> bool:
        """Whether `host` may be asked at once."""
        bucket = self._filled(host)
        return bucket.tokens >= 1.0 and self._clock() >= bucket.closed_until and self._under_way[host] < AT_ONCE

    def take(self, host: str) -> None:
        """Spend a token of `host`, and be under way to it until `leave`. Raises Exhausted.

        Those who are told to wait are told different times, a token apart: they do not come back together.
        """
        if self.has_room(host):
            self._filled(host).tokens -= 1.0
            self._under_way[host] += 1
            return
        raise Exhausted(f"{host} is not to be asked yet", self.wait(host))

    def wait(self, host: str) -> float:
        """Seconds until there may be a token for one more, behind all those that were told to wait before."""
        bucket, now = self._filled(host), self._clock()
        soonest = max(bucket.closed_until, self._next_token(bucket))
        if soonest <= now:
            soonest = now + 1.0  # as many as may be are under way, and nobody knows until when
        # However often the same ones ask, the last is told to come within an hour of the first.
        bucket.promised = min(max(soonest, bucket.promised + 1.0 / self._rate), soonest + LONGEST_SECONDS)
        return bucket.promised - now

    def leave(self, host: str) -> None:
        """What was begun by `take` is over."""
        self._under_way[host] -= 1
        if not self._under_way[host]:
            del self._under_way[host]

    def answered(self, host: str) -> None:
        """`host` gave a whole answer."""
        bucket = self._filled(host)
        bucket.slow = max(0, bucket.slow - 1)

    def failed(self, host: str, seconds: float) -> None:
        """A request failed after `seconds`. Where these are many, the host has a pause that is as long, doubled each
        time: for half of the time at most it has places that others wait for, and then for less and less of it.
        """
        bucket, now = self._filled(host), self._clock()
        if seconds > SLOW_SECONDS and now >= bucket.closed_until:
            bucket.close(now + min(seconds * 2.0 ** min(bucket.slow, 10), LONGEST_SLOW_SECONDS))
            bucket.slow += 1

    def heard(self, host: str, headers: Mapping[str, str]) -> None:
        """Heed what an answer says of the host's limits: what is left of its window, or else what a window has."""
        bucket, now = self._filled(host), self._clock()
        left, lasts = _number(headers.get("RateLimit-Remaining")), self._reset(headers)
        if left is not None and lasts:
            bucket.tokens = min(bucket.tokens, float(left))
            bucket.pace, bucket.pace_until = left / lasts, now + lasts
            if not left:
                bucket.close(now + lasts)
            return
        quotas = _quotas(headers.get("RateLimit-Policy") or headers.get("RateLimit-Limit", ""))
        windows = [(float(count), min(max(float(seconds), 1.0), LONGEST_SECONDS)) for count, seconds in quotas]
        for count, seconds in sorted(windows, key=lambda window: window[0] / window[1])[:1]:
            bucket.pace, bucket.pace_until = max(count, 1.0) / seconds, now + seconds

    def refused(self, host: str, error: BadStatus) -> None:
        """Heed an error: a 429, or a 503 that says for how long, stops all that is asked of the host until then."""
        self.heard(host, error.headers)
        pause = error.retry_after
        if pause is None and error.status == 429:
            pause = self._reset(error.headers) or PAUSE_SECONDS
        if pause is not None and error.status in {429, 503}:
            self._filled(host).close(self._clock() + pause)

    def _filled(self, host: str) -> _Bucket:
        """The bucket of `host` with all that has run into it till now."""
        now = self._clock()
        bucket = self._buckets.get(host)
        if bucket is None:
            bucket = self._buckets[host] = _Bucket(self._burst, now)
            if len(self._buckets) > HOSTS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(host)
        if now > bucket.at:
            slow = max(0.0, min(now, bucket.pace_until) - bucket.at)
            fast = now - bucket.at - slow
            bucket.tokens = min(self._burst, bucket.tokens + slow * min(bucket.pace, self._rate) + fast * self._rate)
            bucket.at = now
        return bucket

    def _next_token(self, bucket: _Bucket) -> float:
        """When there is a token."""
        lacking, pace = 1.0 - bucket.tokens, min(bucket.pace, self._rate)
        if lacking <= 0.0:
            return bucket.at
        slow = max(0.0, bucket.pace_until - bucket.at) * pace
        if 0.0 < slow >= lacking:
            return bucket.at + lacking / pace
        return max(bucket.at, bucket.pace_until) + (lacking - slow) / self._rate

    def _reset(self, headers: Mapping[str, str]) -> float | None:
        """Seconds until the host's window ends: given as such in the drafts, as a time by the reference PDS."""
        reset = _number(headers.get("RateLimit-Reset"))
        if reset is None:
            return None
        if reset < _UNIX_TIME:
            return min(float(reset), LONGEST_SECONDS)
        # Its clock and ours may differ; where it says what time it is, that is what its reset is counted from.
        try:
            now = parsedate_to_datetime(headers.get("Date", "")).timestamp()
        except (ValueError, OverflowError):
            now = self._wall()
        return min(max(reset - now, 0.0), LONGEST_SECONDS)


class HostClient:
    """An HttpClient that keeps to the budget, and raises Exhausted; or, `patient`, waits until it may ask."""

    def __init__(self, http: HttpClient, budget: Budget, *, patient: bool = False) -> None:
        self.budget = budget
        self._http = http
        self._patient = patient

    def patiently(self) -> "HostClient":
        """The same, for who has nothing else to do than to wait."""
        return HostClient(self._http, self.budget, patient=True)

    async def get(self, url: str, *, max_bytes: int, accept: str) -> Answer:
        """As that of HttpClient, without redirects: no method that answers at once has any."""
        async with self.stream(url, max_bytes=max_bytes, redirects=0, accept=accept, total=15.0) as stream:
            body = b"".join([chunk async for chunk in stream])
            return Answer(stream.url, stream.status, stream.headers, body)

    @asynccontextmanager
    async def stream(
        self, url: str, *, max_bytes: int, redirects: int, accept: str, total: float = 300.0
    ) -> AsyncIterator[Stream]:
        """As that of HttpClient; under way to its host until the block ends.

        A redirect to another host is not followed: that one would be asked at the expense of this one's budget.
        """
        host = origin(url)
        await self._take(host)
        began = self.budget.now
        try:
            async with self._http.stream(
                url, max_bytes=max_bytes, redirects=redirects, accept=accept, total=total, elsewhere=False
            ) as stream:
                self.budget.heard(host, stream.headers)
                yield stream
        except NetError as error:
            if isinstance(error, BadStatus):
                self.budget.refused(host, error)
            self.budget.failed(host, self.budget.now - began)
            raise
        else:
            self.budget.answered(host)
        finally:
            self.budget.leave(host)

    async def _take(self, host: str) -> None:
        while True:
            try:
                self.budget.take(host)
            except Exhausted as error:
                if not self._patient:
                    raise
                await asyncio.sleep(error.wait)
            else:
                return


def origin(url: str) -> str:
    """Whose budget a request for `url` goes from."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _number(text: str | None) -> int | None:
    match = _is_number(text or "")
    return int(match[1]) if match else None
