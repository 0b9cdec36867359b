"""Proven changes of records into tables: the one path, for what came live and for what was fetched."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias

import orjson

from appview.db import Connection
from appview.index import sort
from appview.index.counts import Changes
from appview.index.records import Incoming, RecordType
from appview.index.repos import ProvenBy
from appview.index.tolerance import Judgement

Evidence: TypeAlias = ProvenBy | Literal["write"]
"""What a version of a record is known by; `write` is only the word of a PDS that took it from us."""


class Change(NamedTuple):
    """A new version of one record, or its end, where `cid`, `block` and `judgement` are None."""

    uri: str
    did: str
    collection: str
    rkey: str
    rev: str
    cid: bytes | None
    block: bytes | None
    judgement: Judgement | None
    proven_by: Evidence


class _Latest(NamedTuple):
    """What a batch comes to for one record: its last change, and what is to be known of the versions before it."""

    change: Change
    earlier: tuple[Mapping[str, object], ...]
    fresh: bool


class _Moved(NamedTuple):
    """A record that was written; `is_new` where nothing was held of it before."""

    uri: str
    sort_at: datetime
    indexed_at: datetime
    is_new: bool


async def apply(
    connection: Connection,
    types: Mapping[str, RecordType],
    changes: Iterable[Change],
    now: datetime,
    *,
    doubts: bool = False,
) -> int:
    """Write `changes`, in the order they were made, and all that follows from them; returns how many rows moved.

    A change older than what is held of its record (by rev) does nothing, and one that is held already does nothing new:
    any repetition ends in the same tables. To be called within a transaction that holds the index's lock. With
    `doubts`, rows are taken out that a record which is new here should not have.
    """
    latest = _coalesce(changes)
    if not latest:
        return 0
    rows = await _upsert(connection, latest, now)
    counts = Changes()
    for nsid, kind in types.items():
        gone: list[str] = []
        come: list[Incoming] = []
        for uri, sort_at, indexed_at, is_new in rows.get(nsid, ()):
            change, earlier, fresh = latest[uri]
            if doubts or not is_new:
                gone.append(uri)
            judgement = change.judgement
            if judgement is None or judgement.value is None or judgement.verdict == "rejected":
                continue
            if change.cid is None or change.block is None:
                continue
            size = len(change.block)
            come.append(
                Incoming(uri, change.did, change.cid, judgement.value, sort_at, indexed_at, size, earlier, fresh)
            )
        if gone or come:
            await kind.swap(connection, gone, come, counts)
    await counts.apply(connection)
    return sum(map(len, rows.values()))


def _coalesce(changes: Iterable[Change]) -> dict[str, _Latest]:
    latest: dict[str, _Latest] = {}
    for change in changes:
        before = latest.get(change.uri)
        if before is None:
            latest[change.uri] = _Latest(change, (), fresh=False)
            continue
        if change.rev < before.change.rev:
            continue  # a fetch may bring what was already overtaken
        judgement = before.change.judgement
        if judgement is None or judgement.value is None or judgement.verdict == "rejected":
            latest[change.uri] = _Latest(change, (), fresh=True)
        else:
            latest[change.uri] = _Latest(change, (*before.earlier, judgement.value), before.fresh)
    return latest


def _row(change: Change, now: datetime) -> tuple[object, ...]:
    uri, did, collection, rkey, rev, cid, block, judgement, proven_by = change
    if judgement is None:
        return uri, did, collection, rev, cid, block, None, None, None, proven_by
    deviations = None
    if judgement.deviations:
        # Within an array of jsonb, a bare list would be taken for another dimension.
        deviations = orjson.Fragment(orjson.dumps([deviation.as_json() for deviation in judgement.deviations]))
    at = sort.sort_at(rkey, judgement.value, now)
    return uri, did, collection, rev, cid, block, judgement.verdict, deviations, at, proven_by


async def _upsert(connection: Connection, latest: Mapping[str, _Latest], now: datetime) -> dict[str, list[_Moved]]:
    """Write the records; by collection, those that moved."""
    columns = zip(*[_row(latest[uri].change, now) for uri in sorted(latest)], strict=True)
    rows = await connection.fetch(
        """
        insert into records
            (uri, did, collection, rev, cid, value, verdict, deviations, sort_at, proven_by, first_seen_at, indexed_at)
        select *, $11::timestamptz, $11::timestamptz from unnest($1::text[], $2::text[], $3::text[], $4::text[],
            $5::bytea[], $6::bytea[], $7::text[], $8::jsonb[], $9::timestamptz[], $10::text[])
        on conflict (uri) do update set
            rev = excluded.rev, cid = excluded.cid, value = excluded.value, verdict = excluded.verdict,
            deviations = excluded.deviations, sort_at = coalesce(records.sort_at, excluded.sort_at),
            proven_by = excluded.proven_by,
            indexed_at = case when records.cid = excluded.cid then records.indexed_at else excluded.indexed_at end
        where records.rev <= excluded.rev
        returning collection, uri, sort_at, indexed_at, xmax = 0
        """,
        *columns,
        now,
    )
    moved: dict[str, list[_Moved]] = {}
    for collection, *record in rows:
        moved.setdefault(collection, []).append(_Moved(*record))
    return moved
