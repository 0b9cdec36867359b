"""An account's status: what its own PDS says, whatever an event claimed (an event speaks for its sender alone).

Claims carry no order: each makes us ask, and what is asked is how things stand now.
"""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from appview.accounts import erasure
from appview.db import Connection, Pool
from appview.index import actors, repos
from appview.jobs.identity import GIVEN_UP, MOVED
from appview.jobs.rows import Job, hurry
from appview.net.errors import CouldNotCheck, Gone, IdentityError
from appview.net.identity import IdentityResolver
from ingester.budget import HostClient
from ingester.effects import DELETED, REFUSED, Effects, claimed_status
from ingester.hosts import Busy, HostError, NoRepo, NotServed, RepoStatus, get_latest_commit, get_repo_status
from ingester.lanes import Lanes
from ingester.promises import Promises
from ingester.states import Signers
from ingester.sync import RepoState

DOCUMENT_SECONDS: Final = 30.0
"""How old a DID document may be that says which PDS is asked."""
PATIENCE: Final = 60.0
"""Seconds that a claim may wait for its turn at a host; in a longer time than that, nobody can be asked."""
RECOVERY: Final = timedelta(hours=72)
"""For how long a DID that was given up may be had back, by the rules of did:plc."""
RECOVERY_ASK_SECONDS: Final = 6 * 3600.0
_RESOLVED_ANEW: Final = frozenset({MOVED, GIVEN_UP})

log = logging.getLogger("plyr.account")


class Lack(NamedTuple):
    """The rev at which we stand, and the newer one that the PDS names; None where it names none."""

    ours: str
    theirs: str | None


class Accounts:
    """Settles the status of accounts."""

    def __init__(
        self,
        pool: Pool,
        http: HostClient,
        identities: IdentityResolver,
        signers: Signers,
        lanes: Lanes,
        effects: Effects,
        promises: Promises,
    ) -> None:
        self._pool = pool
        self._http = http
        self._identities = identities
        self._signers = signers
        self._lanes = lanes
        self._effects = effects
        self._writer = effects.writer
        self._states = effects.states
        self._settling = WeakValueDictionary[str, asyncio.Lock]()
        self._promises = promises

    async def settle(self, job: Job) -> None:
        """Ask the PDS of the job's DID and act on what it says. Raises HostError, IdentityError.

        What was deleted is purged only where an event and the PDS both said so (AC-05).
        """
        # There are two kinds of job for it: what was answered first must not be written last.
        lock = self._settling.setdefault(job.subject, asyncio.Lock())
        async with lock:
            await self._settle(job)

    async def _settle(self, job: Job) -> None:
        did = job.subject
        try:
            pds = await self._pds(did, 0.0 if job.note in _RESOLVED_ANEW else DOCUMENT_SECONDS)
            said = await self._ask(pds, did)
            if not said.active and (current := await self._pds(did, 0.0)) != pds:
                pds, said = current, await self._ask(current, did)
            lacking = await self._lacking(pds, did, said) if said.active else None
        except Gone as error:
            await self._give_up(job, error)
        except (HostError, IdentityError) as error:
            if not isinstance(error, Busy) or error.wait > PATIENCE:
                await self._lanes.run(did, lambda: self._believe(did, claimed_status(job.note)))
            raise
        else:
            is_purged = said.status == DELETED and not said.active and job.note == DELETED
            await self._lanes.run(did, lambda: self._set(job, said, lacking=lacking, is_purged=is_purged))

    async def erase(self, job: Job) -> None:
        """Forget all of an account that asked to be forgotten here, whatever its PDS says."""
        lock = self._settling.setdefault(job.subject, asyncio.Lock())
        async with lock:
            await self._lanes.run(job.subject, lambda: self._erase(job))

    async def _pds(self, did: str, max_age: float) -> str:
        """The PDS of the account. Who hides it must be that now: the one it has left says that it is not active."""
        document = await self._identities.document(did, max_age=max_age)
        if document.pds is None:
            raise HostError(f"{did} names no PDS", temporary=True)
        return document.pds

    async def _ask(self, pds: str, did: str) -> RepoStatus:
        """What a PDS says of an account; where it does not serve that, what its saying where the head is comes to."""
        try:
            try:
                return await get_repo_status(self._http, pds, did)
            except NotServed:
                head = await get_latest_commit(self._http, pds, did)
                return RepoStatus(active=True, status=None, rev=head.rev)
        except NoRepo as error:
            return RepoStatus(active=False, status=error.status, rev=None)

    async def _lacking(self, pds: str, did: str, said: RepoStatus) -> Lack | None:
        """What is lacking where the PDS has more, though our repository seems whole; None where it has not, or where it
        was fetched for more than it was given.

        A newer rev alone does not say so: the PDS that an account has moved to names one until the first write there,
        while the commit is still the one that we hold (tests: migration).
        """
        async with self._pool.acquire() as connection:
            chain, was_active = (await repos.known(connection, [did]))[did]
        if chain is None or chain.status != "synchronized" or chain.rev is None:
            return None
        if said.rev is not None and said.rev <= chain.rev:
            return None
        try:
            head = await get_latest_commit(self._http, pds, did)
        except Busy:
            raise
        except HostError as error:
            log.info("%s does not name the head of %s: %s", pds, did, error)
            if said.rev is None:
                return None if was_active else Lack(chain.rev, None)
            rev = said.rev
        else:
            if head.rev <= chain.rev or head.cid == chain.commit_cid:
                return None
            rev = head.rev
        return None if self._promises.is_empty(chain, rev) else Lack(chain.rev, rev)

    async def _give_up(self, job: Job, error: Gone) -> None:
        """The DID is a tombstone: the account is deleted, and no PDS is left to confirm it.

        It is purged when its DID cannot be had back any more; until then it is hidden, and CouldNotCheck raised. A
        did:web leaves no trace of when it went: it stays hidden, until it is back.
        """
        did = job.subject
        given_up, is_plc = RepoStatus(active=False, status=DELETED, rev=None), did.startswith("did:plc:")
        if is_plc and not await self._was_given_up(did, datetime.now(UTC) - RECOVERY):
            await self._lanes.run(did, lambda: self._believe(did, DELETED))
            raise CouldNotCheck(f"{error}, and may still be had back", retry_after=RECOVERY_ASK_SECONDS) from error
        await self._lanes.run(did, lambda: self._set(job, given_up, lacking=None, is_purged=is_plc))

    async def _was_given_up(self, did: str, when: datetime) -> bool:
        try:
            await self._identities.at(did, when)
        except Gone:
            return True
        except IdentityError as error:
            log.info("the log of %s cannot be read: %s", did, error)
        return False

    async def _believe(self, did: str, claimed: str | None) -> None:
        """While nobody can be asked, a claim that an account is away hides it: to hide too much is the safer fault."""
        state = await self._states.get(did)
        if claimed is not None and (state is None or state.active):
            await self._writer.room()
            self._note(did, RepoStatus(active=False, status=claimed, rev=None), hurries=False)
            await self._writer.durable()
            self._states.forget(did)
            log.info("%s is hidden: it is said to be %s, and nobody can be asked", did, claimed)

    async def _set(self, job: Job, said: RepoStatus, *, lacking: Lack | None, is_purged: bool) -> None:
        """Have the index say so, and see to what follows. A step of its lane."""
        did = job.subject
        state = await self._states.get(did)
        was_active = state is None or state.active
        await self._writer.room()
        if not said.active and self._effects.held[did]:
            self._effects.drop(did, state, "inactive")
        # A fetch may have failed because the account was away; where its failure made us ask, it waits as it does.
        self._note(did, said, hurries=job.note != REFUSED)
        if is_purged:
            await self._purge(did)
        batch = self._writer.batch
        batch.finish(job)
        if said.active and not was_active:
            batch.want("identity", did, "reactivated")
        if said.active and _is_behind(state, lacking):
            if lacking is not None and lacking.theirs is not None:
                self._promises.made(did, lacking.theirs)
            batch.want("fetch", did, "host_is_ahead" if was_active else "reactivated")
        await self._writer.durable()
        self._states.forget(did)
        if not said.active and did not in self._states.tracked:
            # Its document, which was just asked for, is on its way into the database, and goes with all the rest.
            self._signers.purge(did)
        log.info("%s is %s", did, "active" if said.active else said.status or "inactive")

    def _note(self, did: str, said: RepoStatus, *, hurries: bool) -> None:
        async def write(connection: Connection, now: datetime) -> None:
            await actors.set_status(connection, did, active=said.active, status=said.status, now=now)
            if not said.active:
                # There is nothing to be had; coming back, it is wanted anew.
                await connection.execute("delete from jobs where kind = 'fetch' and subject = $1", did)
            elif hurries:
                await hurry(connection, "fetch", did)

        self._writer.act(write)

    async def _erase(self, job: Job) -> None:
        did = job.subject
        asked = await erasure.erasure_of(self._pool, did)
        await self._writer.room()
        if asked is not None and asked.state == "purging":
            if self._effects.held[did]:
                self._effects.drop(did, await self._states.get(did), "erased")
            await self._purge(did)
            self._writer.act(lambda connection, _now: erasure.end_purging(connection, did))
            log.info("%s is forgotten, as it asked to be", did)
        self._writer.batch.finish(job)
        await self._writer.durable()
        self._states.forget(did)
        self._signers.purge(did)

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
        self._effects.forget(did)


def _is_behind(state: RepoState | None, lacking: Lack | None) -> bool:
    """Whether an active account's repository is to be fetched. Where it was active before and is not whole, it is
    wanted already.
    """
    if state is None:
        return False
    if state.status == "synchronized" and state.rev is not None:
        return lacking is not None and lacking.ours == state.rev
    return not state.active
