"""Records into a test's index as the ingester writes them, but without repositories to prove them."""

import itertools
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from appview.db import Connection
from appview.index import actors, repos
from appview.index.apply import Change, apply
from appview.index.lock import index_lock
from appview.index.records import record_types
from appview.index.tolerance import Judge
from lexicons.data import CID, encode, from_json
from lexicons.formats import tid_from_time_us

NAMESPACE: Final = "fm.plyr"
NOW: Final = datetime(2026, 6, 1, tzinfo=UTC)
CREATED_AT: Final = "2026-03-01T12:00:00.000Z"
BLOB: Final = {
    "$type": "blob",
    "ref": {"$link": "bafkreifnvhfnyy7p3ara2gdyv6krztsd26luv2mi45j7hw3sreq7xjpd24"},
    "mimeType": "audio/vnd.wave",
    "size": 12_760_890,
}

# What records of ours need, by their short names, so that a test says only what it is about.
_REQUIRED: Final[Mapping[str, Mapping[str, Any]]] = {
    "track": {"title": "Song", "artist": "Artist", "fileType": "mp3"},
    "comment": {"text": "Good", "timestampMs": 1500},
    "list": {"items": []},
}

judge_of = cache(Judge)
"""The judge of a namespace: it takes a while to come to be, and is the same for all."""


def rkey(seconds: int) -> str:
    """The TID of so many seconds before NOW: the larger, the older."""
    return tid_from_time_us(int((NOW - timedelta(seconds=seconds)).timestamp()) * 1_000_000, 0)


def ref(uri: str) -> dict[str, Any]:
    """A strong reference to a record, in a version that has no reason to be the present one."""
    return {"uri": uri, "cid": str(CID.of(uri.encode()))}


class IndexWriter:
    """Writes to the index on `connection`, at the time `now`, each change with a later rev than the one before."""

    def __init__(self, connection: Connection, namespace: str = NAMESPACE, now: datetime = NOW) -> None:
        self.connection = connection
        self.now = now
        self._namespace = namespace
        self._types = record_types(namespace)
        self._counter = itertools.count(1)

    async def account(self, did: str, *, handle: str | None = None, pds: str | None = None) -> str:
        """An account, with a repository that is all here; its DID."""
        async with self.connection.transaction():
            await index_lock(self.connection)
            await actors.see(self.connection, [did])
            await actors.set_identity(self.connection, did, handle=handle, pds=pds, now=self.now)
            data = CID.of(did.encode())
            chain = repos.Chain(
                did, "synchronized", self._rev(), data, data, None, "first seen", "fetch", self.now, self.now
            )
            await repos.save(self.connection, [chain], self.now)
        return did

    async def write(self, did: str, collection: str, key: str, **fields: Any) -> str:
        """Create or update one record; `fields` are JSON, beside what its type requires. Its URI."""
        return (await self.write_all([(did, collection, key, fields)]))[0]

    async def write_all(self, records: Iterable[tuple[str, str, str, Mapping[str, Any]]]) -> list[str]:
        """Create or update records in one batch: did, collection, rkey and fields of each; their URIs."""
        changes = [self._change(*record) for record in records]
        await self._apply(changes)
        return [change.uri for change in changes]

    async def delete(self, uri: str) -> None:
        """Delete one record."""
        await self.delete_all([uri])

    async def delete_all(self, uris: Iterable[str]) -> None:
        """Delete records in one batch."""
        parts = ((uri, *uri.split("/")[2:]) for uri in uris)
        await self._apply(
            Change(uri, did, collection, key, self._rev(), None, None, None, "live")
            for uri, did, collection, key in parts
        )

    async def set_status(self, did: str, *, active: bool, status: str | None = None) -> None:
        """What the host says of an account, from now on."""
        async with self.connection.transaction():
            await index_lock(self.connection)
            await actors.set_status(self.connection, did, active=active, status=status, now=self.now)

    async def set_taken_down(self, did: str, taken_down: bool) -> None:
        """Take an account down here, or restore it."""
        async with self.connection.transaction():
            await index_lock(self.connection)
            await actors.set_taken_down(self.connection, did, taken_down)

    def _change(self, did: str, collection: str, key: str, fields: Mapping[str, Any]) -> Change:
        required = _REQUIRED.get(collection.removeprefix(f"{self._namespace}."), {})
        value = {"$type": collection, "createdAt": CREATED_AT, **required, **fields}
        block = encode(from_json(value))
        judgement = judge_of(self._namespace).judge(collection, key, block)
        uri = f"at://{did}/{collection}/{key}"
        return Change(uri, did, collection, key, self._rev(), CID.of(block), block, judgement, "live")

    async def _apply(self, changes: Iterable[Change]) -> None:
        changes = list(changes)
        async with self.connection.transaction():
            await index_lock(self.connection)
            await actors.see(self.connection, (change.did for change in changes))
            await apply(self.connection, self._types, changes, self.now)

    def _rev(self) -> str:
        return tid_from_time_us(int(NOW.timestamp()) * 1_000_000 + next(self._counter), 0)
