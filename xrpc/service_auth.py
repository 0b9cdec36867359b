"""Who calls: the service-auth token of a request, verified in full (7.6), or nobody.

One statement tells the caller's standing, key and indexed rev. The network is asked only for the document of an
issuer of whom the index has none, and once in a minute for that of one whose token does not verify.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeVar

from prometheus_client import CollectorRegistry
from starlette.datastructures import Headers

from appview.accounts.replays import Replays, TooManyTokens, connect_redis
from appview.accounts.service_jwt import BadToken, ServiceToken, read_token
from appview.config import Config
from appview.db import Pool
from appview.net.cache import ERROR_TTL, MAX_AGE, RateLimit
from appview.net.did_document import DidDocument, InvalidDocument, parse_document
from appview.net.errors import CouldNotCheck, IdentityError
from appview.net.identity import IdentityResolver
from appview.reads.callers import Standing, standing
from xrpc.availability import within
from xrpc.callers import Caller
from xrpc.errors import Unauthenticated, Unavailable

SERVICE: Final = "#plyr_appview"
"""What a PDS is told to pass calls on to, after our DID."""

QUERY_SECONDS: Final = 2.0
KEY_SECONDS: Final = 3.0
"""For the document of an issuer; whoever waits for it waits ten at most (XR-42)."""

ONWARD: Final = {"feed.getFeed": "feed.getFeedSkeleton"}
"""Methods, by name, for which others are asked, and what a token must be for that is meant for those (VW-33)."""

MAX_QUESTIONS: Final = 1_200
"""A minute, about issuers, of each kind and DID method: anybody can write a token that names one."""

MAX_WAITING: Final = 32
"""Callers at once who wait for documents of issuers of one DID method, a part of those that a process answers at once:
a crowd of issuers whose hosts say nothing holds up neither those of the directory nor anybody else."""

MAX_WAITING_EACH: Final = 8
"""Of these for one issuer, which of did:web is one host; a page of a client asks some things at once."""

GENERATOR: Final = "#plyr_fg"
_OF_GENERATOR: Final = frozenset({"feed.describeFeedGenerator", "feed.getFeedSkeleton"})
"""Methods, by name, for which a token may be addressed to the feed generator that we are too."""

_TOO_MANY: Final = "Too many issuers of tokens are being looked up at present."

T = TypeVar("T")


class _Known(NamedTuple):
    """An issuer's document, and when it was asked for, in seconds since the epoch."""

    document: DidDocument
    at: float


class _Waiting:
    """Who waits for the document of an issuer; nobody for long."""

    def __init__(self) -> None:
        self._of: Counter[str] = Counter()

    @contextmanager
    def one(self, did: str) -> Iterator[None]:
        """One more, while the block lasts. Raises Unavailable where they are too many."""
        # The host of a did:web may be written in letters of either case.
        method, issuer = did[:8], did.lower()
        if self._of[method] >= MAX_WAITING or self._of[issuer] >= MAX_WAITING_EACH:
            raise Unavailable(_TOO_MANY)
        self._of.update((method, issuer))
        try:
            yield
        finally:
            self._of.subtract((method, issuer))
            if not self._of[issuer]:
                del self._of[issuer]


class ServiceAuth:
    """The check of service-auth tokens."""

    def __init__(
        self,
        config: Config,
        pool: Pool,
        identities: IdentityResolver,
        registry: CollectorRegistry,
        *,
        clock: Callable[[], float] = time.time,
        max_questions: int = MAX_QUESTIONS,
    ) -> None:
        self._audiences = (config.service_did, config.service_did + SERVICE)
        self._generator = config.service_did + GENERATOR
        self._of_generator = {f"{config.namespace}.{name}" for name in _OF_GENERATOR}
        self._onward = {f"{config.namespace}.{ours}": f"{config.namespace}.{theirs}" for ours, theirs in ONWARD.items()}
        self._pool = pool
        self._identities = identities
        self._dev = config.dev
        self._clock = clock
        self._redis = connect_redis(config.redis_url) if config.redis_url else None
        self._replays = Replays(self._redis, registry, clock=clock)
        self._questions = RateLimit(max_questions, 60, clock=clock)
        self._waiting = _Waiting()

    async def aclose(self) -> None:
        """Close the connections to Redis."""
        if self._redis is not None:
            await self._redis.aclose()

    async def caller(self, text: str, nsid: str) -> Caller:
        """Who calls the method `nsid` by the token `text`.

        One that does not hold is an error also where nobody needs to say anything (XR-55). Raises Unauthenticated, and
        Unavailable where it cannot be found out.
        """
        try:
            token, is_ours = self._read(text, nsid)
        except BadToken as error:
            raise Unauthenticated(error.name, str(error)) from None
        stands = await within(QUERY_SECONDS, standing(self._pool, token.issuer))
        await self._require_signature(token, stands)
        if is_ours:
            # Whether another's was used before is that one's to say.
            await self._require_first_use(token)
        require_welcome(stands)
        return Caller(token.issuer, stands.rev, None if is_ours else text)

    def _read(self, text: str, nsid: str) -> tuple[ServiceToken, bool]:
        """The claims of a token for calling `nsid`, and whether it is for us. Raises BadToken."""
        now, onward = self._clock(), self._onward.get(nsid)
        audiences = (*self._audiences, self._generator) if nsid in self._of_generator else self._audiences
        try:
            return read_token(text, audiences=audiences, method=nsid, now=now), True
        except BadToken as error:
            if error.name != "BadJwtAudience" or onward is None:
                raise
            try:
                return read_token(text, audiences=None, method=onward, now=now), False
            except BadToken as other:
                raise (error if other.name == "BadJwtLexiconMethod" else other) from None

    async def _require_signature(self, token: ServiceToken, stands: Standing) -> None:
        began = self._clock()
        known = self._known(token.issuer, stands) or await self._looked_up(token.issuer, stands)
        if token.is_signed_by(known.document.signing_key):
            return
        if known.at < began:
            with self._waiting.one(token.issuer):
                self._require_budget(f"refresh {token.issuer[:8]}")
                document = await _answered(self._identities.refresh(token.issuer, pds=known.document.pds))
            if document is not None and token.is_signed_by(document.signing_key):
                return
        raise Unauthenticated("BadJwtSignature", "The token is not signed by the key of its issuer.")

    def _known(self, did: str, stands: Standing) -> _Known | None:
        """The newest document that is here, in the index or in memory; None where the index has none, or an old one.

        The ingester takes one out of the index as soon as it hears of a change.
        """
        if stands.document is None or self._clock() - stands.document_at >= MAX_AGE:
            return None
        remembered = self._identities.remembered(did)
        if remembered is not None and remembered.at > stands.document_at:
            return _Known(remembered.value, remembered.at)
        try:
            return _Known(parse_document(did, stands.document, dev=self._dev), stands.document_at)
        except InvalidDocument:
            return None

    async def _looked_up(self, did: str, stands: Standing) -> _Known:
        """The document as it is remembered, or as it is fetched now.

        For a day at most; of an account whose repository is here only for as long as it may take until its document
        is back in the index, whence it was taken since something changed.
        """
        max_age = MAX_AGE if stands.rev is None else ERROR_TTL
        remembered = self._identities.remembered(did)
        if remembered is not None and self._clock() - remembered.at < max_age:
            return _Known(await _answered(self._identities.document(did, max_age=max_age)), remembered.at)
        with self._waiting.one(did):
            self._require_budget(f"look up {did[:8]}")
            return _Known(await _answered(self._identities.document(did, max_age=max_age)), self._clock())

    def _require_budget(self, question: str) -> None:
        if not self._questions.allow(question):
            raise Unavailable(_TOO_MANY)

    async def _require_first_use(self, token: ServiceToken) -> None:
        try:
            if not await self._replays.is_first_use(token):
                raise Unauthenticated("BadJwt", "The token was used before; each is good for one call.")
        except TooManyTokens:
            raise Unavailable(
                "Too many long-lived tokens are in use; one of at most a minute is still taken."
            ) from None


def bearer(headers: Headers) -> str | None:
    """The token of a request; None without an `Authorization`. Raises Unauthenticated."""
    given = headers.getlist("authorization")
    if not given:
        return None
    scheme, _, token = given[0].strip().partition(" ")
    if len(given) > 1 or scheme.lower() != "bearer" or not token:
        # Basic is for operators, and DPoP for the caller's own PDS (XR-53, XR-54).
        raise Unauthenticated("MissingJwt", "Authorization is to be Bearer with a service-auth token, once.")
    return token.strip()


def require_welcome(stands: Standing) -> None:
    """Raises Unauthenticated where the account is not active, or was taken down here (6)."""
    if stands.taken_down or (not stands.active and stands.status in {"takendown", "suspended"}):
        raise Unauthenticated("AccountTakedown", "The account that calls was taken down or suspended.")
    if not stands.active:
        raise Unauthenticated("AccountDeactivated", "The account that calls is not active at present.")


async def _answered(asked: Coroutine[Any, Any, T]) -> T:
    """What is said of an issuer. Raises Unauthenticated where there is none, and Unavailable for want of an answer."""
    try:
        async with asyncio.timeout(KEY_SECONDS):
            return await asked
    except (CouldNotCheck, TimeoutError) as error:
        raise Unavailable("The key of the token's issuer cannot be looked up at present.") from error
    except IdentityError as error:
        raise Unauthenticated("BadJwtIss", "The token's iss is a DID that does not resolve.") from error
