"""Who the accounts are: their handles, checked both ways, and their PDSes, when something changed and every day."""

import logging
from datetime import UTC, datetime
from typing import Final

from appview.db import Connection
from appview.index.actors import set_identity
from appview.index.lock import index_lock
from appview.jobs.family import Family, Tools, TryLater
from appview.jobs.rows import Job, want
from appview.net.errors import CouldNotCheck, Gone, IdentityError
from appview.net.identity import Identity

RECHECKS: Final = 120
"""At most so many accounts are looked at again in a minute, for each of the reasons to: 170,000 a day."""
MOVED: Final = "moved"
"""The note of the job that asks about an account whose document names another PDS than before."""
GIVEN_UP: Final = "given_up"
"""The same, where its DID is a tombstone."""
UNCHECKED_ATTEMPTS: Final = 48
"""How often in a row, about once an hour, a handle's host may stay silent before its handle is no longer shown."""

_NOT_WANTED: Final = "not exists (select from jobs where jobs.kind = 'identity' and jobs.subject = actors.did)"
_TRACKED: Final = "exists (select from repos where repos.did = actors.did)"

_log = logging.getLogger(__name__)


async def refresh_identity(tools: Tools, job: Job) -> None:
    """Resolve the DID and its handle anew, and write both down (ID-08, ID-31). Raises TryLater."""
    did = job.subject
    try:
        identity = await tools.identities.resolve(did, max_age=0)
    except CouldNotCheck as error:
        raise TryLater(str(error), retry_after=error.retry_after) from error
    except IdentityError as error:
        # Given up, or of no use. Whether its records are shown is for the account's status to say (ID-35).
        _log.warning("%s has no identity: %s", did, error)
        if await tools.pool.fetchval("select exists (select from actors where did = $1)", did):
            await _write(tools, did, None, None, is_given_up=isinstance(error, Gone))
        return
    handle = identity.handle
    if identity.handle_check == "unchecked" and job.attempts <= UNCHECKED_ATTEMPTS:
        handle = await _known_handle(tools, identity)
    is_written = await _write(tools, did, handle, identity.pds)
    if is_written and identity.handle_check == "unchecked":
        raise TryLater(f"the host of the handle {identity.document.handle} did not answer")


async def want_rechecks(connection: Connection) -> None:
    """Want the identities that were looked at longest ago, of active accounts: a day ago, before its document is too
    old to be of use; and of the tracked ones without a verified handle an hour ago, or never.

    Those that are wanted already are left alone, so that what waits after a failure goes on waiting.
    """
    rows = await connection.fetch(
        f"""
        (select did from actors where active and {_NOT_WANTED}
            and identity_at < now() - interval '23 hours' order by identity_at limit $1)
        union
        (select did from actors where active and {_NOT_WANTED} and {_TRACKED}
            and handle is null and identity_at < now() - interval '1 hour' order by identity_at limit $1)
        union
        (select did from actors where active and {_NOT_WANTED} and {_TRACKED}
            and identity_at is null and first_seen_at < now() - interval '10 minutes' limit $1)
        """,  # noqa: S608 - our own words
        RECHECKS,
    )
    await want(connection, "identity", [row["did"] for row in rows], note="recheck")


async def _known_handle(tools: Tools, identity: Identity) -> str | None:
    """The handle that we verified before, where the document still claims it."""
    known: str | None = await tools.pool.fetchval("select handle from actors where did = $1", identity.did)
    return known if known == identity.document.handle else None


async def _write(tools: Tools, did: str, handle: str | None, pds: str | None, *, is_given_up: bool = False) -> bool:
    """Note what was found, and have the account asked about where that says that it moved, or is no more.

    False where it was purged: nothing is noted then. Should it come back, this is wanted anew.
    """
    async with tools.pool.acquire() as connection, connection.transaction():
        await index_lock(connection)
        known = await connection.fetchrow(
            f"""
            select pds, identity_at is not null as is_known, active, {_TRACKED} as is_tracked,
                not active and status = 'deleted' and not {_TRACKED} as is_purged
            from actors where did = $1
            """,  # noqa: S608 - our own words
            did,
        )
        if known is not None and known["is_purged"]:
            tools.identities.purge(did)
            return False
        await set_identity(connection, did, handle=handle, pds=pds, now=datetime.now(UTC))
        if known is None or not known["is_tracked"]:
            return True
        if is_given_up and known["active"]:
            await want(connection, "status", [did], note=GIVEN_UP)
        elif pds is not None and known["is_known"] and known["pds"] != pds:
            # Its new host says where its repository stands now, whatever the old one has said since (ID-34).
            await want(connection, "status", [did], note=MOVED)
        return True


IDENTITY: Final = Family("identity", "refresh_identity", refresh_identity, want_rechecks)
