"""Writes of our own, shown before anything has proven them (protocol.md, WR-11 to WR-13).

A PDS that took a write from us has said which rev it has. The record is put in under that rev, by the same path as all
others, and what was there before is remembered. From then on the repository's chain decides: if the write is true, the
commit of that very rev replaces the record with itself, proven; if the chain comes to that rev, or a later fetch of all
of the repository was made, and the record is still only what the PDS said, then it was not: what was there before is
put back, and the repository is fetched. So no record is believed longer than its chain bears it out, and the ingester
need not know of any of this. Where no chain ever comes, the word of the PDS is believed for a day.

Of a write that was found by looking only an upper bound of its rev is known. It is put in just behind what the index
has, so that its own commit, whichever that is, replaces it; the chain has passed it by when it comes to the bound.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import accumulate
from typing import Final, NamedTuple

import asyncpg

from appview.db import AWAY, Connection, Pool
from appview.index import actors
from appview.index.apply import Change, apply
from appview.index.echoes import Echo, note
from appview.index.lock import index_lock
from appview.index.rebuild import Makers
from appview.index.records import RecordType
from appview.index.records.fields import MAX_DID_BYTES
from appview.index.settling import (
    FETCH_AGAIN_SECONDS,
    LOOK_SECONDS,
    SKEW_SECONDS,
    UNSEEN,
    be_brief,
    settle_some,
)
from appview.jobs.rows import want
from lexicons.formats import is_tid, tid_time_us

__all__ = ["ALL", "JOB", "SIGNED_IN", "UNSEEN", "OwnWrite", "Shows", "doubt", "show", "track"]

JOB: Final = "pending"
"""The kind of the job that settles."""
ALL: Final = "all"
"""Its one subject: all that is pending is settled together."""
SIGNED_IN: Final = "signed_in"
"""Why a repository is tracked and fetched whose account signed in here."""
LOCK_SECONDS: Final = 2.0
"""How long a write waits for each of those who write the index otherwise."""
TOGETHER: Final = 500
"""Writes that are shown in one transaction."""
MOST_PENDING: Final = 1_000
"""Records of one account: of more than that nothing is shown before it is proven."""
_FUTURE_US: Final = 5 * 60 * 1_000_000
"""How far ahead a rev may lie, as where commits are judged."""

_TID_DIGITS: Final = "234567abcdefghijklmnopqrstuvwxyz"

_log = logging.getLogger(__name__)


class OwnWrite(NamedTuple):
    """A write that a PDS took from us: `rev` is that of the commit it answered with, and `cid` and `block` are the
    record's own, None where it was deleted.

    `is_found`: its answer was lost, and a look has found it as of the commit `rev`, which may be a later one than its
    own.
    """

    uri: str
    did: str
    collection: str
    rkey: str
    rev: str
    cid: bytes | None
    block: bytes | None
    is_found: bool = False


class _Answered(NamedTuple):
    """A change that a PDS has taken, and when it said so; the chain has passed it by at `rev`."""

    change: Change
    at: datetime
    rev: str
    is_found: bool


class _Call:
    """Writes that wait to be shown, and what came of that."""

    def __init__(self, answered: Sequence[_Answered]) -> None:
        self.answered = answered
        self.is_over = False
        self.error: Exception | None = None


class Shows:
    """Shows what PDSes took from this process. What comes while other writes are being shown waits for the index
    together: however many there are, they take turns with the ingester as one.
    """

    def __init__(self, pool: Pool, makers: Makers) -> None:
        """`pool` must be able to write."""
        self._pool = pool
        self._makers = makers
        self._calls: list[_Call] = []
        self._turn = asyncio.Lock()

    async def show(self, writes: Sequence[OwnWrite], at: datetime) -> None:
        """Show `writes`, which their PDS has answered at the time `at`: all of them, or none.

        May be called again, and at any time later: what has been proven meanwhile, or overtaken, stays as it is. The
        rev must be that of the write's own commit, or the write say that it was found. Of collections that are not
        indexed, of an account that is not active here or has MOST_PENDING, and under a rev that is none or lies far
        ahead, nothing is shown: the firehose will tell. Raises what is in `AWAY`, a TimeoutError among it where others
        held the index for too long: the write stands at its PDS, and this can be called again.
        """
        call = _Call(
            [
                _Answered(_change(self._makers, write), at, write.rev, write.is_found)
                for write in writes
                if write.collection in self._makers.types and _is_sane(write, at)
            ]
        )
        if not call.answered:
            return
        self._calls.append(call)
        try:
            async with self._turn:
                if not call.is_over:
                    await self._show_with(call)
        finally:
            self._calls.remove(call)
        if call.error is not None:
            raise call.error

    async def _show_with(self, first: _Call) -> None:
        """Show what waits, `first` in any case. Where the database is away, all hear of it; of what else, `first`."""
        others = [call for call in self._calls if call is not first and not call.is_over]
        sizes = accumulate((len(call.answered) for call in others), initial=len(first.answered))
        calls = [first, *(call for call, size in zip(others, list(sizes)[1:], strict=True) if size <= TOGETHER)]
        answered = [one for call in calls for one in call.answered]
        error: Exception | None = None
        try:
            async with _locked(self._pool) as connection:
                await _show(connection, self._makers, answered)
        except AWAY as away:
            error = away
        for call in calls:
            call.is_over, call.error = True, error


async def show(pool: Pool, makers: Makers, writes: Sequence[OwnWrite], at: datetime) -> None:
    """As `Shows.show`, for once."""
    await Shows(pool, makers).show(writes, at)


async def track(pool: Pool, did: str) -> None:
    """Have the repository of `did` followed from now on, and fetched: its account has signed in here.

    One that is followed already stays as it is. An account that was not active is asked about at its PDS. Raises what
    is in `AWAY`.
    """
    if len(did) > MAX_DID_BYTES:
        return  # No ingester would take it in.
    try:
        async with _locked(pool) as connection:
            await _follow(connection, [did])
    except TimeoutError:
        # The job makes it tracked too, though not at once.
        async with pool.acquire() as connection:
            await want(connection, "fetch", [did], note=SIGNED_IN)


async def doubt(pool: Pool, did: str, versions: Mapping[str, bytes | None]) -> None:
    """The PDS of `did` has said that it has these versions by their URIs, None where it has no record, and that it had
    them before: where the index says otherwise, it has missed something, and the repository is wanted.

    But for one that is wanted anyway, and no more often than every FETCH_AGAIN_SECONDS. Raises what is in `AWAY`.
    """
    async with pool.acquire() as connection, connection.transaction():
        is_wrong = await connection.fetchval(
            """
            select exists (
                select from unnest($2::text[], $3::bytea[]) as said (uri, cid)
                    left join records using (uri) left join pending using (uri)
                where records.cid is distinct from said.cid and pending.uri is null
            ) and not exists (select from actors where did = $1 and not active)
                and not exists (select from jobs where kind = 'fetch' and subject = $1)
                and not exists (
                    select from repos where did = $1 and fetched_at > now() - make_interval(secs => $4)
                )
            """,
            did,
            list(versions),
            list(versions.values()),
            FETCH_AGAIN_SECONDS,
        )
        if is_wrong:
            _log.warning("the PDS of %s has other records than the index: its repository is fetched", did)
            await want(connection, "fetch", [did], note=UNSEEN)


@asynccontextmanager
async def _locked(pool: Pool) -> AsyncIterator[Connection]:
    """A transaction that holds the index's lock. Raises TimeoutError where others had it for too long."""
    try:
        async with pool.acquire() as connection, connection.transaction():
            # The disk is not waited for: whatever says later, and durably, that this was shown is behind it in the log,
            # and what is lost with the machine is shown by the journal's job, or comes by the firehose.
            await connection.execute(
                f"set local synchronous_commit = off; set local lock_timeout = {LOCK_SECONDS * 1000:.0f}"
            )
            await be_brief(connection)
            await index_lock(connection)
            yield connection
    except asyncpg.LockNotAvailableError:
        raise TimeoutError(f"others held the index for more than {LOCK_SECONDS:.0f} s") from None


def _is_sane(write: OwnWrite, at: datetime) -> bool:
    if len(write.did) > MAX_DID_BYTES:
        return False
    if is_tid(write.rev) and tid_time_us(write.rev) <= at.timestamp() * 1_000_000 + _FUTURE_US:
        return True
    _log.warning("%s is not shown before it is proven: its PDS names the rev %.40r", write.uri, write.rev)
    return False


def _change(makers: Makers, write: OwnWrite) -> Change:
    uri, did, collection, rkey, rev, cid, block, _ = write
    judgement = None if block is None else makers.judge.judge(collection, rkey, block)
    return Change(uri, did, collection, rkey, rev, cid, block, judgement, "write")


# --- showing ---


class _Standing(NamedTuple):
    """How a write stands to what the index knows."""

    is_strange: bool
    """Its repository is not tracked, or its account not active."""
    is_pending: bool
    """An earlier write of its record is."""
    is_overtaken: bool
    """The index knows better."""
    is_seen: bool
    """It has come back before it could be shown."""
    pds: str | None
    held: str | None
    """The newest rev that the index has of its record, or of its repository."""
    pending: int
    """How many records of its account are."""


async def _show(connection: Connection, makers: Makers, answered: Sequence[_Answered]) -> None:
    """In one look, where nothing is out of the ordinary: for as long as this takes nobody else can write."""
    now = max(one.at for one in answered)
    standings = await _standings(connection, answered)
    if any(standing.is_strange or standing.is_pending for standing in standings):
        await _follow(connection, {one.change.did for one in answered})
        # What is pending of them from before, and was seen by now, is what was there before what is shown now.
        await settle_some(connection, makers.types, now, [one.change.uri for one in answered])
        standings = await _standings(connection, answered)
    await note(connection, [Echo("seen", 0.0, standing.pds) for standing in standings if standing.is_seen], now)
    fresh = _fresh(answered, standings)
    if fresh:
        await _remember(connection, makers.types, fresh)
        await apply(connection, makers.types, [one.change for one in fresh], now)
        await want(connection, JOB, [ALL], delay=LOOK_SECONDS)


def _fresh(answered: Sequence[_Answered], standings: Sequence[_Standing]) -> list[_Answered]:
    """Those that are to be shown, each under the rev that it is put in with."""
    fresh = [
        (one, standing)
        for one, standing in zip(answered, standings, strict=True)
        if not standing.is_overtaken and not standing.is_strange
    ]
    last = _last(one for one, _ in fresh)
    added = Counter({one.change.uri: one.change.did for one, standing in fresh if not standing.is_pending}.values())
    return [
        one._replace(change=one.change._replace(rev=_just_after(standing.held))) if one.is_found else one
        for one, standing in fresh
        if standing.pending + added[one.change.did] <= MOST_PENDING
        # What is put in just behind what is there could not be told to be later than these.
        and (one is last[one.change.uri] or not last[one.change.uri].is_found)
    ]


def _last(answered: Iterable[_Answered]) -> dict[str, _Answered]:
    """Of each record its last version."""
    return {one.change.uri: one for one in sorted(answered, key=lambda one: one.rev)}


def _just_after(rev: str | None) -> str:
    """The first TID after this one, or of all: no commit that followed can have an earlier one."""
    if rev is None:
        return "2" * 13
    kept = rev.rstrip("z")
    return f"{kept[:-1]}{_TID_DIGITS[_TID_DIGITS.index(kept[-1]) + 1]}".ljust(13, "2")


async def _standings(connection: Connection, answered: Sequence[_Answered]) -> list[_Standing]:
    """How each of these stands, in their order."""
    rows = await connection.fetch(
        f"""
        with many as materialized (select did, count(*) as n from pending where did = any($2) group by did)
        select repos.did is null or actors.did is null or not active, pending.uri is not null,
            coalesce(records.rev >= written.rev or pending.rev >= written.rev or repos.rev >= written.rev
                or (repos.status = 'synchronized' and repos.fetched_at > written.at + interval '{SKEW_SECONDS} s')
                or (is_found and records.uri is not null and records.cid is not distinct from written.cid), false),
            coalesce(records.rev >= written.rev and records.proven_by <> 'write' and not is_found, false), actors.pds,
            greatest(records.rev, repos.rev), coalesce(many.n, 0)
        from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::bytea[], $6::boolean[]) with ordinality
            as written (uri, did, rev, at, cid, is_found, place)
            left join actors on actors.did = written.did left join repos on repos.did = written.did
            left join records on records.uri = written.uri left join pending on pending.uri = written.uri
            left join many on many.did = written.did
        order by place
        """,  # noqa: S608 - our own number
        *_columns(answered),
        [one.change.cid for one in answered],
        [one.is_found for one in answered],
    )
    return [_Standing(*row) for row in rows]


async def _remember(connection: Connection, types: Mapping[str, RecordType], answered: Sequence[_Answered]) -> None:
    """Keep what is there before these, unless that is pending itself: then what was there before it is kept."""
    last = _last(answered)
    inherited: dict[str, object] = {}
    for nsid, kind in types.items():
        uris = [uri for uri, one in last.items() if one.change.collection == nsid]
        if uris:
            inherited |= await kind.inherited(connection, uris)
    await connection.execute(
        """
        insert into pending
            (uri, did, rev, written_at, since, before_rev, before_cid, before_value, before_verdict, before_deviations,
            before_sort_at, before_first_seen_at, before_indexed_at, before_proven_by, before_inherited)
        select written.uri, written.did, written.rev, at, at, records.rev, cid, value, verdict, deviations,
            sort_at, first_seen_at, indexed_at, proven_by, inherited
        from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::jsonb[])
            as written (uri, did, rev, at, inherited)
            left join records on records.uri = written.uri
        on conflict (uri) do update set rev = excluded.rev, written_at = excluded.written_at, fetch_at = null
        """,
        *_columns(list(last.values())),
        [inherited.get(uri) for uri in last],
    )


def _columns(answered: Sequence[_Answered]) -> tuple[list[object], ...]:
    """Their URIs, DIDs, revs and times."""
    changes = [one.change for one in answered]
    return (
        [change.uri for change in changes],
        [change.did for change in changes],
        [one.rev for one in answered],
        [one.at for one in answered],
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
    if new:
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
