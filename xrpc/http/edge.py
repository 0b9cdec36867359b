"""The outermost layer: what is the same for every request and every response.

Any origin may read any answer (XR-30): a browser that is told `*` lets nobody read what a cookie was sent for. The
pages of accounts are not for other origins at all. Each request has an id, in `X-Request-Id`, in the log, and as
`request_id` in its scope. Query strings are not logged.
"""

import itertools
import logging
import re
import secrets
import time
from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xrpc.errors import NAMES, XrpcError, error_response
from xrpc.http.account.problems import answer as answer_problem
from xrpc.http.account.problems import unexpected

_EXPOSED: Final = (
    "atproto-content-labelers",
    "atproto-repo-rev",
    "ratelimit-limit",
    "ratelimit-policy",
    "ratelimit-remaining",
    "ratelimit-reset",
    "retry-after",
    "www-authenticate",
    "x-request-id",
)
_ALWAYS: Final = (
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
_PUBLIC: Final = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", ", ".join(_EXPOSED).encode()),
    *_ALWAYS,
)
_POLICY: Final = b"content-security-policy"
_NO_PAGE: Final = b"default-src 'none'; frame-ancestors 'none'"
_PREFLIGHT: Final[Mapping[str, str]] = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, OPTIONS",
    "Access-Control-Max-Age": "86400",
    "Vary": "Access-Control-Request-Headers",
}
# Of this process, and of each request to it: to be found in a log, not to be secret.
_OURS: Final = f"{secrets.token_hex(5)}-"
_numbers: Final = itertools.count(1)
SLOW_MS: Final = 1_000.0
"""What takes longer is in the log, and what failed; the rest is counted in the metrics, and logged for debugging."""

_is_of_an_account = re.compile(r"/(?:oauth|account)(?:/.*)?", re.DOTALL).fullmatch
_is_request_id = re.compile(r"[A-Za-z0-9._-]{1,64}").fullmatch
_is_header_list = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,4096}").fullmatch

log = logging.getLogger(__name__)


class Edge:
    """Middleware: ids, CORS, security headers, the log, and the answer to an exception that nothing expected.

    With `strict`, for tests, such an exception is also raised.
    """

    def __init__(self, app: ASGIApp, *, strict: bool) -> None:
        self._app = app
        self._strict = strict

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, and dress what comes back."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        scope["request_id"] = exchange.id
        headers = Headers(scope=scope)
        try:
            if exchange.is_public and _is_preflight(scope["method"], headers):
                await _preflight(headers)(scope, receive, exchange.send)
            else:
                await self._app(scope, receive, exchange.send)
        except Exception:
            log.exception("%s failed (request %s)", exchange.what, exchange.id)
            # An answer that has begun cannot be taken back: the server breaks the connection off.
            if self._strict or exchange.status is not None:
                raise
            await _failure(scope, exchange)(scope, receive, exchange.send)
        finally:
            exchange.log()


class _Exchange:
    """One request, and what is sent in return."""

    def __init__(self, scope: Scope, send: Send) -> None:
        given = Headers(scope=scope).get("x-request-id", "")
        self.id = given if _is_request_id(given) else f"{_OURS}{next(_numbers):x}"
        self.status: int | None = None
        self._path: str = scope["path"]
        self.is_public = _is_of_an_account(self._path) is None
        # Whatever a path holds, it is one line of the log, and not a long one.
        self.what = f"{scope['method'][:20]} {ascii(self._path)[1:-1][:300]}"
        self._send = send
        self._bytes = 0
        self._began = time.perf_counter()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            # By hand, since every answer comes through here.
            given = dict(message["headers"])
            more = [(b"x-request-id", self.id.encode())]
            more += [header for header in (_PUBLIC if self.is_public else _ALWAYS) if header[0] not in given]
            if not given.get(b"content-type", b"").startswith(b"text/html") and _POLICY not in given:
                more.append((_POLICY, _NO_PAGE))
            message["headers"] = [*message["headers"], *more]
        elif message["type"] == "http.response.body":
            self._bytes += len(message.get("body", b""))
        await self._send(message)

    def log(self) -> None:
        milliseconds = (time.perf_counter() - self._began) * 1000
        is_ordinary = self.status is not None and self.status < 400 and milliseconds < SLOW_MS
        level = logging.DEBUG if is_ordinary else logging.INFO
        log.log(level, "%s %s %.1f ms %d B (request %s)", self.what, self.status, milliseconds, self._bytes, self.id)


def _failure(scope: Scope, exchange: _Exchange) -> Response:
    """Of the pages of accounts, a page."""
    if exchange.is_public:
        return error_response(XrpcError(500, NAMES[500], "Internal Server Error"))
    return answer_problem(Request(scope), unexpected())


def _is_preflight(method: str, headers: Headers) -> bool:
    return method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


def _preflight(headers: Headers) -> Response:
    wanted = headers.get("access-control-request-headers", "")
    allowed = {"Access-Control-Allow-Headers": wanted} if _is_header_list(wanted) else {}
    return Response(status_code=204, headers={**_PREFLIGHT, **allowed})
