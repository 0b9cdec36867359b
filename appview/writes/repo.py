"""An account's repository at its own PDS, as those who write to it through us see it."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from appview.accounts.oauth.scopes import Action
from appview.unset import UNSET, Unset
from appview.writes.access import Access
from appview.writes.asked import Asked, Write, request_digest
from appview.writes.carrier import Carrier, Key, Written
from appview.writes.errors import InvalidWrite, PdsAway, PdsRefused, RecordNotFound
from appview.writes.look import CannotLook, Found, read
from appview.writes.records import Rules, swap_of
from appview.writes.tids import Tids
from appview.writes.uploads import Uploads
from lexicons.cid import CID

MAX_WRITES: Final = 200
"""In one commit (WR-04)."""
MAX_KEY: Final = 255
"""Characters of an idempotency key."""

Record: TypeAlias = dict[str, Any]
"""A record as JSON, links as `{"$link"}` and byte strings as `{"$bytes"}`."""


class Create(NamedTuple):
    """A new record; without `rkey`, under a key that is made for it."""

    collection: str
    record: Record
    rkey: str | None = None


class Update(NamedTuple):
    """A record in place of the one that is there."""

    collection: str
    rkey: str
    record: Record


class Delete(NamedTuple):
    """A record that is to go."""

    collection: str
    rkey: str


@dataclass(frozen=True, slots=True)
class Desk:
    """What all repositories are written with; one a process."""

    carrier: Carrier
    rules: Rules
    tids: Tids
    uploads: Uploads


class Repo:
    """The repository of `did`, written by a grant of its owner's.

    Every method raises WriteError (appview/writes/errors.py). A `key` is an idempotency key: within a day the same call
    by the same key is done once, and answered alike.
    """

    def __init__(self, desk: Desk, did: str, grant: int) -> None:
        self.did = did
        self._desk = desk
        self._grant = grant

    async def create(
        self,
        collection: str,
        record: Record,
        *,
        rkey: str | None = None,
        swap_commit: str | None = None,
        key: str | None = None,
        request: Record | None = None,
    ) -> Written:
        """Write a new record; the same record under the same `rkey` may be created again.

        Without an `rkey` one is made: the collection's only one, or a TID (WR-08, WR-10). Raises RecordAlreadyExists
        where another record is there under it, and InvalidSwap where another commit than `swap_commit` is the newest.
        `request` is what the caller said of the record, where that is not all of it: with a `key`, how the same call is
        known again.
        """
        write = self._create(Create(collection, record, rkey))
        said = record if request is None else request
        asked = Asked(self.did, "create", (write,), None, _commit(swap_commit))
        return await self._one(asked, [rkey or ""], [said], key)

    async def put(
        self,
        collection: str,
        rkey: str,
        record: Record,
        *,
        swap: str | Unset | None = UNSET,
        swap_commit: str | None = None,
        key: str | None = None,
    ) -> Written:
        """Write a record in place of the version `swap`, of none with None, of any with UNSET. Raises InvalidSwap.

        As of every write, with `swap_commit` only on top of that commit (WR-05).
        """
        write = self._write("update", collection, rkey, record)
        asked = Asked(self.did, "put", (write,), swap_of(swap), _commit(swap_commit))
        return await self._one(asked, [write.uri, _text(swap)], [record], key)

    async def delete(
        self,
        collection: str,
        rkey: str,
        *,
        swap: str | Unset | None = UNSET,
        swap_commit: str | None = None,
        key: str | None = None,
    ) -> Written:
        """Delete a record; of one that is not there nothing has to go, and `rev` is None (WR-06).

        With `swap`, that version of it alone. Raises InvalidSwap.
        """
        if swap is None:
            raise InvalidWrite("What is not there cannot be deleted: swapRecord is a CID, or not given.")
        write = self._gone(collection, rkey)
        asked = Asked(self.did, "delete", (write,), swap_of(swap), _commit(swap_commit))
        return await self._one(asked, [write.uri, _text(swap)], [], key)

    async def edit(
        self,
        collection: str,
        rkey: str,
        change: Callable[[Record], Record | None],
        *,
        missing: Record | None = None,
        key: str | None = None,
        request: object = None,
    ) -> Written:
        """Read the record, let `change` make of it what it is to be, and write that, unless it was changed meanwhile:
        then do so again, of what is there now (WR-09).

        `change` is given the record as its PDS has it, with all that we know nothing of, and must keep that; None is
        for no change. It is called anew for every try. Where there is no record it is given `missing`; RecordNotFound
        without that. `request` is what the caller asked for, as JSON: with a `key`, how the same call is known again.
        """
        self._desk.rules.require_key(collection, rkey)
        uri = self._uri(collection, rkey)

        async def make() -> Asked | Written:
            found = await self._read(uri)
            if found is None and missing is None:
                raise RecordNotFound(f"There is no record {uri}.")
            there, before = (None, None) if found is None else (found.cid, found.record)
            changed = change(deepcopy(missing or {} if before is None else before))
            version = None if changed is None else self._desk.rules.version(collection, rkey, changed, instead=before)
            if version is None or str(version.cid) == there:
                return Written(uri, there, None)
            swap = None if there is None else CID.parse(there)
            return Asked(self.did, "put", (Write("update", uri, collection, rkey, version),), swap)

        named = _key(key, "edit", [uri], [{"request": request}])
        return await self._desk.carrier.edit(self._access(), self.did, named, make)

    async def apply(
        self,
        writes: Sequence[Create | Update | Delete],
        *,
        swap_commit: str | None = None,
        key: str | None = None,
    ) -> list[Written]:
        """Do all of `writes` in one commit, or none; with `swap_commit`, only on top of that commit (WR-05)."""
        if not 0 < len(writes) <= MAX_WRITES:
            raise InvalidWrite(f"One commit has from 1 to {MAX_WRITES} writes.")
        planned = tuple(map(self._planned, writes))
        if len({write.uri for write in planned}) < len(planned):
            raise InvalidWrite("Two writes of one commit are about the same record.")
        where = [part for write in writes for part in (type(write).__name__, write.collection, write.rkey or "")]
        records = [None if isinstance(write, Delete) else write.record for write in writes]
        named = _key(key, "apply", [*where, swap_commit or ""], records)
        asked = Asked(self.did, "apply", planned, swap_commit=_commit(swap_commit))
        return await self._desk.carrier.carry(self._access(), asked, named)

    async def upload(self, chunks: AsyncIterator[bytes], mime: str, size: int | None) -> dict[str, Any]:
        """Upload a blob; returns it as a record is to have it (WR-14). `size` is what was announced, in bytes.

        What is read of `chunks` is kept aside until the PDS has all of it. Raises what `chunks` raises.
        """
        return await self._desk.uploads.upload(self._access(), chunks, mime, size)

    async def get(self, collection: str, rkey: str) -> Found | None:
        """The record as the PDS has it, and its CID; None when there is none."""
        self._desk.rules.require_key(collection, rkey)
        return await self._read(self._uri(collection, rkey))

    async def _one(
        self, asked: Asked, where: Sequence[str], records: Sequence[Mapping[str, Any]], key: str | None
    ) -> Written:
        collection = asked.writes[0].collection
        on_top_of = [] if asked.swap_commit is None else [asked.swap_commit]
        named = _key(key, asked.method, [collection, *where, *on_top_of], records)
        return (await self._desk.carrier.carry(self._access(), asked, named))[0]

    async def _read(self, uri: str) -> Found | None:
        granted, carrier = await self._access().granted(), self._desk.carrier
        try:
            with carrier.hosts.one(granted.pds):
                return await read(carrier.http, granted.pds, uri)
        except CannotLook as error:
            if error.temporary:
                raise PdsAway(str(error)) from None
            raise PdsRefused(str(error)) from None

    def _access(self) -> Access:
        return self._desk.carrier.access(self.did, self._grant)

    def _uri(self, collection: str, rkey: str) -> str:
        return f"at://{self.did}/{collection}/{rkey}"

    def _planned(self, write: Create | Update | Delete) -> Write:
        match write:
            case Create():
                return self._create(write)
            case Update(collection, rkey, record):
                return self._write("update", collection, rkey, record)
            case Delete(collection, rkey):
                return self._gone(collection, rkey)

    def _create(self, write: Create) -> Write:
        rkey = self._desk.rules.only_key(write.collection) if write.rkey is None else write.rkey
        if rkey is not None:
            return self._write("create", write.collection, rkey, write.record)
        return self._write("create", write.collection, self._desk.tids.mint(), write.record, minted=True)

    def _write(self, action: Action, collection: str, rkey: str, record: Record, *, minted: bool = False) -> Write:
        version = self._desk.rules.version(collection, rkey, record)
        return Write(action, self._uri(collection, rkey), collection, rkey, version, minted)

    def _gone(self, collection: str, rkey: str) -> Write:
        self._desk.rules.require_key(collection, rkey)
        return Write("delete", self._uri(collection, rkey), collection, rkey, None)


def _key(key: str | None, method: str, where: Sequence[str], records: Sequence[Mapping[str, Any] | None]) -> Key | None:
    if key is None:
        return None
    if not (0 < len(key) <= MAX_KEY and key.isprintable()):
        raise InvalidWrite(f"An idempotency key has from 1 to {MAX_KEY} characters that print.")
    return Key(key, request_digest(method, where, records))


def _commit(swap: str | None) -> str | None:
    """The CID of a commit as it was given. Raises InvalidWrite."""
    swap_of(swap)
    return swap


def _text(swap: str | Unset | None) -> str:
    return repr(swap)
