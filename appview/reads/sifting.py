"""Pages by keyset where much may have to be passed over: likes of tracks that are gone, lists of hidden accounts.

For one page no more than a window of rows is looked at, and where all of it is passed over, a larger one behind it. So
a page may be short, and even empty, and yet name where to go on (XR-20): behind the last row that was looked at, shown
or not (XR-22).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import asyncpg

from appview.db import Connection
from appview.reads.pages import NEWEST, Moment, within
from appview.reads.visibility import visible

WINDOWS: Final = (1_000, 20_000)
"""How many rows are looked at; where a page is full before that, no more than it takes."""


class Sifted(NamedTuple):
    """Rows of a page, newest first, and where the next one goes on; None on the last page."""

    rows: list[asyncpg.Record]
    last: Moment | None


async def sift(
    connection: Connection,
    scan: str,
    keep: str,
    *given: object,
    after: Moment | None,
    limit: int,
    windows: Sequence[int] = WINDOWS,
) -> Sifted:
    """The newest rows of `scan` behind `after` that meet `keep`, each once.

    `scan` is a query that an index answers in this order: of rows whose `(sort_at, uri)` is less than `($1, $2)`, with
    `did`, `subject`, a track's uri or null, and whatever else is wanted; `{window}` in it is how many are looked at.
    `keep` is a condition on such a row, `seen`. Both may speak of `given`, as `$4` and following. One statement, or
    where much is passed over one for each window.
    """
    found = Sifted([], after)
    for window in windows:
        found = await _look(connection, scan, keep, given, found.last, limit, window)
        if found.rows or found.last is None:
            break
    return found


async def _look(
    connection: Connection,
    scan: str,
    keep: str,
    given: Sequence[object],
    after: Moment | None,
    limit: int,
    window: int,
) -> Sifted:
    newest_first = "order by sort_at desc, uri desc"
    scan = scan.format(window=window)
    rows = await connection.fetch(
        f"""
        with kept as (
            select distinct on (sort_at, uri) * from ({scan} {newest_first} limit {window}) as seen
            where {keep} {newest_first} limit $3
        )
        select kept.*, true as kept, coalesce(octet_length(records.value), 0) + coalesce(tracks.size, 0) as size
        from kept left join records on records.uri = kept.uri left join tracks on tracks.uri = kept.subject
        union all
        select *, false, 0 from ({scan} {newest_first} offset {window - 1} limit 1) as last
        where (select count(*) from kept) < $3
        {newest_first}, kept desc
        """,  # noqa: S608 - conditions of our own
        *(after or NEWEST),
        limit + 1,
        *given,
    )
    ended = bool(rows) and not rows[-1]["kept"]
    kept, more = within(rows[:-1] if ended else rows, limit)
    last = kept[-1] if more else rows[-1] if ended else None
    return Sifted(list(kept), None if last is None else (last["sort_at"], last["uri"]))


# A scalar subquery is asked row by row, and never turned into a join of all that was seen.


def of_visible(did: str) -> str:
    """The SQL condition that the account in the column `did` is visible, asked of as few rows as possible."""
    return f"(select {visible(did)})"


def of_shown(track: str) -> str:
    """The SQL condition that the track whose uri is in the column `track` is shown."""
    return f"(select true from tracks where tracks.uri = {track} and {visible('tracks.did')})"  # noqa: S608 - names of our own
