"""The Merkle search tree by its definition: from all the leaves at once, by recursion, nothing incremental (RD-35..38).

A subtree is a function of its leaves and its layer alone, which is why its result may be cached without a thought.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from tests.writer.cbor import Link, Value, cid_of, encode

Leaf = tuple[bytes, Link]
Height = Callable[[bytes], int]


@lru_cache(maxsize=1 << 18)
def height_of(key: bytes) -> int:
    """The layer a key belongs to: leading zero bits of its SHA-256, in pairs."""
    number = int.from_bytes(hashlib.sha256(key).digest(), "big")
    return (256 - number.bit_length()) // 2


def common_prefix(left: bytes, right: bytes) -> int:
    """How many leading bytes two keys share."""
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One node: its own leaves in key order, and the subtrees before, between and after them."""

    layer: int
    keys: tuple[bytes, ...]
    values: tuple[Link, ...]
    children: tuple["Node | None", ...]
    block: bytes
    cid: Link

    def walk(self) -> Iterator["Node"]:
        """This node and every one below it, parents first."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += [child for child in reversed(node.children) if child is not None]

    def path(self, key: bytes) -> Iterator["Node"]:
        """The nodes that a search for `key` visits, whether it is there or not."""
        node: Node | None = self
        while node is not None:
            yield node
            at = bisect_left(node.keys, key)
            if at < len(node.keys) and node.keys[at] == key:
                return
            node = node.children[at]

    def blocks(self) -> dict[Link, bytes]:
        """Every block of the tree by its CID."""
        return {node.cid: node.block for node in self.walk()}


def node_map(keys: tuple[bytes, ...], values: tuple[Link, ...], children: tuple[Link | None, ...]) -> dict[str, Value]:
    """The data-model form of a node, prefixes as long as can be, nulls explicit (RD-36)."""
    entries: list[Value] = []
    previous = b""
    for key, value, child in zip(keys, values, children[1:], strict=True):
        shared = common_prefix(previous, key)
        entries.append({"p": shared, "k": key[shared:], "v": value, "t": child})
        previous = key
    return {"l": children[0], "e": entries}


def make_node(layer: int, keys: tuple[bytes, ...], values: tuple[Link, ...], children: tuple[Node | None, ...]) -> Node:
    """The node with these parts, encoded and named."""
    block = encode(node_map(keys, values, tuple(None if child is None else child.cid for child in children)))
    return Node(layer, keys, values, children, block, cid_of(block))


@lru_cache(maxsize=1 << 14)
def _subtree(leaves: tuple[Leaf, ...], layer: int, height: Height) -> Node | None:
    """The subtree of `leaves`, none higher than `layer`, with its top node at just that layer; None of no leaves."""
    if not leaves:
        return None
    own = [index for index, (key, _) in enumerate(leaves) if height(key) == layer]
    gaps = zip([0, *(index + 1 for index in own)], [*own, len(leaves)], strict=True)
    return make_node(
        layer,
        tuple(leaves[index][0] for index in own),
        tuple(leaves[index][1] for index in own),
        tuple(_subtree(leaves[start:end], layer - 1, height) for start, end in gaps),
    )


def build(leaves: Mapping[bytes, Link], height: Height = height_of) -> Node:
    """The root of the canonical tree of `leaves`. Another `height` gives a tree whose keys stand at wrong layers."""
    ordered = tuple(sorted(leaves.items()))
    top = max((height(key) for key, _ in ordered), default=0)
    return _subtree(ordered, top, height) or make_node(0, (), (), (None,))
