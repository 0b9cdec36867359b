"""`/docs` and `/docs/recipes`: the API for people who build with it, on what is really here.

Both are made anew at most every five seconds. While the database is away they are there all the same, without examples.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import asyncpg
from starlette.requests import Request
from starlette.responses import Response

from xrpc.availability import within
from xrpc.context import Context, context_of
from xrpc.errors import Unavailable
from xrpc.http.docs.layout import POLICY, document
from xrpc.http.docs.recipes import recipes
from xrpc.http.docs.reference import reference
from xrpc.http.page.examples import Samples
from xrpc.http.page.gather import gather
from xrpc.http.page.html import Html
from xrpc.methods.asking import snapshot

QUERY_SECONDS: Final = 3.0
CACHE_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 1.0
"""Until another look at a database that was away, or at an index in which there was nothing."""
TRACKS: Final = 12

_HEADERS: Final = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
_Make: TypeAlias = Callable[[Context, Samples], Html]


class Docs:
    """The pages of an application whose methods are `nsids`."""

    def __init__(self, nsids: Iterable[str]) -> None:
        self._nsids = sorted(nsids)
        self.reference = _Kept(self._reference).answer
        self.recipes = _Kept(self._recipes).answer

    def _reference(self, ctx: Context, samples: Samples) -> Html:
        body, contents = reference(ctx.config, ctx.catalog, self._nsids, samples)
        lead = "Every method, with all that goes in and comes out. The forms ask this very server about what is here."
        return document(ctx.config, "/docs", heading="Ask for the music.", lead=lead, body=body, contents=contents)

    def _recipes(self, ctx: Context, samples: Samples) -> Html:
        body, contents = recipes(ctx.config, samples)
        lead = "What to ask, in which order, to build the screens that a music app has. The requests are real."
        heading = "From questions to screens."
        return document(ctx.config, "/docs/recipes", heading=heading, lead=lead, body=body, contents=contents)


class _Kept:
    """One page, kept for a while."""

    def __init__(self, make: _Make) -> None:
        self._make = make
        self._lock = asyncio.Lock()
        self._stale_at = float("-inf")
        self._body = b""

    async def answer(self, request: Request) -> Response:
        """The page."""
        async with self._lock:
            if time.monotonic() >= self._stale_at:
                ctx = context_of(request)
                samples = await _samples(ctx)
                self._body = self._make(ctx, samples).encode("utf-8", "replace")
                self._stale_at = time.monotonic() + (CACHE_SECONDS if samples.tracks else RETRY_SECONDS)
        return Response(self._body, headers=_HEADERS, media_type="text/html")


async def _samples(ctx: Context) -> Samples:
    try:
        return await within(QUERY_SECONDS, _gather(ctx))
    except (Unavailable, asyncpg.UndefinedTableError):
        return Samples()


async def _gather(ctx: Context) -> Samples:
    async with snapshot(ctx) as connection:
        return await gather(ctx, connection, TRACKS)
