"""From `/xrpc/{nsid}` to a handler and back to JSON, as the lexicons have it."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import orjson
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lexicons.catalog import Catalog
from lexicons.data import DataError, from_json
from lexicons.drisl import MAX_NESTING
from lexicons.formats import is_nsid
from lexicons.validate import InvalidValue, Validator
from xrpc.answers import Answer
from xrpc.auth import Authentication, about
from xrpc.availability import within
from xrpc.context import Context, context_of
from xrpc.errors import GENERAL, NAMES, InvalidRequest, Unavailable, XrpcError
from xrpc.hot import Hot
from xrpc.params import Parameters
from xrpc.service_auth import Caller
from xrpc.signatures import Handler, argument_name

ANSWER_SECONDS: Final = 5.0
"""A PDS that passes a request on to us waits 10 s for the answer to begin (XR-42)."""

MOST_AT_ONCE: Final = 256
"""Requests that may be in work; who comes on top of these hears at once that it is too much."""

MAX_BODY: Final = 100 * 1024
"""In bytes (XR-16)."""

BODY_SECONDS: Final = 5.0
"""How long a body that is announced may keep its first byte back."""

_LONGEST_HOT: Final = 2_048
"""In bytes, of a query string whose answer is kept."""
_PERSONAL: Final = frozenset({b"authorization", b"atproto-min-rev", b"transfer-encoding", b"content-length"})
"""Headers that an answer may depend on."""
_ALLOW: Final = {"Allow": "GET, HEAD, OPTIONS"}
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class InvalidOutput(Exception):
    """A handler answered, or failed, otherwise than its lexicon allows. Looked for in tests only."""


class Method:
    """One query: how it is asked, and what is made of the answer."""

    def __init__(self, nsid: str, handler: Handler, catalog: Catalog, validator: Validator, seconds: Histogram) -> None:
        definition = catalog.definition(nsid)
        self.nsid = nsid
        self.errors = GENERAL | {error["name"] for error in definition.get("errors", [])}
        self.parameters = Parameters(nsid, definition, validator)
        self.seconds = seconds.labels(nsid)
        self._handler = handler
        self._validator = validator

    async def ask(self, ctx: Context, values: Mapping[str, Any], seconds: float) -> bytes:
        """The answer as JSON, within `seconds`; `values` are by the lexicon's names."""
        arguments = {argument_name(name): value for name, value in values.items()}
        return orjson.dumps(await within(seconds, self._handler(ctx, **arguments)))

    def check_answer(self, body: bytes) -> None:
        """Raises InvalidOutput unless `body` is what the lexicon promises."""
        try:
            # A record may be as deep as any; here it lies deeper by what is around it.
            answer = from_json(orjson.loads(body), max_nesting=2 * MAX_NESTING)
            self._validator.validate(self.nsid, answer, "output")
        except (DataError, InvalidValue) as error:
            raise InvalidOutput(f"{self.nsid} answers what its lexicon does not allow: {error}") from error

    def check_error(self, error: XrpcError) -> None:
        """Raises InvalidOutput unless the lexicon declares an error of that name."""
        if error.name not in self.errors:
            raise InvalidOutput(f"{self.nsid} fails with {error.name}, which its lexicon does not declare") from error


class Dispatcher:
    """The ASGI application at `/xrpc/{nsid}`."""

    def __init__(
        self,
        catalog: Catalog,
        handlers: Mapping[str, Handler],
        registry: CollectorRegistry,
        *,
        validate_output: bool,
        hot: Hot,
    ) -> None:
        validator = Validator(catalog)
        self._validate_output = validate_output
        self._hot = hot
        self._at_once = 0
        seconds = Histogram(
            "plyr_xrpc_seconds",
            "From a request's parameters to its answer.",
            ["method"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._methods = {nsid: Method(nsid, handler, catalog, validator, seconds) for nsid, handler in handlers.items()}
        self._failures = Counter(
            "plyr_xrpc_errors", "Requests answered with an error.", ["method", "error"], registry=registry
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises XrpcError, which the application turns into a response."""
        request = Request(scope, receive)
        # Not the route's own match, which leaves out a newline at the end.
        nsid = scope["path"].removeprefix("/xrpc/")
        label = nsid if nsid in self._methods else "unknown"
        try:
            response = await self._respond(request, nsid)
        except XrpcError as error:
            self._failures.labels(label, error.name).inc()
            raise
        await response(scope, receive, send)

    async def _respond(self, request: Request, nsid: str) -> Answer | Response:
        method = self._find(nsid)
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=_ALLOW)
        if request.method not in {"GET", "HEAD"}:
            raise XrpcError(405, NAMES[405], "Incorrect HTTP method: this is a query.", headers=_ALLOW)
        with method.seconds.time():
            if self._may_be_hot(request):
                key = nsid, request.scope["query_string"]
                return await self._hot.answer(key, partial(self._ask, method, request))
            return await self._ask(method, request)

    @staticmethod
    def _may_be_hot(request: Request) -> bool:
        """Whether the answer depends on nothing but the query."""
        if len(request.scope["query_string"]) > _LONGEST_HOT:
            return False
        return _PERSONAL.isdisjoint(name for name, _ in request.scope["headers"])

    async def _ask(self, method: Method, request: Request) -> Answer:
        try:
            body, caller = await self._asked(method, request)
        except XrpcError as error:
            if self._validate_output:
                method.check_error(error)
            raise
        if self._validate_output:
            method.check_answer(body)
        return Answer(body, about(caller))

    async def _asked(self, method: Method, request: Request) -> tuple[bytes, Caller | None]:
        """The answer, and to whom. First what the lexicon says, then who calls, then the body (XR-07)."""
        authentication: Authentication = request.app.state.auth
        values = method.parameters.parse(request.scope["query_string"])
        began = time.monotonic()
        with self._place():
            caller = await authentication.caller(request.headers, method.nsid)
        # Whoever keeps a body back waits outside.
        waited = time.monotonic()
        await _refuse_body(request)
        began += time.monotonic() - waited
        with self._place():
            ctx = context_of(request, caller and caller.did, caller and caller.onward)
            return await method.ask(ctx, values, ANSWER_SECONDS - (time.monotonic() - began)), caller

    @contextmanager
    def _place(self) -> Iterator[None]:
        """One of the places of those that are in work. Raises Unavailable where all are taken."""
        if self._at_once >= MOST_AT_ONCE:
            raise Unavailable("More is asked of this server at once than it can answer.")
        self._at_once += 1
        try:
            yield
        finally:
            self._at_once -= 1

    def _find(self, nsid: str) -> Method:
        method = self._methods.get(nsid)
        if method is not None:
            return method
        if not is_nsid(nsid):
            raise InvalidRequest("What follows /xrpc/ is not an NSID.")
        raise XrpcError(501, NAMES[501], "There is no such method here.")


async def _refuse_body(request: Request) -> None:
    """Raises unless the request has no body, or an empty one in chunks (XR-15)."""
    size = request.headers.get("content-length", "0")
    if size.isdecimal() and (len(size) > 19 or int(size) > MAX_BODY):
        raise XrpcError(413, NAMES[413], f"A body of more than {MAX_BODY} bytes is not taken.")
    if size != "0" or "transfer-encoding" in request.headers:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in request.stream():
                    if chunk:
                        raise InvalidRequest("A query has no body.")
        except (ClientDisconnect, TimeoutError):
            raise InvalidRequest("The request broke off.") from None
