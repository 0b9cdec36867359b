"""Pages of what others made of a track: likes and comments.

They are answered only where the track itself is shown; until it comes, and after it is gone, they wait (rule 3).
"""

from typing import Final, TypeAlias

from appview.db import Connection
from appview.reads.pages import Moment, Page, newest, within
from appview.reads.sifting import of_visible, sift
from appview.reads.visibility import visible

Position: TypeAlias = tuple[int, str]
"""The keys of a comment by its place in the track: milliseconds and uri."""

_START: Final[Position] = (-1, "")

# Rows are looked at in windows, since one account may like one track a million times. The track is the same for all.
_LIKES: Final = """
    select uri, did, null collate "C" as subject, sort_at from likes where subject = $4 and (sort_at, uri) < ($1, $2)
"""
_IS_THE_FIRST: Final = """
    not exists (
        select from likes as other where other.did || ' ' || other.subject = seen.did || ' ' || $4
            and (other.sort_at, other.uri) < (seen.sort_at, seen.uri)
    )
"""


async def is_shown(connection: Connection, track: str) -> bool:
    """Is this track here, and its author visible?"""
    found: bool = await connection.fetchval(
        f"select exists (select from tracks where uri = $1 and {visible('tracks.did')})",  # noqa: S608 - a condition of our own
        track,
    )
    return found


async def likes(connection: Connection, track: str, *, after: Moment | None, limit: int) -> Page[Moment]:
    """Who likes this track? One like for each account, its earliest, newest first.

    So there are as many entries as the track's like count says, and who likes it once more moves nothing.
    """
    keep = f"{of_visible('seen.did')} and {_IS_THE_FIRST}"
    rows, last = await sift(connection, _LIKES, keep, track, after=after, limit=limit)
    return Page([row["uri"] for row in rows], last)


async def comments_by_age(connection: Connection, track: str, *, after: Moment | None, limit: int) -> Page[Moment]:
    """What was said of this track last?"""
    return await newest(connection, "comments", track, where="subject = $3", after=after, limit=limit)


async def comments_by_position(
    connection: Connection, track: str, *, after: Position | None, limit: int
) -> Page[Position]:
    """What is said of this track, from its start to its end?"""
    rows = await connection.fetch(
        f"""
        select page.*, octet_length(records.value) as size
        from (
            select uri, timestamp_ms from comments
            where subject = $1 and (timestamp_ms, uri) > ($2, $3) and {visible("comments.did")}
            order by timestamp_ms, uri limit $4
        ) as page left join records using (uri)
        order by timestamp_ms, uri
        """,  # noqa: S608 - a condition of our own
        track,
        *(after or _START),
        limit + 1,
    )
    kept, more = within(rows, limit)
    return Page([row["uri"] for row in kept], (kept[-1]["timestamp_ms"], kept[-1]["uri"]) if more else None)
