"""What becomes of own writes that are shown (`appview.index.pending`): let go of, taken back, or asked for."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from appview.db import Connection, Pool
from appview.index.counts import Changes
from appview.index.echoes import Echo, Outcome, note
from appview.index.lock import index_lock
from appview.index.records import Incoming, RecordType
from appview.jobs.rows import want
from lexicons.data import decode

UNSEEN: Final = "unseen_write"
"""Why a repository is fetched of which a write has not come back, or was taken back: the PDS itself is asked."""
LOOK_SECONDS: Final = 1.0
"""How soon it is looked whether a write has come back, and how often."""
FETCH_SECONDS: Final = 30.0
"""After so long without it, the repository is wanted."""
FETCH_AGAIN_SECONDS: Final = 600.0
GIVE_UP_SECONDS: Final = 86_400.0
"""For how long the word of a PDS is believed that neither its firehose nor its repository bears out."""
REFUSED_SECONDS: Final = 3_600.0
"""The same where the repository was asked for REFUSED_TIMES by now, and never came."""
REFUSED_TIMES: Final = 3
PAUSE_SECONDS: Final = 5.0
"""A process that is stopped for longer within one of these transactions loses it, and the index with that."""
SKEW_SECONDS: Final = 10.0
"""How far apart the clocks of our machines may be: a fetch was later than a write if it was later by more than this."""
AT_ONCE: Final = 500
"""Writes that are settled in one transaction."""
_YOUNG_SECONDS: Final = 120.0
"""For how long after the last write it is looked every second; what is older, every minute."""

# What is to be done about a write, by how things stand: null where there is nothing yet.
_DUE: Final = f"""
    select pending.uri, pending.did, actors.active, actors.pds, since, fetch_at is not null as was_fetched_for,
        least(repos.proven_at, $1::timestamptz) as proven_at, case
            when records.proven_by = 'live' then 'seen'
            when records.proven_by = 'fetch' then 'fetched'
            when repos.rev >= pending.rev then 'rolled_back'
            when repos.status = 'synchronized' and repos.fetched_at > written_at + interval '{SKEW_SECONDS} s'
                then 'rolled_back'
            when since <= $1 - interval '{GIVE_UP_SECONDS} s'
                or since <= $1 - interval '{REFUSED_SECONDS} s' and jobs.attempts >= {REFUSED_TIMES} then 'given_up'
            when actors.active and written_at <= $1 - interval '{FETCH_SECONDS} s'
                and (fetch_at is null or fetch_at <= $1 - interval '{FETCH_AGAIN_SECONDS} s') then 'overdue'
        end as outcome
    from pending
        left join records using (uri) left join repos on repos.did = pending.did
        left join actors on actors.did = pending.did
        left join jobs on jobs.kind = 'fetch' and jobs.subject = pending.did
"""  # noqa: S608 - our own numbers
_SOME_DUE: Final = f"select * from ({_DUE}) as due where outcome is not null order by uri limit {AT_ONCE}"  # noqa: S608 - our own words
_THESE_DUE: Final = f"select * from ({_DUE} where pending.uri = any($2::text[])) as due where outcome is not null"  # noqa: S608 - our own words
_WHY_LOST: Final = {
    "rolled_back": "is not in its repository",
    "given_up": "its PDS has neither said so to others nor shown its repository",
}

_log = logging.getLogger(__name__)


async def settle(pool: Pool, types: Mapping[str, RecordType], now: datetime) -> float | None:
    """Let go of what has come back, take back what has not, and have fetched what is overdue.

    Returns the seconds after which it is worth being called again; None where that is soon enough in a minute, or where
    nothing is pending. Nobody else is held up where there is nothing to be done.
    """
    async with pool.acquire() as connection:
        due: Sequence[asyncpg.Record] = await connection.fetch(_SOME_DUE, now)
        if due:
            async with connection.transaction():
                await be_brief(connection)
                await index_lock(connection)
                await settle_some(connection, types, now, [row["uri"] for row in due])
        if len(due) == AT_ONCE:
            return 0.0
        young = await connection.fetchval(
            "select exists (select from pending where written_at > $1)", now - timedelta(seconds=_YOUNG_SECONDS)
        )
    return LOOK_SECONDS if young else None


async def settle_some(
    connection: Connection, types: Mapping[str, RecordType], now: datetime, uris: Sequence[str]
) -> None:
    """Do what is due of `uris`; to be called within a transaction that holds the index's lock."""
    due = await connection.fetch(_THESE_DUE, now, uris)
    lost = [row for row in due if row["outcome"] in _WHY_LOST]
    overdue = [row for row in due if row["outcome"] == "overdue"]
    for row in lost:
        _log.warning("%s was written through us, and %s: it is taken back", row["uri"], _WHY_LOST[row["outcome"]])
    await _roll_back(connection, types, [row["uri"] for row in lost])
    settled = [row["uri"] for row in due if row["outcome"] != "overdue"]
    if settled:
        await connection.execute("delete from pending where uri = any($1::text[])", settled)
    if overdue:
        await connection.execute(
            "update pending set fetch_at = $2 where uri = any($1::text[])", [row["uri"] for row in overdue], now
        )
    fetched = {row["did"] for row in (*lost, *overdue) if row["active"]}
    await want(connection, "fetch", fetched, note=UNSEEN)
    await note(connection, [_echo(row, now) for row in due if row["outcome"] != "overdue"], now)


async def be_brief(connection: Connection) -> None:
    """Let the transaction that has just begun not hold anything for long while its process does nothing."""
    await connection.execute(f"set local idle_in_transaction_session_timeout = {PAUSE_SECONDS * 1000:.0f}")


def _echo(row: asyncpg.Record, now: datetime) -> Echo:
    outcome: Outcome = "rolled_back" if row["outcome"] in _WHY_LOST else row["outcome"]
    until = now if outcome == "rolled_back" else row["proven_at"]
    # A repository that is being fetched anyway says nothing of the firehose; nor does a PDS that shows none.
    is_missed = row["outcome"] == "rolled_back" or (outcome == "fetched" and row["was_fetched_for"])
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
