"""Forged operations: what a message says was done is not what its signed tree shows was done."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from tests.writer.cbor import Link, cid_of, encode
from tests.writer.forge.scene import (
    FORGERIES,
    Builder,
    Forgery,
    Scene,
    Writes,
    create,
    mixed,
    one_create,
    one_delete,
    one_update,
    record,
)
from tests.writer.mining import mine
from tests.writer.proof import Incomplete, Op, invert
from tests.writer.repo import CommitEvent, Head, Repo

MAX_RECORD = 1_048_576


def _event(change: Callable[[random.Random, Scene], CommitEvent], writes: Writes = mixed) -> Builder:
    """The scene with another event."""

    def build(rng: random.Random) -> Forgery:
        scene = Scene.of(rng, writes)
        return scene.with_event(change(rng, scene))

    return build


def _ops(change: Callable[[random.Random, Scene, list[Op]], object], writes: Writes = mixed) -> Builder:
    """The scene's operations changed in place."""

    def altered(rng: random.Random, scene: Scene) -> CommitEvent:
        ops = list(scene.event.ops)
        change(rng, scene, ops)
        return replace(scene.event, ops=tuple(ops))

    return _event(altered, writes)


def _whole(event: CommitEvent, scene: Scene) -> CommitEvent:
    """The event with the whole tree in its CAR, so that no proof is wanting."""
    return replace(event, new_nodes=scene.repo.tree.blocks(), proof_nodes={})


def _untouched(rng: random.Random, scene: Scene) -> bytes:
    """A key that the commit did not change."""
    return rng.choice([key for key, value in scene.repo.leaves.items() if scene.leaves.get(key) == value])


@FORGERIES.row("proof/create_not_in_tree", "op_not_in_tree")
def _create_not_in_tree(rng: random.Random) -> Forgery:
    """a create of what the tree does not have, with its record"""
    scene = Scene.of(rng)
    path = mine(rng)
    block = encode(record(rng, path))
    event = _whole(scene.event, scene)
    ops = (*event.ops, Op("create", path, cid_of(block)))
    return scene.with_event(replace(event, ops=ops, records={**event.records, cid_of(block): block}))


@FORGERIES.row("proof/update_not_in_tree", "op_not_in_tree")
def _update_not_in_tree(rng: random.Random) -> Forgery:
    """an update of what the tree had and has no more: it was deleted"""
    scene = Scene.of(rng, one_delete)
    block = encode(record(rng))
    op = scene.event.ops[0]
    ops = (Op("update", op.path, cid_of(block), op.prev),)
    return scene.with_event(replace(_whole(scene.event, scene), ops=ops, records={cid_of(block): block}))


def _other_cid(writes: Writes) -> Builder:
    """The operation names, and the CAR carries, another record than the tree."""

    def altered(rng: random.Random, scene: Scene) -> CommitEvent:
        block = encode(record(rng))
        op = scene.event.ops[0]._replace(cid=cid_of(block))
        return replace(scene.event, ops=(op,), records={**scene.event.records, cid_of(block): block})

    return _event(altered, writes)


FORGERIES.add("proof/create_other_cid", "a create names another record", _other_cid(one_create), "op_cid_mismatch")
FORGERIES.add("proof/update_other_cid", "an update names another record", _other_cid(one_update), "op_cid_mismatch")
FORGERIES.add(
    "proof/update_names_old",
    "an update's cid and prev have changed places",
    _event(
        lambda _, scene: replace(
            scene.event,
            ops=tuple(op._replace(cid=op.prev, prev=op.cid) for op in scene.event.ops),
            records=dict(scene.repo.records),
        ),
        one_update,
    ),
    "op_cid_mismatch",
)
FORGERIES.add(
    "proof/records_missing",
    "no record is in the CAR",
    _event(lambda _, scene: replace(scene.event, records={})),
    "record_block_missing",
)


@FORGERIES.row("proof/one_record_missing", "record_block_missing")
def _one_record_missing(rng: random.Random) -> Forgery:
    """one record of several is not in the CAR"""
    scene = Scene.of(rng)
    missing = rng.choice(list(scene.event.records))
    kept = {cid: block for cid, block in scene.event.records.items() if cid != missing}
    return scene.with_event(replace(scene.event, records=kept))


def record_of_size(size: int) -> bytes:
    """A record's block of that many bytes."""
    frame = len(encode({"$type": "fm.plyr.track", "text": "a" * 70_000})) - 70_000
    return encode({"$type": "fm.plyr.track", "text": "a" * (size - frame)})


def creates_of_size(size: int) -> Writes:
    return lambda rng, _: [create(rng, mine(rng), record_of_size(size))]


FORGERIES.add(
    "proof/record_too_large",
    "a record is one byte larger than 1 MiB",
    lambda rng: Scene.of(rng, creates_of_size(MAX_RECORD + 1)).genuine(),
    "record_too_large",
)


@FORGERIES.row("proof/deleted_path_present", "deleted_path_present")
def _deleted_path_present(rng: random.Random) -> Forgery:
    """a delete of what the tree still has"""
    scene = Scene.of(rng)
    key = _untouched(rng, scene)
    event = _whole(scene.event, scene)
    return scene.with_event(replace(event, ops=(*event.ops, Op("delete", key.decode(), None, scene.leaves[key]))))


@FORGERIES.row("proof/create_said_to_be_delete", "deleted_path_present")
def _create_said_to_be_delete(rng: random.Random) -> Forgery:
    """a create is given out as a delete"""
    scene = Scene.of(rng, one_create)
    op = scene.event.ops[0]
    return scene.with_event(replace(scene.event, ops=(Op("delete", op.path, None, op.cid),)))


class Removal(NamedTuple):
    """A genuine commit with one node of its CAR removed."""

    forgery: Forgery
    removed: Link
    reasons: frozenset[str]
    """What may be said of it; nothing, when the rest still proves all."""


def removals(rng: random.Random, writes: Writes = mixed, paths: list[str] | None = None) -> Iterator[Removal]:
    """Each node of a scene's CAR left out in turn, with what is then to be seen by an inversion that gives up last."""
    scene = Scene.of(rng, writes, paths=paths)
    nodes = {**scene.event.new_nodes, **scene.event.proof_nodes}
    for removed in nodes:
        fewer = {cid: block for cid, block in nodes.items() if cid != removed}
        forgery = scene.with_event(replace(scene.event, new_nodes=fewer, proof_nodes={}))
        yield Removal(forgery, removed, _missed(scene.event, fewer, removed))


def _missed(event: CommitEvent, nodes: Mapping[Link, bytes], removed: Link) -> frozenset[str]:
    if removed == event.data:
        return frozenset({"missing_root_node"})
    try:
        root = invert(nodes, event.data, event.ops)
    except Incomplete:
        return frozenset({"proof_incomplete"})
    # A stub left over as the root may stand for an empty node that ought to be trimmed: the root then differs.
    return frozenset() if root == event.prev_data else frozenset({"proof_incomplete", "prev_data_mismatch"})


def _one_removed(writes: Writes) -> Builder:
    """Some node that is needed, other than the root, left out; in a tree where there is one."""

    def build(rng: random.Random) -> Forgery:
        while True:
            needed = [one.forgery for one in removals(rng, writes) if one.reasons == {"proof_incomplete"}]
            if needed:
                return rng.choice(needed)

    return build


for _name, _writes in (("create", one_create), ("update", one_update), ("delete", one_delete), ("mixed", mixed)):
    FORGERIES.add(
        f"proof/node_missing_{_name}",
        f"a node that the proof of a commit needs is absent: {_name}",
        _one_removed(_writes),
        "proof_incomplete",
    )


@FORGERIES.row("proof/prev_data_of_other_tree", "prev_data_mismatch")
def _prev_data_of_other_tree(rng: random.Random) -> Forgery:
    """prevData names no tree that ever was"""
    scene = Scene.of(rng)
    return scene.with_event(replace(scene.event, prev_data=cid_of(rng.randbytes(8))))


@FORGERIES.row("proof/prev_data_as_known", "prev_data_mismatch")
def _prev_data_as_known(rng: random.Random) -> Forgery:
    """prevData names just what the receiver holds, and the operations do not lead there: a commit was skipped"""
    scene = Scene.of(rng)
    skipping = scene.repo.commit(mixed(rng, scene.repo))
    return scene.with_event(replace(skipping, prev_data=scene.prior.data))


@FORGERIES.row("proof/prev_data_is_data", "prev_data_mismatch")
def _prev_data_is_data(rng: random.Random) -> Forgery:
    """prevData names the tree after the commit"""
    scene = Scene.of(rng)
    return scene.with_event(replace(scene.event, prev_data=scene.event.data))


def _omit(action: str) -> Builder:
    return _ops(lambda rng, _, ops: ops.remove(rng.choice([op for op in ops if op.action == action])))


for _action in ("create", "update", "delete"):
    FORGERIES.add(
        f"proof/omitted_{_action}",
        f"a {_action} is left out of the operations",
        _omit(_action),
        "prev_data_mismatch",
    )
FORGERIES.add("proof/omitted_all", "no operation is told", _ops(lambda _, __, ops: ops.clear()), "prev_data_mismatch")


@FORGERIES.row("proof/added_create", "prev_data_mismatch")
def _added_create(rng: random.Random) -> Forgery:
    """a record that was there before is given out as new, and brought along"""
    scene = Scene.of(rng)
    key = _untouched(rng, scene)
    cid = scene.leaves[key]
    event = _whole(scene.event, scene)
    ops = (*event.ops, Op("create", key.decode(), cid))
    return scene.with_event(replace(event, ops=ops, records={**event.records, cid: scene.repo.records[cid]}))


@FORGERIES.row("proof/added_update", "prev_data_mismatch")
def _added_update(rng: random.Random) -> Forgery:
    """a record that did not change is given out as changed"""
    scene = Scene.of(rng)
    key = _untouched(rng, scene)
    cid = scene.leaves[key]
    event = _whole(scene.event, scene)
    ops = (*event.ops, Op("update", key.decode(), cid, cid_of(rng.randbytes(8))))
    return scene.with_event(replace(event, ops=ops, records={**event.records, cid: scene.repo.records[cid]}))


@FORGERIES.row("proof/added_delete", "prev_data_mismatch")
def _added_delete(rng: random.Random) -> Forgery:
    """a record that never was is given out as deleted"""
    scene = Scene.of(rng)
    event = _whole(scene.event, scene)
    return scene.with_event(replace(event, ops=(*event.ops, Op("delete", mine(rng), None, cid_of(b"never")))))


def _forge_prev(writes: Writes) -> Builder:
    return _ops(lambda rng, _, ops: ops.append(ops.pop()._replace(prev=cid_of(rng.randbytes(8)))), writes)


FORGERIES.add("proof/update_other_prev", "an update's prev is another", _forge_prev(one_update), "prev_data_mismatch")
FORGERIES.add("proof/delete_other_prev", "a delete's prev is another", _forge_prev(one_delete), "prev_data_mismatch")
FORGERIES.add(
    "proof/update_said_to_be_create",
    "an update is given out as a create",
    _ops(lambda _, __, ops: ops.append(ops.pop()._replace(action="create", prev=None)), one_update),
    "prev_data_mismatch",
)
FORGERIES.add(
    "proof/create_said_to_be_update",
    "a create is given out as an update",
    _ops(lambda _, __, ops: ops.append(ops.pop()._replace(action="update", prev=cid_of(b"before"))), one_create),
    "prev_data_mismatch",
)


@FORGERIES.row("chain/one_skipped", "prev_data_breaks_chain", "resync")
def _one_skipped(rng: random.Random) -> Forgery:
    """a sound commit, of which the receiver has missed the one before"""
    scene = Scene.of(rng)
    return scene.with_event(scene.repo.commit(mixed(rng, scene.repo)))


@FORGERIES.row("chain/fork", "prev_data_breaks_chain", "resync")
def _fork(rng: random.Random) -> Forgery:
    """a sound commit of a repository that was rolled back: it follows another state than the receiver's"""
    scene = Scene.of(rng)
    return scene.with_event(scene.event, prior=Head(scene.prior.rev, cid_of(b"another history")))


@FORGERIES.row("chain/no_prev_data", "missing_prev_data", "resync")
def _no_prev_data(rng: random.Random) -> Forgery:
    """a sound commit without prevData, of a repository that is known"""
    scene = Scene.of(rng)
    return scene.with_event(replace(scene.event, prev_data=None))


@FORGERIES.row("chain/second_genesis", "missing_prev_data", "resync")
def _second_genesis(rng: random.Random) -> Forgery:
    """a known repository begins anew: since null, no prevData, all creates"""
    scene = Scene.of(rng)
    again = Repo(scene.event.did, scene.key, scene.repo.host)
    return scene.with_event(again.commit([create(rng, mine(rng)) for _ in range(3)]))


@FORGERIES.row("replay/same_rev", "replayed_rev", "skip")
def _same_rev(rng: random.Random) -> Forgery:
    """the newest commit once more"""
    scene = Scene.of(rng)
    return scene.with_event(scene.event, prior=Head(scene.event.rev, scene.event.data))


@FORGERIES.row("replay/older_rev", "replayed_rev", "skip")
def _older_rev(rng: random.Random) -> Forgery:
    """a commit from before the one that is known"""
    scene = Scene.of(rng)
    newer = scene.repo.commit(mixed(rng, scene.repo))
    return scene.with_event(scene.event, prior=Head(newer.rev, newer.data))
