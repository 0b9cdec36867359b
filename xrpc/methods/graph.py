"""`graph.*`: lists."""

from datetime import datetime
from typing import Any

from appview.reads import albums, lists, names
from xrpc import cursors
from xrpc.context import Context
from xrpc.errors import XrpcError
from xrpc.methods.asking import cursor_after, shown_account, shown_track, snapshot


async def get_list(ctx: Context, *, list_: str, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    """Answer `graph.getList`."""
    after = cursors.decode("items", cursor, int)
    async with snapshot(ctx) as connection:
        for uri in await names.with_dids(connection, [list_]):
            page = await lists.items(connection, uri, after=after, limit=limit)
            beside = await albums.unplaced(connection, uri) if page.last is None else []
            found = await ctx.views.list_with_items(connection, uri, page.items, beside, ctx.viewer)
            if found is not None:
                head, items, unplaced = found
                more = {"unplaced": unplaced} if unplaced else {}
                return {"list": head, "items": items, **more, **cursor_after("items", page.last)}
    raise XrpcError(400, "NotFound", "There is no such list here.")


async def get_actor_lists(
    ctx: Context, *, actor: str, list_type: str | None = None, limit: int = 50, cursor: str | None = None
) -> dict[str, Any]:
    """Answer `graph.getActorLists`."""
    after = cursors.decode("actor-lists", cursor, datetime, str)
    async with snapshot(ctx) as connection:
        did = await shown_account(connection, actor)
        page = await lists.by_author(connection, did, list_type, after=after, limit=limit)
        views = await ctx.views.lists(connection, page.uris, ctx.viewer)
    return {"lists": views, **cursor_after("actor-lists", page.last)}


async def get_lists(ctx: Context, *, uris: list[str]) -> dict[str, Any]:
    """Answer `graph.getLists`."""
    async with snapshot(ctx) as connection:
        known = dict.fromkeys(await names.with_dids(connection, uris))
        return {"lists": await ctx.views.lists(connection, list(known), ctx.viewer)}


async def get_lists_containing(
    ctx: Context, *, subject: str, limit: int = 50, cursor: str | None = None
) -> dict[str, Any]:
    """Answer `graph.getListsContaining`."""
    after = cursors.decode("lists-containing", cursor, datetime, str)
    async with snapshot(ctx) as connection:
        track = await shown_track(connection, subject)
        page = await lists.containing(connection, track, after=after, limit=limit)
        views = await ctx.views.lists(connection, page.uris, ctx.viewer)
    return {"subject": track, "lists": views, **cursor_after("lists-containing", page.last)}
