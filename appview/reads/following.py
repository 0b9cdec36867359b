"""The following feed: the newest tracks of the accounts that somebody follows."""

from typing import Final, NamedTuple

from appview.db import Connection
from appview.reads.pages import NEWEST, Moment, within
from appview.reads.visibility import visible

FOLLOWS: Final = 10_000
"""Of more follows than these, in the order of the DIDs that are followed, the rest take no part."""

# A page can only be of the accounts whose newest track is among the newest; and of those, no track is on it that is
# older than all of these.
_FOLLOWED: Final = f"""
    with followed as materialized (
        select distinct subject as did from (
            select subject from follows where did = $4 order by subject limit $5
        ) as follow
    ), heads as materialized (
        select followed.did, head.sort_at, head.uri
        from followed cross join lateral (
            select sort_at, uri from tracks where tracks.did = followed.did and (sort_at, uri) < ($1, $2)
            order by sort_at desc, uri desc limit 1
        ) as head
    ), newest as materialized (
        select did, sort_at from (select * from heads order by sort_at desc, uri desc) as heads
        where {visible("heads.did")} order by sort_at desc, uri desc limit $3
    ), edge as (
        select coalesce((select min(sort_at) from newest having count(*) = $3), '-infinity') as sort_at
    ), page as (
        select track.*
        from edge, newest cross join lateral (
            select uri, did, sort_at, size from tracks
            where tracks.did = newest.did and (sort_at, uri) < ($1, $2) and tracks.sort_at >= edge.sort_at
            order by sort_at desc, uri desc limit $3
        ) as track
        order by track.sort_at desc, track.uri desc limit $3
    )
    select page.*, (
        select uri from follows where follows.did = $4 and follows.subject = page.did order by sort_at limit 1
    ) as follow
    from page order by page.sort_at desc, page.uri desc
"""  # noqa: S608 - a condition of our own


class Followed(NamedTuple):
    """A track, whose it is, and the record by which that account is followed."""

    uri: str
    did: str
    follow: str


class Following(NamedTuple):
    """Tracks, newest first, and the keys of the last of them where more follow."""

    tracks: list[Followed]
    last: Moment | None


async def following(connection: Connection, viewer: str, *, after: Moment | None, limit: int) -> Following:
    """What is the newest of those whom `viewer` follows? One statement, with a look at each of them."""
    rows = await connection.fetch(_FOLLOWED, *(after or NEWEST), limit + 1, viewer, FOLLOWS)
    kept, more = within(rows, limit)
    tracks = [Followed(row["uri"], row["did"], row["follow"]) for row in kept]
    return Following(tracks, (kept[-1]["sort_at"], kept[-1]["uri"]) if more else None)
