"""What is needed to judge a message, kept in memory: where its repository stands, and who signs for it."""

import asyncio
import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from appview.db import AWAY, Pool
from appview.index import repos
from appview.index.repos import Known
from appview.net.cache import RateLimit
from appview.net.errors import IdentityError
from appview.net.identity import IdentityResolver
from ingester.sync import RepoState, Signer
from ingester.times import tid_datetime
from ingester.tracked import Tracked

STATES: Final = 25_000
SIGNERS: Final = 25_000
"""Some 400 and 500 bytes each: 22 MB when both are full. What is not here costs a look into the database."""
RETRY_SECONDS: Final = 0.5
DOUBT_SECONDS: Final = 10.0
FORMER_SECONDS: Final = 60.0
DOUBTS: Final = 1_000
FORMERS: Final = 100
"""In a minute, of all repositories together: what strangers send must not become a flood at the directory."""
SIGNER_SECONDS: Final = 3_600.0
"""How long a key is used before its document is asked for again; a key that fails is asked for at once."""

log = logging.getLogger("plyr.states")


def repo_state(known: Known) -> RepoState | None:
    """What is held of a repository, as `decide` takes it."""
    chain, active = known
    if chain is not None:
        return RepoState(chain.rev, chain.data, chain.status, active)
    return None if active else RepoState(None, None, "desynchronized", active=False)


class States:
    """The repositories' states: the newest ones in memory, those of batches not yet durable among them.

    Each is changed by its own lane alone. `tracked` holds every DID that has a chain, and may take one without any for
    one of them: what is written of a repository depends on its state.
    """

    def __init__(self, pool: Pool) -> None:
        self.tracked = Tracked()
        self._pool = pool
        self._kept: OrderedDict[str, RepoState | None] = OrderedDict()
        self._loads: dict[str, asyncio.Future[None]] = {}
        self._loader: asyncio.Task[None] | None = None

    def __contains__(self, did: str) -> bool:
        """Whether the state of `did` is in memory."""
        return did in self._kept

    def peek(self, did: str) -> RepoState | None:
        """The state of one that is in memory."""
        return self._kept[did]

    def put(self, did: str, state: RepoState | None) -> None:
        """The state of `did` from now on."""
        self._kept[did] = state
        self._kept.move_to_end(did)
        # Far more are kept than a batch can hold, so none is lost before it is durable.
        if len(self._kept) > STATES:
            self._kept.popitem(last=False)

    def forget(self, did: str) -> None:
        """The state of `did` was changed in the database."""
        self._kept.pop(did, None)

    async def get(self, did: str) -> RepoState | None:
        """The state of `did`, from the database where it is not in memory; those asked for together come together."""
        while did not in self._kept:
            load = self._loads.get(did)
            if load is None:
                load = self._loads[did] = asyncio.get_running_loop().create_future()
                if self._loader is None or self._loader.done():
                    self._loader = asyncio.create_task(self._load())
            # Whoever waits for it may be cancelled; the others still get it.
            await asyncio.shield(load)
        return self._kept[did]

    async def _load(self) -> None:
        while self._loads:
            loads, self._loads = self._loads, {}
            for did, known in (await self._read(list(loads))).items():
                self.put(did, repo_state(known))
                if not loads[did].done():
                    loads[did].set_result(None)

    async def _read(self, dids: list[str]) -> dict[str, Known]:
        """What is held of `dids`, once the database is there to be asked."""
        while True:
            try:
                async with self._pool.acquire() as connection:
                    return await repos.known(connection, dids)
            except AWAY as error:
                log.warning("waiting for the database: %s", error)
                await asyncio.sleep(RETRY_SECONDS)


class Signers:
    """The signing keys, for an hour each."""

    def __init__(self, identities: IdentityResolver) -> None:
        self._identities = identities
        self._kept: OrderedDict[str, tuple[Signer, float, str | None]] = OrderedDict()
        self._doubts = RateLimit(2, DOUBT_SECONDS, clock=time.monotonic)
        self._doubts_of_all = RateLimit(DOUBTS, 60.0, clock=time.monotonic)
        self._formers = RateLimit(1, FORMER_SECONDS, clock=time.monotonic)
        self._formers_of_all = RateLimit(FORMERS, 60.0, clock=time.monotonic)

    @property
    def are_asked_for(self) -> bool:
        """Whether so many are being asked for that no other should be for a message's sake."""
        return self._identities.is_busy

    def peek(self, did: str) -> Signer | None:
        """The signer of `did` where it is known and not too old."""
        kept = self._kept.get(did)
        return kept[0] if kept is not None and kept[1] > time.monotonic() else None

    def pds_of(self, did: str) -> str | None:
        """The origin of the PDS of `did`, where its signer is in memory."""
        kept = self._kept.get(did)
        return kept[2] if kept is not None else None

    async def get(self, did: str) -> Signer | None:
        """The signer of `did`; with no key where its identity has none, and None where that cannot be found out now and
        was not known before.
        """
        known = self.peek(did)
        if known is not None:
            return known
        try:
            document = await self._identities.document(did)
        except IdentityError as error:
            if not error.temporary:
                return Signer(None)
            # That somebody said something changed, while nobody can be asked, takes no key away that was good till now.
            kept = self._kept.get(did)
            return kept[0] if kept is not None else None
        return self._keep(did, Signer(document.signing_key), document.pds)

    async def refresh(self, did: str) -> Signer | None:
        """The signer by a document fetched anew; None where that cannot be done now, or was done just before."""
        try:
            document = await self._identities.refresh(did)
        except IdentityError:
            return None
        return None if document is None else self._keep(did, Signer(document.signing_key), document.pds)

    async def former(self, did: str, rev: str) -> Signer | None:
        """The signer of `did` at the time of `rev`, by the directory's log; None where that cannot be found out, or was
        just before.
        """
        if not (self._formers.allow(did) and self._formers_of_all.allow("")):
            return None
        try:
            # A log from memory may be older than the commit, and lack the key that signed it.
            document = await self._identities.at(did, tid_datetime(rev), max_age=0)
        except IdentityError:
            return None
        return Signer(document.signing_key)

    def doubt(self, did: str) -> None:
        """Somebody says that the identity of `did` has changed: its document is asked for again, though not each time
        that anybody says so; a key that fails meanwhile is asked for by itself.
        """
        if self._doubts.allow(did) and self._doubts_of_all.allow(""):
            kept = self._kept.get(did)
            if kept is not None:
                self._kept[did] = kept[0], 0.0, kept[2]
            self._identities.purge(did)

    def purge(self, did: str) -> None:
        """Forget the key of `did`, and its document."""
        self._kept.pop(did, None)
        self._identities.purge(did)

    def preset(self, signers: Iterable[tuple[str, Signer]]) -> None:
        """Know these from the start."""
        for did, signer in signers:
            self._keep(did, signer, None)

    def _keep(self, did: str, signer: Signer, pds: str | None) -> Signer:
        # Hosts are few: each is in memory once.
        self._kept[did] = signer, time.monotonic() + SIGNER_SECONDS, pds and sys.intern(pds)
        self._kept.move_to_end(did)
        if len(self._kept) > SIGNERS:
            self._kept.popitem(last=False)
        return signer
