"""What can be wrong with a request, as XRPC tells it (XR-02 … XR-09): a status, a name, and a sentence for people.

    XrpcError
    ├── InvalidRequest    400: the caller can put it right
    ├── Unauthenticated   401: nobody said who calls, or what was said does not hold
    └── Unavailable       503: what the answer needs does not answer; worth trying again, after `Retry-After`

A method raises the names that its lexicon declares, or one of GENERAL.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

NAMES: Final[Mapping[int, str]] = {
    400: "InvalidRequest",
    401: "AuthenticationRequired",
    403: "Forbidden",
    404: "XRPCNotSupported",
    405: "InvalidRequest",
    406: "NotAcceptable",
    413: "PayloadTooLarge",
    415: "UnsupportedMediaType",
    429: "RateLimitExceeded",
    500: "InternalServerError",
    501: "MethodNotImplemented",
    502: "UpstreamFailure",
    503: "NotEnoughResources",
    504: "UpstreamTimeout",
}
"""What an error is called when nothing more particular is known of it than its status (XR-03)."""

AUTHENTICATION: Final = frozenset(
    {
        "AccountDeactivated",
        "AccountTakedown",
        "AuthMissing",
        "AuthRequired",
        "BadJwt",
        "BadJwtAudience",
        "BadJwtIss",
        "BadJwtLexiconMethod",
        "BadJwtSignature",
        "BadJwtType",
        "InvalidToken",
        "JwtExpired",
        "MissingJwt",
    }
)
"""What a 401 is called (XR-08)."""

GENERAL: Final = frozenset(NAMES.values()) | AUTHENTICATION
"""The names that any method may answer with, declared or not."""

RETRY_AFTER: Final = 5
"""In seconds: a database that restarts is back by then."""


class XrpcError(Exception):
    """The answer to a request is this error."""

    def __init__(self, status: int, name: str, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.name = name
        self.message = message
        self.headers = headers or {}


class InvalidRequest(XrpcError):
    """The request is not one that the lexicon describes; the message says what to change."""

    def __init__(self, message: str) -> None:
        super().__init__(400, NAMES[400], message)


class Unauthenticated(XrpcError):
    """Nobody said who calls, or what was said does not hold; `name` is one of AUTHENTICATION."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(401, name, message, headers={"WWW-Authenticate": "Bearer"})


class Unavailable(XrpcError):
    """What the answer needs, mostly the database, does not answer, or not in time."""

    def __init__(self, message: str) -> None:
        super().__init__(503, NAMES[503], message, headers={"Retry-After": str(RETRY_AFTER)})


class JSONResponse(Response):
    """A response whose body is `content`, as JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The bytes of `content`. Raises TypeError for what JSON has no form for, lone surrogates among it."""
        return orjson.dumps(content)


def error_response(error: XrpcError) -> Response:
    """`error` as it goes out (XR-02)."""
    body = {"error": error.name, "message": error.message}
    return JSONResponse(body, error.status, headers={"Cache-Control": "no-store", **error.headers})


async def answer_xrpc_error(_request: Request, error: Exception) -> Response:
    """The exception handler for XrpcError."""
    if not isinstance(error, XrpcError):
        raise error
    return error_response(error)


async def answer_http_error(request: Request, error: Exception) -> Response:
    """The exception handler for what the framework itself refuses: no such path, no such verb."""
    if not isinstance(error, HTTPException):
        raise error
    phrase = HTTPStatus(error.status_code).phrase
    name = phrase.replace(" ", "")
    if f"{request.scope['path']}/".startswith("/xrpc/"):
        name = NAMES.get(error.status_code, NAMES[400])
    return error_response(XrpcError(error.status_code, name, f"{phrase}.", headers=error.headers))
