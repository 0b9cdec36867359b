"""Pages by keyset: neither skip nor repeat a row that did not move, while others come and go (XR-21).

A page ends at its limit, and before that where its records together grow too large for an answer: the largest record
is near a megabyte, and a hundred of those are more than a proxy would pass on (XR-20, XR-42).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

import asyncpg

from appview.db import Connection
from appview.reads.visibility import visible

K = TypeVar("K")

Moment: TypeAlias = tuple[datetime, str]
"""The keys of a row in order of time: its `sort_at` and its uri."""

MAX_BYTES: Final = 2_000_000
"""What the records of an answer may weigh together; as JSON, some times as much. One is always let through."""

# Projections that say themselves how large a record is.
_SIZED: Final = frozenset({"tracks"})

# Before every row, newest first.
NEWEST: Final[Moment] = (datetime.max.replace(tzinfo=UTC), "")


class Page(NamedTuple, Generic[K]):
    """Addresses in order, and the keys of the last of them where the next page goes on; None on the last page."""

    uris: list[str]
    last: K | None


async def newest(
    connection: Connection, table: str, *given: object, after: Moment | None, limit: int, where: str = "true"
) -> Page[Moment]:
    """The newest rows of the projection `table` behind `after` whose accounts are visible.

    `where` is one more condition in SQL, on `given` as `$3` and following. The limit stands in the text: of a parameter
    the planner would think a tenth of the table, and plan anew each time.
    """
    sized = table in _SIZED
    page = f"""
        select uri, sort_at {", size" if sized else ""} from {table}
        where (sort_at, uri) < ($1, $2) and {where} and {visible(f"{table}.did")}
        order by sort_at desc, uri desc limit {limit + 1:d}
    """  # noqa: S608 - conditions of our own
    rows = await connection.fetch(
        page
        if sized
        else f"""
        select page.*, octet_length(records.value) as size
        from ({page}) as page left join records using (uri)
        order by sort_at desc, uri desc
        """,  # noqa: S608 - conditions of our own
        *(after or NEWEST),
        *given,
    )
    kept, more = within(rows, limit)
    return Page([row["uri"] for row in kept], (kept[-1]["sort_at"], kept[-1]["uri"]) if more else None)


def light(uris: Iterable[str], sizes: Mapping[str, int]) -> list[str]:
    """Those of `uris` that have a size, in bytes, and together make an answer; what comes behind is left out."""
    kept: list[str] = []
    weight = 0
    for uri in uris:
        if uri in sizes:
            weight += sizes[uri]
            if weight > MAX_BYTES and kept:
                break
            kept.append(uri)
    return kept


def within(rows: Sequence[asyncpg.Record], limit: int) -> tuple[Sequence[asyncpg.Record], bool]:
    """Those of `rows` that make the page, and whether more follow.

    `rows` are one more than `limit` where there are as many; each has its `size` in bytes.
    """
    weight = 0
    for place, row in enumerate(rows[:limit]):
        weight += row["size"] or 0
        if weight > MAX_BYTES and place:
            return rows[:place], True
    return rows[:limit], len(rows) > limit
