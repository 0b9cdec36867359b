"""The journal of writes: each is committed here before its PDS is asked, with all it takes to settle it afterwards.

    intended ──→ written ──→ settled         the PDS has it; the index has it too
        ├──────→ refused                     the PDS said no
        ├──────→ abandoned                   a look at the PDS found that it was not done
        └──────→ unknown                     nobody can tell any more: it is never made again

Whoever is at a write holds it for a while. One that is still `intended` and that nobody holds is unsettled: its answer
was lost, or its process died. A key stands for one request of one account as long as its row is here.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple, TypeAlias

import asyncpg

from appview.db import Connection, Pool
from appview.writes.asked import Asked
from appview.writes.errors import printable
from lexicons.cid import CID

State: TypeAlias = Literal["intended", "written", "settled", "refused", "abandoned", "unknown"]

HOLD: Final = 90.0
"""Seconds for which a write is its process's own: longer than it may take (`attempts.Patience`)."""
SHOW: Final = 30.0
"""The same for what is left to do once the PDS has it."""
KEEP: Final = 86_400.0
"""Seconds for which what came of a write is kept, and with that its key."""
MOST_OPEN: Final = 32
"""Writes of one account that may be made again, or are looked for; of those before them nobody will know more."""
_FORGOTTEN_AT_ONCE: Final = 1_000

_COLUMNS: Final = (
    "id, did, method, uris, cids, blocks, swap, base, request, state, rev, commit_cid, attempts, created_at, "
    "held_until > now() as is_held"
)


class Intent(NamedTuple):
    """A write as the journal has it."""

    id: int
    did: str
    method: str
    uris: tuple[str, ...]
    cids: tuple[CID | None, ...]
    blocks: tuple[bytes | None, ...]
    """Empty where they are not needed any more."""
    swap: CID | None
    base: str | None
    """The CID of the commit that was the newest before it was first asked."""
    request: bytes | None
    state: State
    rev: str | None
    commit: str | None
    is_held: bool
    created_at: datetime


class Begun(NamedTuple):
    """A row of the journal, and whether it is the caller's to carry out."""

    intent: Intent
    is_mine: bool


async def begin(pool: Pool, asked: Asked, key: str | None, request: bytes | None) -> Begun:
    """Write down what is about to be asked, held; or what already stands under that key. Committed on return."""
    while True:
        row = await pool.fetchrow(
            f"""
            insert into write_intents (did, method, uris, cids, blocks, swap, base, key, request, held_until)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, now() + make_interval(secs => $10))
            on conflict (did, key) where key is not null do nothing
            returning {_COLUMNS}
            """,  # noqa: S608 - a constant
            asked.did,
            asked.method,
            *_versions(asked),
            asked.guarded_by,
            asked.base,
            key,
            request if key is not None else None,
            HOLD,
        )
        if row is not None:
            return Begun(_intent(row), is_mine=True)
        if key is not None and (there := await find(pool, asked.did, key)) is not None:
            return Begun(there, is_mine=False)


async def find(pool: Pool, did: str, key: str) -> Intent | None:
    """What stands under a key."""
    row = await pool.fetchrow(
        f"select {_COLUMNS} from write_intents where did = $1 and key = $2",  # noqa: S608 - a constant
        did,
        key,
    )
    return _intent(row) if row else None


async def take(pool: Pool, intent: Intent, asked: Asked) -> bool:
    """Hold a write that was not done, or of which that is not known, to try it again as `asked`. Its key is good for a
    day from now on.

    False where another was first.
    """
    taken = await pool.fetchval(
        """
        update write_intents set uris = $3, cids = $4, blocks = $5, swap = $6, base = $7, state = 'intended',
            error = null, created_at = now(), held_until = now() + make_interval(secs => $8)
        where id = $1 and state = $2 and held_until <= now()
        returning true
        """,
        intent.id,
        intent.state,
        *_versions(asked),
        asked.guarded_by,
        asked.base,
        HOLD,
    )
    return bool(taken)


async def revise(pool: Pool, intent: int, asked: Asked) -> None:
    """What is held is another write now, of which nothing was sent yet."""
    await pool.execute(
        """
        update write_intents set uris = $2, cids = $3, blocks = $4, swap = $5, base = $6,
            held_until = now() + make_interval(secs => $7)
        where id = $1
        """,
        intent,
        *_versions(asked),
        asked.guarded_by,
        asked.base,
        HOLD,
    )


async def keep(pool: Pool, did: str, uri: str, cid: str | None, key: str, request: bytes) -> bool:
    """Write down that there was nothing to be done under a key: the record is the version `cid`.

    False where another call by that key was first.
    """
    kept = await pool.fetchval(
        """
        insert into write_intents (did, method, uris, cids, blocks, key, request, state, held_until)
        values ($1, 'put', array[$2], array[$3::bytea], '{}', $4, $5, 'settled', now())
        on conflict (did, key) where key is not null do update
            set state = 'settled', cids = excluded.cids, error = null, created_at = now()
            where write_intents.state = 'refused' and write_intents.request = $5
        returning true
        """,
        did,
        uri,
        None if cid is None else bytes(CID.parse(cid)),
        key,
        request,
    )
    return bool(kept)


async def unchanged(pool: Pool, intent: int, cid: str | None) -> None:
    """What is held needs nothing any more: the record is the version `cid`."""
    await pool.execute(
        """
        update write_intents set state = 'settled', cids = array[$2::bytea], blocks = '{}', error = null,
            held_until = now()
        where id = $1
        """,
        intent,
        None if cid is None else bytes(CID.parse(cid)),
    )


async def written(pool: Pool, intent: int, rev: str | None, commit: str | None, *, to_show: bool) -> None:
    """The PDS has it as of `rev`, of `commit`; without one, nothing had to change. `to_show`: it is to be shown so."""
    await pool.execute(
        """
        update write_intents set state = case when $2::text is null then 'settled' else 'written' end, rev = $2,
            commit_cid = $3, blocks = case when $4 then blocks else '{}' end, error = null,
            held_until = now() + make_interval(secs => $5)
        where id = $1
        """,
        intent,
        rev,
        commit,
        to_show and rev is not None,
        SHOW if to_show else 0.0,
    )


async def ended(pool: Pool, intent: int, state: Literal["refused", "abandoned", "unknown"], reason: str) -> None:
    """It was not done, or nobody will ever know. Once abandoned, the very same may be tried again by the same key."""
    await pool.execute(
        """
        update write_intents set state = $2, error = $3, held_until = now(),
            blocks = case when $2 = 'abandoned' and key is not null then blocks else '{}' end
        where id = $1
        """,
        intent,
        state,
        printable(reason),
    )


async def released(pool: Pool, intent: int, reason: str) -> None:
    """Nobody knows whether it was done; whoever looks next may have it."""
    await pool.execute(
        """
        update write_intents set error = $2, held_until = now(),
            blocks = case when key is null then '{}' else blocks end
        where id = $1 and state = 'intended'
        """,
        intent,
        printable(reason),
    )


async def bound(pool: Pool, did: str) -> None:
    """Look no more for the oldest writes of an account, where more than MOST_OPEN wait for that."""
    await pool.execute(
        """
        update write_intents set state = 'unknown', blocks = '{}'
        where id in (
            select id from write_intents
            where did = $1 and (state = 'intended' or (state = 'abandoned' and key is not null))
            order by held_until > now() desc, id desc offset $2
        ) and held_until <= now()
        """,
        did,
        MOST_OPEN,
    )


async def open_accounts(connection: Connection) -> list[str]:
    """The accounts with writes that wait to be settled, and that nobody is at."""
    rows = await connection.fetch(
        "select distinct did from write_intents where state in ('intended', 'written') and held_until <= now()"
    )
    return [row["did"] for row in rows]


async def take_open(pool: Pool, did: str, state: State, limit: int) -> list[Intent]:
    """Hold the writes of an account in `state` that nobody is at; first those that were looked for least often."""
    rows = await pool.fetch(
        f"""
        with waiting as materialized (
            select id as waiting from write_intents
            where did = $1 and state = $2 and held_until <= now()
            order by attempts, id limit $3 for update skip locked
        )
        update write_intents set held_until = now() + make_interval(secs => $4), attempts = attempts + 1
        from waiting where id = waiting
        returning {_COLUMNS}
        """,  # noqa: S608 - a constant
        did,
        state,
        limit,
        HOLD,
    )
    return [_intent(row) for row in sorted(rows, key=lambda row: (row["attempts"], row["id"]))]


async def settle_shown(connection: Connection, did: str | None = None) -> None:
    """Settle what the index has: the record as of that commit or a later one, or the whole repository as of it.

    Of one account, or of all.
    """
    await connection.execute(
        """
        update write_intents set state = 'settled', blocks = '{}'
        where state = 'written' and held_until <= now() and ($1::text is null or did = $1) and (
            exists (select from repos where repos.did = write_intents.did and repos.rev >= write_intents.rev)
            or not exists (
                select from unnest(uris) as wanted (uri) where not exists (
                    select from records where records.uri = wanted.uri and records.rev >= write_intents.rev
                )
            )
        )
        """,
        did,
    )


async def settled(pool: Pool, intent: int) -> None:
    """The index was told of what the PDS has."""
    await pool.execute("update write_intents set state = 'settled', blocks = '{}' where id = $1", intent)


async def forget_old(connection: Connection) -> None:
    """Let go of what came to its end a day ago; what is not settled stays."""
    gone = None
    while gone in (None, f"DELETE {_FORGOTTEN_AT_ONCE}"):
        gone = await connection.execute(
            """
            delete from write_intents where id in (
                select id from write_intents
                where state not in ('intended', 'written') and created_at < now() - make_interval(secs => $1)
                order by created_at limit $2
            )
            """,
            KEEP,
            _FORGOTTEN_AT_ONCE,
        )


def _versions(asked: Asked) -> tuple[Sequence[object], ...]:
    writes = asked.writes
    blocks = [write.version.block if write.version else None for write in writes]
    return [write.uri for write in writes], [write.cid for write in writes], blocks


def _intent(row: asyncpg.Record) -> Intent:
    return Intent(
        row["id"],
        row["did"],
        row["method"],
        tuple(row["uris"]),
        tuple(_cid(cid) for cid in row["cids"]),
        tuple(row["blocks"]),
        _cid(row["swap"]),
        row["base"],
        row["request"],
        row["state"],
        row["rev"],
        row["commit_cid"],
        row["is_held"],
        row["created_at"],
    )


def _cid(raw: bytes | None) -> CID | None:
    return None if raw is None else CID(raw)
