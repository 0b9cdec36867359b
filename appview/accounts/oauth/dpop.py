"""Requests that prove who holds the key of a grant (RFC 9449, OA-30 to OA-36).

A server that wants a nonce says so once, and has its request again with a new proof; a second time is its last word.
"""

import base64
import hashlib
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping

import orjson

from appview.accounts.oauth.keys import ProofKey, token_id
from appview.net.cache import Clock
from appview.net.errors import BadStatus
from appview.net.http import Answer
from appview.net.policy import parse_url

Send = Callable[[dict[str, str]], Awaitable[Answer]]
"""Sends a request with these headers, anew at each call. Raises NetError."""

_is_nonce = re.compile(r"[!#-\[\]-~]{1,512}").fullmatch


class Nonces:
    """The last nonce of each server for each key, as many as there is room for: a lost one costs one more request."""

    def __init__(self, size: int = 20_000) -> None:
        self._size = size
        self._known: OrderedDict[tuple[str, str], str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, origin: str, thumbprint: str) -> str | None:
        """The nonce to use, if one is known."""
        return self._known.get((origin, thumbprint))

    def learn(self, origin: str, thumbprint: str, headers: Mapping[str, str]) -> str | None:
        """Take the nonce from an answer's headers, whatever the answer (OA-33); None when there is none."""
        nonce = headers.get("DPoP-Nonce")
        if nonce is None or _is_nonce(nonce) is None:
            return None
        self._known[origin, thumbprint] = nonce
        self._known.move_to_end((origin, thumbprint))
        while len(self._known) > self._size:
            self._known.popitem(last=False)
        return nonce


class Dpop:
    """Sends requests with a proof. `clock` gives seconds since the epoch."""

    def __init__(self, clock: Clock, nonces: Nonces | None = None) -> None:
        self._clock = clock
        self._nonces = nonces or Nonces()

    async def send(self, key: ProofKey, method: str, url: str, send: Send, *, token: str | None = None) -> Answer:
        """What `send` brings for `method` and `url` with a proof; for a resource server also with the access `token`.

        Once more, with a new proof, when the server asks for a nonce (OA-34). Raises what `send` raises.
        """
        origin = str(parse_url(url).origin())
        used = self._nonces.get(origin, key.thumbprint)
        try:
            return await self._try(key, method, url, send, token, used)
        except BadStatus as error:
            fresh = self._nonces.get(origin, key.thumbprint)
            if fresh is None or fresh == used or not wants_nonce(error):
                raise
        return await self._try(key, method, url, send, token, fresh)

    async def _try(
        self, key: ProofKey, method: str, url: str, send: Send, token: str | None, nonce: str | None
    ) -> Answer:
        origin = str(parse_url(url).origin())
        headers = {"DPoP": proof(key, method, url, self._clock(), nonce=nonce, token=token)}
        if token is not None:
            headers["Authorization"] = f"DPoP {token}"
        try:
            answer = await send(headers)
        except BadStatus as error:
            self._nonces.learn(origin, key.thumbprint, error.headers)
            raise
        self._nonces.learn(origin, key.thumbprint, answer.headers)
        return answer


def proof(
    key: ProofKey, method: str, url: str, now: float, *, nonce: str | None = None, token: str | None = None
) -> str:
    """The proof for one request (OA-31); with `token` it is bound to that, as a resource server wants it."""
    claims: dict[str, object] = {
        "jti": token_id(),
        "htm": method.upper(),
        "htu": url.partition("#")[0].partition("?")[0],
        "iat": int(now),
    }
    if nonce is not None:
        claims["nonce"] = nonce
    if token is not None:
        claims["ath"] = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
    return key.sign(claims)


def wants_nonce(error: BadStatus) -> bool:
    """Whether a server refuses for want of a nonce: in JSON as an authorization server, in a header as a resource."""
    if error.status not in (400, 401):
        return False
    return said_error(error) == "use_dpop_nonce" or challenges(error, "use_dpop_nonce")


def challenges(error: BadStatus, name: str) -> bool:
    """Whether the challenge of a refusal is for DPoP, and for the reason `name`."""
    challenge = error.headers.get("WWW-Authenticate", "").lower()
    return "dpop" in challenge and f'error="{name}"' in challenge


def said_error(error: BadStatus) -> str:
    """The `error` of a refusal in JSON; empty where there is none."""
    return text_of(error, "error")


def text_of(error: BadStatus, name: str) -> str:
    """A text field of a refusal in JSON; empty where there is none."""
    try:
        body = orjson.loads(error.body)
    except orjson.JSONDecodeError:
        return ""
    text = body.get(name) if isinstance(body, dict) else None
    return text if isinstance(text, str) else ""
