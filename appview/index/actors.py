"""The accounts that the index knows: who they are, whether they are shown, and what it takes to forget one.

An account is visible while its host says that it is active and our operators have not taken it down. What it adds to
the counts of others comes and goes with that, in the transaction that changes it; which must hold the index's lock, but
for `set_identity`, that any process may call.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from appview.db import Connection
from appview.index.records import TABLES
from appview.index.recount import shift

_MAX_STATUS: Final = 100


async def see(connection: Connection, dids: Iterable[str]) -> None:
    """Make sure that there is a row for each of these accounts; one of which nothing is known is active (AC-10)."""
    await connection.execute(
        "insert into actors (did) select unnest($1::text[]) on conflict do nothing", sorted(set(dids))
    )


async def set_status(connection: Connection, did: str, *, active: bool, status: str | None, now: datetime) -> bool:
    """Take over what an account's host says of it; returns whether that changed who sees it.

    `active` decides; `status` explains, and may be a word that nobody here knows (protocol.md, part 6).
    """
    said = status.replace("\0", "")[:_MAX_STATUS] if status is not None else None
    return await _change(connection, did, "active = $2, status = $3, status_at = $4", active, said, now)


async def set_taken_down(connection: Connection, did: str, taken_down: bool) -> bool:  # noqa: FBT001 - it is the one thing that is set
    """Take an account down here, or restore it, whatever its host says; returns whether that changed who sees it."""
    return await _change(connection, did, "taken_down = $2", taken_down)


async def _change(connection: Connection, did: str, assignments: str, *values: object) -> bool:
    await see(connection, [did])
    before = await connection.fetchval("select visible from actors where did = $1 for update", did)
    after = await connection.fetchval(
        f"update actors set {assignments} where did = $1 returning visible",  # noqa: S608 - our own words
        did,
        *values,
    )
    if before != after:
        await shift(connection, did, 1 if after else -1)
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
        await connection.execute("update actors set handle = null where handle = $2 and did <> $1", did, name)
        await connection.execute(
            "update actors set handle = $2, pds = $3, identity_at = $4 where did = $1", did, name, pds, now
        )


async def purge(connection: Connection, did: str) -> None:
    """Forget an account: its records and their tombstones, what it did to counts, what waits to be done for it.

    What is left is that there was such an account, and its status; and what others did, such as following it. Its
    repository is no longer tracked: should it come back, it is one that was never seen.
    """
    visible = await connection.fetchval("select visible from actors where did = $1 for update", did)
    if visible:
        await shift(connection, did, -1)
    await connection.execute(
        "delete from list_items using lists where lists.did = $1 and list_items.list = lists.uri", did
    )
    for table in dict.fromkeys((*TABLES.values(), "held_frames", "dead_letters", "did_documents", "repos")):
        await connection.execute(f"delete from {table} where did = $1", did)  # noqa: S608 - our own names
    await connection.execute("delete from jobs where subject = $1", did)
    # As a range, since there is no index but that of the URIs: '0' follows '/'.
    await connection.execute("delete from records where uri >= $1 and uri < $2", f"at://{did}/", f"at://{did}0")
    await connection.execute("update actor_counts set tracks = 0, lists = 0, likes = 0 where did = $1", did)
    await connection.execute("update actors set handle = null, pds = null, identity_at = null where did = $1", did)
