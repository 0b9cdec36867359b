"""A repository made here what it is at its PDS: compared record by record, deletes included.

While it is fetched, its live messages are kept (`held_frames`); they are judged in their order once it is here. So what
is fetched never meets what is live, and nothing that came meanwhile is lost.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime
from typing import Final

from appview.db import Pool
from appview.index import repos
from appview.index.records.fields import MAX_DID_BYTES
from appview.index.repos import Chain
from appview.index.settling import UNSEEN
from appview.jobs.rows import Job
from appview.net.did_document import DidDocument
from appview.net.errors import Gone, IdentityError, NotFound
from appview.net.identity import IdentityResolver
from ingester.budget import origin
from ingester.copies import Copies
from ingester.differences import HELD, Difference, Held, differences
from ingester.effects import REFUSED, Effects, Version
from ingester.export import Export
from ingester.hosts import HostError, NoRepo
from ingester.judged import Judged
from ingester.lanes import Lanes
from ingester.repo.errors import RepoError
from ingester.sync import RepoState

STEP: Final = 200
"""Records taken in within one turn of the event loop."""
COMPARED: Final = 1_000
"""Records of the index read at once."""
AUDIT: Final = "audit"
"""The note of a fetch that ought to find nothing to change."""
_OF_THE_PDS: Final = frozenset({AUDIT, UNSEEN, "host_is_ahead", "reactivated", "resync"})
"""Notes of fetches that an upstream's copy is no answer to: what the PDS has is in question."""

log = logging.getLogger("plyr.fetch")


class Superseded(Exception):
    """The repository is not to be fetched after all, or not to what was fetched."""


class Fetcher:
    """Fetches repositories, one call each; any number at once, of different DIDs."""

    def __init__(
        self, pool: Pool, copies: Copies, identities: IdentityResolver, lanes: Lanes, effects: Effects
    ) -> None:
        self.records = 0
        """Written since the start, deletes among them."""
        self._pool = pool
        self._copies = copies
        self._identities = identities
        self._lanes = lanes
        self._effects = effects
        self._writer = effects.writer
        self._states = effects.states
        self._metrics = effects.metrics

    async def fetch(self, job: Job) -> None:
        """Make the index equal to the repository of `job`. Raises HostError, IdentityError, RepoError, Superseded."""
        did = job.subject
        if self._effects.room.is_overdue(did):
            await self._lanes.run(did, lambda: self._let_go(did))
        document, pds = await self._document(did)
        # Busy, it raises before anything is kept back for the fetch's sake.
        sources = self._copies.sources(pds, pds_alone=job.note in _OF_THE_PDS)
        before = await self._begin(did)
        for source in sources:
            began = datetime.now(UTC)
            async with AsyncExitStack() as stack:
                try:
                    export = await stack.enter_async_context(self._copies.proven(source, document, before))
                except (HostError, RepoError) as error:
                    if source.is_pds:
                        await self._fail(pds, before, error)
                        raise
                    log.info("%s does not give %s: %s", source.host, did, error)
                    self._copies.failed(source, error)
                else:
                    # What an upstream gave says nothing of what the PDS has.
                    await self._make_equal(job, export, before, began if source.is_pds else None)
                    return

    async def _let_go(self, did: str) -> None:
        """What is kept of a repository that cannot be fetched for long has its room back: it is fetched whole anyway.

        A step of its lane.
        """
        self._effects.drop(did, await self._states.get(did), "fetch_failed")
        await self._writer.durable()

    async def _document(self, did: str) -> tuple[DidDocument, str]:
        """The DID document, and the PDS that it names. Raises IdentityError, HostError, Superseded."""
        if len(did) > MAX_DID_BYTES:
            raise Superseded(f"a DID of {len(did)} characters is not indexed")
        try:
            document = await self._identities.document(did)
        except NotFound as error:
            if did not in self._states.tracked:
                raise Superseded(str(error)) from error
            if isinstance(error, Gone):
                self._writer.batch.want("status", did, REFUSED)
            raise
        if document.pds is None:
            raise HostError(f"{did} names no PDS", temporary=False)
        return document, document.pds

    async def _begin(self, did: str) -> Chain:
        """From now on the live messages of `did` are kept; where its chain stood before."""
        before: list[Chain] = []

        async def begin() -> None:
            chain, active = await self._known(did)
            if not active:
                raise Superseded(f"{did} is not active")
            state = await self._states.get(did)
            if chain is None:
                chain = Chain(did, "in_progress", None, None, None, None, "wanted")
            if did not in self._states.tracked:
                # It is new; or its account signed in, which is told to no ingester but by the job for this.
                self._effects.track(did, chain.reason)
            before.append(chain)
            if state is None or state.status != "in_progress":
                self._effects.stand(chain._replace(status="in_progress"), state)
                await self._writer.durable()

        await self._lanes.run(did, begin)
        return before[0]

    async def _fail(self, pds: str, before: Chain, error: HostError | RepoError) -> None:
        """The PDS did not give the repository, or gave what was refused. Raises HostError where it is elsewhere."""
        did = before.did
        if before.status == "synchronized":
            await self._lanes.run(did, lambda: self._stand_back(did))
        if isinstance(error, NoRepo):
            if await self._has_moved(did, pds):
                raise HostError(f"{did} is not at {pds} any more", temporary=True) from error
            # The account's own status says whether and when it is worth another try.
            self._writer.batch.want("status", did, REFUSED)

    async def _stand_back(self, did: str) -> None:
        """Nothing was written of a repository that is whole: its live messages need not wait for its host.

        A step of its lane.
        """
        chain, _ = await self._known(did)
        state = await self._states.get(did)
        if chain is not None and state is not None and state.status == "in_progress" and chain.needs_rev is None:
            self._effects.stand(chain._replace(status="synchronized"), state)
            if self._effects.held[did]:
                self._writer.batch.want("drain", did, "not_fetched")
            await self._writer.durable()

    async def _has_moved(self, did: str, pds: str) -> bool:
        try:
            document = await self._identities.refresh(did) or await self._identities.document(did)
        except IdentityError:
            return False
        return document.pds is not None and origin(document.pds) != origin(pds)

    async def _make_equal(self, job: Job, export: Export, before: Chain, asked_at: datetime | None) -> None:
        """Write what differs, and then that the repository is here. `export` is proven: what it lacks is deleted.

        `asked_at` is when its PDS was asked for it; None where an upstream gave it.
        """
        did, commit = before.did, export.commit
        is_drift = job.note == AUDIT and commit.rev == before.rev
        judged, count, some = Judged(), 0, list[Difference]()
        entries = export.entries(self._effects.types)
        async with aclosing(differences(entries, self._held(did, commit.rev))) as found:
            async for difference in found:
                some.append(difference)
                if len(some) == STEP:
                    count += await self._write(export, some, judged, is_drift=is_drift)
                    some = []
        count += await self._write(export, some, judged, is_drift=is_drift)
        if is_drift and count:
            log.warning("%s differed from its PDS in %d records at %s, which both had", did, count, commit.rev)
        head = Chain(did, "synchronized", commit.rev, commit.data, export.commit_cid, None, "fetched", "fetch")
        await self._lanes.run(did, lambda: self._end(job, head._replace(fetched_at=asked_at)))
        log.info("%s fetched at %s: %d records changed", did, commit.rev, count)

    async def _held(self, did: str, rev: str) -> AsyncIterator[Held]:
        """The records that are here of `did` at `rev`, some at a time, in the order of their paths as bytes."""
        start, last = f"at://{did}/", f"at://{did}/"
        while True:
            async with self._pool.acquire() as connection:
                rows = await connection.fetch(f"{HELD} limit $4", last, f"at://{did}0", rev, COMPARED)
            for uri, cid, is_sound in rows:
                yield Held(uri[len(start) :], cid, is_sound)
            if len(rows) < COMPARED:
                return
            last = rows[-1]["uri"]

    async def _write(self, export: Export, some: list[Difference], judged: Judged, *, is_drift: bool) -> int:
        """Write some of what differs, and return how many that is."""
        if not some:
            return 0
        did, rev = export.commit.did, export.commit.rev

        async def write() -> None:
            # In between, the account may have gone.
            await self._writer.room()
            await self._require_wanted(did)
            for path, cid in some:
                collection, _, rkey = path.partition("/")
                version = Version(rev, cid, None if cid is None else export.record(cid), "fetch")
                self._effects.change(did, collection, rkey, version, judged)

        await self._lanes.run(did, write)
        self.records += len(some)
        if is_drift:
            self._metrics.drift["records"] += len(some)
        return len(some)

    async def _require_wanted(self, did: str) -> RepoState:
        """The state of a repository that is being fetched. Raises Superseded where it is not any more."""
        state = await self._states.get(did)
        if state is None or state.status != "in_progress" or not state.active or did not in self._states.tracked:
            raise Superseded(f"{did} is no longer to be fetched")
        return state

    async def _end(self, job: Job, head: Chain) -> None:
        """The repository is here, and what came meanwhile follows. A step of its lane."""
        did, rev = head.did, head.rev or ""
        chain, _ = await self._known(did)
        if chain is not None and (chain.needs_rev or "") > rev:
            raise HostError(f"{did} has moved on to {chain.needs_rev}, and {rev} was fetched", temporary=True)
        state = await self._require_wanted(did)
        is_final = head.fetched_at is not None
        self._effects.stand(head._replace(proven_at=datetime.now(UTC)), state)
        self._writer.batch.finish(job)
        self._metrics.fetches["ok" if is_final else "upstream_ok"] += 1
        if not is_final:
            # Only the PDS can say whether there is more, or anything at all to be shown.
            self._writer.batch.want("status", did, "fetched")
        if self._effects.held[did]:
            self._writer.batch.want("drain", did, "fetched")
        await self._writer.durable()

    async def _known(self, did: str) -> repos.Known:
        """What the index holds of `did`, once all that was put into a batch is in it."""
        await self._writer.durable()
        async with self._pool.acquire() as connection:
            return (await repos.known(connection, [did]))[did]
