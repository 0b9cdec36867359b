"""Which service tokens were used already: each is good for one call (7.6 #11).

This process's memory is asked first, then Redis, where all web processes look. What is kept is a digest, until the
token would be refused for its age. Without Redis, or while it is away, a token may be used once in each process.
"""

import asyncio
import collections
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, Counter
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from appview.accounts.service_jwt import LEEWAY, ServiceToken

LONG_SECONDS: Final = 120
"""A token that is good for longer than this is long-lived; one that a PDS sends along with a call is so for 60 s."""

MAX_LONG: Final = 50_000
"""Long-lived tokens of which the use is remembered; the others are as many as are checked in two minutes."""

MAX_LONG_EACH: Final = 500
"""Of these of one issuer, who else could use up the places of all."""

REDIS_SECONDS: Final = 0.25
"""What asking Redis may take."""

_PAUSE: Final = 5.0
"""Seconds before a Redis that did not answer is asked again."""

_CONNECTIONS: Final = 16

_log = logging.getLogger(__name__)


class TooManyTokens(Exception):
    """The token lives long, and so many others of that kind were used, by its issuer or by all, that this one could
    not be remembered."""


@dataclass(slots=True)
class _Minute:
    """What may be forgotten when a minute is over."""

    used: set[bytes] = field(default_factory=set)
    long_lived: collections.Counter[str] = field(default_factory=collections.Counter)
    """How many of them live long, by issuer."""


def connect_redis(url: str) -> Redis:
    """A client for `Replays`, which connects when it is first asked; it tries once, and not for long."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=REDIS_SECONDS,
        socket_timeout=REDIS_SECONDS,
        socket_connect_timeout=REDIS_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis.from_pool(pool)


class Replays:
    """The tokens used, by issuer and `jti`; `redis` is where other processes tell of theirs."""

    def __init__(
        self, redis: Redis | None, registry: CollectorRegistry, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._redis = redis
        self._clock = clock
        # By the minute in which they may be forgotten, so that forgetting costs nothing.
        self._minutes: dict[int, _Minute] = {}
        self._redis_is_away_until = 0.0
        self._failures = Counter(
            "plyr_replay_redis_failures",
            "Tokens whose use in another process could not be asked of Redis.",
            registry=registry,
        )

    def __len__(self) -> int:
        return sum(len(minute.used) for minute in self._minutes.values())

    async def is_first_use(self, token: ServiceToken) -> bool:
        """Whether `token`, whose signature is good, was never used before; from now on it was. Raises TooManyTokens."""
        now = self._clock()
        kept_until = token.expires_at + LEEWAY + 1
        digest = hashlib.sha256(f"{token.issuer} {token.nonce}".encode()).digest()[:16]
        for over in [number for number in self._minutes if number < now // 60]:
            del self._minutes[over]
        if any(digest in minute.used for minute in self._minutes.values()):
            return False
        is_long_lived = kept_until - now > LONG_SECONDS
        if is_long_lived:
            self._require_room(token.issuer, now)
        minute = self._minutes.setdefault(kept_until // 60, _Minute())
        minute.used.add(digest)
        if is_long_lived:
            minute.long_lived[token.issuer] += 1
        return await self._is_first_elsewhere(digest, kept_until - now)

    def _require_room(self, issuer: str, now: float) -> None:
        """Raises TooManyTokens unless one more that lives long can be remembered of `issuer`."""
        later = [minute for number, minute in self._minutes.items() if number * 60 > now + LONG_SECONDS]
        if sum(len(minute.used) for minute in later) >= MAX_LONG:
            raise TooManyTokens
        if sum(minute.long_lived[issuer] for minute in later) >= MAX_LONG_EACH:
            raise TooManyTokens

    async def _is_first_elsewhere(self, digest: bytes, seconds: float) -> bool:
        """As Redis knows; True where it cannot be asked."""
        if self._redis is None:
            return True
        if self._clock() < self._redis_is_away_until:
            self._failures.inc()
            return True
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                return bool(await self._redis.set(f"plyr:jti:{digest.hex()}", b"", nx=True, px=int(seconds * 1000)))
        except (RedisError, OSError) as error:
            self._failures.inc()
            self._redis_is_away_until = self._clock() + _PAUSE
            _log.warning("Redis does not say which tokens were used elsewhere; asking again in %g s: %r", _PAUSE, error)
            return True
