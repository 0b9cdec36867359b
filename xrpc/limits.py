"""How much of what somebody may do here: the table of limits, against whom each counts, and how that is told (XR-33).

What is read is counted by each process for itself, and costs a microsecond or two; what is written, or costs others
something, is counted by all processes together. Somebody is the session or the developer token that they call with,
else their DID (all of a PDS may come from one address, XR-35), else their address (xrpc/addresses.py). Programs on this
machine, and proxies that do not say for whom they ask, have no address, and nothing counts against it.
"""

import hashlib
import math
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from enum import Enum
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Counter
from starlette.types import Scope

from appview.accounts.rates import Charge, Limit, Rates, Spent
from appview.accounts.replays import connect_redis
from appview.config import Config, is_local
from xrpc.addresses import Addresses
from xrpc.errors import NAMES, Unauthenticated, XrpcError


class Who(NamedTuple):
    """Somebody, by all that is known of them."""

    address: str | None
    did: str | None = None
    grant: int | None = None
    """That of their session or developer token: each has one of its own."""
    account: str | None = None
    """The account that they are about to sign in with, as typed."""

    @property
    def credential(self) -> str | None:
        """The best sign of who it is."""
        if self.grant is not None:
            return f"grant {self.grant}"
        return self.did or self.address


class Rule(NamedTuple):
    """A limit, and the field of Who that it counts by; nobody is limited by what they do not have."""

    by: str
    limit: Limit


class Kind(Enum):
    """What may be done, with the rules for it."""

    READ = (Rule("credential", Limit(3_000, 60)), Rule("did", Limit(12_000, 60)))
    """A query: see `Limits.read`."""
    PAGE = (Rule("credential", Limit(120, 60)), Rule("did", Limit(240, 60)))
    """A page about an account, or what is asked for there."""
    WRITE = (Rule("credential", Limit(300, 60)), Rule("did", Limit(600, 60)))
    """A record, written or deleted. PDSes have limits of their own, for hours and days (WR-04)."""
    UPLOAD = (Rule("credential", Limit(20, 60)), Rule("did", Limit(40, 60)))
    """A blob."""
    # Much more for an account than for an address, or a few strangers could keep its owner from signing in; where it is
    # signed in already, nobody can (xrpc/http/account/sign_in.py).
    SIGN_IN = (Rule("address", Limit(10, 60)), Rule("account", Limit(100, 60)))
    """An attempt to sign in, for which servers that a stranger names are asked."""
    TOKEN = (Rule("did", Limit(10, 3_600)),)
    """A developer token that is made."""
    EXPORT = (Rule("did", Limit(5, 3_600)),)
    """All that is held about an account, or its deletion."""


class Verdict(NamedTuple):
    """Whether something may be done, and the headers that the answer is to carry in either case."""

    allowed: bool
    headers: Mapping[str, str]
    retry_after: int
    """Seconds until it is worth trying again; 0 where it is allowed."""

    def require(self) -> None:
        """Raises XrpcError with 429 where it is not allowed."""
        if not self.allowed:
            message = f"That was too much in too short a time. Try again in {self.retry_after} s."
            raise XrpcError(429, NAMES[429], message, headers=self.headers)


ALLOWED: Final = Verdict(allowed=True, headers={}, retry_after=0)
"""What counts against nobody; and what is read, since such answers are shared, and kept in caches."""

UPLOAD_BLOB: Final = "com.atproto.repo.uploadBlob"

_READ: Final = Kind.READ.value[0].limit
_READ_BY_ALL: Final = Kind.READ.value[1].limit
_UNPROVEN: Final = Limit(600, 60)
"""Tokens that do not hold, from one address."""
_OF_THE_ACCOUNT: Final = frozenset({"AccountTakedown", "AccountDeactivated"})
"""Refusals of tokens that hold: a PDS whose account is away has done nothing wrong."""


class Limits:
    """The limits of one process, as `rates` counts them."""

    def __init__(self, config: Config, rates: Rates, registry: CollectorRegistry) -> None:
        self._rates = rates
        is_public = not is_local(urlsplit(config.public_url).hostname or "")
        self._addresses = Addresses(config.trusted_proxies, is_public=is_public)
        # Without the secret, nobody finds the addresses behind the keys by trying them all.
        self._secret = hashlib.sha256(f"plyr-appview: rates, {config.secret_key or ''}".encode()).digest()
        self._refused = Counter("plyr_rate_limited", "What was refused with a 429.", ["kind"], registry=registry)

    def address(self, scope: Scope) -> str | None:
        """The address of a request's client, for Who."""
        return self._addresses.of(scope)

    def read(self, who: Who) -> None:
        """Count a query, at once: `check` for what is asked most. Raises XrpcError with 429."""
        key = who.credential
        if key is not None:
            self._pass(key, _READ)
        if who.grant is not None and who.did is not None:
            # Who has no grant reads as their DID alone.
            self._pass(f"all of {who.did}", _READ_BY_ALL)

    async def check(self, kind: Kind, who: Who, amount: int = 1) -> Verdict:
        """Count `amount` of `kind`, or nothing where that is too much; more than all of a limit counts as all of it."""
        charges = [
            Charge(self._key(kind, rule.by, value), rule.limit, min(amount, rule.limit.count))
            for rule in kind.value
            if (value := getattr(who, rule.by)) is not None
        ]
        if not charges:
            return ALLOWED
        return self._verdict(kind, await self._rates.spend(charges))

    @contextmanager
    def unproven(self, address: str | None) -> Iterator[None]:
        """Around the check of a token: what does not hold counts against the address that it came from.

        Raises XrpcError with 429 where too many did not; those of others from there wait as well.
        """
        if address is None:
            yield
            return
        key = f"unproven {address}"
        spent = self._rates.look_here([Charge(key, _UNPROVEN)])
        if not spent.allowed:
            self._verdict(Kind.READ, spent).require()
        try:
            yield
        except Unauthenticated as error:
            if error.name not in _OF_THE_ACCOUNT:
                self._rates.pass_here(key, _UNPROVEN)
            raise

    def _pass(self, key: str, limit: Limit) -> None:
        if not self._rates.pass_here(key, limit):
            self._verdict(Kind.READ, self._rates.look_here([Charge(key, limit)])).require()

    def _key(self, kind: Kind, by: str, value: str) -> str:
        """Where it is counted in Redis, which learns nobody's name, address or session."""
        said = f"{kind.name} {by} {value.strip().lower()}".encode(errors="surrogatepass")
        return f"plyr:rate:{hashlib.blake2b(said, key=self._secret, digest_size=16).hexdigest()}"

    def _verdict(self, kind: Kind, spent: Spent) -> Verdict:
        limit = spent.limit
        headers = {
            "RateLimit-Limit": str(limit.count),
            "RateLimit-Remaining": str(spent.remaining),
            "RateLimit-Reset": str(math.ceil(time.time() + spent.whole_in)),
            "RateLimit-Policy": f"{limit.count};w={limit.seconds}",
        }
        if spent.allowed:
            return Verdict(allowed=True, headers=headers, retry_after=0)
        self._refused.labels(kind.name.lower()).inc()
        wait = max(math.ceil(spent.wait), 1)
        return Verdict(allowed=False, headers={**headers, "Retry-After": str(wait)}, retry_after=wait)


def kind_of(nsid: str) -> Kind:
    """What a call of the procedure `nsid` counts as."""
    return Kind.UPLOAD if nsid == UPLOAD_BLOB else Kind.WRITE


@asynccontextmanager
async def limits_of(config: Config, registry: CollectorRegistry) -> AsyncIterator[Limits]:
    """The limits by these settings, and their connections to Redis while the block lasts."""
    redis = connect_redis(config.redis_url) if config.redis_url else None
    try:
        yield Limits(config, Rates(redis, registry), registry)
    finally:
        if redis is not None:
            await redis.aclose()
