"""The state of each repository's chain: what was proven last, and whether all of it is here."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

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


async def recheck(connection: Connection, shard: tuple[int, int], host: str | None = None) -> None:
    """Have the PDS of every repository of `shard` asked where it stands: one that is ahead of what is here is fetched.

    With `host`, an origin that is the PDS of some, only of those.
    """
    await connection.execute(
        """
        insert into jobs (kind, subject, note)
        select 'status', did, 'recheck' from repos left join actors using (did)
        where shard_of(did, $2) = $1
            and (actors.pds = $3 or not exists (select from actors as other where other.pds = $3)) order by did
        on conflict (kind, subject) do update set wanted = jobs.wanted + 1
        """,
        *shard,
        host,
    )


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
