"""From `/xrpc/{nsid}` to a handler and back to JSON, as the lexicons have it."""

import asyncio
import collections
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lexicons.catalog import Catalog
from lexicons.formats import is_nsid
from lexicons.validate import Validator
from xrpc.answers import Answer
from xrpc.auth import Authentication, about
from xrpc.bodies import Body, read_json, refuse_body, require_any_type
from xrpc.callers import Caller
from xrpc.context import context_of
from xrpc.errors import NAMES, InvalidRequest, Unavailable, XrpcError
from xrpc.hot import Hot
from xrpc.limits import Limits, Who, kind_of
from xrpc.method import Method
from xrpc.signatures import Handler
from xrpc.writing import writing

ANSWER_SECONDS: Final = 5.0
"""A PDS that passes a request on to us waits 10 s for the answer to begin (XR-42)."""

WRITE_SECONDS: Final = 30.0
UPLOAD_SECONDS: Final = 600.0
"""What a procedure may take, which waits for the caller's PDS; from the first byte of an upload."""

MOST_AT_ONCE: Final = 256
"""Queries that may be in work; who comes on top of these hears at once that it is too much."""

MOST_WRITES: Final = 256
MOST_UPLOADS: Final = 64
"""The same of procedures, apart: PDSes that are slow, and uploads that trickle, keep nobody from reading."""

MOST_WRITES_EACH: Final = 8
MOST_UPLOADS_EACH: Final = 2
"""Of these of one account: whose PDS says nothing does not hold the places of others."""

_LONGEST_HOT: Final = 2_048
"""In bytes, of a query string whose answer is kept."""
_PERSONAL: Final = frozenset({b"authorization", b"cookie", b"atproto-min-rev", b"transfer-encoding", b"content-length"})
"""Headers that an answer may depend on."""
_VERBS: Final[Mapping[bool, str]] = {True: "GET, HEAD, OPTIONS", False: "POST, OPTIONS"}
"""By whether it is a query."""
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_SEVERAL: Final = "writes"
"""Of applyWrites, each of which counts."""

_is_key = re.compile(r"[!-~]{1,255}").fullmatch


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
        self._validator = Validator(catalog)
        self._validate_output = validate_output
        self._hot = hot
        self._queries = _Places(MOST_AT_ONCE)
        self._writes = _Places(MOST_WRITES, MOST_WRITES_EACH)
        self._uploads = _Places(MOST_UPLOADS, MOST_UPLOADS_EACH)
        seconds = Histogram(
            "plyr_xrpc_seconds",
            "From a request's parameters to its answer.",
            ["method"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._methods = {
            nsid: Method(nsid, handler, catalog, self._validator, seconds) for nsid, handler in handlers.items()
        }
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
        verbs = {"Allow": _VERBS[method.is_query]}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=verbs)
        if request.method not in ({"GET", "HEAD"} if method.is_query else {"POST"}):
            kind = "query" if method.is_query else "procedure"
            raise XrpcError(405, NAMES[405], f"Incorrect HTTP method: this is a {kind}.", headers=verbs)
        with method.seconds.time(), self._declared(method):
            if not method.is_query:
                return await self._do(method, request)
            if self._may_be_hot(request):
                _limits(request).read(_who(request, None))
                key = nsid, request.scope["query_string"]
                return await self._hot.answer(key, partial(self._ask, method, request))
            return await self._ask(method, request)

    @contextmanager
    def _declared(self, method: Method) -> Iterator[None]:
        """With `validate_output`, have errors raised that the lexicon does not declare."""
        try:
            yield
        except XrpcError as error:
            if self._validate_output:
                method.check_error(error)
            raise

    @staticmethod
    def _may_be_hot(request: Request) -> bool:
        """Whether the answer depends on nothing but the query."""
        if len(request.scope["query_string"]) > _LONGEST_HOT:
            return False
        return _PERSONAL.isdisjoint(name for name, _ in request.scope["headers"])

    async def _ask(self, method: Method, request: Request) -> Answer:
        """The answer to a query. First what the lexicon says, then who calls, then the body (XR-07)."""
        values = method.parameters.parse(request.scope["query_string"])
        began = time.monotonic()
        with self._queries.one():
            caller = await self._caller(method, request)
        # Whoever keeps a body back waits outside.
        waited = time.monotonic()
        await refuse_body(request)
        began += time.monotonic() - waited
        if not self._may_be_hot(request):
            _limits(request).read(_who(request, caller))
        with self._queries.one():
            ctx = context_of(request, caller)
            body = await method.ask(ctx, values, ANSWER_SECONDS - (time.monotonic() - began))
        if self._validate_output:
            method.check_answer(body)
        return Answer(body, about(caller))

    async def _do(self, method: Method, request: Request) -> Response:
        """The answer to a procedure. First who calls, then the input, which is read of nobody else."""
        with self._queries.one():
            caller = await self._caller(method, request)
        ctx = context_of(request, caller, idempotency_key=_idempotency_key(request))
        viewer = ctx.required_viewer()
        verdict = await _limits(request).check(kind_of(method.nsid), _who(request, caller))
        verdict.require()
        values = await self._input(method, request)
        if (more := len(values.get(_SEVERAL, ())) - 1) > 0:
            verdict = await _limits(request).check(kind_of(method.nsid), _who(request, caller), more)
            verdict.require()
        with (self._uploads if method.takes_bytes else self._writes).one(viewer):
            try:
                async with asyncio.timeout(UPLOAD_SECONDS if method.takes_bytes else WRITE_SECONDS):
                    with writing(method.errors):
                        body = await method.do(ctx, values)
            except TimeoutError:
                raise XrpcError(504, NAMES[504], "That took too long: look whether it was done.") from None
        if self._validate_output:
            method.check_answer(body)
        headers = {"Cache-Control": "no-store", **verdict.headers}
        return Response(body, headers=headers, media_type="application/json" if body else None)

    async def _caller(self, method: Method, request: Request) -> Caller | None:
        authentication: Authentication = request.app.state.auth
        limits = _limits(request)
        # Whoever brings no token pays for nobody's bad ones.
        address = limits.address(request.scope) if "authorization" in request.headers else None
        with limits.unproven(address):
            return await authentication.caller(request.headers, method.nsid, writes=not method.is_query)

    async def _input(self, method: Method, request: Request) -> dict[str, Any]:
        if not method.has_input:
            await refuse_body(request)
            return {}
        if method.takes_bytes:
            require_any_type(request)
            return {"body": Body(request)}
        return await read_json(request, method.nsid, self._validator)

    def _find(self, nsid: str) -> Method:
        method = self._methods.get(nsid)
        if method is not None:
            return method
        if not is_nsid(nsid):
            raise InvalidRequest("What follows /xrpc/ is not an NSID.")
        raise XrpcError(501, NAMES[501], "There is no such method here.")


class _Places:
    """Of those who are in work at once, at most `most`, and `most_each` for one account."""

    def __init__(self, most: int, most_each: int | None = None) -> None:
        self._most = most
        self._most_each = most if most_each is None else most_each
        self._taken = 0
        self._of: collections.Counter[str] = collections.Counter()

    @contextmanager
    def one(self, account: str = "") -> Iterator[None]:
        """One of them. Raises Unavailable where all are taken, and XrpcError where the account has its share (429)."""
        if self._taken >= self._most:
            raise Unavailable("More is asked of this server at once than it can answer.")
        if self._of[account] >= self._most_each:
            headers = {"Retry-After": "1"}
            raise XrpcError(429, NAMES[429], "More of your calls are under way than may be at once.", headers=headers)
        self._taken += 1
        self._of[account] += 1
        try:
            yield
        finally:
            self._taken -= 1
            self._of[account] -= 1
            if not self._of[account]:
                del self._of[account]


def _limits(request: Request) -> Limits:
    limits: Limits = request.app.state.limits
    return limits


def _who(request: Request, caller: Caller | None) -> Who:
    address = _limits(request).address(request.scope)
    return Who(address) if caller is None else Who(address, caller.did, caller.grant)


def _idempotency_key(request: Request) -> str | None:
    """The `Idempotency-Key` of a request. Raises InvalidRequest where it is none."""
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    if len(given) > 1 or _is_key(given[0]) is None:
        raise InvalidRequest("Idempotency-Key is to be given once, as up to 255 visible characters of ASCII.")
    return given[0]
