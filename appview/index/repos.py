"""The state of each repository's chain: what was proven last, and whether all of it is here."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

from appview.db import Connection

Status = Literal["synchronized", "desynchronized", "in_progress"]
ProvenBy = Literal["live", "fetch"]


class Chain(NamedTuple):
    """A row of `repos`. `rev`, `data` and `commit_cid` go together, and are None before the repository was whole.

    `needs_rev` is the newest rev that was proven to exist; a fetch that brings an older one is stale.
    """

    did: str
    status: Status
    rev: str | None
    data: bytes | None
    commit_cid: bytes | None
    needs_rev: str | None
    reason: str
    proven_by: ProvenBy | None = None
    proven_at: datetime | None = None
    fetched_at: datetime | None = None


class Known(NamedTuple):
    """What the index holds of a DID: its chain, None where it has none, and whether its account is active."""

    chain: Chain | None
    active: bool


class Audited(NamedTuple):
    """When a repository was last compared with its PDS; None: never."""

    at: datetime | None
    did: str


_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = "did, status, rev, data, commit_cid, needs_rev, reason, proven_by, proven_at, fetched_at"


async def known(connection: Connection, dids: Sequence[str]) -> dict[str, Known]:
    """What is held of `dids`, those that nothing is held of included."""
    rows = await connection.fetch(f"select {_COLUMNS} from repos where did = any($1)", dids)  # noqa: S608 - our own names
    inactive = await connection.fetch("select did from actors where did = any($1) and not active", dids)
    chains = {row["did"]: Chain(*row) for row in rows}
    hidden = {row["did"] for row in inactive}
    return {did: Known(chains.get(did), did not in hidden) for did in dids}


async def resume(connection: Connection, shard: tuple[int, int]) -> None:
    """Have every repository of `shard` (index, count) fetched that is not whole, whatever became of the job for it."""
    await connection.execute(
        """
        insert into jobs (kind, subject, note)
        select 'fetch', did, repos.reason from repos left join actors using (did)
        where repos.status <> 'synchronized' and coalesce(actors.active, true) and shard_of(did, $2) = $1 order by did
        on conflict do nothing
        """,
        *shard,
    )


async def recheck(
    connection: Connection, shard: tuple[int, int], host: str | None = None, *, after: str = "", limit: int
) -> str | None:
    """Have the PDSes of `limit` repositories of `shard` behind the DID `after` asked where they stand; what is ahead of
    us is fetched. With `host`, an origin, only of those whose PDS that is, or is not known.

    Returns the last of them, None where there are no more. It is a kind of job of its own, so that what an event says
    of an account need not wait for a million of these.
    """
    end: str | None = await connection.fetchval(
        """
        with chosen as materialized (
            select did from repos left join actors using (did)
            where did > $4 and ($2 = 1 or shard_of(did, $2) = $1)
                and ($3::text is null or actors.pds = $3 or actors.pds is null)
            order by did limit $5::bigint
        ), wanted as (
            insert into jobs (kind, subject, note) select 'recheck', did, 'recheck' from chosen order by did
            on conflict (kind, subject) do update set wanted = jobs.wanted + jobs.leased::int
        )
        select case when count(*) = $5 then max(did) end from chosen
        """,
        *shard,
        host,
        after,
        limit,
    )
    return end


async def is_host(connection: Connection, origin: str) -> bool:
    """Whether `origin` is known to be the PDS of an account."""
    found: bool = await connection.fetchval("select exists (select from actors where pds = $1)", origin)
    return found


async def save(connection: Connection, chains: Iterable[Chain], now: datetime) -> None:
    """Write these chains, each in place of what was there; `status_at` moves only with the status."""
    rows = sorted(chains)
    if not rows:
        return
    columns = list(zip(*rows, strict=True))
    await connection.execute(
        """
        insert into repos
            (did, status, rev, data, commit_cid, needs_rev, reason, proven_by, proven_at, fetched_at, status_at)
        select *, $11::timestamptz from unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::text[],
            $7::text[], $8::text[], $9::timestamptz[], $10::timestamptz[])
        on conflict (did) do update set
            status_at = case when repos.status = excluded.status then repos.status_at else excluded.status_at end,
            status = excluded.status, rev = excluded.rev, data = excluded.data, commit_cid = excluded.commit_cid,
            needs_rev = case when excluded.status = 'synchronized' then null
                else greatest(repos.needs_rev, excluded.needs_rev) end,
            reason = excluded.reason,
            proven_by = coalesce(excluded.proven_by, repos.proven_by),
            proven_at = coalesce(excluded.proven_at, repos.proven_at),
            fetched_at = coalesce(excluded.fetched_at, repos.fetched_at)
        """,
        *columns,
        now,
    )


async def to_audit(
    connection: Connection, shard: tuple[int, int], after: Audited, before: datetime, limit: int
) -> list[Audited]:
    """The next `limit` repositories of `shard` behind `after`, in the order of when they were audited; those that were
    since `before` are not among them.
    """
    if after.at is None:
        rows = await connection.fetch(
            """
            select audited_at, did from repos
            where audited_at is null and did > $1 and ($3 = 1 or shard_of(did, $3) = $2)
            order by audited_at nulls first, did limit $4
            """,
            after.did,
            *shard,
            limit,
        )
        if rows:
            return [Audited(*row) for row in rows]
    rows = await connection.fetch(
        """
        select audited_at, did from repos
        where (audited_at, did) > ($1, $2) and audited_at < $5 and ($4 = 1 or shard_of(did, $4) = $3)
        order by audited_at nulls first, did limit $6
        """,
        after.at or _LONG_AGO,
        after.did if after.at else "",
        *shard,
        before,
        limit,
    )
    return [Audited(*row) for row in rows]


async def save_audited(connection: Connection, dids: Iterable[str], now: datetime) -> None:
    """These repositories were compared with their PDSes."""
    await connection.execute("update repos set audited_at = $2 where did = any($1)", list(dids), now)
