"""A sign-in, from the name that somebody types to a grant that is proven to be theirs (10.2, steps 5 to 10)."""

import asyncio
import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from appview.accounts.oauth.asking import Asking
from appview.accounts.oauth.discovery import Discovery, Server, Start
from appview.accounts.oauth.errors import (
    BadCallback,
    NotAnAccount,
    OAuthError,
    ServerAway,
    ServerRefused,
    Untrusted,
)
from appview.accounts.oauth.forms import Forms
from appview.accounts.oauth.granted import Begun, Granted, Party
from appview.accounts.oauth.keys import ProofKey
from appview.accounts.oauth.metadata import Client
from appview.accounts.oauth.tokens import TokenService, read_tokens
from appview.net.cache import Clock

_BEGIN_SECONDS: Final = 30.0
"""For all that a beginning asks; somebody waits for it."""

_is_code = re.compile(r"[!-~]{1,4096}").fullmatch
_is_request_uri = re.compile(r"[!-~]{1,2048}").fullmatch


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class _Request:
    """A sign-in under way, as it is kept."""

    state: str
    issuer: str
    did: str | None
    verifier: str
    dpop_key: str
    redirect_uri: str
    scope: str
    client_id: str
    key_id: str | None

    def as_secret(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


class Flow:
    """Begins and completes sign-ins."""

    def __init__(
        self, client: Client, asking: Asking, discovery: Discovery, forms: Forms, tokens: TokenService, clock: Clock
    ) -> None:
        self._client = client
        self._asking = asking
        self._discovery = discovery
        self._forms = forms
        self._tokens = tokens
        self._clock = clock

    async def begin(self, text: str, scope: str | None) -> Begun:
        """Ask the server of what somebody typed for leave to ask them. Raises OAuthError."""
        try:
            async with asyncio.timeout(_BEGIN_SECONDS):
                start = await self._discovery.start(text)
                return await self._push(start, scope)
        except TimeoutError:
            raise ServerAway("the servers of that account take too long to answer") from None

    async def complete(self, secret: Mapping[str, Any], params: Mapping[str, str]) -> Granted:
        """The grant for a callback's `params`, every check of steps 8 to 10 made. Raises OAuthError.

        Tokens that are not accepted are revoked.
        """
        request = _Request(**secret)
        code = _check_callback(request, params)
        server = await self._discovery.server(request.issuer)
        party = Party(request.client_id, request.key_id, ProofKey.from_json(request.dpop_key))
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": request.verifier,
            "redirect_uri": request.redirect_uri,
        }
        began = self._clock()
        answer = await self._forms.token(server, party, fields)
        try:
            return await self._accept(request, answer, began)
        except OAuthError:
            await self._tokens.reject(server, party, answer)
            raise

    async def _push(self, start: Start, scope: str | None) -> Begun:
        key, verifier, state = ProofKey.generate(), secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        fields = {
            "response_type": "code",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "state": state,
            "redirect_uri": self._client.redirect_uri,
        }
        if start.hint is not None:
            fields["login_hint"] = start.hint
        party, asked, request_uri = await self._introduce(start.server, key, fields, scope)
        request = _Request(
            state=state,
            issuer=start.server.issuer,
            did=start.did,
            verifier=verifier,
            dpop_key=key.to_json(),
            redirect_uri=self._client.redirect_uri,
            scope=asked,
            client_id=party.client_id,
            key_id=party.key_id,
        )
        page = start.server.authorization_endpoint
        query = urlencode({"client_id": party.client_id, "request_uri": request_uri})
        return Begun(f"{page}{'&' if '?' in page else '?'}{query}", state, request.as_secret())

    async def _introduce(
        self, server: Server, key: ProofKey, fields: Mapping[str, str], scope: str | None
    ) -> tuple[Party, str, str]:
        """As whom the server knows us, and what `_climb_down` brings.

        A server may know no newer keys of ours than those of ten minutes ago: it is told the older ones then.
        """
        *older, oldest = (Party(self._client.id, key_id, key) for key_id in self._client.key_ids)
        for party in older:
            try:
                return party, *await self._climb_down(server, party, fields, scope)
            except ServerRefused as error:
                if error.error != "invalid_client":
                    raise
        return oldest, *await self._climb_down(server, oldest, fields, scope)

    async def _climb_down(
        self, server: Server, party: Party, fields: Mapping[str, str], scope: str | None
    ) -> tuple[str, str]:
        """The first scope that the server understands, and the URI of the request for it."""
        refused: ServerRefused | None = None
        for asked in self._asking.ladder(scope, server.scopes):
            try:
                answer = await self._forms.push(server, party, {**fields, "scope": asked})
            except ServerRefused as error:
                if error.error != "invalid_scope":
                    raise
                refused = error
                continue
            request_uri = answer.get("request_uri")
            if not isinstance(request_uri, str) or not _is_request_uri(request_uri):
                raise Untrusted(f"{server.issuer} gives no address for the request")
            return asked, request_uri
        raise refused or ServerRefused("invalid_scope")

    async def _accept(self, request: _Request, answer: Mapping[str, Any], began: float) -> Granted:
        """The grant, if its server is the one that the account itself names, now (OA-10)."""
        new = read_tokens(answer, began)
        if new.scope is None:
            raise Untrusted(f"{request.issuer} does not say what it grants")
        if request.did not in (None, new.did):
            raise Untrusted(f"{request.issuer} answers for another account than {request.did}")
        try:
            home = await self._discovery.home(new.did, fresh=True)
        except NotAnAccount as error:
            raise Untrusted(f"{request.issuer} answers for {new.did}, which is no account") from error
        if home.server.issuer != request.issuer:
            raise Untrusted(f"{request.issuer} answers for {new.did}, which is an account of {home.server.issuer}")
        return Granted(
            did=new.did,
            issuer=request.issuer,
            pds=home.pds,
            client_id=request.client_id,
            key_id=request.key_id,
            scope=self._asking.as_granted(new.scope),
            access_token=new.access,
            refresh_token=new.refresh,
            expires_at=new.expires_at,
            dpop_key=request.dpop_key,
            asked=request.scope,
        )


def _check_callback(request: _Request, params: Mapping[str, str]) -> str:
    """The code in a callback's parameters (step 8). Raises BadCallback, or ServerRefused for an error that is told."""
    if not hmac.compare_digest(params.get("state", "").encode(errors="replace"), request.state.encode()):
        raise BadCallback("the answer is not to this request")
    if params.get("iss") != request.issuer:
        raise BadCallback("the answer does not come from the server that was asked")
    if "error" in params:
        raise ServerRefused(params["error"], params.get("error_description", ""))
    code = params.get("code", "")
    if not _is_code(code):
        raise BadCallback("the answer holds no code")
    return code
