"""The least OAuth client there is, of somebody else and on their own machine: PAR, PKCE, DPoP, then XRPC at the PDS.

It trusts the PDS in everything, and its grant is good for an hour. For tests that want to see what a PDS does, or what
we do for users of other apps.
"""

import base64
import hashlib
import secrets
import time
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import aiohttp
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.network.pds import Pds
from tests.network.xrpc import Json, XrpcError

REDIRECT: Final = "http://127.0.0.1:8099/callback"
"""Where the PDS sends the browser; nobody listens there."""


class OAuthClient:
    """A loopback client with one DPoP key, that asks one PDS for `scope`; or one that says to be `client_id`."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        pds: Pds,
        scope: str,
        *,
        client_id: str | None = None,
        redirect: str = REDIRECT,
    ) -> None:
        self.pds = pds
        self.state = secrets.token_urlsafe(16)
        self.scope = scope
        self.redirect = redirect
        self.id = client_id or f"http://localhost?redirect_uri={quote(redirect, '')}&scope={quote(scope, '')}"
        self.did = ""
        self._session = session
        self._key = ECKey.generate_key("P-256")
        self._verifier = secrets.token_urlsafe(32)
        self._nonces: dict[bool, str] = {}
        self._token: str | None = None

    async def push(self) -> Json:
        """What the PDS answers to the request for an authorization."""
        form = {
            "client_id": self.id,
            "response_type": "code",
            "code_challenge": _base64url(hashlib.sha256(self._verifier.encode()).digest()),
            "code_challenge_method": "S256",
            "state": self.state,
            "redirect_uri": self.redirect,
            "scope": self.scope,
        }
        return await self._post("par", form)

    async def authorize_url(self) -> str:
        """Where the owner's browser is to go."""
        request = {"client_id": self.id, "request_uri": (await self.push())["request_uri"]}
        return f"{self.pds.url}/oauth/authorize?{urlencode(request)}"

    async def finish(self, callback: str) -> Json:
        """Take the grant for the code in the callback URL; what the PDS answers, an error too."""
        form = {"grant_type": "authorization_code", "code": said(callback)["code"], "code_verifier": self._verifier}
        granted = await self._post("token", form | {"redirect_uri": self.redirect, "client_id": self.id})
        if "access_token" in granted:
            self._token, self.did = granted["access_token"], granted["sub"]
        return granted

    async def query(self, nsid: str, proxy: str | None = None, **params: str) -> Json:
        """Ask the PDS, or by `proxy` the service of that name. Raises XrpcError."""
        headers = {"atproto-proxy": proxy} if proxy else {}
        return await self._call("GET", nsid, headers, params=params)

    async def procedure(self, nsid: str, value: Json, proxy: str | None = None) -> Json:
        """Have the PDS, or by `proxy` the service of that name, do something. Raises XrpcError."""
        headers = {"atproto-proxy": proxy} if proxy else {}
        return await self._call("POST", nsid, headers, json=value)

    async def put_record(self, collection: str, rkey: str, record: Json) -> Json:
        """Write a record; the answer of the PDS, with uri, cid and commit. `$type` is added to it when missing."""
        key = {"repo": self.did, "collection": collection, "rkey": rkey}
        return await self.procedure("com.atproto.repo.putRecord", key | {"record": {"$type": collection} | record})

    async def _call(self, verb: str, nsid: str, headers: dict[str, str], **more: Any) -> Json:
        status, answer = await self._send(verb, f"{self.pds.url}/xrpc/{nsid}", self._token, headers, **more)
        if status != 200:
            raise XrpcError(status, answer.get("error", "?"), answer.get("message", ""))
        return answer

    async def _post(self, endpoint: str, form: dict[str, str]) -> Json:
        return (await self._send("POST", f"{self.pds.url}/oauth/{endpoint}", None, {}, data=form))[1]

    async def _send(
        self, verb: str, url: str, token: str | None, headers: dict[str, str], **more: Any
    ) -> tuple[int, Json]:
        """Send a request with a proof of our key, and once more where the server wants a nonce in that."""
        for _ in range(2):
            sent = headers | {"DPoP": self._proof(verb, url, token)}
            if token:
                sent["Authorization"] = f"DPoP {token}"
            async with self._session.request(verb, url, headers=sent, **more) as response:
                nonce = response.headers.get("DPoP-Nonce")
                if nonce:
                    self._nonces[token is not None] = nonce
                answer: Json = await response.json(content_type=None)
                if answer.get("error") != "use_dpop_nonce":
                    break
        return response.status, answer

    def _proof(self, verb: str, url: str, token: str | None) -> str:
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self._key.as_dict(private=False)}
        claims: dict[str, Any] = {"jti": secrets.token_urlsafe(16), "htm": verb, "htu": url, "iat": int(time.time())}
        if nonce := self._nonces.get(token is not None):
            claims["nonce"] = nonce
        if token:
            claims["ath"] = _base64url(hashlib.sha256(token.encode()).digest())
        return jwt.encode(header, claims, self._key)


def said(callback: str) -> dict[str, str]:
    """The parameters of a callback URL."""
    return {name: one for name, [one] in parse_qs(urlsplit(callback).query, strict_parsing=True).items()}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
