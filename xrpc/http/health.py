"""`/xrpc/_health`: whether this process answers, and has a database to answer from (XR-32)."""

from importlib.metadata import PackageNotFoundError, version
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from xrpc.availability import within
from xrpc.context import context_of
from xrpc.errors import JSONResponse, Unavailable

PING_SECONDS: Final = 2.0


def _version() -> str:
    try:
        return version("plyr-appview")
    except PackageNotFoundError:
        # Started from a checkout of which only the requirements are installed.
        return "unknown"


VERSION: Final = _version()
_FRESH: Final = {"Cache-Control": "no-store"}


async def health(request: Request) -> Response:
    """200 with the version; 503 with it, and the reference implementation's error, when the database is away."""
    try:
        await within(PING_SECONDS, context_of(request).pool.fetchval("select 1"))
    except Unavailable as error:
        body = {"version": VERSION, "error": "Service Unavailable", "message": error.message}
        return JSONResponse(body, 503, headers={**error.headers, **_FRESH})
    return JSONResponse({"version": VERSION}, headers=_FRESH)
