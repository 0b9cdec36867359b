"""Services that answer for feeds: found by their DIDs, asked within bounds, left alone while they do badly (VW-33).

NotAsked           the circuit is open, or too many calls are under way
Fault
├── DidNotAnswer   no answer came, or not in time, or the DID could not be looked up
└── InvalidAnswer  what came is nothing that a feed generator says, or the DID names none
Declined           it refused the question: with an error in the terms of XRPC, or since it cannot read the cursor
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, TypeVar

import orjson
from yarl import URL

from appview.net.circuits import Circuits, Fault, NotAsked
from appview.net.errors import BadStatus, IdentityError, NetError, Unreachable
from appview.net.http import HttpClient
from appview.net.identity import IdentityResolver

__all__ = ["Declined", "DidNotAnswer", "Fault", "Generators", "InvalidAnswer", "NotAsked"]

SERVICE: Final = ("#plyr_fg", "PlyrFeedGenerator")
SECONDS: Final = 3.0
"""For all of it: far below what our own callers wait."""
REFRESH_SECONDS: Final = 1.0
MAX_BYTES: Final = 256 * 1024
"""Of an answer: a hundred tracks take a twentieth of it."""

T = TypeVar("T")


class DidNotAnswer(Fault):
    """No answer came, or not in time, or it could not be found out whom to ask."""


class InvalidAnswer(Fault):
    """What came is nothing that a feed generator says, or the DID names none."""


class Declined(Exception):
    """It answered with an error: an HTTP status of 400-499, and the name and the message that XRPC has for it, or the
    status for a name; `retry_after` in seconds, at most a day, where it asked for a pause.
    """

    def __init__(self, status: int, name: str, message: str, *, retry_after: float | None) -> None:
        super().__init__(f"{status} {name}: {message}")
        self.status = status
        self.name = name
        self.message = message
        self.retry_after = retry_after


_OUTCOMES: Final[Mapping[type[Exception], str]] = {
    NotAsked: "not_asked",
    DidNotAnswer: "silent",
    InvalidAnswer: "invalid",
    Declined: "declined",
}


class Generators:
    """Feed generators, by the DIDs of their services. Nothing here needs the database.

    `observe` is told the outcome of each call, one word, and the seconds that it took; it may take `seconds`.
    """

    def __init__(
        self,
        http: HttpClient,
        identities: IdentityResolver,
        *,
        observe: Callable[[str, float], None],
        clock: Callable[[], float] = time.monotonic,
        seconds: float = SECONDS,
    ) -> None:
        self._http = http
        self._identities = identities
        self._observe = observe
        self._clock = clock
        self._seconds = seconds
        self.circuits: Final = Circuits(clock=clock)

    def is_online(self, service: str) -> bool:
        """Whether the service answers, as far as it was asked here."""
        return not self.circuits.is_broken(service)

    def is_valid(self, service: str) -> bool:
        """Whether its DID names a generator and that says what one says, as far as it was asked here."""
        return self.circuits.last_fault(service) is not InvalidAnswer

    async def ask(
        self,
        service: str,
        method: str,
        parameters: Mapping[str, str | int],
        read: Callable[[object], T],
        *,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """What `read` makes of the JSON that the service, a DID, answers to the query `method`.

        `read` raises InvalidAnswer for what it cannot use. A `cursor` among the parameters is whatever a caller says
        that it is: no answer of 400-499 to it is a fault. Raises NotAsked, DidNotAnswer, InvalidAnswer, Declined.
        """
        outcome, began = "given_up", self._clock()
        try:
            with self.circuits.call(service) as is_trial:
                body = await self._within_time(service, method, parameters, headers, is_trial=is_trial)
                answer = read(_json(body))
        except (NotAsked, DidNotAnswer, InvalidAnswer, Declined) as error:
            outcome = _OUTCOMES[type(error)]
            raise
        else:
            outcome = "answered"
            return answer
        finally:
            self._observe(outcome, self._clock() - began)

    async def _within_time(
        self,
        service: str,
        method: str,
        parameters: Mapping[str, str | int],
        headers: Mapping[str, str] | None,
        *,
        is_trial: bool,
    ) -> bytes:
        try:
            async with asyncio.timeout(self._seconds):
                origin = await self._origin(service, is_trial=is_trial)
                return await self._get(URL(origin) / "xrpc" / method % parameters, headers)
        except TimeoutError:
            raise DidNotAnswer(f"{service} did not answer in time") from None

    async def _origin(self, service: str, *, is_trial: bool) -> str:
        if is_trial:
            # It failed for a while: it may have moved. Whoever is down as well does not make it worse.
            with suppress(IdentityError, TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS):
                    await self._identities.refresh(service)
        try:
            document = await self._identities.document(service)
        except IdentityError as error:
            kind = DidNotAnswer if error.temporary else InvalidAnswer
            raise kind(f"{service} is not to be found: {error}") from error
        origin = document.service(*SERVICE)
        if origin is None:
            raise InvalidAnswer(f"{service} has no service {SERVICE[0]} of the type {SERVICE[1]} at an https origin")
        return origin

    async def _get(self, url: URL, headers: Mapping[str, str] | None) -> bytes:
        try:
            answer = await self._http.get(
                url, max_bytes=MAX_BYTES, accept="application/json", headers=headers, total=self._seconds
            )
        except BadStatus as error:
            raise _of_status(error, has_cursor="cursor" in url.query) from error
        except Unreachable as error:
            raise DidNotAnswer(str(error)) from error
        except NetError as error:
            raise InvalidAnswer(str(error)) from error
        return answer.body


def _of_status(error: BadStatus, *, has_cursor: bool) -> Exception:
    """What an answer with a status outside 200-299 is."""
    if 400 <= error.status < 500:
        name, message = _xrpc_error(error.body)
        if name is not None or has_cursor:
            return Declined(error.status, name or f"{error.status}", message, retry_after=error.retry_after)
    return DidNotAnswer(str(error)) if error.temporary else InvalidAnswer(str(error))


def _xrpc_error(body: bytes) -> tuple[str | None, str]:
    """The name and the message of an error, where it has them."""
    try:
        said = _json(body)
    except InvalidAnswer:
        return None, ""
    name, message = (said.get("error"), said.get("message")) if isinstance(said, dict) else (None, None)
    return name if isinstance(name, str) else None, message if isinstance(message, str) else ""


def _json(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidAnswer("its answer is not JSON") from error
