"""What accounts do, as one stream: tracks, likes, comments and lists; and the tracks that an account likes.

A like or a comment is passed over while its track is not shown, and so is an account's second like of the same track,
as in the track's own list of likes.
"""

from datetime import datetime
from typing import Final, NamedTuple

from appview.db import Connection
from appview.reads.pages import Moment, Page
from appview.reads.sifting import of_shown, of_visible, sift


class Deed(NamedTuple):
    """A record in the stream: its kind, `track`, `like`, `comment` or `list`, and of a like or a comment its track."""

    kind: str
    uri: str
    subject: str | None
    at: datetime


class Deeds(NamedTuple):
    """A page of the stream, newest first, and where the next one goes on; None on the last page."""

    deeds: list[Deed]
    last: Moment | None


_IS_THE_FIRST: Final = """
    not exists (
        select from likes as other where other.did || ' ' || other.subject = seen.did || ' ' || seen.subject
            and (other.sort_at, other.uri) < (seen.sort_at, seen.uri)
    )
"""

_WINDOWS: Final = (250, 5_000)
"""Rows of each kind that are looked at for a page, all of them before they are sorted into one stream."""

_SOURCES: Final = tuple(
    f"(select '{kind}' as kind, uri, did, {subject} as subject, sort_at from {table}"  # noqa: S608 - names of our own
    f" where (sort_at, uri) < ($1, $2) {{by}} order by sort_at desc, uri desc limit {{window}})"
    for kind, table, subject in (
        ("track", "tracks", 'null collate "C"'),
        ("like", "likes", "subject"),
        ("comment", "comments", "subject"),
        ("list", "lists", 'null collate "C"'),
    )
)
_STREAM: Final = f"select * from ({' union all '.join(_SOURCES)}) as done"  # noqa: S608 - names of our own


async def activity(connection: Connection, did: str | None, *, after: Moment | None, limit: int) -> Deeds:
    """What was done last, by this account or, without one, by anybody?"""
    keep = f"""
        {of_visible("seen.did")} and (seen.subject is null or {of_shown("seen.subject")})
        and (seen.kind <> 'like' or {_IS_THE_FIRST})
    """
    given = () if did is None else (did,)
    scan = _STREAM.format(by="and did = $4" if did is not None else "", window="{window}")
    rows, last = await sift(connection, scan, keep, *given, after=after, limit=limit, windows=_WINDOWS)
    return Deeds([Deed(row["kind"], row["uri"], row["subject"], row["sort_at"]) for row in rows], last)


async def liked_by(connection: Connection, did: str, *, after: Moment | None, limit: int) -> Page[Moment]:
    """Which tracks does this account like? Each once, by its earliest like, the latest of these first."""
    scan = "select uri, did, subject, sort_at from likes where did = $4 and (sort_at, uri) < ($1, $2)"
    keep = f"{of_shown('seen.subject')} and {_IS_THE_FIRST}"
    rows, last = await sift(connection, scan, keep, did, after=after, limit=limit)
    return Page([row["subject"] for row in rows], last)
