"""An account's status: what its own PDS says, whatever an event claimed (an event speaks for its sender alone)."""

import logging
from datetime import datetime
from typing import Final

from appview.db import Connection
from appview.index import actors
from appview.jobs.rows import Job, hurry
from appview.net.errors import Gone, IdentityError
from appview.net.http import HttpClient
from appview.net.identity import IdentityResolver
from ingester.effects import Effects
from ingester.hosts import HostError, NoRepo, RepoStatus, get_repo_status
from ingester.lanes import Lanes

DOCUMENT_SECONDS: Final = 30.0
"""How old a DID document may be that says which PDS is asked."""
_HIDING: Final = frozenset({"deactivated", "takendown", "suspended", "deleted", "inactive"})
"""What an event may claim that is believed while the PDS cannot be asked: to hide too much is the safer fault."""

log = logging.getLogger("plyr.account")


class Accounts:
    """Settles the status of accounts."""

    def __init__(self, http: HttpClient, identities: IdentityResolver, lanes: Lanes, effects: Effects) -> None:
        self._http = http
        self._identities = identities
        self._lanes = lanes
        self._effects = effects
        self._writer = effects.writer
        self._states = effects.states

    async def settle(self, job: Job) -> None:
        """Ask the PDS of the job's DID and act on what it says. Raises HostError, IdentityError."""
        did = job.subject
        try:
            said = await self._ask(did)
        except (HostError, IdentityError):
            if job.attempts == 1 and job.note in _HIDING:
                await self._lanes.run(did, lambda: self._set(did, RepoStatus(False, job.note, None), None))  # noqa: FBT003 - a named tuple's fields
            raise
        await self._lanes.run(did, lambda: self._set(did, said, job))

    async def _ask(self, did: str) -> RepoStatus:
        try:
            document = await self._identities.document(did, max_age=DOCUMENT_SECONDS)
        except Gone:
            return RepoStatus(active=False, status="deleted", rev=None)
        if document.pds is None:
            raise HostError(f"{did} names no PDS", temporary=True)
        try:
            return await get_repo_status(self._http, document.pds, did)
        except NoRepo as error:
            return RepoStatus(active=False, status=error.status, rev=None)

    async def _set(self, did: str, said: RepoStatus, job: Job | None) -> None:
        """Have the index say so. What was deleted is purged only where an event and the PDS both said so (AC-05)."""
        was_active = (state := await self._states.get(did)) is None or state.active
        is_purged = job is not None and said.status == "deleted" and job.note == "deleted"

        async def write(connection: Connection, now: datetime) -> None:
            await actors.set_status(connection, did, active=said.active, status=said.status, now=now)
            if not said.active:
                # There is nothing to be had; coming back, it is wanted anew.
                await connection.execute("delete from jobs where kind = 'fetch' and subject = $1", did)
            elif job is not None and job.note not in _HIDING:
                # It may have failed because the account was away; where its failure made us ask, it waits as it does.
                await hurry(connection, "fetch", did)

        await self._writer.room()
        self._writer.batch.seen.add(did)
        self._writer.act(write)
        if is_purged:
            await self._purge(did)
        if job is not None:
            self._writer.batch.finish(job)
        is_whole = state is not None and state.status == "synchronized"
        rev = (state and state.rev) or ""
        if said.active and not was_active and not (is_whole and said.rev == rev):
            # What happened while it was away did not reach us.
            self._writer.batch.want("fetch", did, "reactivated")
        elif said.active and is_whole and (said.rev or "") > rev:
            # Nor did what another upstream brought before it was one of ours.
            self._writer.batch.want("fetch", did, "host_is_ahead")
        await self._writer.durable()
        self._states.forget(did)
        log.info("%s is %s", did, "active" if said.active else said.status or "inactive")

    async def _purge(self, did: str) -> None:
        """Forget all of an account, some at a time: between two transactions others are written."""
        is_over = False

        async def purge(connection: Connection, _now: datetime) -> None:
            nonlocal is_over
            is_over = await actors.purge(connection, did)

        # From here on no fetch that is under way writes for it any more.
        self._states.tracked.discard(did)
        while not is_over:
            self._writer.act(purge)
            await self._writer.durable()
        self._effects.let_go(did)
