"""DID documents that outlive the process: between the memory of the resolver and whatever keeps them for good.

Writes are gathered and go out in batches behind the callers' backs; until one is through, its readers here already see
it. A store in trouble costs questions to the directory, and nothing else.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple, Protocol

from appview.net.cache import Clock
from appview.net.did_document import DidDocument, InvalidDocument, parse_document, render_document
from lexicons.formats import is_did

BATCH: Final = 500
MAX_WAITING: Final = 5_000
"""Changes kept for a store that does not take them; then the oldest are dropped."""
_RETRY: Final = 2.0

_log = logging.getLogger(__name__)


class StoreError(Exception):
    """The store did not answer, or did not take what it was given."""


class Change(NamedTuple):
    """A document as JSON, asked for at `at` (seconds since the epoch); None: what is older than `at` is void."""

    document: object | None
    at: float


class DocumentStore(Protocol):
    """What keeps the documents for good. Either call raises StoreError and nothing else."""

    async def read(self, dids: Sequence[str]) -> Mapping[str, Change]:
        """What is kept of `dids`."""

    async def write(self, changes: Mapping[str, Change]) -> None:
        """Keep these documents, but where a newer one is kept; delete those that are void."""


class StoredDocuments:
    """A cache's store of documents, over a `DocumentStore`."""

    def __init__(self, store: DocumentStore, *, dev: bool, clock: Clock) -> None:
        self._store = store
        self._dev = dev
        self._clock = clock
        self._waiting: OrderedDict[str, Change] = OrderedDict()
        self._writer: asyncio.Task[None] | None = None
        self._in_trouble = False

    async def load(self, did: str) -> tuple[DidDocument, float] | None:
        """The document that is kept of `did` and when it was asked for; None for want of one, or of an answer."""
        return (await self.load_many([did])).get(did)

    async def load_many(self, dids: Sequence[str]) -> dict[str, tuple[DidDocument, float]]:
        """As `load`, for many."""
        asked = [did for did in dids if did not in self._waiting and is_did(did)]
        try:
            found = dict(await self._store.read(asked)) if asked else {}
            self._in_trouble = False
        except StoreError as error:
            self._complain(error, "documents are fetched instead")
            found = {}
        # What was changed while the store was asked is newer than its answer.
        found |= {did: self._waiting[did] for did in dids if did in self._waiting}
        documents = {}
        for did, change in found.items():
            if change.document is not None:
                try:
                    documents[did] = parse_document(did, change.document, dev=self._dev), change.at
                except InvalidDocument as error:
                    _log.warning("the store has no document of %s: %s", did, error)
        return documents

    def save(self, did: str, document: DidDocument, at: float) -> None:
        """Keep `document`, soon."""
        self._put(did, Change(render_document(document), at))

    def forget(self, did: str) -> None:
        """Delete what is kept of `did`, soon."""
        if is_did(did):
            self._put(did, Change(None, self._clock()))

    async def aclose(self) -> None:
        """Write what waits, once, and stop."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        try:
            while self._waiting:
                await self._write_batch()
        except StoreError as error:
            _log.warning("%s; %d changes of documents are lost", error, len(self._waiting))

    def _put(self, did: str, change: Change) -> None:
        self._waiting[did] = change
        while len(self._waiting) > MAX_WAITING:
            self._waiting.popitem(last=False)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())

    async def _write(self) -> None:
        while self._waiting:
            try:
                await self._write_batch()
                self._in_trouble = False
            except StoreError as error:
                self._complain(error, "what was fetched waits in memory")
                await asyncio.sleep(_RETRY)

    async def _write_batch(self) -> None:
        batch = dict(islice(self._waiting.items(), BATCH))
        await self._store.write(batch)
        for did, change in batch.items():
            if self._waiting.get(did) is change:
                del self._waiting[did]

    def _complain(self, error: StoreError, consequence: str) -> None:
        """Say it once for each time of trouble, not for each question in it."""
        if not self._in_trouble:
            self._in_trouble = True
            _log.warning("%s; %s", error, consequence)
