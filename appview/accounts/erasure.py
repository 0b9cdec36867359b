"""An account that wants to be forgotten here: what was asked for, how far it has come, and each step of it.

    deleting ──→ echo ──→ forgetting ──→ purging ──→ done
     its records   until the index   grants, sessions,   what is indexed
     at its PDS    knows of that     tokens, settings    (by the ingester)

Without records to be deleted it begins with forgetting. Each step is a row before anything is done about it, so that
whoever was stopped, or was away, goes on from there. What remains is that line, and whatever others wrote; the account
is indexed again as soon as it writes another record of ours, or signs in.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal, NamedTuple, TypeAlias

from appview.accounts.forget import forget
from appview.accounts.grant_rows import REVOCATION, condemn
from appview.accounts.oauth.scopes import RepoNeed, missing
from appview.db import Connection, Pool
from appview.jobs.rows import want

JOB: Final = "erasure"
"""The kind of the jobs that carry it out, by DID."""
ERASE: Final = "erase"
"""The kind of those by which the ingester, who alone writes the index, does its part."""
REASON: Final = "the account asked to be forgotten here"
"""Why its grants are over."""

State: TypeAlias = Literal["deleting", "echo", "forgetting", "purging", "done"]

_READ: Final = """
    select did, state, records, grant_id, deleted, rev, reason, requested_at, changed_at from erasures where did = $1
"""


class Erasure(NamedTuple):
    """What an account asked for, and how far it is."""

    did: str
    state: State
    records: bool
    """Whether its records of ours are to be deleted at its PDS."""
    grant: int | None
    """By which they are."""
    deleted: int
    """How many of them have been, at least: whoever is killed may not have counted the last."""
    rev: str | None
    """Of the last commit that did so."""
    reason: str | None
    """Why it waits; of one that goes on to the end, why records were left at the PDS."""
    requested_at: datetime
    changed_at: datetime
    """When it last came further, or began to wait."""


async def request_erasure(pool: Pool, did: str, grant: int, *, records: bool) -> Erasure:
    """Have the account forgotten, from now on and whatever happens; with `records`, its records of ours deleted first.

    Everybody is signed out at once who acts for it, but for the browser whose `grant` deletes the records: that one is
    when they are gone. Asking again changes nothing, but that records are deleted too; a new grant takes over.
    """
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            """
            insert into erasures as held (did, records, state, grant_id)
            values ($1, $3, case when $3 then 'deleting' else 'forgetting' end, case when $3 then $2::bigint end)
            on conflict (did) do update set
                records = excluded.records, state = excluded.state, grant_id = excluded.grant_id, reason = null,
                deleted = case when held.state = 'done' then 0 else held.deleted end,
                requested_at = now(), changed_at = now()
                where held.state = 'done' or excluded.records and held.state <> 'purging'
            """,
            did,
            grant,
            records,
        )
        [row] = await connection.fetch(_READ, did)
        await _condemn(connection, did)
        await want(connection, JOB, [did])
    return Erasure(*row)


async def lacking(pool: Pool, grant: int, collections: Iterable[str]) -> str | None:
    """What a grant does not permit that it takes to delete the records of `collections`; None where it permits all."""
    scope = await pool.fetchval("select scope from grants where id = $1", grant)
    needs = missing(scope or "", [RepoNeed(collection, "delete") for collection in collections])
    return str(needs[0]) if needs else None


async def erasure_of(pool: Pool, did: str) -> Erasure | None:
    """How far it is; None where the account asked for nothing of the kind, or has come back since."""
    row = await pool.fetchrow(_READ, did)
    return Erasure(*row) if row else None


async def note_deleted(pool: Pool, erasure: Erasure, number: int, rev: str | None) -> None:
    """So many more records are gone from the PDS, as of the commit `rev`."""
    await pool.execute(
        """
        update erasures set deleted = deleted + $2, rev = greatest(rev, $3::text), reason = null, changed_at = now()
        where did = $1 and state = 'deleting'
        """,
        erasure.did,
        number,
        rev,
    )


async def note_reason(pool: Pool, erasure: Erasure, reason: str) -> None:
    """Why it does not go on now; its waiting begins with the first that is noted since it last came further."""
    await pool.execute(
        """
        update erasures set reason = $2, changed_at = case when reason is null then now() else changed_at end
        where did = $1 and state = $3
        """,
        erasure.did,
        reason,
        erasure.state,
    )


async def use_grant(pool: Pool, erasure: Erasure, grant: int) -> None:
    """Delete by another grant from now on."""
    await pool.execute("update erasures set grant_id = $2 where did = $1 and state = 'deleting'", erasure.did, grant)


async def end_deleting(pool: Pool, erasure: Erasure, reason: str | None) -> None:
    """Go on: the records are gone from the PDS, or for `reason` they stay there. All grants are over with it."""
    async with pool.acquire() as connection, connection.transaction():
        moved = await connection.execute(
            """
            update erasures set state = 'echo', grant_id = null, reason = $2, changed_at = now()
            where did = $1 and state = 'deleting'
            """,
            erasure.did,
            reason,
        )
        if moved != "UPDATE 0":
            await _condemn(connection, erasure.did)


async def is_heard(pool: Pool, erasure: Erasure) -> bool:
    """Whether the index has come to the last commit that deleted something, or does not follow the account at all."""
    behind: bool = await pool.fetchval(
        "select exists (select from repos where did = $1 and coalesce(rev < $2, true))", erasure.did, erasure.rev
    )
    return erasure.rev is None or not behind


async def end_echo(pool: Pool, erasure: Erasure) -> None:
    """Go on: what was to be heard was heard, or waited for."""
    await pool.execute(
        "update erasures set state = 'forgetting', changed_at = now() where did = $1 and state = 'echo'", erasure.did
    )


async def servers_to_tell(pool: Pool, did: str) -> int:
    """Of how many of the account's grants, which are all over now, the servers were not told yet.

    Also of one of a moment ago: who signs in before all is forgotten is forgotten too.
    """
    async with pool.acquire() as connection, connection.transaction():
        await _condemn(connection, did)
        return int(await connection.fetchval("select count(*) from grants where did = $1 and state = 'ending'", did))


async def end_forgetting(pool: Pool, erasure: Erasure) -> None:
    """Forget what is private of it, and have the ingester forget the rest."""
    async with pool.acquire() as connection, connection.transaction():
        moved = await connection.execute(
            "update erasures set state = 'purging', changed_at = now() where did = $1 and state = 'forgetting'",
            erasure.did,
        )
        if moved != "UPDATE 0":
            await forget(connection, erasure.did)
            await want(connection, ERASE, [erasure.did])


async def end_purging(connection: Connection, did: str) -> None:
    """All of it is gone, in the transaction that saw to that; the account is one that was never seen.

    But for one that was taken down here, of which that is remembered.
    """
    await connection.execute("delete from actors where did = $1 and not taken_down", did)
    await connection.execute(
        "update erasures set state = 'done', changed_at = now() where did = $1 and state = 'purging'", did
    )


async def want_open(connection: Connection) -> None:
    """Want those that are under way, and of which no job is left."""
    rows = await connection.fetch(
        """
        select did, state from erasures where state <> 'done' and not exists (
            select from jobs where subject = did and kind = case when state = 'purging' then $2 else $1 end
        )
        """,
        JOB,
        ERASE,
    )
    await want(connection, JOB, [row["did"] for row in rows if row["state"] != "purging"], note="reminded")
    await want(connection, ERASE, [row["did"] for row in rows if row["state"] == "purging"], note="reminded")


async def _condemn(connection: Connection, did: str) -> None:
    """Every grant of the account is over, but the one that deletes its records, which `condemn` leaves alone."""
    rows = await connection.fetch("select id from grants where did = $1 order by id", did)
    over = await condemn(connection, [row["id"] for row in rows], REASON)
    # At once, since nobody else is about to tell their servers.
    await want(connection, REVOCATION, [str(grant) for grant in over], note=REASON)
