"""What a request carries behind its headers: nothing, JSON, or bytes that are passed on as they come (7.2)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request

from lexicons.data import DataError, parse_json, to_json
from lexicons.validate import Validator
from xrpc.errors import NAMES, InvalidRequest, XrpcError

MAX_BODY: Final = 100 * 1024
"""In bytes, of a query, which has none (XR-16)."""

MAX_JSON: Final = 1_000_000
"""In bytes, of a procedure's input: what a PDS takes for records (XR-16)."""

MAX_MARKS: Final = 10_000
"""Commas and brackets in it: two hundred tracks, or a list of a thousand items, have fewer."""

BODY_SECONDS: Final = 5.0
"""How long a body that is announced may keep its first byte back; JSON, all of it."""

CHUNK_SECONDS: Final = 20.0
"""How long an upload may pause."""


class Body:
    """Bytes of the caller's, to be read once, as they come."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.mime: Final = _essence(request)
        """Its media type, in lower case, without parameters."""
        self.size: Final = _announced(request)
        """In bytes, as announced; None where that was not said."""

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes. Raises InvalidRequest where they break off, or pause for long."""
        stream = self._request.stream()
        try:
            while True:
                async with asyncio.timeout(CHUNK_SECONDS):
                    chunk = await anext(stream, None)
                if chunk is None:
                    return
                if chunk:
                    yield chunk
        except (ClientDisconnect, TimeoutError):
            raise InvalidRequest("The request broke off.") from None


async def refuse_body(request: Request) -> None:
    """Raises unless the request has no body, or an empty one in chunks (XR-15)."""
    _refuse_more(_announced(request), MAX_BODY)
    if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in request.stream():
                    if chunk:
                        raise InvalidRequest("There is no body to this method.")
        except (ClientDisconnect, TimeoutError):
            raise InvalidRequest("The request broke off.") from None


async def read_json(request: Request, nsid: str, validator: Validator) -> dict[str, Any]:
    """The input of the procedure `nsid`, an object as JSON has it, once its lexicon has allowed it.

    Raises InvalidRequest, and XrpcError with 413 or 415.
    """
    _require_type(request, "application/json")
    _refuse_more(_announced(request), MAX_JSON)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                _refuse_more(len(body), MAX_JSON)
    except (ClientDisconnect, TimeoutError):
        raise InvalidRequest("The request broke off.") from None
    return parse_input(bytes(body), nsid, validator)


def parse_input(body: bytes, nsid: str, validator: Validator) -> dict[str, Any]:
    """As `read_json`, of what was read."""
    try:
        # Strictly, so that no two readers of it find two things in it.
        value = parse_json(body, max_marks=MAX_MARKS)
    except DataError as error:
        raise InvalidRequest(f"The body is not JSON as it is used here: {error}.") from None
    if found := validator.violations(nsid, value, "input"):
        raise InvalidRequest(str(found[0]))
    parsed: dict[str, Any] = to_json(value)
    return parsed


def require_any_type(request: Request) -> None:
    """Raises InvalidRequest unless it is said what the body is."""
    if not _essence(request):
        raise InvalidRequest("Content-Type is to say what the body is.")
    _require_plain(request)


def _require_type(request: Request, wanted: str) -> None:
    if _essence(request) != wanted:
        raise InvalidRequest(f"Content-Type is to be {wanted}.")
    _require_plain(request)


def _require_plain(request: Request) -> None:
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise XrpcError(415, NAMES[415], "A body is taken as it is, not compressed.")


def _essence(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _announced(request: Request) -> int | None:
    text = request.headers.get("content-length")
    if text is None or not text.isdecimal():
        return None
    return int(text[:19])


def _refuse_more(size: int | None, most: int) -> None:
    if size is not None and size > most:
        raise XrpcError(413, NAMES[413], f"A body of more than {most} bytes is not taken.")
