"""What a commit must carry so that its operations can be undone, and the undoing itself.

`covering_nodes` chooses the nodes as the reference PDS does. `invert` is the definition (RD-54): list what the nodes
say in key order, with a stub for every absent subtree; undo the operations in the list; name the tree of what is left.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from tests.writer.cbor import Link, cid_of, decode, encode
from tests.writer.mst import Leaf, Node, build, height_of, node_map


class ProofError(ValueError):
    """The operations cannot be undone with what is there."""


class Incomplete(ProofError):
    """The nodes at hand do not determine the tree before the commit."""


class Contradiction(ProofError):
    """An operation says something else than the tree it belongs to."""


class Op(NamedTuple):
    """One operation of a commit."""

    action: str
    path: str
    cid: Link | None
    prev: Link | None = None

    @property
    def key(self) -> bytes:
        return self.path.encode()

    def wire(self) -> dict[str, str | Link | None]:
        """The operation as a frame has it: `prev` is left out of a create, `cid` is null in a delete (ES-60)."""
        body: dict[str, str | Link | None] = {"action": self.action, "path": self.path, "cid": self.cid}
        return body if self.prev is None else {**body, "prev": self.prev}


class Stub(NamedTuple):
    """A subtree of which only the name and the layer of its top node are known."""

    cid: Link
    layer: int


Item: TypeAlias = "Leaf | Stub"


def covering_nodes(
    before: Node | None, after: Node, ordered: Sequence[bytes], keys: Iterable[bytes]
) -> tuple[dict[Link, bytes], dict[Link, bytes]]:
    """The nodes that are new, and the others on the paths to each changed key and to its neighbours on both sides.

    `ordered` are the keys of `after`. Every inverse operation splits along the path to its key, or merges along the
    paths to the neighbours, so these nodes always suffice. The root is always among them.
    """
    known = set() if before is None else {node.cid for node in before.walk()}
    new = {node.cid: node.block for node in after.walk() if node.cid not in known}
    proof = {} if after.cid in new else {after.cid: after.block}
    for key in keys:
        at = bisect_left(ordered, key)
        for near in (key, *ordered[max(at - 1, 0) : at + 2]):
            proof |= {node.cid: node.block for node in after.path(near) if node.cid not in new}
    return new, proof


def read_tree(nodes: Mapping[Link, bytes], root: Link) -> list[Item]:
    """The leaves in tree order, with a stub for each node that is absent. Checks no more than it must to read."""
    if root not in nodes:
        raise Incomplete("The root node is absent.")
    first = decode(nodes[root])["e"][:1]
    return _read_node(nodes, root, height_of(first[0]["k"]) if first else 0)


def _read_node(nodes: Mapping[Link, bytes], cid: Link, layer: int) -> list[Item]:
    if cid not in nodes:
        return [Stub(cid, layer)]
    node = decode(nodes[cid])
    items: list[Item] = _read_node(nodes, node["l"], layer - 1) if node["l"] is not None else []
    key = b""
    for entry in node["e"]:
        key = key[: entry["p"]] + entry["k"]
        items.append((key, entry["v"]))
        if entry["t"] is not None:
            items += _read_node(nodes, entry["t"], layer - 1)
    return items


def name_tree(items: Sequence[Item]) -> Link:
    """The root of the canonical tree of these leaves and stubs; Incomplete where a stub would have to be opened."""
    if not items:
        return build({}).cid
    top = max(item.layer if isinstance(item, Stub) else height_of(item[0]) for item in items)
    root = _name_subtree(items, top)
    if root is None:
        raise Incomplete("No tree can be named.")
    return root


def _name_subtree(items: Sequence[Item], layer: int) -> Link | None:
    if not items:
        return None
    if len(items) == 1 and isinstance(items[0], Stub) and items[0].layer == layer:
        return items[0].cid
    keys: list[bytes] = []
    values: list[Link] = []
    gaps: list[list[Item]] = [[]]
    for item in items:
        if isinstance(item, Stub):
            if item.layer >= layer:
                raise Incomplete("A stub would have to be merged or split.")
        elif height_of(item[0]) == layer:
            keys.append(item[0])
            values.append(item[1])
            gaps.append([])
            continue
        gaps[-1].append(item)
    children = tuple(_name_subtree(gap, layer - 1) for gap in gaps)
    return cid_of(encode(node_map(tuple(keys), tuple(values), children)))


def invert(nodes: Mapping[Link, bytes], root: Link, ops: Iterable[Op]) -> Link:
    """The root of the tree before `ops`, from the part of the tree after them that `nodes` hold."""
    items = read_tree(nodes, root)
    # What is put back comes first: such a key may be all that tells where an absent subtree ends.
    for op in sorted(ops, key=lambda op: op.prev is None):
        found = locate(items, op.key)
        present = found < len(items) and items[found][0] == op.key
        if present != (op.cid is not None) or (present and items[found][1] != op.cid):
            raise Contradiction(f"The tree does not bear out the {op.action} of {op.path}.")
        items[found : found + present] = [] if op.prev is None else [(op.key, op.prev)]
    return name_tree(items)


def locate(items: Sequence[Item], key: bytes) -> int:
    """Where `key` is among the items or would go; Incomplete when it may be inside a stub."""
    at = 0
    for index, item in enumerate(items):
        if isinstance(item, Stub):
            continue
        if item[0] == key:
            return index
        if item[0] > key:
            break
        at = index + 1
    if at < len(items) and isinstance(items[at], Stub):
        raise Incomplete("The key may be in a subtree that is absent.")
    return at


def minimal_proof(nodes: Mapping[Link, bytes], sufficient: Callable[[Mapping[Link, bytes]], bool]) -> dict[Link, bytes]:
    """`nodes` without all that `sufficient` can do without, found by leaving out one after the other."""
    kept = dict(nodes)
    for cid in nodes:
        fewer = {name: block for name, block in kept.items() if name != cid}
        if sufficient(fewer):
            kept = fewer
    return kept
