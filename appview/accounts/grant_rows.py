"""The rows of grants: what state they are in, and who may change their tokens.

A grant is new until a browser or a developer token has it, then live. One that is over is ending until its server was
told, and then ended, without its secrets. Its tokens change under a lease, which is in the row, so that nobody keeps a
connection meanwhile; whoever lost it may neither end the grant nor give the lease back. New tokens are stored by who
got them, as long as those that they follow are still the ones in the row.

Whoever locks several of an account's rows in one transaction does so in this order, and within a table in that of the
ids: its erasure, `hold`, browsers, their accounts or developer tokens, grants, jobs.
"""

from collections.abc import Collection, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from appview.db import Connection, Pool
from appview.jobs.rows import want

Kind: TypeAlias = Literal["session", "token"]
"""Whether a browser has the grant, or a developer token."""
State: TypeAlias = Literal["new", "live", "ending", "ended"]

REVOCATION: Final = "revocation"
"""The kind of the jobs that tell a server that a grant is over; the subject is its id."""
REVOCATION_DELAY: Final = 30.0
"""Seconds in which whoever ended it has told the server, unless they were stopped."""

_COLUMNS: Final = """
    id, did, state, reason, scope, sealed, version, lease, asked_at is not null as is_unanswered,
    coalesce(away_until > now(), false) as is_away
"""


class Row(NamedTuple):
    """A grant as it was when it was read."""

    id: int
    did: str
    state: State
    reason: str | None
    """Why it is over."""
    scope: str
    """As granted."""
    sealed: bytes | None
    version: int
    """Counted up with each new tokens."""
    lease: int
    is_unanswered: bool
    """New tokens were asked for, and no answer came: they may have been given."""
    is_away: bool
    """Its server could not be asked a moment ago."""

    def __repr__(self) -> str:
        return f"Row(id={self.id}, did={self.did!r}, state={self.state!r}, version={self.version})"


class NotToBeHad(Exception):
    """The grant is not new, or is not of that account or kind."""


async def hold(connection: Connection, did: str) -> None:
    """Until the transaction ends, nobody else gives a grant of the account to a browser or a token, or forgets it."""
    await connection.execute("select pg_advisory_xact_lock(hashtextextended('grants of ' || $1, 0))", did)


async def lock(connection: Connection, grants: Collection[int]) -> None:
    """Have these grants changed by nobody else until the transaction ends."""
    await connection.execute(
        "select from grants where id = any($1::bigint[]) order by id for update", sorted(set(grants))
    )


async def number(pool: Pool) -> int:
    """An id for a grant that is about to be added."""
    return int(await pool.fetchval("select nextval(pg_get_serial_sequence('grants', 'id'))"))


async def add(
    pool: Pool, id_: int, did: str, kind: Kind, *, issuer: str, scope: str, key_id: str | None, sealed: bytes
) -> None:
    """Keep a new grant, which is over soon unless somebody adopts it."""
    await pool.execute(
        """
        insert into grants (id, did, kind, issuer, scope, key_id, sealed) overriding system value
        values ($1, $2, $3, $4, $5, $6, $7)
        """,
        id_,
        did,
        kind,
        issuer,
        scope,
        key_id,
        sealed,
    )


async def adopt(connection: Connection, grant: int, did: str, kind: Kind) -> None:
    """From now on somebody has the grant, which is new and `did`'s. Raises NotToBeHad."""
    adopted = await connection.fetchval(
        "update grants set state = 'live' where id = $1 and did = $2 and kind = $3 and state = 'new' returning id",
        grant,
        did,
        kind,
    )
    if adopted is None:
        raise NotToBeHad("this grant is not to be had: it is somebody's already, or another account's, or over")


async def read(pool: Pool, grant: int) -> Row | None:
    """The grant, whatever its state; None when there is none."""
    row = await pool.fetchrow(f"select {_COLUMNS} from grants where id = $1", grant)  # noqa: S608 - a constant
    return Row(*row) if row else None


async def take(
    pool: Pool, grant: int, states: Sequence[State], version: int | None, *, seconds: float, is_asking: bool
) -> Row | None:
    """Take the lease of a grant in one of `states` for `seconds`; None when it is in no such state or leased.

    With `version`, None as well when it has other tokens by now, or its server is to be left alone. With `is_asking`
    the row says, until `store` or `give_back`, that new tokens were asked for; `is_unanswered` is what it said before.
    """
    row = await pool.fetchrow(
        f"""
        with former as materialized (
            select {_COLUMNS} from grants where id = $1 and state = any($2::text[])
                and coalesce(leased_until < now(), true)
                and ($3::bigint is null or version = $3 and coalesce(away_until <= now(), true))
            for update
        )
        update grants set lease = grants.lease + 1, leased_until = now() + make_interval(secs => $4),
            asked_at = case when $5 then coalesce(asked_at, now()) else asked_at end
        from former where grants.id = former.id
        returning grants.id, grants.did, grants.state, grants.reason, grants.scope, grants.sealed, grants.version,
            grants.lease, former.is_unanswered, former.is_away
        """,  # noqa: S608 - a constant
        grant,
        list(states),
        version,
        seconds,
        is_asking,
    )
    return Row(*row) if row else None


async def renew(pool: Pool, taken: Row, *, seconds: float) -> None:
    """Keep the lease for `seconds` from now on, unless it was lost."""
    await pool.execute(
        "update grants set leased_until = now() + make_interval(secs => $3) where id = $1 and lease = $2",
        taken.id,
        taken.lease,
        seconds,
    )


async def give_back(pool: Pool, taken: Row, *, is_unanswered: bool, away_seconds: float) -> None:
    """Let others have the lease: nothing has changed, and the server is left alone for `away_seconds`.

    `is_unanswered` says whether new tokens may have been given all the same.
    """
    await pool.execute(
        """
        update grants set leased_until = null, asked_at = case when $3 then asked_at end,
            away_until = now() + make_interval(secs => $4)
        where id = $1 and lease = $2
        """,
        taken.id,
        taken.lease,
        is_unanswered,
        away_seconds,
    )


async def store(pool: Pool, taken: Row, *, scope: str, sealed: bytes) -> State | None:
    """Keep new tokens in place of those of `taken`, whoever has the lease by now, and let others have it.

    Returns None when that is done, else the state of the grant, which has other tokens by now, or has ended; one that
    is no more counts as ended.
    """
    state: State | None = await pool.fetchval(
        """
        with stored as (
            update grants set sealed = $3, scope = $4, version = version + 1, refreshed_at = now(), asked_at = null,
                away_until = null, leased_until = case when lease <> $5 then leased_until end
            where id = $1 and version = $2 and state <> 'ended' returning id
        )
        select coalesce((select state from grants where id = $1), 'ended') where not exists (select from stored)
        """,
        taken.id,
        taken.version,
        sealed,
        scope,
        taken.lease,
    )
    return state


async def bury(pool: Pool, taken: Row, reason: str) -> bool:
    """The grant has ended, and its secrets are forgotten; False, and nothing done, for who lost the lease.

    `reason` counts where it was not over before.
    """
    buried = await pool.fetchval(
        """
        update grants set state = 'ended', sealed = null, reason = coalesce(reason, $4),
            over_at = coalesce(over_at, now()), leased_until = null, asked_at = null
        where id = $1 and lease = $2 and version = $3 and state <> 'ended' returning id
        """,
        taken.id,
        taken.lease,
        taken.version,
        reason,
    )
    return buried is not None


async def condemn(connection: Connection, grants: Sequence[int], reason: str) -> list[int]:
    """These grants are over as of this transaction, and a job tells their servers, if nobody does so first.

    Not the one by which its account's records are being deleted (`erasure`), which is over when they are gone: nobody
    who asks to be forgotten and signs out takes that back. Returns those that were not over before.
    """
    rows = await connection.fetch(
        """
        with wanted as (
            select id from grants where id = any($1::bigint[]) and state in ('new', 'live')
                and not exists (select from erasures where grant_id = grants.id)
            order by id for update
        )
        update grants set state = 'ending', reason = $2, over_at = now() from wanted where grants.id = wanted.id
        returning grants.id
        """,
        list(grants),
        reason,
    )
    over = sorted(row["id"] for row in rows)
    await want(connection, REVOCATION, [str(grant) for grant in over], note=reason, delay=REVOCATION_DELAY)
    return over
