"""`graph.*`: lists."""

from datetime import datetime
from typing import Any

from appview.reads import lists, names
from xrpc import cursors
from xrpc.context import Context
from xrpc.errors import XrpcError
from xrpc.methods.asking import cursor_after, shown_account, snapshot


async def get_list(ctx: Context, *, list_: str, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    """Answer `graph.getList`."""
    after = cursors.decode("items", cursor, int)
    async with snapshot(ctx) as connection:
        for uri in await names.with_dids(connection, [list_]):
            page = await lists.items(connection, uri, after=after, limit=limit)
            found = await ctx.views.list_with_items(connection, uri, page.items)
            if found is not None:
                head, items = found
                return {"list": head, "items": items, **cursor_after("items", page.last)}
    raise XrpcError(400, "NotFound", "There is no such list here.")


async def get_actor_lists(
    ctx: Context, *, actor: str, list_type: str | None = None, limit: int = 50, cursor: str | None = None
) -> dict[str, Any]:
    """Answer `graph.getActorLists`."""
    after = cursors.decode("actor-lists", cursor, datetime, str)
    async with snapshot(ctx) as connection:
        did = await shown_account(connection, actor)
        page = await lists.by_author(connection, did, list_type, after=after, limit=limit)
        views = await ctx.views.lists(connection, page.uris)
    return {"lists": views, **cursor_after("actor-lists", page.last)}
