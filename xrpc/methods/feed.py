"""`feed.*`: tracks, and what others made of them."""

from datetime import datetime
from typing import Any

from appview.db import Connection
from appview.reads import activity, feeds, names, responses
from appview.reads.views import View
from xrpc import cursors
from xrpc.built_in import BUILT_IN, Skeleton, address, name_of
from xrpc.context import Context
from xrpc.errors import InvalidRequest, Unauthenticated, XrpcError
from xrpc.generators import declared, fitting, skeleton
from xrpc.methods.asking import cursor_after, reading, shown_account, shown_track, snapshot


async def get_tracks(ctx: Context, *, uris: list[str]) -> dict[str, Any]:
    """Answer `feed.getTracks`."""
    async with reading(ctx) as connection:
        known = dict.fromkeys(await names.with_dids(connection, uris))
        return {"tracks": await ctx.views.tracks(connection, list(known), ctx.viewer)}


async def get_actor_tracks(ctx: Context, *, actor: str, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    """Answer `feed.getActorTracks`."""
    after = cursors.decode("actor-tracks", cursor, datetime, str)
    async with reading(ctx) as connection:
        did = await shown_account(connection, actor)
        page = await feeds.by_author(connection, did, after=after, limit=limit)
        tracks = await ctx.views.tracks(connection, page.uris, ctx.viewer)
    return {"tracks": tracks, **cursor_after("actor-tracks", page.last)}


async def get_feed(
    ctx: Context, *, feed: str, window: str = "all", limit: int = 50, cursor: str | None = None
) -> dict[str, Any]:
    """Answer `feed.getFeed`."""
    name = name_of(ctx, feed, window)
    if name is None:
        return await _of_generator(ctx, feed, limit, cursor)
    if ctx.onward is not None:
        raise Unauthenticated("BadJwtAudience", "The token is for another service, and this feed is ours.")
    async with reading(ctx) as connection:
        return await _hydrated(ctx, connection, await BUILT_IN[name](ctx, connection, limit, cursor))


async def get_feed_skeleton(ctx: Context, *, feed: str, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    """Answer `feed.getFeedSkeleton`."""
    name = name_of(ctx, feed, "all")
    if name is None:
        raise XrpcError(400, "UnknownFeed", "This service does not answer for that feed.")
    async with reading(ctx) as connection:
        page = await BUILT_IN[name](ctx, connection, limit, cursor)
    entries = [{"track": uri, **_why(reason)} for uri, reason in page.entries]
    return {"feed": entries, **_cursor(page.cursor)}


async def describe_feed_generator(ctx: Context) -> dict[str, Any]:
    """Answer `feed.describeFeedGenerator`."""
    return {"did": ctx.config.service_did, "feeds": [{"uri": address(ctx, name)} for name in BUILT_IN]}


async def get_likes(ctx: Context, *, uri: str, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    """Answer `feed.getLikes`."""
    after = cursors.decode("likes", cursor, datetime, str)
    async with snapshot(ctx) as connection:
        track = await shown_track(connection, uri)
        page = await responses.likes(connection, track, after=after, limit=limit)
        likes = await ctx.views.likes(connection, page.uris, ctx.viewer)
    return {"uri": track, "likes": likes, **cursor_after("likes", page.last)}


async def get_actor_likes(ctx: Context, *, actor: str, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    """Answer `feed.getActorLikes`."""
    after = cursors.decode("actor-likes", cursor, datetime, str)
    async with snapshot(ctx) as connection:
        did = await shown_account(connection, actor)
        page = await activity.liked_by(connection, did, after=after, limit=limit)
        tracks = await ctx.views.tracks(connection, page.uris, ctx.viewer)
    return {"tracks": tracks, **cursor_after("actor-likes", page.last)}


async def get_activity(
    ctx: Context, *, actor: str | None = None, limit: int = 50, cursor: str | None = None
) -> dict[str, Any]:
    """Answer `feed.getActivity`."""
    after = cursors.decode("activity", cursor, datetime, str)
    async with snapshot(ctx) as connection:
        did = await shown_account(connection, actor) if actor is not None else None
        deeds, last = await activity.activity(connection, did, after=after, limit=limit)
        views = await ctx.views.activity(connection, deeds, ctx.viewer)
    return {"activity": views, **cursor_after("activity", last)}


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
        comments = await ctx.views.comments(connection, uris, ctx.viewer)
    return {"uri": track, "comments": comments, **cursor_after(kind, last)}


async def _of_generator(ctx: Context, uri: str, limit: int, cursor: str | None) -> dict[str, Any]:
    async with reading(ctx) as connection:
        feed = await declared(connection, uri)
    # Whoever answers for it is asked while no connection is held.
    page = await skeleton(ctx, feed, limit, cursor)
    async with reading(ctx) as connection:
        return await _hydrated(ctx, connection, await fitting(connection, page))


async def _hydrated(ctx: Context, connection: Connection, page: Skeleton) -> dict[str, Any]:
    views = {
        track["uri"]: track
        for track in await ctx.views.tracks(connection, [entry.uri for entry in page.entries], ctx.viewer)
    }
    shown = [{"track": views[uri], **_why(reason)} for uri, reason in page.entries if uri in views]
    return {"feed": shown, **_cursor(page.cursor)}


def _why(reason: View | None) -> View:
    return {} if reason is None else {"reason": reason}


def _cursor(cursor: str | None) -> View:
    return {} if cursor is None else {"cursor": cursor}
