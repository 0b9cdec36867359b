"""The feeds that are built in, as skeletons: which tracks, in which order, each with its reason.

Each is one function of a page; `BUILT_IN` names them. What a cursor holds, and with it what is promised of paging, is
said there. `top` is not one feed but four, one for each window.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from appview.db import Connection
from appview.index.rankings import KEPT
from appview.reads import feeds, rankings
from appview.reads.following import following
from appview.reads.for_you import Score, for_you
from appview.reads.skeletons import Entry
from appview.reads.views import View
from xrpc import cursors
from xrpc.context import Context
from xrpc.errors import InvalidRequest, XrpcError

WINDOWS: Final = ("day", "week", "month", "all")
"""Of likes that count for `top`."""


class Skeleton(NamedTuple):
    """A page of a feed: its entries in order, and the cursor behind the last of them, where more may follow."""

    entries: list[Entry]
    cursor: str | None


Feed: TypeAlias = Callable[[Context, Connection, int, str | None], Awaitable[Skeleton]]


def name_of(ctx: Context, feed: str, window: str) -> str | None:
    """The built-in feed that is meant by a name or by the address of a generator; None when that is not one of ours.

    Raises InvalidRequest when there is no such window, and XrpcError `UnknownFeed` when we have no such feed.
    """
    if window not in WINDOWS:
        raise InvalidRequest(f"window is none of {', '.join(WINDOWS)}.")
    own = address(ctx, "")
    if feed.startswith("at://") and not feed.startswith(own):
        return None
    name = feed.removeprefix(own)
    name = f"top-{window}" if name == "top" else name
    if name not in BUILT_IN:
        raise XrpcError(400, "UnknownFeed", "No such feed is answered here.")
    return name


def address(ctx: Context, name: str) -> str:
    """The address of a built-in feed, as that of a generator's record in a repository of this service's."""
    return f"at://{ctx.config.service_did}/{ctx.config.namespace}.feed.generator/{name}"


async def _latest(_ctx: Context, connection: Connection, limit: int, cursor: str | None) -> Skeleton:
    """The newest tracks, by keyset."""
    page = await feeds.latest(connection, after=cursors.decode("latest", cursor, datetime, str), limit=limit)
    return Skeleton([Entry(uri, None) for uri in page.uris], _after("latest", page.last))


async def _top(window: str, ctx: Context, connection: Connection, limit: int, cursor: str | None) -> Skeleton:
    """The places of the ranking that the cursor names, or of the newest."""
    name = f"top-{window}"
    page = await _places(connection, name, cursors.decode(name, cursor, datetime, int), limit)
    entries = [Entry(place.uri, _reason(ctx, "reasonTop", window=window, likes=place.votes)) for place in page.places]
    return Skeleton(entries, _after(name, page.last))


async def _trending(ctx: Context, connection: Connection, limit: int, cursor: str | None) -> Skeleton:
    """The places of the ranking that the cursor names, or of the newest."""
    page = await _places(connection, "trending", cursors.decode("trending", cursor, datetime, int), limit)
    entries = [Entry(place.uri, _reason(ctx, "reasonTrending", listeners=place.votes)) for place in page.places]
    return Skeleton(entries, _after("trending", page.last))


async def _following(ctx: Context, connection: Connection, limit: int, cursor: str | None) -> Skeleton:
    """The newest tracks of whom the caller follows, by keyset."""
    viewer = ctx.required_viewer()
    after = cursors.decode("following", cursor, datetime, str)
    page = await following(connection, viewer, after=after, limit=limit)
    entries = [
        Entry(track.uri, _reason(ctx, "reasonFollowing", did=track.did, follow=track.follow)) for track in page.tracks
    ]
    return Skeleton(entries, _after("following", page.last))


async def _for_you(ctx: Context, connection: Connection, limit: int, cursor: str | None) -> Skeleton:
    """What the caller's likes lead to, by points at the instant that the cursor names; trending where that is nothing.

    The cursor is of an instant, points and a track; or, within trending, of its instant, a place and no track.
    """
    viewer = ctx.required_viewer()
    after = cursors.decode("for-you", cursor, datetime, int, str)
    if after is None or after[2]:
        page = await for_you(connection, viewer, ctx.now, after=_in_time(ctx, after), limit=limit)
        if page.tracks or after is not None:
            entries = [
                Entry(uri, _reason(ctx, "reasonForYou", because={"accounts": accounts, "tracks": tracks}))
                for uri, accounts, tracks in page.tracks
            ]
            return Skeleton(entries, _after("for-you", page.last))
    places = await _places(connection, "trending", after[:2] if after is not None else None, limit)
    entries = [Entry(place.uri, _reason(ctx, "reasonColdStart", listeners=place.votes)) for place in places.places]
    return Skeleton(entries, _after("for-you", (*places.last, "") if places.last is not None else None))


BUILT_IN: Final[Mapping[str, Feed]] = {
    "latest": _latest,
    "trending": _trending,
    **{f"top-{window}": partial(_top, window) for window in WINDOWS},
    "following": _following,
    "for-you": _for_you,
}
"""By the name that is the key of its address."""


async def _places(connection: Connection, name: str, after: tuple[datetime, int] | None, limit: int) -> rankings.Places:
    try:
        return await rankings.places(connection, name, after=after, limit=limit)
    except rankings.Gone:
        raise _expired() from None


def _in_time(ctx: Context, after: Score | None) -> Score | None:
    """`after`, when it is of an instant of the last hour: what was liked since is counted for each answer."""
    if after is None:
        return None
    at, points, uri = after
    if at < ctx.now - KEPT:
        raise _expired()
    return min(at, ctx.now), points, uri


def _expired() -> XrpcError:
    return XrpcError(400, "ExpiredCursor", "The ranking in which the cursor goes on is kept no longer: begin anew.")


def _reason(ctx: Context, kind: str, **told: object) -> View:
    return {"$type": f"{ctx.config.namespace}.feed.defs#{kind}", **told}


def _after(kind: str, keys: tuple[cursors.Key, ...] | None) -> str | None:
    return None if keys is None else cursors.encode(kind, *keys)
