"""Records as they were written, by their addresses. What is kept aside, since it breaks its lexicon, is not shown."""

from typing import Final

from appview.db import Connection
from appview.reads.pages import Page, within
from appview.reads.views.stored import COLUMNS, View, open_record
from appview.reads.visibility import visible
from lexicons.data import to_json

_WINDOW: Final = 1_000
"""How many records are looked at for a page: the traces of deleted ones may stand between those that are there."""


async def record(connection: Connection, uri: str) -> View | None:
    """The record at this address: `uri`, `cid` and `value`."""
    return next(iter(await records(connection, [uri])), None)


async def records(connection: Connection, uris: list[str]) -> list[View]:
    """Those of these records that are here, in this order: of each `uri`, `cid` and `value`."""
    rows = await connection.fetch(
        f"select {COLUMNS} from records where uri = any($1) and verdict <> 'rejected' and {visible('records.did')}",  # noqa: S608 - names of our own
        uris,
    )
    found = {stored.uri: stored for stored in map(open_record, rows)}
    there = (found[uri] for uri in uris if uri in found)
    return [{"uri": stored.uri, "cid": stored.cid, "value": to_json(stored.value)} for stored in there]


async def in_collection(
    connection: Connection, did: str, collection: str, *, after: tuple[str] | None, reverse: bool, limit: int
) -> Page[tuple[str]]:
    """Which records of this collection has the account behind the key `after`? The greatest key comes first, or with
    `reverse` last. A page may be short and yet not the last.
    """
    # The records of a collection are a range of URIs, since identifiers are ordered as bytes: "0" comes after "/".
    folder = f"at://{did}/{collection}"
    first, end = f"{folder}/", f"{folder}0"
    if after is not None:
        first, end = (first + after[0], end) if reverse else (first, first + after[0])
    in_order = f"order by uri {'asc' if reverse else 'desc'}"
    scan = f"select uri, verdict, octet_length(value) as size from records where uri > $1 and uri < $2 {in_order}"  # noqa: S608 - names of our own
    rows = await connection.fetch(
        f"""
        with kept as (
            select uri, size from ({scan} limit {_WINDOW}) as seen
            where verdict <> 'rejected' and {visible("$4")} {in_order} limit $3
        )
        select uri, size, true as kept from kept
        union all
        select uri, 0, false from ({scan} offset {_WINDOW - 1} limit 1) as last where (select count(*) from kept) < $3
        {in_order}, kept desc
        """,  # noqa: S608 - conditions of our own
        first,
        end,
        limit + 1,
        did,
    )
    ended = bool(rows) and not rows[-1]["kept"]
    kept, more = within(rows[:-1] if ended else rows, limit)
    last = kept[-1] if more else rows[-1] if ended else None
    return Page([row["uri"] for row in kept], None if last is None else (last["uri"].removeprefix(f"{folder}/"),))
