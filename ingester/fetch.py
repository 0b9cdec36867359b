"""A repository whole: fetched from its PDS, proven, compared with what is here, and made so, deletes included.

While it is fetched, its live messages are kept (`held_frames`); they are judged in their order once it is here. So what
is fetched never meets what is live, and nothing that came meanwhile is lost.
"""

import asyncio
import logging
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import IO, Final

from appview.db import Pool
from appview.index import repos
from appview.index.records.fields import MAX_DID_BYTES
from appview.index.repos import Chain
from appview.jobs.rows import Job
from appview.net.did_document import DidDocument
from appview.net.errors import Gone, IdentityError, NotFound
from appview.net.http import HttpClient
from appview.net.identity import IdentityResolver
from ingester.effects import Effects, Item, Judged, Version
from ingester.events import CommitEvent, SyncEvent, parse_event
from ingester.export import Entry, Export, opened
from ingester.hosts import HostError, NoRepo, get_repo
from ingester.lanes import Lanes
from ingester.repo.errors import CommitError
from ingester.sync import FUTURE_US, Hold, RepoState
from ingester.times import tid_datetime
from lexicons.formats import tid_time_us
from lexicons.frames import decode_frame

STEP: Final = 200
"""Records taken in within one turn of the event loop."""
DRAINED: Final = 20
"""Kept messages read at once; each may have five megabytes."""
LARGE_BYTES: Final = 32_000_000

log = logging.getLogger("plyr.fetch")


class Superseded(Exception):
    """The repository is not to be fetched after all, or not to what was fetched."""


class Fetcher:
    """Fetches repositories, one call each; any number at once, of different DIDs."""

    def __init__(
        self, pool: Pool, http: HttpClient, identities: IdentityResolver, lanes: Lanes, effects: Effects
    ) -> None:
        self.bytes = 0
        """Fetched since the start."""
        self.records = 0
        """Written since the start."""
        self._pool = pool
        self._http = http
        self._identities = identities
        self._lanes = lanes
        self._effects = effects
        self._writer = effects.writer
        self._states = effects.states
        self._metrics = effects.metrics
        self._room = asyncio.Lock()

    async def fetch(self, job: Job) -> None:
        """Make the index equal to the repository of `job`. Raises HostError, IdentityError, RepoError, Superseded."""
        did = job.subject
        if len(did) > MAX_DID_BYTES:
            raise Superseded(f"a DID of {len(did)} characters is not indexed")
        try:
            document = await self._identities.document(did)
        except NotFound as error:
            if did not in self._states.tracked:
                raise Superseded(str(error)) from error
            if isinstance(error, Gone):
                self._writer.batch.want("status", did, "deleted")
            raise
        if document.pds is None:
            raise HostError(f"{did} names no PDS", temporary=False)
        needs_rev = await self._begin(did)
        try:
            async with get_repo(self._http, document.pds, did, on_bytes=self._count) as file:
                await self._take_in(job, file, document, needs_rev)
        except NoRepo as error:
            # The account's own status says whether and when it is worth another try.
            self._writer.batch.want("status", did, error.status)
            raise
        self._metrics.fetches["ok"] += 1

    async def drain(self, did: str) -> bool:
        """Judge what was kept of `did`, oldest first; False where something still cannot be. A step of its lane."""
        while True:
            await self._writer.durable()
            async with self._pool.acquire() as connection:
                rows = await connection.fetch(
                    "select id, frame from held_frames where did = $1 order by id limit $2", did, DRAINED
                )
            if not rows:
                self._effects.let_go(did)
                return True
            for row in rows:
                event = parse_event(decode_frame(row["frame"]))
                if isinstance(event, CommitEvent | SyncEvent):
                    state = await self._states.get(did)
                    decision = await self._lanes.judge(event, state)
                    if isinstance(decision, Hold):
                        return False
                    await self._writer.room()
                    item = Item(None, asyncio.get_running_loop().time(), event, row["frame"])
                    self._effects.record(item, state, decision)
                self._writer.batch.drained.append(row["id"])
                self._writer.batch.touched = True

    async def _begin(self, did: str) -> str | None:
        """From now on the live messages of `did` are kept; the rev that a fetch must bring at least."""
        needed: list[str | None] = []

        async def begin() -> None:
            await self._writer.durable()
            async with self._pool.acquire() as connection:
                chain, active = (await repos.known(connection, [did]))[did]
            if not active:
                raise Superseded(f"{did} is not active")
            state = await self._states.get(did)
            if chain is None:
                chain = Chain(did, "in_progress", None, None, None, None, "wanted")
                self._effects.track(did, "wanted")
            needed.append(max(filter(None, (chain.rev, chain.needs_rev)), default=None))
            if state is None or state.status != "in_progress":
                self._effects.stand(chain._replace(status="in_progress"), state)
                await self._writer.durable()

        await self._lanes.run(did, begin)
        return needed[0]

    async def _check(self, export: Export, did: str, document: DidDocument, needs_rev: str | None) -> None:
        """Whether this is the repository, signed and not older than what we know of. Raises RepoError, HostError."""
        commit = export.commit
        if commit.did != did:
            raise CommitError("did_mismatch", "the export is of another repository")
        if tid_time_us(commit.rev) > time.time_ns() // 1_000 + FUTURE_US:
            raise CommitError("future_rev", "the export's rev lies more than five minutes ahead")
        if needs_rev is not None and commit.rev < needs_rev:
            raise HostError(f"{document.pds} gives {did} at {commit.rev}, older than {needs_rev}", temporary=True)
        key = document.signing_key
        if key is not None and key.check(commit.unsigned, commit.sig) == "ok":
            return
        if not await self._is_signed_by_former_key(export, did):
            self._identities.purge(did)
            raise CommitError("bad_signature", "the export is not signed by the repository's key")

    async def _is_signed_by_former_key(self, export: Export, did: str) -> bool:
        """An account that moved has, until its first write there, a commit that its former PDS signed."""
        commit = export.commit
        try:
            former = await self._identities.at(did, tid_datetime(commit.rev))
        except IdentityError:
            return False
        if former.signing_key is None or former.signing_key.check(commit.unsigned, commit.sig) != "ok":
            return False
        self._metrics.deviations["export_signed_by_former_key"] += 1
        return True

    async def _take_in(self, job: Job, file: IO[bytes], document: DidDocument, needs_rev: str | None) -> None:
        did = job.subject
        # Of exports that take much memory, one at a time.
        room = self._room if file.tell() > LARGE_BYTES else nullcontext()
        async with room:
            with opened(file) as export:
                await export.index()
                await self._check(export, did, document, needs_rev)
                entries = await export.entries(self._effects.types)
                here = await self._records_of(did)
                new = [entry for entry in entries if here.pop(entry.uri(did), None) != entry.cid]
                rev, judged = export.commit.rev, Judged()
                for start in range(0, len(new), STEP):
                    some = new[start : start + STEP]
                    await self._lanes.run(did, lambda some=some: self._write(export, rev, some, judged))  # type: ignore[misc]
                self.records += len(new)
                gone = [uri for uri, cid in here.items() if cid is not None]
                head = Chain(did, "synchronized", rev, export.commit.data, export.commit_cid, None, "fetched", "fetch")
                await self._lanes.run(did, lambda: self._end(job, head, gone))
        log.info("%s fetched at %s: %d records written, %d deleted", did, rev, len(new), len(gone))

    async def _write(self, export: Export, rev: str, entries: list[Entry], judged: Judged) -> None:
        """Write some records of an export. A step of its lane: in between, the account may have gone."""
        did = export.commit.did
        await self._writer.room()
        await self._require_wanted(did)
        for collection, rkey, cid in entries:
            version = Version(rev, cid, export.record(cid), "fetch")
            self._effects.change(did, collection, rkey, version, judged)

    async def _require_wanted(self, did: str) -> RepoState:
        """The state of a repository that is being fetched. Raises Superseded where it is not any more."""
        state = await self._states.get(did)
        if state is None or state.status != "in_progress" or not state.active or did not in self._states.tracked:
            raise Superseded(f"{did} is no longer to be fetched")
        return state

    async def _end(self, job: Job, head: Chain, gone: list[str]) -> None:
        """The repository is here: what it does not have goes, and what came meanwhile follows. A step of its lane."""
        did, rev = head.did, head.rev or ""
        await self._writer.durable()
        async with self._pool.acquire() as connection:
            chain = (await repos.known(connection, [did]))[did].chain
        if chain is not None and (chain.needs_rev or "") > rev:
            raise HostError(f"{did} has moved on to {chain.needs_rev}, and {rev} was fetched", temporary=True)
        for uri in gone:
            collection, _, rkey = uri.removeprefix(f"at://{did}/").partition("/")
            await self._writer.room()
            self._effects.change(did, collection, rkey, Version(rev, None, None, "fetch"), {})
        state = await self._require_wanted(did)
        now = datetime.now(UTC)
        self._effects.stand(head._replace(proven_at=now, fetched_at=now), state)
        self._writer.batch.finish(job)
        if self._effects.held[did]:
            self._writer.batch.want("drain", did, "fetched")
        await self._writer.durable()

    async def _records_of(self, did: str) -> dict[str, bytes | None]:
        """The records that are here of `did`: CID by uri, None for a tombstone."""
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(
                "select uri, cid from records where uri > $1 and uri < $2", f"at://{did}/", f"at://{did}0"
            )
        return {row["uri"]: row["cid"] for row in rows}

    def _count(self, size: int) -> None:
        self.bytes += size
