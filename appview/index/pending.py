"""Writes of our own, shown before anything has proven them (protocol.md, WR-11 to WR-13).

A PDS that took a write from us has said which rev it has. The record is put in under that rev, by the same path as all
others, and what was there before is remembered. From then on the repository's chain decides: if the write is true, the
commit of that very rev replaces the record with itself, proven; if the chain comes to that rev, or a later fetch of all
of the repository was made, and the record is still only what the PDS said, then it was not: what was there before is
put back, and the repository is fetched. So no record is believed longer than its chain bears it out, and the ingester
need not know of any of this.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import asyncpg

from appview.db import Connection, Pool
from appview.index import actors
from appview.index.apply import Change, apply
from appview.index.counts import Changes
from appview.index.echoes import Echo, Outcome, note
from appview.index.lock import index_lock
from appview.index.rebuild import Makers
from appview.index.records import Incoming, RecordType
from appview.jobs.rows import want
from lexicons.data import decode
from lexicons.formats import is_tid, tid_time_us

JOB: Final = "pending"
"""The kind of the job that settles."""
ALL: Final = "all"
"""Its one subject: all that is pending is settled together."""
SIGNED_IN: Final = "signed_in"
"""Why a repository is tracked and fetched whose account signed in here."""
UNSEEN: Final = "unseen_write"
"""Why a repository is fetched of which a write has not come back, or was taken back: the PDS itself is asked."""
LOOK_SECONDS: Final = 1.0
"""How soon it is looked whether a write has come back, and how often."""
FETCH_SECONDS: Final = 30.0
"""After so long without it, the repository is wanted."""
FETCH_AGAIN_SECONDS: Final = 600.0
LOCK_SECONDS: Final = 2.0
"""How long a write waits to be shown while others write the index."""
SKEW_SECONDS: Final = 10.0
"""How far apart the clocks of our machines may be: a fetch was later than a write if it was later by more than this."""
AT_ONCE: Final = 500
"""Writes that are settled in one transaction."""
_YOUNG_SECONDS: Final = 120.0
"""For how long after the last write it is looked every second; what is older, every minute."""
_FUTURE_US: Final = 5 * 60 * 1_000_000
"""How far ahead a rev may lie, as where commits are judged."""

# What is to be done about a write, by how things stand: null where there is nothing yet.
_DUE: Final = f"""
    select pending.uri, pending.did, actors.active, actors.pds, since, fetch_at is not null as was_fetched_for,
        least(repos.proven_at, $1::timestamptz) as proven_at, case
            when records.proven_by = 'live' then 'seen'
            when records.proven_by = 'fetch' then 'fetched'
            when repos.rev >= pending.rev then 'rolled_back'
            when repos.status = 'synchronized' and repos.fetched_at > written_at + interval '{SKEW_SECONDS} s'
                then 'rolled_back'
            when actors.active and written_at <= $1 - interval '{FETCH_SECONDS} s'
                and (fetch_at is null or fetch_at <= $1 - interval '{FETCH_AGAIN_SECONDS} s') then 'overdue'
        end as outcome
    from pending
        left join records using (uri) left join repos on repos.did = pending.did
        left join actors on actors.did = pending.did
    where $2::text[] is null or pending.uri = any($2)
"""  # noqa: S608 - our own numbers
_SOME_DUE: Final = f"select * from ({_DUE}) as due where outcome is not null order by uri limit {AT_ONCE}"  # noqa: S608 - our own words

_log = logging.getLogger(__name__)


class OwnWrite(NamedTuple):
    """A write that a PDS took from us: `rev` is that of the commit it answered with, and `cid` and `block` are the
    record's own, None where it was deleted.
    """

    uri: str
    did: str
    collection: str
    rkey: str
    rev: str
    cid: bytes | None
    block: bytes | None


async def show(pool: Pool, makers: Makers, writes: Sequence[OwnWrite], at: datetime) -> None:
    """Show what a PDS took from us, at the time `at` of its answer; all of `writes`, or none of them.

    May be called again, and at any time later: what has been proven meanwhile, or overtaken, stays as it is. The rev
    must be that of the write's own commit. Of collections that are not indexed, of an account that is not active here,
    and under a rev that is none or lies far ahead, nothing is shown: the firehose will tell. Raises what is in `AWAY`,
    a TimeoutError among it where others held the index for too long: the write stands at its PDS, and this can be
    called again. `pool` must be able to write.
    """
    changes = [_change(makers, write) for write in writes if write.collection in makers.types and _is_sane(write, at)]
    if not changes:
        return
    try:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(f"set local lock_timeout = {LOCK_SECONDS * 1000:.0f}")
            await index_lock(connection)
            await _show(connection, makers, changes, at)
    except asyncpg.LockNotAvailableError:
        raise TimeoutError(f"the index was held by others for more than {LOCK_SECONDS:.0f} s") from None


async def track(pool: Pool, did: str) -> None:
    """Have the repository of `did` followed from now on, and fetched: its account has signed in here.

    One that is followed already stays as it is. An account that was not active is asked about at its PDS.
    """
    async with pool.acquire() as connection, connection.transaction():
        await index_lock(connection)
        await _follow(connection, [did])


async def settle(pool: Pool, types: Mapping[str, RecordType], now: datetime) -> float | None:
    """Let go of what has come back, take back what has not, and have fetched what is overdue.

    Returns the seconds after which it is worth being called again; None where that is soon enough in a minute, or where
    nothing is pending. Nobody else is held up where there is nothing to be done.
    """
    async with pool.acquire() as connection:
        due: Sequence[asyncpg.Record] = await connection.fetch(_SOME_DUE, now, None)
        if due:
            async with connection.transaction():
                await index_lock(connection)
                due = await _settle(connection, types, now)
        if len(due) == AT_ONCE:
            return 0.0
        young = await connection.fetchval(
            "select exists (select from pending where written_at > $1)", now - timedelta(seconds=_YOUNG_SECONDS)
        )
    return LOOK_SECONDS if young else None


def _is_sane(write: OwnWrite, at: datetime) -> bool:
    if is_tid(write.rev) and tid_time_us(write.rev) <= at.timestamp() * 1_000_000 + _FUTURE_US:
        return True
    _log.warning("%s is not shown before it is proven: its PDS names the rev %.40r", write.uri, write.rev)
    return False


def _change(makers: Makers, write: OwnWrite) -> Change:
    uri, did, collection, rkey, rev, cid, block = write
    judgement = None if block is None else makers.judge.judge(collection, rkey, block)
    return Change(uri, did, collection, rkey, rev, cid, block, judgement, "write")


# --- showing ---


async def _show(connection: Connection, makers: Makers, changes: Sequence[Change], at: datetime) -> None:
    await _follow(connection, {change.did for change in changes})
    # What is pending of them from before, and was seen by now, is what was there before what is shown now.
    await _settle(connection, makers.types, at, [change.uri for change in changes])
    fresh = await _not_overtaken(connection, changes, at)
    if not fresh:
        return
    await _remember(connection, makers.types, fresh, at)
    await apply(connection, makers.types, fresh, at)
    await want(connection, JOB, [ALL], delay=LOOK_SECONDS)


async def _not_overtaken(connection: Connection, changes: Sequence[Change], at: datetime) -> list[Change]:
    """Those of `changes` of which the index does not know better; of those that have come back before they could be
    shown it is noted that they have.
    """
    rows = await connection.fetch(
        f"""
        select place - 1, actors.pds, records.rev >= written.rev and records.proven_by <> 'write',
            not actors.active or records.rev >= written.rev or repos.rev >= written.rev
                or (repos.status = 'synchronized' and repos.fetched_at > $4::timestamptz + interval '{SKEW_SECONDS} s')
        from unnest($1::text[], $2::text[], $3::text[]) with ordinality as written (uri, did, rev, place)
            join actors on actors.did = written.did left join repos on repos.did = written.did
            left join records on records.uri = written.uri
        order by place
        """,  # noqa: S608 - our own number
        [change.uri for change in changes],
        [change.did for change in changes],
        [change.rev for change in changes],
        at,
    )
    await note(connection, [Echo("seen", 0.0, pds) for _, pds, is_seen, _ in rows if is_seen], at)
    return [changes[place] for place, _, _, is_overtaken in rows if not is_overtaken]


async def _remember(
    connection: Connection, types: Mapping[str, RecordType], changes: Sequence[Change], at: datetime
) -> None:
    """Keep what is there before `changes`, unless that is pending itself: then what was there before it is kept."""
    last = {change.uri: change for change in sorted(changes, key=lambda change: change.rev)}
    inherited: dict[str, object] = {}
    for nsid, kind in types.items():
        uris = [change.uri for change in last.values() if change.collection == nsid]
        if uris:
            inherited |= await kind.inherited(connection, uris)
    await connection.execute(
        """
        insert into pending
            (uri, did, rev, written_at, since, before_rev, before_cid, before_value, before_verdict, before_deviations,
            before_sort_at, before_first_seen_at, before_indexed_at, before_proven_by, before_inherited)
        select written.uri, written.did, written.rev, $5, $5, records.rev, cid, value, verdict, deviations,
            sort_at, first_seen_at, indexed_at, proven_by, inherited
        from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[]) as written (uri, did, rev, inherited)
            left join records on records.uri = written.uri
        on conflict (uri) do update set rev = excluded.rev, written_at = excluded.written_at, fetch_at = null
        """,
        [change.uri for change in last.values()],
        [change.did for change in last.values()],
        [change.rev for change in last.values()],
        [inherited.get(uri) for uri in last],
        at,
    )


async def _follow(connection: Connection, dids: Iterable[str]) -> None:
    """Have these repositories tracked; in a transaction that holds the index's lock."""
    await actors.see(connection, dids)
    rows = await connection.fetch(
        """
        select did, active from actors left join repos using (did)
        where did = any($1::text[]) and (repos.did is null or not active) order by did
        """,
        list(dids),
    )
    new = [row["did"] for row in rows if row["active"]]
    await connection.execute(
        """
        insert into repos (did, status, reason, status_at) select did, 'desynchronized', $2, now()
        from unnest($1::text[]) as new (did)
        """,
        new,
        SIGNED_IN,
    )
    for kind in ("fetch", "identity"):
        await want(connection, kind, new, note=SIGNED_IN)
    # A PDS lets nobody write, or sign in, whose account is not active; one that is back is fetched.
    await want(connection, "status", [row["did"] for row in rows if not row["active"]], note=SIGNED_IN)


# --- settling ---


async def _settle(
    connection: Connection, types: Mapping[str, RecordType], now: datetime, uris: Sequence[str] | None = None
) -> list[asyncpg.Record]:
    """Do what is due, some of it, as in `settle`; of `uris` alone where they are given."""
    due = await connection.fetch(_SOME_DUE, now, uris)
    lost = [row for row in due if row["outcome"] == "rolled_back"]
    overdue = [row for row in due if row["outcome"] == "overdue"]
    for row in lost:
        _log.warning("%s was written through us, and is not in its repository: it is taken back", row["uri"])
    await _roll_back(connection, types, [row["uri"] for row in lost])
    settled = [row["uri"] for row in due if row["outcome"] != "overdue"]
    await connection.execute("delete from pending where uri = any($1::text[])", settled)
    await connection.execute(
        "update pending set fetch_at = $2 where uri = any($1::text[])", [row["uri"] for row in overdue], now
    )
    fetched = {row["did"] for row in (*lost, *overdue) if row["active"]}
    await want(connection, "fetch", fetched, note=UNSEEN)
    await note(connection, [_echo(row, now) for row in due if row["outcome"] != "overdue"], now)
    return due


def _echo(row: asyncpg.Record, now: datetime) -> Echo:
    outcome: Outcome = row["outcome"]
    until = now if outcome == "rolled_back" else row["proven_at"]
    # A repository that is being fetched anyway says nothing of the firehose.
    is_missed = outcome == "rolled_back" or (outcome == "fetched" and row["was_fetched_for"])
    return Echo(outcome, max(0.0, (until - row["since"]).total_seconds()), row["pds"], is_missed=is_missed)


async def _roll_back(connection: Connection, types: Mapping[str, RecordType], uris: Sequence[str]) -> None:
    """Put back what was there before these writes: records, their projections and the counts, or nothing."""
    if not uris:
        return
    await connection.execute("delete from records where uri = any($1::text[])", uris)
    rows = await connection.fetch(
        """
        insert into records
            (uri, did, collection, rev, cid, value, verdict, deviations, sort_at, first_seen_at, indexed_at, proven_by)
        select uri, did, split_part(uri, '/', 4), before_rev, before_cid, before_value, before_verdict,
            before_deviations, before_sort_at, before_first_seen_at, before_indexed_at, before_proven_by
        from pending where uri = any($1::text[]) and before_rev is not null
        returning uri, did, collection, cid, value, verdict, sort_at, indexed_at,
            (select before_inherited from pending where pending.uri = records.uri) as inherited
        """,
        uris,
    )
    changes = Changes()
    for nsid, kind in types.items():
        gone = [uri for uri in uris if uri.split("/")[3] == nsid]
        if gone:
            come = [_incoming(row) for row in rows if row["collection"] == nsid and _was_shown(row)]
            await kind.swap(connection, gone, come, changes)
    await changes.apply(connection)


def _was_shown(row: asyncpg.Record) -> bool:
    return row["verdict"] in {"ok", "tolerated"}


def _incoming(row: asyncpg.Record) -> Incoming:
    # `fresh`: the row that is taken out says nothing of what was there before.
    return Incoming(
        row["uri"],
        row["did"],
        row["cid"],
        decode(row["value"]),
        row["sort_at"],
        row["indexed_at"],
        len(row["value"]),
        (row["inherited"],) if row["inherited"] is not None else (),
        fresh=True,
    )
