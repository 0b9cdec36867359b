"""`/`: the page for people. It is made anew at most once a second, however many look at it."""

import asyncio
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import asyncpg
from starlette.requests import Request
from starlette.responses import Response

from appview.reads.stats import stats
from xrpc.availability import within
from xrpc.context import Context, context_of
from xrpc.errors import RETRY_AFTER, Unavailable
from xrpc.http.page.gather import gather
from xrpc.http.page.render import Content, page, policy
from xrpc.http.ready import freshness
from xrpc.methods.asking import snapshot

QUERY_SECONDS: Final = 3.0
CACHE_SECONDS: Final = 1.0
TRACKS: Final = 12


class Page:
    """The page of an application whose methods are `nsids`."""

    def __init__(self, nsids: Iterable[str]) -> None:
        self._nsids = sorted(nsids)
        self._lock = asyncio.Lock()
        self._made_at = float("-inf")
        self._status = 0
        self._body = b""

    async def answer(self, request: Request) -> Response:
        """The page: 200, or 503 while the database does not answer."""
        ctx = context_of(request)
        async with self._lock:
            if time.monotonic() - self._made_at >= CACHE_SECONDS:
                self._status, self._body = await self._make(ctx)
                self._made_at = time.monotonic()
        headers = {"Content-Security-Policy": policy(dev=ctx.config.dev), "Cache-Control": "no-cache"}
        if self._status == 503:
            headers["Retry-After"] = str(RETRY_AFTER)
        return Response(self._body, self._status, headers, "text/html")

    async def _make(self, ctx: Context) -> tuple[int, bytes]:
        try:
            content: Content | str = await within(QUERY_SECONDS, _content(ctx))
        except Unavailable as error:
            content = error.message
        except asyncpg.UndefinedTableError:
            content = "The database has no tables yet."
        document = page(ctx.config, ctx.catalog, self._nsids, content)
        return (503 if isinstance(content, str) else 200), document.encode("utf-8", "replace")


async def _content(ctx: Context) -> Content:
    async with snapshot(ctx) as connection:
        said = await stats(connection)
        samples = await gather(ctx, connection, TRACKS)
        uris = [track["uri"] for track in samples.tracks]
        rows = await connection.fetch("select uri, sort_at from tracks where uri = any($1)", uris)
    lags, _ = await freshness(ctx.pool)
    return Content(said, lags, samples, dict(map(tuple, rows)), datetime.now(UTC))
