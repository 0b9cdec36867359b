"""The accounts that the index knows: who they are, whether they are shown, and what it takes to forget one.

An account is visible while its host says that it is active and our operators have not taken it down. What it adds to
the counts of others comes and goes with that (`appview.index.shift`). Whoever changes an account must hold the index's
lock, but for `set_identity`, that any process may call.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from appview.accounts.forget import forget
from appview.db import Connection
from appview.index.counts import Changes
from appview.index.records import record_types
from appview.index.search import writing as search
from appview.index.shift import AT_ONCE, turn
from lexicons.catalog import NAMESPACE

_MAX_STATUS: Final = 100
# To take out rows, the namespace is of no account.
_KINDS: Final = tuple({kind.table: kind for kind in record_types(NAMESPACE).values()}.values())

# Of an account's rows, as many as are of size $2 together, and at least one while there are any. A large value is more
# than one row to Postgres too, which keeps it in pieces.
_SOME: Final = """
    select uri, size from (
        select uri, size, sum(size) over (order by uri rows between unbounded preceding and 1 preceding) as before
        from ({few} limit $2) as few
    ) as measured
    where coalesce(before, 0) < $2
"""
_SHOWN: Final = """
    select uri,
        {size} + coalesce((select octet_length(value) / 2000 from records where records.uri = shown.uri), 0) as size
    from {table} as shown where did = $1
"""
# As a range, since there is no index but that of the URIs: '0' follows '/'.
_REST: Final = """
    select uri, 1 + coalesce(octet_length(value) / 2000, 0) as size
    from records where uri >= 'at://' || $1 || '/' and uri < 'at://' || $1 || '0' order by uri
"""


async def see(connection: Connection, dids: Iterable[str]) -> None:
    """Make sure that there is a row for each of these accounts; one of which nothing is known is active (AC-10)."""
    await connection.execute(
        "insert into actors (did) select unnest($1::text[]) on conflict do nothing", sorted(set(dids))
    )


async def set_status(
    connection: Connection, did: str, *, active: bool, status: str | None, now: datetime, at_once: int = AT_ONCE
) -> bool:
    """Take over what an account's host says of it; returns whether that changed who sees it.

    `active` decides; `status` explains, and may be a word that nobody here knows (protocol.md, part 6). Of what it adds
    to the counts about `at_once` rows follow in this transaction; a job sees to the rest.
    """
    said = status.replace("\0", "")[:_MAX_STATUS] if status is not None else None
    assignments = "active = $2, status = $3, status_at = $4"
    return await _change(connection, did, at_once, assignments, active, said, now)


async def set_taken_down(
    connection: Connection,
    did: str,
    taken_down: bool,  # noqa: FBT001 - it is the one thing that is set
    *,
    at_once: int = AT_ONCE,
) -> bool:
    """Take an account down here, or restore it, whatever its host says; returns whether that changed who sees it.

    The counts follow as they do in `set_status`.
    """
    return await _change(connection, did, at_once, "taken_down = $2", taken_down)


async def _change(connection: Connection, did: str, at_once: int, assignments: str, *values: object) -> bool:
    await see(connection, [did])
    before = await connection.fetchval("select visible from actors where did = $1 for update", did)
    after = await connection.fetchval(
        f"update actors set {assignments} where did = $1 returning visible",  # noqa: S608 - our own words
        did,
        *values,
    )
    if before != after:
        await turn(connection, did, visible=after, at_once=at_once)
    return bool(before != after)


async def set_identity(connection: Connection, did: str, *, handle: str | None, pds: str | None, now: datetime) -> None:
    """Note the handle that was verified both ways (None: there is none) and the origin of the PDS.

    A handle has one holder, the last to be verified: another account that had it is without one.
    """
    name = handle.lower() if handle is not None else None
    async with connection.transaction():
        await see(connection, [did])
        # Two that verify one handle at once, or exchange theirs, must not wait for each other in a circle.
        await connection.execute("select pg_advisory_xact_lock(hashtextextended('handle:' || $1, 0))", name or "")
        await connection.execute("select from actors where did = $1 or handle = $2 order by did for update", did, name)
        former = await connection.fetch(
            "update actors set handle = null where handle = $2 and did <> $1 returning did", did, name
        )
        await connection.execute(
            "update actors set handle = $2, pds = $3, identity_at = $4 where did = $1", did, name, pds, now
        )
    # Where their rows are let go: whoever writes the index has words first, and wants the row of an account after.
    async with connection.transaction():
        await search.find_again(connection, [did, *(holder for (holder,) in former)])


async def purge(connection: Connection, did: str, *, limit: int = 5_000) -> bool:
    """Forget an account, some of it at a time: its records and their tombstones, and what waits to be done for it.

    Each call deletes about `limit` records (an item of a list counts as one, a large record as several), and says
    whether that was all; until then, it is to be called again in another transaction. The first call hides an account
    that is still visible (it is not active then, until its host says so), so nothing of it is shown or counted in
    between. Each leaves records whole or gone, counts exact, and a chain that would be fetched anew should the account
    come back; its jobs go last, so that the one that purges survives a crash.

    What was private to it goes too. What is left at the end is that there was such an account, and its status; and what
    others did, such as following it. Its repository is no longer tracked: should it come back, it is one that was never
    seen.
    """
    if await connection.fetchval("select visible from actors where did = $1 for update", did):
        await _change(connection, did, AT_ONCE, "active = false")
    # What was there before a write through us must not be put back.
    await connection.execute("delete from pending where did = $1", did)
    room = limit - await _purge_records(connection, did, limit)
    for table in ("held_frames", "dead_letters"):
        if room > 0:
            room -= await _purge_frames(connection, table, did, room)
    if room > 0:
        room -= await _purge_counts(connection, did, room)
    if room <= 0:
        await connection.execute(
            """
            update repos set status = 'desynchronized', rev = null, data = null, commit_cid = null, needs_rev = null,
                reason = 'purging', status_at = now()
            where did = $1 and reason <> 'purging'
            """,
            did,
        )
        return False
    await connection.execute("delete from did_documents where did = $1", did)
    # All of them are read, which are not many: the best of an hour.
    await connection.execute("delete from ranked where uri > 'at://' || $1 || '/' and uri < 'at://' || $1 || '0'", did)
    await connection.execute("delete from repos where did = $1", did)
    await forget(connection, did)
    # What there was of it to be counted is gone, and its counts with it.
    await connection.execute("delete from shifts where did = $1", did)
    await connection.execute("delete from jobs where subject = $1", did)
    # Whoever purges since the account asked for it says so afterwards.
    await connection.execute("delete from erasures where did = $1 and state <> 'purging'", did)
    await connection.execute("update actors set handle = null, pds = null, identity_at = null where did = $1", did)
    await search.find_again(connection, [did])
    return True


async def _purge_records(connection: Connection, did: str, limit: int) -> int:
    """Delete records with their projections, then those that have none; the size of all that was deleted."""
    done = 0
    changes = Changes()
    for kind in _KINDS:
        if done < limit:
            few = _SHOWN.format(size=kind.size, table=kind.table)
            uris, size = await _some(connection, few, did, limit - done)
            await kind.swap(connection, uris, (), changes)
            await _delete(connection, uris)
            done += size
    await changes.apply(connection)
    if done < limit:
        uris, size = await _some(connection, _REST, did, limit - done)
        await _delete(connection, uris)
        done += size
    return done


async def _some(connection: Connection, few: str, did: str, limit: int) -> tuple[list[str], int]:
    rows = await connection.fetch(_SOME.format(few=few), did, limit)
    return [row["uri"] for row in rows], sum(row["size"] for row in rows)


async def _delete(connection: Connection, uris: Sequence[str]) -> None:
    await connection.execute("delete from records where uri = any($1::text[])", uris)


async def _purge_counts(connection: Connection, did: str, limit: int) -> int:
    """Delete the counts that have come to nothing, which would still name what was counted; how many those were."""
    gone = await connection.fetch(
        """
        delete from subject_counts where subject = any(array(
            select subject from subject_counts where subject >= 'at://' || $1 || '/' and subject < 'at://' || $1 || '0'
                and (likes, comments, lists) = (0, 0, 0) order by subject limit $2
        )) returning subject
        """,
        did,
        limit,
    )
    await connection.execute(
        "delete from actor_counts where did = $1 and (tracks, lists, likes, followers) = (0, 0, 0, 0)", did
    )
    return len(gone)


async def _purge_frames(connection: Connection, table: str, did: str, limit: int) -> int:
    gone = await connection.fetch(
        f"delete from {table} where id = any(array(select id from {table} where did = $1 order by id limit $2))"  # noqa: S608 - our own names
        " returning id",
        did,
        limit,
    )
    return len(gone)
