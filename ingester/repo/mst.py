"""A Merkle search tree, there in part or in whole: loading with every invariant, inversion, the full walk.

Inversion undoes a commit's operations on the partial tree that came with it; the root must come out as the commit
before (`prevData`). It works on the tree *spread out*: the keys in order and, between each two, the subtree that lies
there, unopened.

    keys          k0      k1      k2
    gaps      g0      g1      g2      g3        a gap is a subtree's CID, or None

A subtree is opened (its keys and gaps put in its place) only when an operation needs what is in it, so unchanged parts
keep their CIDs unhashed. All operations are undone on the spread at once and the canonical tree is built again from it:
their order cannot matter, and whatever would need a subtree that did not come along is a refusal (RD-54, RD-55).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from ingester.repo.errors import ProofError, TreeError
from ingester.repo.node import Node, encode_node, entry_head, join_node, layer_of, node_cid, parse_node

EMPTY_ROOT = node_cid(encode_node([], [], [None]))
"""The root of a repository without records: bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm (RD-38)."""


_ABOVE_ALL = 129
"""Higher than any layer: a hash has 128 pairs of bits."""


class TreeOp(NamedTuple):
    """What a commit did to one key: `cid` is what the tree holds now, `prev` what it held before; None is nothing."""

    key: bytes
    cid: bytes | None
    prev: bytes | None


class Tree(NamedTuple):
    """The part of a tree that is there: nodes by CID, checked against one another; the rest are CIDs without a node."""

    root: bytes
    layer: int
    """The root's layer; -1 for the empty tree."""
    nodes: dict[bytes, Node]


# --- loading ---


def load_tree(root: bytes, blocks: Mapping[bytes, bytes]) -> Tree:
    """The tree under `root` as far as `blocks` go, every invariant of RD-37 checked. Raises TreeError.

    Reasons beside those of `parse_node`: `missing_root_node`, `mst_empty_node`, `mst_key_depth`, `mst_key_order`.
    """
    block = blocks.get(root)
    if block is None:
        raise TreeError("missing_root_node", "the root node is not among the blocks")
    top = parse_node(block)
    if not top.keys:
        if top.subtrees[0] is not None:
            raise TreeError("mst_empty_node", "the root holds nothing but a pointer")
        return Tree(root, -1, {root: top})
    nodes: dict[bytes, Node] = {}
    # A child is one layer below its parent and layers end at 0, so a hostile tree cannot lead on for ever; and what is
    # linked twice would hold the same keys twice, so that it cannot fan out either.
    linked = {root}
    waiting: list[tuple[bytes, bytes, int, bytes, bytes | None]] = [(root, block, top.layer, b"", None)]
    while waiting:
        cid, block, layer_here, low, high = waiting.pop()
        node = top if cid is root else parse_node(block)
        _check_place(node, layer_here, low, high)
        nodes[cid] = node
        for place, child in enumerate(node.subtrees):
            if child is None:
                continue
            if layer_here == 0:
                raise TreeError("mst_key_depth", "a node at the lowest layer has a subtree")
            if child in linked:
                raise TreeError("mst_key_order", "one subtree hangs in two places")
            linked.add(child)
            child_block = blocks.get(child)
            if child_block is not None:
                below = node.keys[place - 1] if place else low
                above = node.keys[place] if place < len(node.keys) else high
                waiting.append((child, child_block, layer_here - 1, below, above))
    return Tree(root, top.layer, nodes)


def _check_place(node: Node, layer: int, low: bytes, high: bytes | None) -> None:
    keys = node.keys
    if not keys:
        if node.subtrees[0] is None:
            raise TreeError("mst_empty_node", "a node that is not the root holds nothing")
        return
    if keys[0] <= low or (high is not None and keys[-1] >= high):
        raise TreeError("mst_key_order", "a subtree holds a key from outside its gap")
    if node.layer != layer:
        raise TreeError("mst_key_depth", "a node stands at another layer than its keys' hashes say")


def walk_tree(root: bytes, block_of: Callable[[bytes], bytes | None]) -> Iterator[tuple[bytes, bytes]]:
    """Every `(key, record CID)` of a whole tree, in order, with the checks of `load_tree` on the way.

    `block_of` gives a CID's block or None; one that is missing raises ProofError `incomplete_tree`, since a tree with a
    hole says nothing about what is not in it. Holds one node per layer at a time.
    """

    def visit(cid: bytes, layer: int | None, low: bytes, high: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        block = block_of(cid)
        if block is None:
            raise ProofError("incomplete_tree", "a node of the tree is not among the blocks")
        node = parse_node(block)
        if layer is None:
            if not node.keys:
                if node.subtrees[0] is not None:
                    raise TreeError("mst_empty_node", "the root holds nothing but a pointer")
                return
            layer = node.layer
        _check_place(node, layer, low, high)
        for place, child in enumerate(node.subtrees):
            if place:
                low = node.keys[place - 1]
                yield low, node.values[place - 1]
            if child is not None:
                if layer == 0:
                    raise TreeError("mst_key_depth", "a node at the lowest layer has a subtree")
                yield from visit(child, layer - 1, low, node.keys[place] if place < len(node.keys) else high)

    yield from visit(root, None, b"", None)


# --- inversion ---


def invert(tree: Tree, ops: Iterable[TreeOp]) -> bytes:
    """The root CID from before `ops`, which must be what turned it into `tree`; keys are unique among them.

    Raises ProofError: `op_not_in_tree`, `op_cid_mismatch`, `deleted_path_present` when the tree contradicts an
    operation, `proof_incomplete` when it leaves open what the operation claims.
    """
    spread = _Spread(tree)
    ops = list(ops)
    for op in ops:
        spread.confirm(op)
    removed = []
    for op in ops:
        if op.prev is None:
            removed.append(op.key)
        elif op.cid is None:
            spread.insert(op.key, op.prev)
        else:
            spread.replace(op.key, op.prev)
    # Removals last: a key put back may be the very one that keeps two subtrees apart.
    for key in removed:
        spread.remove(key)
    if removed:
        spread.settle()
    return spread.root()


def find_record(tree: Tree, key: bytes) -> bytes | None:
    """The CID of the record at `key`, or None where the tree proves that there is none.

    Raises ProofError `proof_incomplete` when a node on the way is not there.
    """
    spread = _Spread(tree)
    at, there = spread.find(key)
    return spread.values[at] if there else None


class _Spread:
    """A tree spread out, as the module's docstring draws it; `layers` and `depths` run beside `keys` and `gaps`."""

    __slots__ = ("depths", "gaps", "heads", "keys", "lasts", "layers", "nodes", "values")

    def __init__(self, tree: Tree) -> None:
        self.nodes = tree.nodes
        self.keys: list[bytes] = []
        self.values: list[bytes] = []
        self.layers: list[int] = []
        # How an entry was encoded, and behind which key: what is left as it was need not be encoded again.
        self.heads: list[bytes] = []
        self.lasts: list[bytes] = []
        self.gaps: list[bytes | None] = [tree.root]
        self.depths: list[int] = [tree.layer]

    def open(self, gap: int) -> int:
        """Put the keys and gaps of the subtree in `gap` in its place; returns how many keys that were."""
        cid = self.gaps[gap]
        node = None if cid is None else self.nodes.get(cid)
        if node is None:
            raise ProofError("proof_incomplete", "the proof leaves out a node that an operation depends on")
        layer = self.depths[gap]
        count = len(node.keys)
        self.keys[gap:gap] = node.keys
        self.values[gap:gap] = node.values
        self.layers[gap:gap] = [layer] * count
        self.heads[gap:gap] = node.heads
        self.lasts[gap:gap] = [b"", *node.keys][:count]
        self.gaps[gap : gap + 1] = node.subtrees
        self.depths[gap : gap + 1] = [layer - 1] * (count + 1)
        return count

    def find(self, key: bytes) -> tuple[int, bool]:
        """Where `key` is, or would be, and whether it is there; opens whatever lies on the way."""
        keys = self.keys
        at = bisect_left(keys, key)
        while not (at < len(keys) and keys[at] == key):
            if self.gaps[at] is None:
                return at, False
            at = bisect_left(keys, key, at, at + self.open(at))
        return at, True

    def confirm(self, op: TreeOp) -> None:
        """Check that the tree holds now what `op` says it does."""
        at, there = self.find(op.key)
        if op.cid is None:
            if there:
                raise ProofError("deleted_path_present", "a deleted path is still in the tree")
        elif not there:
            raise ProofError("op_not_in_tree", "a created or updated path is not in the tree")
        elif self.values[at] != op.cid:
            raise ProofError("op_cid_mismatch", "the tree holds another record at a path than the operation says")

    def replace(self, key: bytes, value: bytes) -> None:
        self.values[bisect_left(self.keys, key)] = value

    def insert(self, key: bytes, value: bytes) -> None:
        """Put `key` into its gap, which `confirm` found to be empty."""
        at = bisect_left(self.keys, key)
        self.keys.insert(at, key)
        self.values.insert(at, value)
        self.layers.insert(at, layer_of(key))
        self.heads.insert(at, entry_head(b"", key))
        self.lasts.insert(at, b"")
        self.gaps.insert(at, None)
        self.depths.insert(at, -1)

    def remove(self, key: bytes) -> None:
        """Take `key` out, opening the subtrees on its two sides until no two of them meet."""
        at = bisect_left(self.keys, key)
        gaps, depths = self.gaps, self.depths
        while gaps[at] is not None and gaps[at + 1] is not None:
            left, right = depths[at], depths[at + 1]
            if right >= left:
                self.open(at + 1)
            if left >= right:
                at += self.open(at)
        if gaps[at] is None:
            del gaps[at], depths[at]
        else:
            del gaps[at + 1], depths[at + 1]
        del self.keys[at], self.values[at], self.layers[at], self.heads[at], self.lasts[at]

    def settle(self) -> None:
        """Open every subtree that reaches as high as a key beside it: the canonical tree has that key within it.

        Such a neighbour is there only when keys between were taken away, and it may itself be taken away next: so this
        comes once, after all removals, and goes from right to left over what it opens.
        """
        gap = len(self.gaps) - 1
        while gap >= 0:
            if self.gaps[gap] is not None and self.depths[gap] >= self._lower_neighbour(gap):
                gap += self.open(gap)
            else:
                gap -= 1

    def _lower_neighbour(self, gap: int) -> int:
        layers = self.layers
        left = layers[gap - 1] if gap else _ABOVE_ALL
        right = layers[gap] if gap < len(layers) else _ABOVE_ALL
        return min(left, right)

    def root(self) -> bytes:
        """The root of the canonical tree over what is spread out here."""
        if self.keys:
            return self._build(0, len(self.keys), max(self.layers))
        # What is left may begin with nodes that hold only a pointer; a root may not (RD-37).
        while (cid := self.gaps[0]) in self.nodes and not self.nodes[cid].keys and self.nodes[cid].subtrees[0]:
            self.open(0)
        return cid or EMPTY_ROOT

    def _build(self, start: int, end: int, layer: int) -> bytes:
        """The CID of the node of `layer` over the keys from `start` to `end` and all the gaps around them."""
        heads: list[bytes] = []
        values: list[bytes] = []
        subtrees: list[bytes | None] = []
        last = b""
        for at in range(start, end):
            if self.layers[at] == layer:
                subtrees.append(self._subtree(start, at, layer - 1))
                key = self.keys[at]
                heads.append(self.heads[at] if self.lasts[at] == last else entry_head(last, key))
                values.append(self.values[at])
                last = key
                start = at + 1
        subtrees.append(self._subtree(start, end, layer - 1))
        return node_cid(join_node(heads, values, subtrees))

    def _subtree(self, start: int, end: int, layer: int) -> bytes | None:
        if start < end:
            return self._build(start, end, layer)
        cid = self.gaps[start]
        if cid is not None:
            for _ in range(self.depths[start], layer):
                cid = node_cid(encode_node([], [], [cid]))
        return cid
