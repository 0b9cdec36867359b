"""`feed.*`: the feeds that others answer for. What they answer is asked for in `xrpc/generators.py`."""

from datetime import datetime
from typing import Any

from appview.reads import generators, names
from xrpc import cursors
from xrpc.context import Context
from xrpc.errors import XrpcError
from xrpc.methods.asking import cursor_after, reading, shown_account


async def get_feed_generator(ctx: Context, *, feed: str) -> dict[str, Any]:
    """Answer `feed.getFeedGenerator`."""
    async with reading(ctx) as connection:
        views = await ctx.views.generators(connection, await names.with_dids(connection, [feed]), ctx.viewer)
    if not views:
        raise XrpcError(400, "UnknownFeed", "There is no such feed here.")
    service = views[0]["did"]
    return {
        "view": views[0],
        "isOnline": ctx.generators.is_online(service),
        "isValid": ctx.generators.is_valid(service),
    }


async def get_feed_generators(ctx: Context, *, feeds: list[str]) -> dict[str, Any]:
    """Answer `feed.getFeedGenerators`."""
    async with reading(ctx) as connection:
        known = dict.fromkeys(await names.with_dids(connection, feeds))
        return {"feeds": await ctx.views.generators(connection, list(known), ctx.viewer)}


async def get_actor_feeds(ctx: Context, *, actor: str, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    """Answer `feed.getActorFeeds`."""
    after = cursors.decode("actor-feeds", cursor, datetime, str)
    async with reading(ctx) as connection:
        did = await shown_account(connection, actor)
        page = await generators.by_author(connection, did, after=after, limit=limit)
        views = await ctx.views.generators(connection, page.uris, ctx.viewer)
    return {"feeds": views, **cursor_after("actor-feeds", page.last)}


async def get_suggested_feeds(ctx: Context, *, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    """Answer `feed.getSuggestedFeeds`."""
    after = cursors.decode("suggested-feeds", cursor, int, datetime, str)
    ours = [ctx.config.service_did, *ctx.config.operators]
    silent = ctx.generators.circuits.broken
    async with reading(ctx) as connection:
        page = await generators.suggested(connection, ours, silent, after=after, limit=limit)
        views = await ctx.views.generators(connection, page.uris, ctx.viewer)
    return {"feeds": views, **cursor_after("suggested-feeds", page.last)}
