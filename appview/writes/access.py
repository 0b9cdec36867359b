"""The account's PDS, spoken to by the grant that its owner gave us: what was answered, and what that means."""

import math
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

import orjson

from appview.accounts.grants import Grants
from appview.accounts.oauth import Granted, OAuth
from appview.accounts.oauth.errors import GrantEnded, OAuthError, TokenExpired
from appview.accounts.oauth.scopes import Need, missing
from appview.net.bodies import Body
from appview.net.errors import BadStatus, NetError, NotConnected, Refused
from appview.writes.errors import (
    InvalidSwap,
    PdsAway,
    PdsRefused,
    RateLimited,
    ScopeMissing,
    SignInAgain,
    printable,
)

_READY_SECONDS: Final = 10.0
_WHO_AM_I: Final = "com.atproto.server.getSession"
_MAX_PAUSE: Final = 86_400.0
# What a 401 is called that no other token would change (XR-08).
_OF_THE_ACCOUNT: Final = frozenset({"AccountTakedown", "AccountDeactivated", "AccountSuspended"})
_T = TypeVar("_T")
_OF_THE_SCOPE: Final = frozenset({"ScopeMissingError", "InsufficientScope", "insufficient_scope"})
# Statuses with which a server says that it did not take the request, though it might another time.
_TIRED: Final = frozenset({408, 425})
_OF_GATEWAYS: Final = frozenset({502, 504})
_MAX_ANSWER: Final = 512 * 1024
"""In bytes: of a commit with as many writes as there may be, several times over."""


class Lost(Exception):
    """No answer came that says whether the request was carried out. `status` is that with which the PDS itself said
    that it failed; a gateway before it, which would not wait any longer, says nothing of that.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class NotSent(Exception):
    """The PDS was not even reached: nothing can have been carried out."""


class _NotTaken(Exception):
    """The PDS does not let these tokens in."""


class Access:
    """One grant at work: its tokens are fetched when they are needed, and once more when the PDS does not take them."""

    def __init__(self, oauth: OAuth, grants: Grants, did: str, grant: int) -> None:
        self._oauth = oauth
        self._grants = grants
        self._did = did
        self._grant = grant
        self._granted: Granted | None = None

    async def granted(self, *needs: Need) -> Granted:
        """Tokens that are good now. Raises ScopeMissing, SignInAgain, PdsAway."""
        granted = self._granted = await self._fresh(None)
        if lacking := missing(granted.scope, needs):
            raise ScopeMissing(str(lacking[0]))
        return granted

    async def call(self, nsid: str, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """The answer to a procedure; see `post` for what is raised."""
        answer = await self.post(nsid, orjson.dumps(request), "application/json", seconds=seconds)
        try:
            said = orjson.loads(answer) if len(answer) <= _MAX_ANSWER else None
        except orjson.JSONDecodeError:
            said = None
        if not isinstance(said, dict):
            raise Lost("The PDS answered with something other than an object of JSON.")
        return said

    async def post(self, nsid: str, body: Body, mime: str, *, length: int | None = None, seconds: float) -> bytes:
        """What the PDS answers to `body`, in `seconds`.

        Raises Lost when nobody knows whether it was done, and when it was not: NotSent, SignInAgain, ScopeMissing,
        RateLimited, InvalidSwap, PdsRefused, PdsAway.
        """
        return await self._twice(lambda granted: self._post(granted, nsid, body, mime, length, seconds))

    async def ready(self) -> None:
        """Have the PDS take our tokens now, before much is sent to it. Raises as `post`, but for Lost and NotSent."""

        async def ask(granted: Granted) -> None:
            with suppress(NetError):
                await self._oauth.request(granted, "GET", f"{granted.pds}/xrpc/{_WHO_AM_I}", total=_READY_SECONDS)

        await self._twice(ask)

    async def _twice(self, ask: Callable[[Granted], Awaitable[_T]]) -> _T:
        """What `ask` brings, with other tokens where those that we have are not taken (WR-16)."""
        granted = self._granted or await self.granted()
        try:
            return await ask(granted)
        except (TokenExpired, _NotTaken):
            granted = self._granted = await self._fresh(granted.access_token)
        try:
            return await ask(granted)
        except (TokenExpired, _NotTaken) as error:
            raise SignInAgain(str(error)) from None

    async def _fresh(self, refused: str | None) -> Granted:
        try:
            granted = await self._grants.fresh(self._grant, refused=refused)
        except GrantEnded as error:
            raise SignInAgain(str(error)) from None
        except OAuthError as error:
            raise PdsAway(str(error)) from None
        if granted.did != self._did:
            raise SignInAgain("The grant is another account's.")
        return granted

    async def _post(
        self, granted: Granted, nsid: str, body: Body, mime: str, length: int | None, seconds: float
    ) -> bytes:
        """Raises TokenExpired or _NotTaken where other tokens may do; else as `post`."""
        url = f"{granted.pds}/xrpc/{nsid}"
        try:
            answer = await self._oauth.request(
                granted,
                "POST",
                url,
                body=body,
                content_type=mime,
                length=length,
                total=seconds,
            )
        except BadStatus as error:
            raise _meaning(error, granted.access_token) from None
        except (NotConnected, Refused) as error:
            raise NotSent(f"The PDS cannot be reached: {error}.") from None
        except NetError as error:
            raise Lost(f"The PDS gave no answer: {error}.") from None
        return answer.body


def _meaning(error: BadStatus, token: str) -> Exception:
    """What an answer says that is not the one hoped for; `token` is not to be seen in it, whatever the PDS says."""
    name, message = _answered(error)
    message = printable(message.replace(token, "…"))
    said = f"The PDS answered {error.status}{name and f' {name}'}{message and f': {message}'}"
    if error.status == 401 and name not in _OF_THE_ACCOUNT:
        return _NotTaken(said)
    if error.status >= 500 or error.status in _TIRED:
        return Lost(said, error.status if name and error.status not in _OF_GATEWAYS else None)
    if error.status == 429:
        return RateLimited(said, _pause(error))
    if error.status == 403 and name in _OF_THE_SCOPE:
        return ScopeMissing(message or "what this needs")
    if name == "InvalidSwap":
        return InvalidSwap(said)
    return PdsRefused(said, name=name or "UpstreamFailure", status=error.status)


def _answered(error: BadStatus) -> tuple[str, str]:
    """The name and the message of an error, as the PDS gave them; empty where it did not."""
    try:
        body = orjson.loads(error.body)
    except orjson.JSONDecodeError:
        return "", ""
    if not isinstance(body, dict):
        return "", ""
    name, message = body.get("error"), body.get("message")
    return _name(name), message if isinstance(message, str) else ""


def _name(name: object) -> str:
    return name if isinstance(name, str) and name.isascii() and name.isidentifier() and len(name) <= 64 else ""


def _pause(error: BadStatus) -> float | None:
    """Seconds until the PDS takes more, as it says in either of the headers for that."""
    if error.retry_after is not None:
        return error.retry_after
    try:
        until = float(error.headers.get("RateLimit-Reset", ""))
    except ValueError:
        return None
    return min(max(until - time.time(), 0.0), _MAX_PAUSE) if math.isfinite(until) else None
