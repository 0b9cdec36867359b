"""Trees behind their hashes: an input is a set of nodes that point at one another by number, addressed when it is run.

So a change anywhere leaves every hash right, and what is fuzzed is the tree. The witness is the plain reader of
`tests.writer.proof`, which lists the leaves and names the tree of any list.

    u16 size, plan: 4 bytes that hide nodes, then (kind, which) for each operation
    u16 size, node: the root first; a link to node n has 31 bytes of 0xee and n for a hash, and n is of a later node
"""

import random
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ingester.repo.errors import RepoError
from ingester.repo.mst import Tree, TreeOp, find_record, invert, load_tree, walk_tree
from tests.fuzz import history
from tests.fuzz.target import Havoc, Target, require
from tests.fuzz.targets.node_target import RECORD, node_block, plain_node
from tests.fuzz.targets.node_target import mutate as mutate_node
from tests.fuzz.witness import undone
from tests.writer import proof
from tests.writer.cbor import Link, cid_of
from tests.writer.mst import Leaf, height_of
from tests.writer.proof import Item, Op, Stub

_HOLE = b"\x01\x71\x12\x20" + b"\xee" * 31
_MAX_NODES = 250
_MAX_OPS = 20
_MAX_PART = 0xFFFF
"""What two bytes can say of a length."""
_LOOKED_UP = 8
"""Of the keys that are there; each costs as much as an inversion."""


class Scene(NamedTuple):
    """An input taken apart."""

    plan: bytes
    nodes: list[bytes]

    @classmethod
    def unpack(cls, data: bytes) -> "Scene":
        """The parts of any bytes; a last one that is cut off is as long as what is left."""
        parts: list[bytes] = []
        while len(data) > 2 and len(parts) <= _MAX_NODES:
            end = 2 + struct.unpack_from(">H", data)[0]
            parts.append(data[2:end])
            data = data[end:]
        return cls(parts[0] if parts else b"", parts[1:])

    def pack(self) -> bytes:
        """The input that is taken apart into this; a part that mutation made too long for its length is cut."""
        parts = [part[:_MAX_PART] for part in (self.plan, *self.nodes)]
        return b"".join(struct.pack(">H", len(part)) + part for part in parts)

    def addressed(self) -> tuple[Link, dict[bytes, bytes]]:
        """The root, and the blocks that are not hidden, each link by number now a hash."""
        cids: dict[int, Link] = {}
        blocks: dict[bytes, bytes] = {}
        hidden = int.from_bytes(self.plan[:4])
        for index in reversed(range(len(self.nodes))):
            head, *links = self.nodes[index].split(_HOLE)
            block = head + b"".join(cids.get(link[0], _HOLE + link[:1]) + link[1:] if link else b"" for link in links)
            cids[index] = cid_of(block)
            if not hidden >> index % 32 & 1:
                blocks[cids[index]] = block
        return cids.get(0, RECORD), blocks


def check(data: bytes) -> bool:
    """Only RepoError; every reader gives what the witness reads; a whole tree is the only one of its leaves."""
    scene = Scene.unpack(data)
    root, blocks = scene.addressed()
    try:
        walked = list(walk_tree(root, blocks.get))
    except RepoError:
        walked = None
    try:
        tree = load_tree(root, blocks)
    except RepoError:
        require(walked is None, "walk_tree completes a tree that load_tree refuses")
        return False
    items = proof.read_tree({Link(cid): block for cid, block in blocks.items()}, root)
    leaves = _leaves(items)
    if len(leaves) < len(items):
        require(walked is None, "walk_tree completes a tree with a hole")
    else:
        require(walked == leaves, "walk_tree does not give the leaves of a whole tree")
        require(proof.name_tree(items) == root, "a tree is accepted that is not the one of its leaves")
    for key in (*(key for key, _ in leaves[:: len(leaves) // _LOOKED_UP + 1]), *POOL[::11]):
        require(_looked_up(tree, key) == _seen(items, key), "find_record does not find what the tree says")
    _check_inversion(tree, blocks, operations(scene.plan, leaves))
    return True


def _check_inversion(tree: Tree, blocks: dict[bytes, bytes], ops: list[Op]) -> None:
    try:
        before = invert(tree, [TreeOp(op.key, op.cid, op.prev) for op in ops])
    except RepoError:
        before = None
    try:
        truth = undone({Link(cid): block for cid, block in blocks.items()}, Link(tree.root), ops)
    except proof.ProofError:
        truth = None
    require(before == truth, "invert does not lead to the tree before")


def _leaves(items: Sequence[Item]) -> list[Leaf]:
    return [item for item in items if not isinstance(item, Stub)]


def _looked_up(tree: Tree, key: bytes) -> bytes | str | None:
    try:
        return find_record(tree, key)
    except RepoError:
        return "hidden"


def _seen(items: Sequence[Item], key: bytes) -> bytes | str | None:
    try:
        at = proof.locate(items, key)
    except proof.Incomplete:
        return "hidden"
    found = items[at] if at < len(items) else None
    return found[1] if found is not None and not isinstance(found, Stub) and found[0] == key else None


def operations(plan: bytes, leaves: list[Leaf]) -> list[Op]:
    """What the plan says was done last: to leaves that are there, or to keys of the pool that are gone."""
    found: dict[str, Op] = {}
    for kind, which in list(zip(plan[4::2], plan[5::2], strict=False))[:_MAX_OPS]:
        if kind % 4 < 2 and leaves:
            key, value = leaves[which % len(leaves)]
            path = key.decode("utf-8", "replace")
            cid = RECORD if kind & 0x80 else value
            found[path] = Op("create", path, cid) if kind % 4 else Op("update", path, cid, RECORD)
        else:
            path = POOL[which % len(POOL)].decode()
            found[path] = Op("delete", path, None, RECORD)
    return list(found.values())


def plant(leaves: Sequence[Leaf]) -> list[bytes]:
    """The nodes of the canonical tree of increasing `leaves`, parents first, pointing at one another by number."""
    nodes: list[bytes] = []

    def grow(part: Sequence[Leaf], layer: int) -> Link | None:
        if not part and nodes:
            return None
        number = len(nodes)
        nodes.append(b"")
        own = [at for at, (key, _) in enumerate(part) if height_of(key) == layer]
        spans = zip([0, *(at + 1 for at in own)], [*own, len(part)], strict=True)
        subtrees = [grow(part[start:end], layer - 1) for start, end in spans]
        nodes[number] = node_block([part[at][0] for at in own], [part[at][1] for at in own], subtrees)
        return Link(_HOLE + bytes((number % 256,)))

    grow(leaves, max((height_of(key) for key, _ in leaves), default=0))
    return nodes[:_MAX_NODES]


def mutate(data: bytes, rng: random.Random, havoc: Havoc) -> bytes:
    """Change the plan, one node, the set of nodes, or the leaves, and then plant the tree anew."""
    scene = Scene.unpack(data)
    nodes = scene.nodes
    if not nodes or (roll := rng.random()) < 0.05:
        return havoc(data, len(data) + 300)
    at = rng.randrange(len(nodes))
    if roll < 0.25:
        return scene._replace(plan=havoc(scene.plan, 4 + 2 * _MAX_OPS)).pack()
    if roll < 0.5:
        return scene._replace(nodes=plant(_mutate_leaves(scene, rng))).pack()
    if roll < 0.6:
        nodes[at:at] = [rng.choice(nodes)] if rng.random() < 0.5 else []
        rng.shuffle(nodes)
    elif roll < 0.8:
        nodes[at] = mutate_node(nodes[at], rng, havoc)
    else:
        nodes[at] = _mutate_entries(nodes[at], len(nodes), rng)
    return scene.pack()


def _mutate_leaves(scene: Scene, rng: random.Random) -> list[Leaf]:
    """The keys of all nodes, well placed or not, with some left out and some of the pool among them."""
    leaves: dict[bytes, Link] = {}
    for block in scene.nodes:
        node = plain_node(block)
        if node is not None:
            leaves |= {key: Link(value) for key, value in zip(node.keys, node.values, strict=True)}
    for key in rng.sample(POOL, rng.choice((0, 1, 1, 5, 20))):
        leaves[key] = RECORD
    for key in rng.sample(list(leaves), min(len(leaves), rng.choice((0, 1, 1, 5, 20)))):
        del leaves[key]
    return sorted(leaves.items())


def _mutate_entries(block: bytes, count: int, rng: random.Random) -> bytes:
    """The node with an entry more or less, or a subtree elsewhere, everything that can be put right being right."""
    node = plain_node(block)
    if node is None:
        return block
    keys, values = list(node.keys), [Link(value) for value in node.values]
    subtrees = [None if link is None else Link(link) for link in node.subtrees]
    at = rng.randrange(len(subtrees))
    match rng.randrange(4):
        case 0 if at < len(keys):
            del keys[at], values[at], subtrees[at + rng.randrange(2)]
        case 1:
            heights = {height_of(keys[0])} if keys and rng.random() < 0.9 else set(range(4))
            keys.append(rng.choice([key for key in POOL if height_of(key) in heights] or POOL))
            keys.sort()
            values.insert(at, RECORD)
            subtrees.insert(at, None)
        case 2:
            subtrees[at] = None if subtrees[at] else RECORD
        case _:
            subtrees[at] = Link(_HOLE + bytes((rng.randrange(count),)))
    return node_block(keys, values, subtrees)


def seeds() -> Iterator[bytes]:
    """Trees of genuine accounts, of the pool, and none; whole and with nodes hidden; under all kinds of operations."""
    trees = [[], [(POOL[0], RECORD)], [(key, RECORD) for key in sorted(POOL[::3])]]
    trees += [list(step.leaves.items()) for _, step in history.steps()][::6]
    for leaves in trees:
        for hidden in (0, 0b1000, 0b100100):
            for plan in (b"", b"\x01\x00", b"\x00\x01\x01\x02", b"\x02\x05\x03\x09\x01\x01\x01\x02", b"\x81\x00"):
                yield Scene(hidden.to_bytes(4) + plan, plant(leaves)).pack()


def _pool() -> list[bytes]:
    """Keys of the lower layers, about as many of each."""
    wanted = dict.fromkeys(range(4), 16)
    keys: list[bytes] = []
    number = 0
    while any(wanted.values()):
        key = b"fm.plyr.track/%d" % number
        layer = height_of(key)
        if wanted.get(layer):
            wanted[layer] -= 1
            keys.append(key)
        number += 1
    return keys


POOL = _pool()
TARGET = Target(check, seeds, mutate, (b"\x80", b"\xff"), max_len=16_384)
