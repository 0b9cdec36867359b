"""From what somebody types to the authorization server that may say who they are (10.2, steps 1 to 4).

An account's DID document names its PDS, the PDS names one authorization server, and that names itself: each is asked
directly, no redirect is followed, and nothing is believed that two of them do not say alike.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, TypeVar

import orjson

from appview.accounts.oauth.errors import NotAnAccount, OAuthError, ServerAway, Untrusted
from appview.net.cache import Clock
from appview.net.did_document import DidDocument, origin_of
from appview.net.errors import BadStatus, CouldNotCheck, IdentityError, NetError, Refused
from appview.net.http import HttpClient
from appview.net.identity import IdentityResolver
from appview.net.policy import parse_url
from lexicons.formats import is_did, is_handle

V = TypeVar("V")

REMEMBERED: Final = 300.0
"""Seconds for which what was found is taken as it was; ten minutes are the most that the protocol allows."""

_MAX_DOCUMENT: Final = 32 * 1024
_MAX_TEXT: Final = 2048
_RESOURCE: Final = "/.well-known/oauth-protected-resource"
_SERVER: Final = "/.well-known/oauth-authorization-server"

_REQUIRED_LISTS: Final[Mapping[str, frozenset[str]]] = {
    "response_types_supported": frozenset({"code"}),
    "grant_types_supported": frozenset({"authorization_code", "refresh_token"}),
    "code_challenge_methods_supported": frozenset({"S256"}),
    "token_endpoint_auth_methods_supported": frozenset({"none", "private_key_jwt"}),
    "token_endpoint_auth_signing_alg_values_supported": frozenset({"ES256"}),
    "dpop_signing_alg_values_supported": frozenset({"ES256"}),
    "scopes_supported": frozenset({"atproto"}),
}
_REQUIRED_FLAGS: Final = (
    "authorization_response_iss_parameter_supported",
    "require_pushed_authorization_requests",
    "client_id_metadata_document_supported",
)


@dataclass(frozen=True, slots=True)
class Server:
    """An authorization server, as its metadata has it; every URL may be asked by our policy."""

    issuer: str
    authorization_endpoint: str
    par_endpoint: str
    token_endpoint: str
    revocation_endpoint: str | None
    scopes: frozenset[str]
    protected: frozenset[str] | None
    """The resources that it says it serves, where it says so."""


class Start(NamedTuple):
    """Where a sign-in begins: without an account when only a server was named (OA-11)."""

    server: Server
    did: str | None = None
    hint: str | None = None
    """The account as it was typed, for the server's page."""


class Home(NamedTuple):
    """Where an account lives."""

    pds: str
    server: Server


class Discovery:
    """Asks accounts' PDSes and authorization servers, and remembers briefly. Through `http`, under its policy."""

    def __init__(self, http: HttpClient, identities: IdentityResolver, clock: Clock) -> None:
        self._http = http
        self._identities = identities
        self._dev = http.policy.dev
        self._issuers: _Recent[str] = _Recent(clock)
        self._servers: _Recent[Server] = _Recent(clock)

    async def start(self, text: str) -> Start:
        """The server for what somebody typed: a handle, a DID, or the URL of a PDS or an authorization server.

        Raises NotAnAccount, ServerAway, Untrusted.
        """
        account = _as_typed(text)
        if "://" in account:
            return Start(await self._start_at(account))
        try:
            if is_did(account):
                did, hint = account, account
            elif is_handle(account):
                hint = account.lower()
                did = (await self._identities.resolve_handle(hint, max_age=REMEMBERED)).did
            else:
                raise NotAnAccount("that is neither a handle such as alice.example.com, nor a DID, nor a server's URL")
            return Start((await self.home(did)).server, did, hint)
        except IdentityError as error:
            raise _identity_failure(error) from error

    async def home(self, did: str, *, fresh: bool = False) -> Home:
        """The PDS of `did` and its authorization server; `fresh` asks all of them again (10.2, step 10).

        Raises NotAnAccount, ServerAway, Untrusted.
        """
        document = await self._document(did, fresh=fresh)
        if document.pds is None:
            raise NotAnAccount(f"{did} names no PDS")
        issuer = await self._issuer_of(document.pds, fresh=fresh)
        server = await self.server(issuer, fresh=fresh)
        if server.protected is not None and document.pds not in server.protected:
            raise Untrusted(f"{issuer} does not say that it serves {document.pds}, which says so")
        return Home(document.pds, server)

    async def server(self, issuer: str, *, fresh: bool = False) -> Server:
        """The authorization server `issuer`, an origin. Raises ServerAway, Untrusted."""
        known = None if fresh else self._servers.get(issuer)
        if known is None:
            known = self._read_server(issuer, await self._fetch(issuer, _SERVER))
            self._servers.put(issuer, known)
        return known

    async def _document(self, did: str, *, fresh: bool) -> DidDocument:
        try:
            return await self._identities.document(did, max_age=0 if fresh else REMEMBERED)
        except IdentityError as error:
            known = None if fresh or not error.temporary else self._identities.remembered(did)
            if known is None:
                raise _identity_failure(error) from error
            # A directory that is down for an hour must not keep anybody from a server that is not.
            return known.value

    async def _start_at(self, url: str) -> Server:
        origin = origin_of(url, dev=self._dev)
        if origin is None:
            raise NotAnAccount("that is not the https:// address of a server, without a path")
        try:
            issuer = await self._issuer_of(origin, fresh=False)
        except _NoDocument:
            # An authorization server that is no PDS, such as that of many PDSes, is a place to begin as well.
            issuer = origin
        return await self.server(issuer)

    async def _issuer_of(self, pds: str, *, fresh: bool) -> str:
        """The authorization server of a PDS (step 3)."""
        known = None if fresh else self._issuers.get(pds)
        if known is None:
            document = await self._fetch(pds, _RESOURCE)
            if document.get("resource") != pds:
                raise Untrusted(f"{pds} says that it is another resource")
            servers = document.get("authorization_servers")
            if not isinstance(servers, list) or len(servers) != 1:
                raise Untrusted(f"{pds} does not name exactly one authorization server")
            known = servers[0]
            if not isinstance(known, str) or origin_of(known, dev=self._dev) != known:
                raise Untrusted(f"{pds} names an authorization server that is no https origin")
            self._issuers.put(pds, known)
        return known

    def _read_server(self, issuer: str, document: Mapping[str, Any]) -> Server:
        """The metadata of `issuer`, checked (step 4)."""
        if document.get("issuer") != issuer:
            raise Untrusted(f"{issuer} says that it is another issuer")
        for name, required in _REQUIRED_LISTS.items():
            if not required <= _texts(document.get(name)):
                raise Untrusted(f"{issuer} does not support what the protocol requires of {name}")
        for name in _REQUIRED_FLAGS:
            if document.get(name) is not True:
                raise Untrusted(f"{issuer} does not support {name}")
        has_revocation = document.get("revocation_endpoint") is not None
        says_whom = document.get("protected_resources") is not None
        return Server(
            issuer=issuer,
            authorization_endpoint=self._endpoint(issuer, document, "authorization_endpoint"),
            par_endpoint=self._endpoint(issuer, document, "pushed_authorization_request_endpoint"),
            token_endpoint=self._endpoint(issuer, document, "token_endpoint"),
            revocation_endpoint=self._endpoint(issuer, document, "revocation_endpoint") if has_revocation else None,
            scopes=_texts(document.get("scopes_supported")),
            protected=_texts(document["protected_resources"]) if says_whom else None,
        )

    def _endpoint(self, issuer: str, document: Mapping[str, Any], name: str) -> str:
        url = document.get(name)
        try:
            if not isinstance(url, str) or "#" in url:
                raise Refused("it is no URL without a fragment")
            self._http.policy.vet(parse_url(url))
        except Refused as error:
            raise Untrusted(f"the {name} of {issuer} cannot be used: {error}") from error
        return url

    async def _fetch(self, origin: str, path: str) -> dict[str, Any]:
        """A JSON document of `origin`: 200, and no redirect."""
        try:
            answer = await self._http.get(origin + path, max_bytes=_MAX_DOCUMENT, accept="application/json")
        except NetError as error:
            if isinstance(error, BadStatus) and error.status == 404:
                raise _NoDocument(f"{origin} has no {path}, as a server for signing in would have") from error
            raise net_failure(origin, error) from error
        mime = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        try:
            document = orjson.loads(answer.body) if answer.status == 200 and mime == "application/json" else None
        except orjson.JSONDecodeError:
            document = None
        if not isinstance(document, dict):
            raise Untrusted(f"{origin}{path} is not a JSON document")
        return document


class _NoDocument(Untrusted):
    """The server has no such document."""


class _Recent(Generic[V]):
    """Values of the last `REMEMBERED` seconds, at most `size`."""

    def __init__(self, clock: Clock, size: int = 500) -> None:
        self._clock = clock
        self._size = size
        self._kept: OrderedDict[str, tuple[V, float]] = OrderedDict()

    def get(self, key: str) -> V | None:
        value, at = self._kept.get(key, (None, 0.0))
        return value if self._clock() - at < REMEMBERED else None

    def put(self, key: str, value: V) -> None:
        self._kept[key] = value, self._clock()
        self._kept.move_to_end(key)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)


def net_failure(host: str, error: NetError) -> OAuthError:
    """What a failure to speak with `host` says of it."""
    if error.temporary:
        return ServerAway(
            f"{host} cannot be asked now: {error}",
            retry_after=error.retry_after if isinstance(error, BadStatus) else None,
        )
    return Untrusted(f"{host} is no server that may be asked: {error}")


def _identity_failure(error: IdentityError) -> OAuthError:
    if error.temporary:
        retry_after = error.retry_after if isinstance(error, CouldNotCheck) else None
        return ServerAway(f"the account cannot be looked up now: {error}", retry_after=retry_after)
    return NotAnAccount(f"there is no such account: {error}")


def _as_typed(text: str) -> str:
    """What somebody meant: without the marks and invisible characters that come with copying a name."""
    visible = "".join(character for character in text[:_MAX_TEXT] if character.isprintable()).strip()
    return visible.removeprefix("at://").removeprefix("@")


def _texts(value: object) -> frozenset[str]:
    return frozenset(text for text in value if isinstance(text, str)) if isinstance(value, list) else frozenset()
