"""Derived tables made anew from the records that are kept, in pages, each in one short transaction.

What a record becomes is decided again, by the table of deviations as it is now. A list keeps the names that it
inherited: they stand in its row alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson

from appview.db import Connection
from appview.index.counts import Changes
from appview.index.lock import index_lock
from appview.index.records import Incoming, RecordType, record_types
from appview.index.tolerance import Judge, Judgement

PAGE: Final = 500
"""Records in a page; fewer where they are large."""
_PAGE_BYTES: Final = 16 * 1024 * 1024
_COLUMNS: Final = "uri, did, collection, cid, value, verdict, deviations, sort_at, indexed_at"


class Held(NamedTuple):
    """A row of `records`; a tombstone where `cid` is None."""

    uri: str
    did: str
    collection: str
    cid: bytes | None
    value: bytes | None
    verdict: str | None
    deviations: list[dict[str, str]] | None
    sort_at: datetime | None
    indexed_at: datetime


@dataclass(frozen=True, slots=True)
class Makers:
    """What makes projections of records."""

    types: Mapping[str, RecordType]
    judge: Judge

    @classmethod
    def of(cls, namespace: str) -> "Makers":
        """Those of a namespace."""
        return cls(record_types(namespace), Judge(namespace))

    def judgement(self, record: Held) -> Judgement | None:
        """What a record is by the present table; None for tombstones, and for collections that are none of ours."""
        if record.value is None or record.collection not in self.types:
            return None
        return self.judge.judge(record.collection, record.uri.rpartition("/")[2], record.value)


def incoming(record: Held, judgement: Judgement | None) -> Incoming | None:
    """The record as it is to be shown; None when it is not."""
    if judgement is None or judgement.value is None or judgement.verdict == "rejected":
        return None
    if record.cid is None or record.value is None or record.sort_at is None:
        return None
    size = len(record.value)
    return Incoming(record.uri, record.did, record.cid, judgement.value, record.sort_at, record.indexed_at, size)


async def page(connection: Connection, after: str, end: str = "") -> list[Held]:
    """The records whose URIs follow `after`, and come before `end` where there is one: a bounded number, and at least
    one while there are any.
    """
    rows = await connection.fetch(
        f"""
        select {_COLUMNS} from (
            select *, sum(octet_length(value)) over earlier as before
            from (
                select {_COLUMNS} from records where uri > $1 and ($4 = '' or uri < $4) order by uri limit $2
            ) as next
            window earlier as (order by uri rows between unbounded preceding and 1 preceding)
        ) as measured
        where coalesce(before, 0) < $3 order by uri
        """,  # noqa: S608 - our own names
        after,
        PAGE,
        _PAGE_BYTES,
        end,
    )
    return [Held(*row) for row in rows]


async def some(connection: Connection, uris: Sequence[str]) -> list[Held]:
    """The records of `uris` that there are."""
    rows = await connection.fetch(f"select {_COLUMNS} from records where uri = any($1::text[])", uris)  # noqa: S608 - our own names
    return [Held(*row) for row in rows]


async def rebuild(connection: Connection, makers: Makers, records: Iterable[Held]) -> None:
    """Judge these records again and make their projections anew; in a transaction that has locked the index."""
    gone: dict[str, list[str]] = {}
    come: dict[str, list[Incoming]] = {}
    judged: list[tuple[str, str, Any]] = []
    for record in records:
        judgement = makers.judgement(record)
        if judgement is not None:
            noted = judgement.noted
            if (record.verdict, record.deviations) != (judgement.verdict, noted):
                # Within an array of jsonb, a bare list would be taken for another dimension.
                fragment = None if noted is None else orjson.Fragment(orjson.dumps(noted))
                judged.append((record.uri, judgement.verdict, fragment))
        shown = incoming(record, judgement)
        if shown is None:
            gone.setdefault(record.collection, []).append(record.uri)
        else:
            come.setdefault(record.collection, []).append(shown)
    if judged:
        await connection.execute(
            """
            update records set verdict = anew.verdict, deviations = anew.deviations
            from unnest($1::text[], $2::text[], $3::jsonb[]) as anew (uri, verdict, deviations)
            where records.uri = anew.uri
            """,
            *zip(*judged, strict=True),
        )
    changes = Changes()
    for nsid, kind in makers.types.items():
        if nsid in gone or nsid in come:
            these = come.get(nsid, ())
            await kind.swap(connection, [*gone.get(nsid, ()), *(record.uri for record in these)], these, changes)
    await changes.apply(connection)


class Orphan(NamedTuple):
    """A projection row without a record that is shown."""

    table: str
    uri: str


async def orphans(connection: Connection, makers: Makers) -> list[Orphan]:
    """Every projection row that no shown record of its collection accounts for; reads all of them."""
    found: list[Orphan] = []
    for table, nsids in _collections(makers.types).items():
        rows = await connection.fetch(
            f"""
            select uri from {table} as shown where not exists (
                select from records
                where uri = shown.uri and verdict in ('ok', 'tolerated') and collection = any($1::text[])
            ) order by uri
            """,  # noqa: S608 - our own names
            nsids,
        )
        found += (Orphan(table, row["uri"]) for row in rows)
    rows = await connection.fetch(
        "select distinct list from list_items where not exists (select from lists where uri = list_items.list)"
        " order by list"
    )
    return [*found, *(Orphan("list_items", row["list"]) for row in rows)]


async def remove(connection: Connection, makers: Makers, found: Sequence[Orphan]) -> None:
    """Take out what `orphans` found, unless a record has come for it meanwhile; outside of any transaction."""
    kinds = {kind.table: kind for kind in makers.types.values()}
    for start in range(0, len(found), PAGE):
        few = found[start : start + PAGE]
        async with connection.transaction():
            await index_lock(connection)
            records = await some(connection, [orphan.uri for orphan in few])
            shown = {(record.collection, record.uri) for record in records if record.verdict in {"ok", "tolerated"}}
            accounted = {Orphan(makers.types[nsid].table, uri) for nsid, uri in shown if nsid in makers.types}
            changes = Changes()
            for table, kind in kinds.items():
                uris = [orphan.uri for orphan in few if orphan.table == table and orphan not in accounted]
                if uris:
                    await kind.swap(connection, uris, (), changes)
            await changes.apply(connection)
            await connection.execute(
                "delete from list_items where list = any($1::text[])"
                " and not exists (select from lists where uri = list_items.list)",
                [orphan.uri for orphan in few if orphan.table == "list_items"],
            )


def _collections(types: Mapping[str, RecordType]) -> dict[str, list[str]]:
    tables: dict[str, list[str]] = {}
    for kind in types.values():
        tables.setdefault(kind.table, []).append(kind.nsid)
    return tables
