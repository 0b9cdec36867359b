"""Pages over rankings that were made ahead (appview/index/rankings.py)."""

from datetime import datetime
from typing import NamedTuple

from appview.db import Connection
from appview.reads.pages import within
from appview.reads.visibility import visible


class Gone(LookupError):
    """The ranking that was asked for is kept no longer."""


class Place(NamedTuple):
    """A track on a ranking, and how many accounts brought it there, at the instant of the ranking."""

    uri: str
    votes: int


class Places(NamedTuple):
    """Tracks in order; `last` is the instant of the ranking and the last place of the page, where more follow."""

    places: list[Place]
    last: tuple[datetime, int] | None


async def places(connection: Connection, name: str, *, after: tuple[datetime, int] | None, limit: int) -> Places:
    """What comes behind `after` on the ranking `name`, or first on the newest of that name? None while there is none.

    A place is for good, so nothing is skipped or repeated; tracks that are gone or hidden since are passed over. Raises
    Gone.
    """
    at, place = after or (None, 0)
    ranking = await connection.fetchrow(
        "select id, at from rankings where name = $1 and ($2::timestamptz is null or at = $2) order by at desc limit 1",
        name,
        at,
    )
    if ranking is None and after is not None:
        raise Gone(f"the ranking {name} of that instant is kept no longer")
    rows = await connection.fetch(
        f"""
        select ranked.place, ranked.uri, ranked.votes, tracks.size
        from ranked join tracks on tracks.uri = ranked.uri
        where ranked.ranking = $1 and ranked.place > $2::bigint and {visible("tracks.did")}
        order by ranked.place limit $3
        """,  # noqa: S608 - a condition of our own
        ranking["id"] if ranking is not None else None,
        place,
        limit + 1,
    )
    kept, more = within(rows, limit)
    last = (ranking["at"], kept[-1]["place"]) if ranking is not None and more else None
    return Places([Place(row["uri"], row["votes"]) for row in kept], last)
