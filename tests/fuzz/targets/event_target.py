"""The decision: genuine messages tampered with by someone without a key, and the work of a hostile account with one.

    u8 which genuine commit we stand before, u8 how we stand (see `Situation`), then a frame

Without the key nothing signed can change, so whatever is taken in must be true to the letter. The hostile account signs
what it likes; what is taken in of that must at least be what the plain witness finds proven.
"""

import random
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from appview.keys import PublicKey
from ingester.events import CommitEvent, EventError, SyncEvent, parse_event
from ingester.sync import Apply, Hold, Invalid, RepoState, Resync, Signer, Skip, Status, decide
from lexicons.frames import FrameError, decode_frame
from tests.fuzz import history
from tests.fuzz.history import NOW_US, History, Step
from tests.fuzz.mutation import decode_all, mutate_value
from tests.fuzz.target import Havoc, Target, require
from tests.fuzz.witness import undone
from tests.writer import car as writer
from tests.writer.car import Block, write_car
from tests.writer.cbor import CborError, Link, cid_of, decode, encode
from tests.writer.keys import verify
from tests.writer.proof import Op
from tests.writer.repo import sign_commit

_STATUSES: tuple[Status, ...] = ("synchronized", "desynchronized", "in_progress")

_SHAPES = {("create", True, False), ("update", True, True), ("delete", False, True)}


class World(NamedTuple):
    """The genuine accounts, looked at from every side that the check needs."""

    stages: list[tuple[History, Step]]
    accounts: dict[str, History]
    commits: dict[bytes, tuple[History, Step]]
    leaves: dict[bytes, dict[bytes, Link]]
    """What each root that ever was stands for."""
    frames: list[dict[str, Any]]
    """The payloads of all genuine commits."""


@lru_cache
def world() -> World:
    """The world of `history`, put together once."""
    stages = list(history.steps())
    return World(
        stages,
        {account.did: account for account in history.histories()},
        {step.commit: (account, step) for account, step in stages},
        {step.event.data: step.leaves for _, step in stages},
        [decode_all(step.frame)[1] for _, step in stages],
    )


class Situation(NamedTuple):
    """What we hold and know when the message comes."""

    state: RepoState | None
    signer: Signer | None
    is_true_key: bool

    @classmethod
    def of(cls, which: int, how: int, did: str) -> "Situation":
        """By the two bytes: bits 0-1 the status, or no state at all; bit 2 inactive; bits 3-4 who signs."""
        account, step = world().stages[which % len(world().stages)]
        state = None
        if how & 3 < 3 and step.before is not None and account.did == did:
            state = RepoState(step.before.rev, step.before.data, _STATUSES[how & 3], not how & 4)
        kind = how >> 3 & 3
        owner = world().accounts.get(did)
        if kind == 1 or owner is None:
            return cls(state, None, is_true_key=False)
        if kind == 2:
            return cls(state, Signer(None), is_true_key=False)
        if kind == 3:
            owner = next(other for other in history.histories() if other is not owner)
        return cls(state, Signer(PublicKey.from_multikey(owner.key.multikey)), kind == 0)


def check(data: bytes) -> bool:
    """A decision for every event; a commit is only applied when all that is taken in of it is true."""
    if len(data) < 2:
        return False
    try:
        event = parse_event(decode_frame(data[2:]))
    except (FrameError, EventError):
        return False
    if isinstance(event, CommitEvent):
        shapes = {(op.action, op.cid is not None, op.prev is not None) for op in event.ops}
        require(shapes <= _SHAPES, "an operation is of a shape that its action does not have")
    did = event.did if isinstance(event, CommitEvent | SyncEvent) else ""
    situation = Situation.of(data[0], data[1], did)
    decision = decide(event, situation.state, situation.signer, NOW_US)
    require(isinstance(decision, Apply | Skip | Hold | Invalid | Resync), "decide gives no decision")
    if not isinstance(decision, Apply) or not isinstance(event, CommitEvent | SyncEvent):
        return False
    require(situation.is_true_key, "a message is applied without the key of its account")
    if did == history.histories()[-1].did:
        _check_proven(event, decision, situation)
    else:
        _check_true(event, decision, situation.state)
    return True


def _check_true(event: CommitEvent | SyncEvent, decision: Apply, state: RepoState | None) -> None:
    """Of an honest account: the commit is one that it made, and its operations are what then happened."""
    account, step = world().commits.get(decision.head.commit, (None, None))
    require(account is not None and step is not None, "a commit is applied that was never made")
    if account is None or step is None:
        return
    truth = (account.did, step.event.rev, step.event.data)
    require((event.did, event.rev, decision.head.data) == truth, "a commit is applied as another's, or as another")
    if isinstance(event, SyncEvent):
        return
    require([record.op for record in decision.records] == list(event.ops), "other operations are applied than came")
    before = dict(step.leaves)
    for op, block in decision.records:
        key = op.path.encode()
        require(before.pop(key, None) == op.cid, "an operation is applied that did not happen")
        require(op.cid is None or (block is not None and cid_of(block) == op.cid), "a record is not its own bytes")
        if op.prev is not None:
            before[key] = Link(op.prev)
    if state is not None and state.data is not None:
        require(before == world().leaves[state.data], "the operations do not lead from what we hold to the new tree")
    elif decision.reason == "first_commit":
        require(not before, "a repository passes for new that had records before")


def _check_proven(event: CommitEvent | SyncEvent, decision: Apply, situation: Situation) -> None:
    """Of the hostile account: the witness agrees with the signature and the inversion."""
    blocks = {Link(cid): block for cid, block in writer.read_car(event.blocks).blocks}
    commit = decode(blocks[Link(decision.head.commit)])
    unsigned = encode({name: value for name, value in commit.items() if name != "sig"})
    signer = world().accounts[event.did].key
    require(verify(signer.multikey, unsigned, commit["sig"]), "OpenSSL refuses the signature of an applied commit")
    claims = (event.did, event.rev, decision.head.data)
    require(claims == (commit["did"], commit["rev"], commit["data"]), "a commit is applied as another")
    if isinstance(event, SyncEvent):
        return
    ops = [Op(op.action, op.path, _link(op.cid), _link(op.prev)) for op in event.ops]
    # Where nothing was done there is nothing to undo, and the tree need not be there.
    before = undone(blocks, commit["data"], ops) if ops or commit["data"] in blocks else commit["data"]
    require(event.prev_data in (None, before), "a commit is applied that does not follow from its prevData")
    if situation.state is not None and situation.state.data is not None:
        require(before == situation.state.data, "a commit is applied that does not follow from what we hold")
    for op, block in decision.records:
        require(op.cid is None or blocks[Link(op.cid)] == block, "a record is not its own bytes")


def _link(cid: bytes | None) -> Link | None:
    return None if cid is None else Link(cid)


# --- tampering ---


def mutate(data: bytes, rng: random.Random, havoc: Havoc) -> bytes:
    """Change the situation, a field, or a block with all hashes above it put right; mix in parts of other commits."""
    objects = decode_all(data[2:])
    roll = rng.random()
    if len(objects) != 2 or not isinstance(objects[1], dict) or roll < 0.1:
        return havoc(data, len(data) + 300)
    which, how = data[0], data[1]
    header, payload = objects
    if roll < 0.2:
        which = rng.randrange(256)
        how = rng.choice((0, 0, 3, rng.randrange(256)))
    elif roll < 0.25:
        header = mutate_value(header, rng, havoc)
    elif roll < 0.5:
        payload = mutate_value(payload, rng, havoc)
    elif roll < 0.55:
        payload = _relabel(payload, rng)
    elif roll < 0.67:
        payload = _splice(payload, rng)
    else:
        payload = _tamper(payload, rng, havoc)
    return bytes((which, how)) + encode(header) + encode(payload)


def _relabel(payload: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The payload with an operation that says something else of what it did."""
    ops = payload.get("ops")
    if not isinstance(ops, list) or not ops or not isinstance(op := rng.choice(ops), dict):
        return payload
    cids = [op.get("cid"), op.get("prev"), None, *(other.get("cid") for other in ops if isinstance(other, dict))]
    changed = {**op, rng.choice(("cid", "prev")): rng.choice(cids)}
    if rng.random() < 0.5:
        changed = {**op, "action": rng.choice(("create", "update", "delete"))}
    return payload | {"ops": [changed if other is op else other for other in ops]}


def _splice(payload: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The payload with some fields, or some operations and blocks, of another genuine commit."""
    other = rng.choice(world().frames)
    names = rng.sample(("ops", "prevData", "since", "rev", "repo", "commit", "blocks"), rng.choice((1, 1, 2, 3)))
    changed = {**payload, **{name: other[name] for name in names if name in other}}
    try:
        mine, theirs = writer.read_car(payload["blocks"]), writer.read_car(other["blocks"])
        changed["ops"] = [op for op in (*payload["ops"], *other["ops"]) if rng.random() < 0.8]
    except (writer.CarError, KeyError, TypeError):
        return changed
    return changed | {"blocks": write_car(mine.roots, {*mine.blocks, *theirs.blocks})}


def _tamper(payload: dict[str, Any], rng: random.Random, havoc: Havoc) -> dict[str, Any]:
    """The payload with a block left out or changed, and each CID and signature that this breaks made anew."""
    try:
        car = writer.read_car(payload["blocks"])
    except (writer.CarError, KeyError, TypeError):
        return payload
    blocks = list(car.blocks)
    if not blocks:
        return payload
    at = rng.randrange(len(blocks))
    if rng.random() < 0.3:
        del blocks[at]
        return payload | {"blocks": write_car(car.roots, blocks)}
    old = blocks[at]
    try:
        new = encode(mutate_value(decode(old.data), rng, havoc)) if rng.random() < 0.7 else havoc(old.data, 4_096)
    except CborError:
        new = havoc(old.data, 4_096)
    root = car.roots[0]
    named = _readdressed({**dict(blocks), old.cid: new}, root, payload.get("repo"))
    ops = payload.get("ops")
    if isinstance(ops, list):
        ops = [_renamed(op, named) for op in ops]
    commit = named[root].cid if root in named else root
    return payload | {"commit": commit, "ops": ops, "blocks": write_car([commit], named.values())}


def _readdressed(contents: Mapping[bytes, bytes], root: bytes, repo: object) -> dict[bytes, Block]:
    """The blocks by their former CIDs, each named anew after what it and all below it came to; the root signed anew."""
    named: dict[bytes, Block] = {}

    def name(cid: bytes) -> Block:
        if cid not in named:
            block = contents[cid]
            # It stands under its old name while those below are named, so that nothing goes round in circles.
            named[cid] = Block(cid, block)
            for below in contents:
                if below in block and below != cid:
                    block = block.replace(below, name(below).cid)
            if cid == root and repo == history.histories()[-1].did:
                block = _signed(block)
            named[cid] = Block(cid_of(block, cid[1]), block)
        return named[cid]

    for cid in contents:
        name(cid)
    return named


def _signed(block: bytes) -> bytes:
    """The commit under the hostile account's signature, as far as it is one."""
    try:
        fields = decode(block)
    except CborError:
        return block
    if not isinstance(fields, dict):
        return block
    return sign_commit({name: value for name, value in fields.items() if name != "sig"}, history.histories()[-1].key)


def _renamed(op: Any, named: Mapping[bytes, Block]) -> Any:
    """An operation with its record's new name."""
    cid = op.get("cid") if isinstance(op, dict) else None
    return {**op, "cid": named[cid].cid} if isinstance(cid, Link) and cid in named else op


def seeds() -> Iterator[bytes]:
    """Every genuine frame in its place and elsewhere; those of the hostile account also without a prevData."""
    for number, (_, step) in enumerate(world().stages):
        yield bytes((number, 0)) + step.frame
        yield bytes((number, 3)) + step.frame
        header, payload = decode_all(step.frame)
        yield bytes((number, 3)) + encode(header) + encode({**payload, "prevData": None})
    for number, frame in enumerate(frame for account in history.histories() for frame in account.others):
        yield bytes((number % 3, 3 * (number % 2))) + frame


TOKENS = (b"create", b"update", b"delete", b"fm.plyr.track/", b"did:plc:honest-p", b"did:plc:hostile", b"prevData")
TARGET = Target(check, seeds, mutate, TOKENS, max_len=16_384)
