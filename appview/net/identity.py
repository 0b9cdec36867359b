"""Who a DID is: its document, from the PLC directory or its own host, and the handle that agrees with it both ways.

Everything is kept in memory and shared between callers, documents also in a store when one is given; `purge` is what
an `#identity` event does, `refresh` what a signature that does not verify may do, within limits (ID-30 to ID-32).
"""

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Final, Literal

import orjson

from appview.keys import PublicKey
from appview.net.cache import ERROR_TTL, MAX_AGE, Clock, FetchCache, Fetched, RateLimit
from appview.net.did_document import DidDocument, InvalidDocument, identity_at, parse_document
from appview.net.errors import (
    BadAnswer,
    BadStatus,
    BadSyntax,
    CouldNotCheck,
    Gone,
    IdentityError,
    NetError,
    NoSuchHost,
    NotFound,
    Unsupported,
    Unusable,
)
from appview.net.handles import HandleResolver
from appview.net.http import HttpClient
from appview.net.lookup import Dns
from appview.net.policy import parse_url
from appview.net.store import DocumentStore, StoredDocuments
from lexicons.formats import is_did, is_handle

HandleCheck = Literal["verified", "none_claimed", "mismatch", "unchecked"]
"""`mismatch`: the claimed handle names another DID or none. `unchecked`: that could not be found out now."""

_MAX_DOCUMENT: Final = 64 * 1024
_MAX_LOG: Final = 4 * 1024 * 1024
_PRELOAD: Final = 500
_MANY: Final = 1_000
_is_plc = re.compile(r"did:plc:[a-z2-7]{24}").fullmatch
_match_local_web = re.compile(r"did:web:localhost(?:%3A([0-9]{1,5}))?").fullmatch


@dataclass(frozen=True, slots=True)
class Identity:
    """A DID as it was at `fetched_at` (seconds since the epoch)."""

    document: DidDocument
    handle: str | None
    """Agreed upon by both sides; None is shown as `handle.invalid` (ID-08)."""
    handle_check: HandleCheck
    fetched_at: float

    @property
    def did(self) -> str:
        """The DID."""
        return self.document.did

    @property
    def signing_key(self) -> PublicKey | None:
        """The key that signs its commits."""
        return self.document.signing_key

    @property
    def pds(self) -> str | None:
        """The origin of its PDS."""
        return self.document.pds


class IdentityResolver:
    """DIDs and handles, resolved and remembered.

    `http` asks the hosts that strangers name. `plc_http`, when given, asks the directory, so that strangers' slow
    hosts cannot use up its connections. `store`, when given, is asked for a document before the directory is, so that
    a process that starts anew asks for no more than is old. Raises Refused at once when the policy forbids `plc_url`.
    """

    def __init__(
        self,
        http: HttpClient,
        dns: Dns,
        *,
        plc_url: str,
        plc_http: HttpClient | None = None,
        clock: Clock = time.time,
        size: int = 50_000,
        store: DocumentStore | None = None,
    ) -> None:
        self._http = http
        self._plc_http = plc_http or http
        self._plc_url = plc_url.rstrip("/")
        self._plc_http.policy.vet(parse_url(plc_url))
        self._dev = http.policy.dev
        self._clock = clock
        self._size = size
        self._stored = StoredDocuments(store, dev=self._dev, clock=clock) if store is not None else None
        self._documents = FetchCache(self._fetch_document, size=size, clock=clock, store=self._stored)
        self._handles = FetchCache(HandleResolver(http, dns).resolve, size=size, clock=clock)
        # Asked for seldom, and once for each question; one may be some megabytes large.
        self._logs = FetchCache(self._fetch_log, size=8, clock=clock)
        self._refreshes_of_did = RateLimit(1, 60, clock=clock)
        self._refreshes_of_host = RateLimit(60, 60, clock=clock)

    async def preload(self, dids: Iterable[str]) -> int:
        """Take what the store has of `dids`, and is not too old, into memory, as far as there is room.

        Returns how many documents that were.
        """
        if self._stored is None:
            return 0
        loaded, oldest = 0, self._clock() - MAX_AGE
        for chunk in _chunks(islice(dids, self._size), _PRELOAD):
            for did, (document, at) in (await self._stored.load_many(chunk)).items():
                if at > oldest:
                    self._documents.put(did, document, at)
                    loaded += 1
        return loaded

    async def document(self, did: str, *, max_age: float = MAX_AGE) -> DidDocument:
        """The document of `did`, at most `max_age` seconds old; its handle is only claimed. Raises IdentityError.

        What verifying commits needs, and no more: no handle's host can delay it.
        """
        return (await self._documents.get(did, max_age=max_age)).value

    async def resolve(self, did: str, *, max_age: float = MAX_AGE) -> Identity:
        """The identity of `did`, its handle verified both ways. Raises IdentityError for the DID only."""
        fetched = await self._documents.get(did, max_age=max_age)
        handle_check = await self._check_handle(fetched.value, max_age)
        handle = fetched.value.handle if handle_check == "verified" else None
        return Identity(fetched.value, handle, handle_check, fetched.at)

    async def resolve_handle(self, handle: str, *, max_age: float = MAX_AGE) -> Identity:
        """The identity that `handle` and its DID's document agree upon. Raises IdentityError."""
        did = (await self._handles.get(handle.lower(), max_age=max_age)).value
        identity = await self.resolve(did, max_age=max_age)
        if identity.handle != handle.lower():
            raise NotFound(f"the DID that the handle {handle.lower()} names does not claim it")
        return identity

    def remembered(self, did: str) -> Fetched[DidDocument] | None:
        """The document in memory, however old, and when it was asked for; nobody is asked."""
        return self._documents.peek_fetched(did)

    async def refresh(self, did: str, *, pds: str | None = None) -> DidDocument | None:
        """Fetch the document anew, for a signature that did not verify; None when that was done within a minute, or
        too often for the accounts of one PDS, which is `pds` unless another is remembered. Raises IdentityError; the
        older document is then kept.
        """
        known = self._documents.peek(did)
        host = (known and known.pds) or pds or ""
        if not self._refreshes_of_did.allow(did) or not self._refreshes_of_host.allow(host):
            return None
        return await self.document(did, max_age=0)

    def purge(self, did: str) -> None:
        """Forget what is known of `did`: something may have changed (ID-31)."""
        known = self._documents.peek(did)
        if known is not None and known.handle is not None:
            self._handles.purge(known.handle)
        self._documents.purge(did)
        self._logs.purge(did)

    @property
    def is_busy(self) -> bool:
        """Whether so many documents are being asked for that whoever can wait should."""
        return self._documents.under_way >= _MANY

    async def at(self, did: str, when: datetime, *, max_age: float = MAX_AGE) -> DidDocument:
        """The document as it was at `when` (aware), by a log of the directory that is at most `max_age` seconds old; of
        a did:web, as it is now.

        Raises IdentityError; Gone where the DID was a tombstone then.
        """
        if not _is_plc(did):
            return await self.document(did)
        log = (await self._logs.get(did, max_age=max_age)).value
        try:
            document = identity_at(did, log, when, dev=self._dev)
        except InvalidDocument as error:
            raise Unusable(str(error)) from error
        if document is None:
            raise Gone(f"{did} was given up at that time")
        return document

    async def aclose(self) -> None:
        """Cancel what is being fetched and write what the store has not. The clients are their owner's to close."""
        for cache in (self._documents, self._handles, self._logs):
            await cache.aclose()
        if self._stored is not None:
            await self._stored.aclose()

    async def _check_handle(self, document: DidDocument, max_age: float) -> HandleCheck:
        if document.handle is None:
            return "none_claimed"
        try:
            named = (await self._handles.get(document.handle, max_age=max_age)).value
            if named != document.did:
                # The handle may just have passed from the DID that we remember to this one.
                named = (await self._handles.get(document.handle, max_age=min(max_age, ERROR_TTL))).value
        except IdentityError as error:
            return "unchecked" if error.temporary else "mismatch"
        return "verified" if named == document.did else "mismatch"

    async def _fetch_document(self, did: str) -> DidDocument:
        if _is_plc(did):
            url, http = f"{self._plc_url}/{did}", self._plc_http
        else:
            url, http = self._web_url(did), self._http
        try:
            document = await _fetch_json(http, did, url, _MAX_DOCUMENT)
        except NotFound as error:
            if not isinstance(error, Gone):
                await self._refuse_tombstone(did)
            raise
        try:
            return parse_document(did, document, dev=self._dev)
        except InvalidDocument as error:
            raise Unusable(str(error)) from error

    async def _refuse_tombstone(self, did: str) -> None:
        """Raise Gone where the directory has no document of a did:plc since that was given up, as its log tells: the
        reference directory answers 404 for that too (ID-02).
        """
        if _is_plc(did):
            self._logs.purge(did)
            await self.at(did, datetime.fromtimestamp(self._clock(), UTC))

    async def _fetch_log(self, did: str) -> object:
        return await _fetch_json(self._plc_http, did, f"{self._plc_url}/{did}/log/audit", _MAX_LOG)

    def _web_url(self, did: str) -> str:
        """Where a did:web keeps its document (ID-03). Raises BadSyntax, Unsupported."""
        if not is_did(did) or did.startswith("did:plc:"):
            raise BadSyntax("the text is not a DID")
        if not did.startswith("did:web:"):
            raise Unsupported("a DID is of a method other than plc and web")
        local = _match_local_web(did)
        if local is not None and self._dev:
            return f"http://localhost:{local[1] or 80}/.well-known/did.json"
        host = did.removeprefix("did:web:")
        if not is_handle(host) or self._http.policy.names_special(host):
            raise Unsupported("a did:web is not a plain host name, or is under a name that is never resolved")
        return f"https://{host}/.well-known/did.json"


def _chunks(dids: Iterable[str], size: int) -> Iterator[list[str]]:
    left = iter(dids)
    while chunk := list(islice(left, size)):
        yield chunk


async def _fetch_json(http: HttpClient, did: str, url: str, max_bytes: int) -> object:
    """The JSON that `url` says of `did`, no redirect followed. Raises NotFound, Unusable or CouldNotCheck."""
    try:
        answer = await http.get(url, max_bytes=max_bytes, accept="application/did+ld+json, application/json")
        return _json(answer.body)
    except BadStatus as error:
        if error.status == 404:
            raise NotFound(f"{did} is not registered") from error
        if error.status == 410:
            raise Gone(f"{did} was given up") from error
        raise CouldNotCheck(f"{did} could not be looked up: {error}", retry_after=error.retry_after) from error
    except NetError as error:
        # The directory's own trouble says nothing of a DID; the host of a did:web speaks for it.
        if not _is_plc(did) and isinstance(error, NoSuchHost):
            raise NotFound(f"{did} has no host") from error
        if _is_plc(did) or error.temporary:
            raise CouldNotCheck(f"{did} could not be looked up: {error}") from error
        raise Unusable(f"{did} has no document that may be read: {error}") from error


def _json(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadAnswer("the answer is not JSON") from error
