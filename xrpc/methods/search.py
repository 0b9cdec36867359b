"""What is found by a few words: accounts, tracks, lists, and all of these at once."""

from typing import Any, Final

from appview.index.search.documents import Kind
from appview.reads import search
from appview.reads.search import Rank
from xrpc import cursors
from xrpc.context import Context
from xrpc.methods.asking import cursor_after, shown_account, snapshot

_TYPES: Final[dict[str, Kind]] = {"actors": "actor", "tracks": "track", "lists": "list"}


async def search_actors(ctx: Context, *, q: str, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    """Answer `actor.searchActors`."""
    kind, after = _begin("actors", cursor, q)
    async with snapshot(ctx) as connection:
        page = await search.find(connection, "actor", q, after=after, limit=limit)
        actors = await ctx.views.profiles(connection, page.uris, ctx.viewer)
    return {"actors": actors, **cursor_after(kind, page.last)}


async def search_actors_typeahead(ctx: Context, *, q: str, limit: int = 10) -> dict[str, Any]:
    """Answer `actor.searchActorsTypeahead`."""
    async with snapshot(ctx) as connection:
        page = await search.find(connection, "actor", q, after=None, limit=limit)
        return {"actors": await ctx.views.basics(connection, page.uris, ctx.viewer)}


async def search_tracks(
    ctx: Context, *, q: str, author: str | None = None, limit: int = 50, cursor: str | None = None
) -> dict[str, Any]:
    """Answer `feed.searchTracks`."""
    kind, after = _begin("tracks", cursor, q, author)
    async with snapshot(ctx) as connection:
        if author is None:
            page = await search.find(connection, "track", q, after=after, limit=limit)
        else:
            did = await shown_account(connection, author)
            page = await search.find_by(connection, did, q, after=after, limit=limit)
        tracks = await ctx.views.tracks(connection, page.uris, ctx.viewer)
    return {"tracks": tracks, **cursor_after(kind, page.last)}


async def search_lists(
    ctx: Context, *, q: str, list_type: str | None = None, limit: int = 50, cursor: str | None = None
) -> dict[str, Any]:
    """Answer `graph.searchLists`."""
    kind, after = _begin("lists", cursor, q, list_type)
    async with snapshot(ctx) as connection:
        page = await search.find(connection, "list", q, after=after, limit=limit, list_type=list_type)
        lists = await ctx.views.lists(connection, page.uris, ctx.viewer)
    return {"lists": lists, **cursor_after(kind, page.last)}


async def search_all(ctx: Context, *, q: str, types: list[str] | None = None, limit: int = 10) -> dict[str, Any]:
    """Answer `search.searchAll`."""
    kinds = [kind for name, kind in _TYPES.items() if not types or name in types]
    async with snapshot(ctx) as connection:
        found = await search.find_all(connection, kinds, q, limit=limit)
        keys: dict[Kind, list[str]] = {kind: [of.key for of in found if of.kind == kind] for kind in _TYPES.values()}
        actors = await ctx.views.profiles(connection, keys["actor"], ctx.viewer)
        tracks = await ctx.views.tracks(connection, keys["track"], ctx.viewer)
        lists = await ctx.views.lists(connection, keys["list"], ctx.viewer)
    namespace = ctx.config.namespace
    views = {
        **{view["did"]: {"$type": f"{namespace}.actor.defs#profileView", **view} for view in actors},
        **{view["uri"]: {"$type": f"{namespace}.feed.defs#trackView", **view} for view in tracks},
        **{view["uri"]: {"$type": f"{namespace}.graph.defs#listView", **view} for view in lists},
    }
    return {"results": [views[of.key] for of in found if of.key in views]}


def _begin(what: str, cursor: str | None, *asked: str | None) -> tuple[str, Rank | None]:
    """The kind of the cursors of this search, which are of no use in another one, and where this page begins."""
    kind = " ".join((f"search-{what}", *(part or "" for part in asked)))
    return kind, cursors.decode(kind, cursor, int, str, int)
