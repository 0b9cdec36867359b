"""A repository that really signs: writes in batches become commits and frames as the reference PDS shapes them."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

from tests.writer.car import Block, write_car
from tests.writer.cbor import Link, Value, cid_of, decode, encode
from tests.writer.keys import SigningKey
from tests.writer.mst import Node, build
from tests.writer.proof import Op, covering_nodes

_SORTABLE = "234567abcdefghijklmnopqrstuvwxyz"
_POSSIBLE = {("create", True, False), ("update", False, False), ("delete", False, True)}  # action, no old, no new
UNSIGNED = b"\x11" * 64

Record: TypeAlias = Mapping[str, Any] | bytes


def tid(microseconds: int, clock_id: int = 0) -> str:
    """A TID: 53 bits of microseconds, 10 of clock, in sortable base32."""
    number = microseconds << 10 | clock_id
    return "".join(_SORTABLE[number >> shift & 31] for shift in range(60, -1, -5))


def tid_time(text: str) -> int:
    """The microseconds of a TID."""
    number = 0
    for letter in text:
        number = number << 5 | _SORTABLE.index(letter)
    return number >> 10


def timestamp(microseconds: int) -> str:
    """A datetime as the PDS writes it: UTC, milliseconds, Z."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def message(kind: str, payload: Value) -> bytes:
    """A message frame."""
    return encode({"op": 1, "t": kind}) + encode(payload)


def info(name: str, text: str) -> bytes:
    """An `#info` frame, which has no seq."""
    return message("#info", {"name": name, "message": text})


def error(name: str, text: str) -> bytes:
    """An error frame, after which a server closes."""
    return encode({"op": -1}) + encode({"error": name, "message": text})


@dataclass
class Host:
    """A PDS as its subscribers see it: an address, a clock that only tests move, and one sequence."""

    url: str = "https://pds.example"
    now_us: int = 1_790_000_000_000_000
    seq: int = 0
    clock_id: int = 7
    _last: int = 0

    def tid(self) -> str:
        """A TID of now, later than every one before."""
        self._last = max(self.now_us, self._last + 1)
        return tid(self._last, self.clock_id)

    def next_seq(self) -> int:
        self.seq += 1
        return self.seq

    def advance(self, microseconds: int = 1_000_000) -> None:
        self.now_us += microseconds

    @property
    def time(self) -> str:
        return timestamp(self.now_us)


class Write(NamedTuple):
    """A write to make: a record's value or its ready bytes, None to delete."""

    action: str
    path: str
    record: Record | None = None

    def block(self) -> bytes | None:
        """The record's bytes."""
        return self.record if self.record is None or isinstance(self.record, bytes) else encode(self.record)


class Head(NamedTuple):
    """The chain state of a repository: what a verifier keeps between commits."""

    rev: str
    data: Link


@dataclass(frozen=True)
class CommitEvent:
    """All that a `#commit` says, before it is bytes; each stage takes what the stage before made, right or wrong."""

    key: SigningKey | None
    seq: int
    did: str
    rev: str
    since: str | None
    time: str
    data: Link
    prev_data: Link | None
    ops: tuple[Op, ...]
    new_nodes: Mapping[Link, bytes]
    proof_nodes: Mapping[Link, bytes]
    records: Mapping[Link, bytes]

    @property
    def nodes(self) -> dict[Link, bytes]:
        return {**self.new_nodes, **self.proof_nodes}

    def unsigned(self) -> dict[str, Any]:
        """The commit object without its signature."""
        return {"did": self.did, "version": 3, "data": self.data, "rev": self.rev, "prev": None}

    @cached_property
    def signed(self) -> bytes:
        """The signed commit block; a constant stands for the signature where there is no key."""
        return sign_commit(self.unsigned(), self.key)

    def signature(self) -> bytes:
        """The signature in the signed commit."""
        found = decode(self.signed)["sig"]
        return bytes(found)

    def blocks(self, commit: bytes) -> list[Block]:
        """The blocks in the order of the reference PDS: new nodes, records, commit, other proof nodes."""
        first = [Block(cid, data) for part in (self.new_nodes, self.records) for cid, data in part.items()]
        return [*first, Block(cid_of(commit), commit), *(Block(cid, data) for cid, data in self.proof_nodes.items())]

    def payload(self, commit: bytes, car: bytes) -> dict[str, Any]:
        """The fields of the message (ES-60); no `prevData` key in a first commit."""
        body: dict[str, Any] = {
            "seq": self.seq,
            "repo": self.did,
            "time": self.time,
            "rev": self.rev,
            "since": self.since,
            "commit": cid_of(commit),
            "blocks": car,
            "ops": [op.wire() for op in self.ops],
            "blobs": [],
            "rebase": False,
            "tooBig": False,
        }
        return body if self.prev_data is None else {**body, "prevData": self.prev_data}

    def frame(self) -> bytes:
        """The whole genuine frame."""
        car = write_car([cid_of(self.signed)], self.blocks(self.signed))
        return message("#commit", self.payload(self.signed, car))


def sign_commit(unsigned: Mapping[str, Any], key: SigningKey | None) -> bytes:
    """The commit object with its signature over all the rest (RD-31)."""
    return encode({**unsigned, "sig": key.sign(encode(unsigned)) if key else UNSIGNED})


def did_document(did: str, multikey: str, pds: str, handle: str = "artist.example") -> dict[str, Any]:
    """A DID document as plc.directory writes it."""
    return {
        "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"],
        "id": did,
        "alsoKnownAs": [f"at://{handle}"],
        "verificationMethod": [
            {"id": f"{did}#atproto", "type": "Multikey", "controller": did, "publicKeyMultibase": multikey}
        ],
        "service": [{"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": pds}],
    }


@dataclass
class Repo:
    """One account's repository on a host. Begin with `commit()`; then `commit([...])` as often as you like."""

    did: str
    key: SigningKey | None
    host: Host = field(default_factory=Host)
    handle: str = "artist.example"
    leaves: dict[bytes, Link] = field(default_factory=dict)
    records: dict[Link, bytes] = field(default_factory=dict)
    tree: Node = field(default_factory=lambda: build({}))
    last: CommitEvent | None = None

    @property
    def head(self) -> Head | None:
        """The chain state, None before the first commit."""
        return None if self.last is None else Head(self.last.rev, self.last.data)

    def did_document(self) -> dict[str, Any]:
        """The document that the directory would give now."""
        if self.key is None:
            raise ValueError("A repository without a key has no DID document.")
        return did_document(self.did, self.key.multikey, self.host.url, self.handle)

    def commit(self, writes: Sequence[Write] = (), rev: str | None = None) -> CommitEvent:
        """Apply the writes and return what the stream says; ValueError for a write that cannot be.

        The first commit has `since` null and no `prevData`; the reference PDS makes it empty.
        """
        leaves = dict(self.leaves)
        ops, records = _apply(leaves, writes)
        leaves = dict(sorted(leaves.items()))
        tree = build(leaves)
        before = None if self.last is None else self.tree
        new_nodes, proof_nodes = covering_nodes(before, tree, tuple(leaves), [op.key for op in ops])
        event = CommitEvent(
            key=self.key,
            seq=self.host.next_seq(),
            did=self.did,
            rev=self.host.tid() if rev is None else rev,
            since=None if self.last is None else self.last.rev,
            time=self.host.time,
            data=tree.cid,
            prev_data=None if self.last is None else self.tree.cid,
            ops=ops,
            new_nodes=new_nodes,
            proof_nodes=proof_nodes,
            records=records,
        )
        self.leaves, self.tree, self.last = leaves, tree, event
        self.records.update(records)
        return event

    def create(self, path: str, record: Record) -> CommitEvent:
        return self.commit([Write("create", path, record)])

    def update(self, path: str, record: Record) -> CommitEvent:
        return self.commit([Write("update", path, record)])

    def delete(self, path: str) -> CommitEvent:
        return self.commit([Write("delete", path)])

    def sync(self, rev: str | None = None) -> bytes:
        """A `#sync` of the newest commit; another `rev` is the envelope's alone."""
        event = self._newest()
        car = write_car([cid_of(event.signed)], [Block(cid_of(event.signed), event.signed)])
        return self._message("#sync", rev=rev or event.rev, blocks=car)

    def identity(self, *, with_handle: bool = True) -> bytes:
        """An `#identity`; the PDS leaves the handle out after a PLC operation."""
        return self._message("#identity", **({"handle": self.handle} if with_handle else {}))

    def account(self, *, active: bool = True, status: str | None = None) -> bytes:
        """An `#account`, with a status where there is one to tell."""
        return self._message("#account", active=active, **({} if status is None else {"status": status}))

    def rotate(self, key: SigningKey) -> bytes:
        """Sign with `key` from the next commit on; returns the `#identity` that tells of it."""
        self.key = key
        return self.identity(with_handle=False)

    def migrate(self, host: Host, key: SigningKey) -> list[bytes]:
        """Move to another PDS, which signs with `key`: the frames of the new host.

        As the reference PDS has it, the last of them is a `#sync` that cannot verify: its rev is a new one, and its
        commit is still the old one, signed with the old key. The next commit chains.
        """
        self.host, self.key = host, key
        return [self.identity(), self.account(), self.identity(), self.sync(rev=host.tid())]

    def export(
        self, shuffle: random.Random | None = None, *, duplicates: int = 0, extra: Iterable[Block] = ()
    ) -> bytes:
        """The whole repository as a CAR: commit, nodes and records, each once, or in any order and with more."""
        commit = self._newest().signed
        blocks = [Block(cid_of(commit), commit), *(Block(cid, data) for cid, data in self.tree.blocks().items())]
        blocks += [Block(cid, self.records[cid]) for cid in dict.fromkeys(self.leaves.values())]
        blocks += [*blocks[:duplicates], *extra]
        if shuffle is not None:
            shuffle.shuffle(blocks)
        return write_car([cid_of(commit)], blocks)

    def _newest(self) -> CommitEvent:
        if self.last is None:
            raise ValueError("There is no commit yet.")
        return self.last

    def _message(self, kind: str, **fields: Value) -> bytes:
        return message(kind, {"seq": self.host.next_seq(), "did": self.did, "time": self.host.time, **fields})


def _apply(leaves: dict[bytes, Link], writes: Sequence[Write]) -> tuple[tuple[Op, ...], dict[Link, bytes]]:
    """Write into `leaves`; the operations with their `prev`, and the records' blocks."""
    ops: dict[str, Op] = {}
    records: dict[Link, bytes] = {}
    for write in writes:
        block, key = write.block(), write.path.encode()
        old, new = leaves.pop(key, None), None if block is None else cid_of(block)
        if (write.action, old is None, new is None) not in _POSSIBLE or write.path in ops:
            raise ValueError(f"Nothing can {write.action} {write.path} here.")
        ops[write.path] = Op(write.action, write.path, new, old)
        if new is not None and block is not None:
            leaves[key] = new
            records[new] = block
    return tuple(ops.values()), records
