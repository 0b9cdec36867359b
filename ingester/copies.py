"""Whom a repository is asked of, and whether what came is it: whole, signed, and not older than what we know of.

An upstream is asked first, to spare the PDSes (RD-62), and then the PDS; its answer alone says anything of the account.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from appview.index.repos import Chain
from appview.net.did_document import DidDocument
from appview.net.errors import IdentityError
from appview.net.identity import IdentityResolver
from ingester.budget import HostClient, origin
from ingester.export import Export, opened
from ingester.hosts import Busy, HostError, NoRepo, NotServed, get_repo
from ingester.metrics import Metrics
from ingester.repo.errors import CommitError, RepoError
from ingester.sync import FUTURE_US
from ingester.times import tid_datetime
from lexicons.formats import tid_time_us

LARGE_BYTES: Final = 32_000_000
"""An export beyond this is taken in by itself: with all its blocks as small as can be, its index takes megabytes."""
AT_ONCE: Final = 6
"""Exports taken in at a time, by index, proof and comparison; any number may be on their way to us."""
UNSERVED_SECONDS: Final = 3_600.0
"""For how long an upstream is not asked that does not give out repositories."""
FAILED_SECONDS: Final = 60.0
"""And one that failed, or whose copy was refused."""


class Older(HostError):
    """What a host gives is older than what was proven to exist."""


class Source(NamedTuple):
    """Who is asked for a repository."""

    http: HostClient
    host: str
    is_pds: bool


class Copies:
    """Repositories as hosts give them out; `upstreams` by origin, in the order in which they are asked. What they
    give is kept in `folder` while it is taken in.
    """

    def __init__(
        self,
        http: HostClient,
        upstreams: Mapping[str, HostClient],
        identities: IdentityResolver,
        collections: Collection[str],
        metrics: Metrics,
        folder: Path | None = None,
    ) -> None:
        self.bytes = 0
        """Fetched since the start."""
        self._http = http
        self._upstreams = upstreams
        self._identities = identities
        self._collections = collections
        self._metrics = metrics
        self._asked_again_at: dict[str, float] = {}
        """When an upstream is asked again, by the event loop's clock."""
        self._folder = folder
        self._room = asyncio.Semaphore(AT_ONCE)
        self._room_for_large = asyncio.Lock()

    def sources(self, pds: str, *, pds_alone: bool) -> list[Source]:
        """Who is asked for a repository of `pds`, one after the other: those upstreams first that may be asked at once.

        None of them where the PDS is itself an upstream. Raises Busy where nobody may be asked yet.
        """
        now = asyncio.get_running_loop().time()
        budget, at_pds = self._http.budget, origin(pds)
        upstreams = [
            Source(http, host, is_pds=False)
            for host, http in self._upstreams.items()
            if self._asked_again_at.get(host, now) <= now and http.budget.has_room(host)
        ]
        if pds_alone or at_pds in self._upstreams:
            upstreams = []
        if not upstreams and not budget.has_room(at_pds):
            raise Busy(f"{pds} is not to be asked yet", budget.wait(at_pds))
        return [*upstreams, Source(self._http, pds, is_pds=True)]

    def failed(self, source: Source, error: HostError | RepoError) -> None:
        """Leave an upstream alone for a while that gives out no repositories, or one that cannot be used."""
        self._metrics.fetches[f"upstream_{outcome(error)}"] += 1
        if not isinstance(error, NoRepo | Busy | Older):
            seconds = UNSERVED_SECONDS if isinstance(error, NotServed) else FAILED_SECONDS
            self._asked_again_at[source.host] = asyncio.get_running_loop().time() + seconds

    @asynccontextmanager
    async def proven(self, source: Source, document: DidDocument, before: Chain) -> AsyncIterator[Export]:
        """The repository that `document` is of, as `source` gives it, all of it proven; `before` is our chain.

        Raises HostError, RepoError.
        """
        async with AsyncExitStack() as stack:
            file = await stack.enter_async_context(
                get_repo(source.http, source.host, before.did, folder=self._folder, on_bytes=self._count)
            )
            if file.tell() > LARGE_BYTES:
                await stack.enter_async_context(self._room_for_large)
            await stack.enter_async_context(self._room)
            export = stack.enter_context(opened(file))
            await export.index()
            await self._check(export, source, document, before)
            await export.prove(self._collections)
            yield export

    async def _check(self, export: Export, source: Source, document: DidDocument, before: Chain) -> None:
        """Whether this is the repository, signed and not older than what we know of. Raises RepoError, HostError."""
        did, commit = before.did, export.commit
        needs_rev = max(before.rev or "", before.needs_rev or "")
        if commit.did != did:
            raise CommitError("did_mismatch", "the export is of another repository")
        if tid_time_us(commit.rev) > time.time_ns() // 1_000 + FUTURE_US:
            raise CommitError("future_rev", "the export's rev lies more than five minutes ahead")
        if commit.rev < needs_rev:
            raise Older(f"{source.host} gives {did} at {commit.rev}, older than {needs_rev}", temporary=True)
        key = document.signing_key
        if key is not None and key.check(commit.unsigned, commit.sig) == "ok":
            return
        # A copy by an upstream that the former key signed may be what the account has left behind.
        if not source.is_pds or not await self._is_signed_by_former_key(export, did):
            if source.is_pds:
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

    def _count(self, size: int) -> None:
        self.bytes += size


def outcome(error: Exception) -> str:
    """The name under which a failed fetch is counted."""
    if isinstance(error, RepoError):
        return error.reason
    if isinstance(error, IdentityError):
        return "identity"
    if isinstance(error, NoRepo):
        return "no_repo"
    if isinstance(error, NotServed):
        return "not_served"
    if isinstance(error, Busy):
        return "busy"
    return "older" if isinstance(error, Older) else "host"
