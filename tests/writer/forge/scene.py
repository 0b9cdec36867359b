"""A genuine commit and everything around it: where each forgery begins, and the tools to change one thing of it."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from tests.writer.car import Block, write_car
from tests.writer.cbor import DAG_CBOR, Link, Value, cid_of, decode, encode
from tests.writer.keys import CURVES, SigningKey
from tests.writer.mining import mine
from tests.writer.repo import CommitEvent, Head, Host, Record, Repo, Write, did_document, message, sign_commit

SAME = Head("", Link())
"""Stands for the state before the scene's event."""

Writes = Callable[[random.Random, Repo], Sequence[Write]]


class Forgery(NamedTuple):
    """A frame, and all that a verifier may know when it comes."""

    frame: bytes
    did: str
    multikey: str
    prior: Head | None
    now_us: int

    @property
    def document(self) -> dict[str, Any]:
        """The account's DID document."""
        return did_document(self.did, self.multikey, "https://pds.example")


Builder = Callable[[random.Random], Forgery]


class Entry(NamedTuple):
    """One row of a table: what is wrong, how to make it, and the reasons that may be given for it."""

    description: str
    build: Builder
    reasons: frozenset[str]
    verdict: str = "invalid"


class Table(dict[str, Entry]):
    """Rows by name; a name is taken once."""

    def add(self, name: str, description: str, build: Builder, reasons: str, verdict: str = "invalid") -> None:
        """A row; `reasons` are words."""
        if name in self:
            raise ValueError(f"There are two rows named {name}.")
        self[name] = Entry(description, build, frozenset(reasons.split()), verdict)

    def row(self, name: str, reasons: str, verdict: str = "invalid") -> Callable[[Builder], Builder]:
        """Decorates a builder; its docstring is the description."""

        def register(build: Builder) -> Builder:
            self.add(name, build.__doc__ or "", build, reasons, verdict)
            return build

        return register


FORGERIES = Table()
"""Frames that are genuine but for one flaw; the verdict is `invalid` unless the row says otherwise."""

GENUINE = Table()
"""Unusual frames that a verifier must take (verdict `ok`), or pass over (`ignored`)."""


def record(rng: random.Random, path: str = "fm.plyr.track/x") -> dict[str, Value]:
    """A small record that no other equals."""
    return {"$type": path.split("/", 1)[0], "title": f"song {rng.getrandbits(64)}", "duration": rng.randrange(600)}


def new_did(rng: random.Random) -> str:
    return "did:plc:" + "".join(rng.choices("abcdefghijklmnopqrstuvwxyz234567", k=24))


def create(rng: random.Random, path: str, block: Record | None = None) -> Write:
    return Write("create", path, record(rng, path) if block is None else block)


def one_create(rng: random.Random, _: Repo) -> Sequence[Write]:
    return [create(rng, mine(rng))]


def one_update(rng: random.Random, repo: Repo) -> Sequence[Write]:
    path = rng.choice(list(repo.leaves)).decode()
    return [Write("update", path, record(rng, path))]


def one_delete(rng: random.Random, repo: Repo) -> Sequence[Write]:
    return [Write("delete", rng.choice(list(repo.leaves)).decode())]


def mixed(rng: random.Random, repo: Repo) -> Sequence[Write]:
    """Two of each action, in any order."""
    paths = [path.decode() for path in rng.sample(list(repo.leaves), 4)]
    writes = [Write("update", path, record(rng, path)) for path in paths[:2]]
    writes += [Write("delete", path) for path in paths[2:]]
    writes += [create(rng, mine(rng)) for _ in range(2)]
    rng.shuffle(writes)
    return writes


@dataclass(frozen=True)
class Scene:
    """A repository just after `event`, and its state just before: `prior` with `leaves`."""

    repo: Repo
    event: CommitEvent
    prior: Head
    leaves: dict[bytes, Link]
    earlier: CommitEvent

    @classmethod
    def of(
        cls,
        rng: random.Random,
        writes: Writes = mixed,
        *,
        paths: Sequence[str] | None = None,
        did: str | None = None,
        odd_keys: Sequence[bytes] = (),
        rev: str | None = None,
    ) -> "Scene":
        """A repository of `paths` (40 random ones), and of keys as odd as you like, that has just made `writes`."""
        did = new_did(rng) if did is None else did
        key = SigningKey.from_seed(str(rng.getrandbits(128)), rng.choice(CURVES))
        repo = Repo(did, key, Host(now_us=1_790_000_000_000_000 + rng.randrange(10**12)))
        repo.commit()
        paths = [mine(rng) for _ in range(40)] if paths is None else paths
        repo.leaves.update({odd: cid_of(b"odd") for odd in odd_keys})
        earlier = repo.commit([create(rng, path) for path in paths])
        prior = Head(earlier.rev, earlier.data)
        leaves = repo.leaves
        repo.host.advance()
        return cls(repo, repo.commit(writes(rng, repo), rev=rev), prior, leaves, earlier)

    @property
    def key(self) -> SigningKey:
        if self.repo.key is None:
            raise ValueError("A scene signs.")
        return self.repo.key

    def forgery(self, frame: bytes, *, prior: Head | None = SAME, now_us: int = 0) -> Forgery:
        """The frame with what is known: the state before it unless another, or None, is given."""
        known = self.prior if prior is SAME else prior
        return Forgery(frame, self.event.did, self.key.multikey, known, now_us or self.repo.host.now_us + 50_000)

    def genuine(self) -> Forgery:
        return self.forgery(self.event.frame())

    def at_first_sight(self) -> Forgery:
        """The genuine frame where nothing is known of the account."""
        return self.forgery(self.event.frame(), prior=None)

    def payload(self) -> dict[str, Any]:
        """The genuine payload, to change."""
        event = self.event
        return event.payload(event.signed, write_car([cid_of(event.signed)], event.blocks(event.signed)))

    def blocks(self) -> list[Block]:
        """The genuine blocks, to change."""
        return self.event.blocks(self.event.signed)

    def with_payload(self, payload: Value, prior: Head | None = SAME) -> Forgery:
        return self.forgery(message("#commit", payload), prior=prior)

    def with_fields(self, **fields: Value) -> Forgery:
        """Some fields of the message otherwise."""
        return self.with_payload({**self.payload(), **fields})

    def with_ops(self, change: Callable[[list[dict[str, Value]]], object]) -> Forgery:
        """The list of operations in the message changed in place."""
        payload = self.payload()
        change(payload["ops"])
        return self.with_payload(payload)

    def with_blocks(self, blocks: Sequence[Block]) -> Forgery:
        return self.with_fields(blocks=write_car([cid_of(self.event.signed)], blocks))

    def with_commit(self, commit: bytes) -> Forgery:
        """Another commit block, named as it is in the CAR and the message."""
        car = write_car([cid_of(commit)], self.event.blocks(commit))
        return self.with_payload(self.event.payload(commit, car))

    def with_commit_named(self, cid: Link) -> Forgery:
        """The genuine commit under another name, the same in root, message and block."""
        blocks = [Block(cid, data) if data == self.event.signed else Block(name, data) for name, data in self.blocks()]
        return self.with_fields(commit=cid, blocks=write_car([cid], blocks))

    def with_commit_fields(self, **fields: Value) -> Forgery:
        """Some fields of the commit otherwise, and signed so."""
        return self.with_commit(sign_commit({**self.event.unsigned(), **fields}, self.key))

    def with_event(self, event: CommitEvent, prior: Head | None = SAME) -> Forgery:
        """Another event, signed."""
        return self.forgery(event.frame(), prior=prior)

    def over_tree(self, data: Link, nodes: Mapping[Link, bytes]) -> CommitEvent:
        """The event over another tree, all of whose nodes it carries."""
        return replace(self.event, data=data, new_nodes=nodes, proof_nodes={})

    def with_node(self, change: Callable[[dict[str, Any]], Value], codec: int = DAG_CBOR) -> Forgery:
        """The event with the node of the first operation's key changed."""
        return self.with_event(self.changed_node(change, codec))

    def changed_node(self, change: Callable[[dict[str, Any]], Value], codec: int = DAG_CBOR) -> CommitEvent:
        """The node of the first operation's key changed, and the nodes above it made to point there."""
        nodes = self.repo.tree.blocks()
        *above, node = self.repo.tree.path(self.event.ops[0].key)
        old, block = node.cid, encode(change(decode(nodes.pop(node.cid))))
        new = cid_of(block, codec)
        nodes[new] = block
        for parent in reversed(above):
            body = decode(nodes.pop(parent.cid))
            for holder in (body, *body["e"]):
                for name in ("l", "t"):
                    if holder.get(name) == old:
                        holder[name] = new
            old, block = parent.cid, encode(body)
            new = cid_of(block)
            nodes[new] = block
        return self.over_tree(new, nodes)
