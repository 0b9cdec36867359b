"""`feed.*`: tracks, and what others made of them."""

from datetime import datetime
from typing import Any

from appview.reads import feeds, names, responses
from xrpc import cursors
from xrpc.context import Context
from xrpc.errors import InvalidRequest, XrpcError
from xrpc.methods.asking import cursor_after, shown_account, shown_track, snapshot


async def get_tracks(ctx: Context, *, uris: list[str]) -> dict[str, Any]:
    """Answer `feed.getTracks`."""
    async with snapshot(ctx) as connection:
        known = dict.fromkeys(await names.with_dids(connection, uris))
        return {"tracks": await ctx.views.tracks(connection, list(known))}


async def get_actor_tracks(ctx: Context, *, actor: str, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    """Answer `feed.getActorTracks`."""
    after = cursors.decode("actor-tracks", cursor, datetime, str)
    async with snapshot(ctx) as connection:
        did = await shown_account(connection, actor)
        page = await feeds.by_author(connection, did, after=after, limit=limit)
        tracks = await ctx.views.tracks(connection, page.uris)
    return {"tracks": tracks, **cursor_after("actor-tracks", page.last)}


async def get_feed(ctx: Context, *, feed: str, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    """Answer `feed.getFeed`."""
    if feed != "latest":
        raise XrpcError(400, "UnknownFeed", "No such feed is answered here.")
    after = cursors.decode("latest", cursor, datetime, str)
    async with snapshot(ctx) as connection:
        page = await feeds.latest(connection, after=after, limit=limit)
        tracks = await ctx.views.tracks(connection, page.uris)
    return {"feed": [{"track": track} for track in tracks], **cursor_after("latest", page.last)}


async def get_likes(ctx: Context, *, uri: str, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    """Answer `feed.getLikes`."""
    after = cursors.decode("likes", cursor, datetime, str)
    async with snapshot(ctx) as connection:
        track = await shown_track(connection, uri)
        page = await responses.likes(connection, track, after=after, limit=limit)
        likes = await ctx.views.likes(connection, page.uris)
    return {"uri": track, "likes": likes, **cursor_after("likes", page.last)}


async def get_comments(
    ctx: Context, *, uri: str, sort: str = "position", limit: int = 50, cursor: str | None = None
) -> dict[str, Any]:
    """Answer `feed.getComments`."""
    if sort not in {"position", "newest"}:
        raise InvalidRequest("sort is neither position nor newest.")
    kind = f"comments-by-{sort}"
    async with snapshot(ctx) as connection:
        track = await shown_track(connection, uri)
        last: tuple[cursors.Key, ...] | None
        if sort == "newest":
            moment = cursors.decode(kind, cursor, datetime, str)
            uris, last = await responses.comments_by_age(connection, track, after=moment, limit=limit)
        else:
            position = cursors.decode(kind, cursor, int, str)
            uris, last = await responses.comments_by_position(connection, track, after=position, limit=limit)
        comments = await ctx.views.comments(connection, uris)
    return {"uri": track, "comments": comments, **cursor_after(kind, last)}
