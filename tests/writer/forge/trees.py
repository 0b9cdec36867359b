"""Forged trees: every node sound in itself, and the whole not the one tree that these leaves have."""

import random
from collections.abc import Callable

from tests.writer.forge.nodes import tall
from tests.writer.forge.scene import FORGERIES, Builder, Forgery, Scene, create, one_delete
from tests.writer.mining import mine, mine_sequence
from tests.writer.mst import Node, build, height_of, make_node

EMPTY = make_node(0, (), (), (None,))


def _over(scene: Scene, root: Node) -> Forgery:
    return scene.with_event(scene.over_tree(root.cid, root.blocks()))


def of_heights(rng: random.Random, heights: list[int], new: int) -> Scene:
    """Keys of these heights in order, of which the one at `new` is being created."""
    paths = mine_sequence(rng, heights)
    return Scene.of(rng, lambda rng, _: [create(rng, paths[new])], paths=[*paths[:new], *paths[new + 1 :]])


def _misplaced(heights: list[int], new: int, layer: int) -> Builder:
    """The new key stands at `layer`, and the tree is otherwise built around it."""

    def build_forgery(rng: random.Random) -> Forgery:
        scene = of_heights(rng, heights, new)
        key = scene.event.ops[0].key
        return _over(scene, build(scene.repo.leaves, lambda one: layer if one == key else height_of(one)))

    return build_forgery


for _name, _description, _arguments in (
    ("one_too_high", "a key of height 0 stands at layer 1", ([1, 0, 0, 0, 1, 0], 2, 1)),
    ("one_too_low", "a key of height 1 stands at layer 0", ([0, 1, 0, 1, 0, 2, 0], 1, 0)),
    ("high_root", "a key of height 1 is the root, at layer 2", ([0, 1, 0, 0, 1], 1, 2)),
    ("low_root", "the key of height 2 that should be the root is at layer 1", ([0, 1, 2, 0, 1], 2, 1)),
    ("far_too_high", "a key of height 0 stands at layer 5", ([0, 1, 0, 0], 0, 5)),
    ("far_too_low", "a key of height 4 stands at layer 0", ([0, 1, 0, 4, 0, 1], 3, 0)),
):
    # A root that is too high leaves more layers below it than its key's height allows.
    FORGERIES.add(
        f"depth/{_name}",
        _description,
        _misplaced(*_arguments),
        "mst_key_depth mst_too_deep" if _name in ("high_root", "far_too_high") else "mst_key_depth",
    )


def _everything_by(height: Callable[[bytes], int], heights: list[int]) -> Builder:
    """The whole tree by another rule of height."""

    def build_forgery(rng: random.Random) -> Forgery:
        scene = of_heights(rng, heights, 1)
        return _over(scene, build(scene.repo.leaves, height))

    return build_forgery


for _name, _description, _height in (
    ("fanout_16", "heights are counted in four bits, as an old comment says", lambda key: height_of(key) // 2),
    ("fanout_2", "heights are counted in single bits", lambda key: 2 * height_of(key)),
    ("all_in_one", "all keys stand in one node", lambda _: 0),
):
    FORGERIES.add(
        f"depth/{_name}",
        _description,
        _everything_by(_height, [0, 2, 0, 1, 0, 0, 1, 3, 0]),
        "mst_key_depth mst_too_deep" if _name == "fanout_2" else "mst_key_depth",
    )


def _collapsed(node: Node) -> Node:
    """The tree without its empty nodes: each parent points at what is below them."""
    children = []
    for child in node.children:
        below = child
        while below is not None and not below.keys:
            below = below.children[0]
        children.append(below and _collapsed(below))
    return make_node(node.layer, node.keys, node.values, tuple(children))


@FORGERIES.row("depth/skipped_layers", "mst_key_depth")
def _skipped_layers(rng: random.Random) -> Forgery:
    """the empty nodes between two layers are left out"""
    scene = tall(rng)
    return _over(scene, _collapsed(scene.repo.tree))


@FORGERIES.row("depth/extra_layer", "mst_key_depth mst_too_deep")
def _extra_layer(rng: random.Random) -> Forgery:
    """there is an empty node too many between two layers"""
    scene = of_heights(rng, [1, 0, 1], 1)
    return _over(scene, _wrap_child(scene.repo.tree, 1, 1))


def _wrap_child(root: Node, at: int, times: int) -> Node:
    """The root with so many empty nodes above one of its children."""
    child = root.children[at]
    for _ in range(times):
        child = make_node(0, (), (), (child,))
    return make_node(root.layer, root.keys, root.values, (*root.children[:at], child, *root.children[at + 1 :]))


def _wrap_root(root: Node, times: int) -> Node:
    for _ in range(times):
        root = make_node(root.layer + 1, (), (), (root,))
    return root


def _pointers(times: int) -> Builder:
    """So many empty nodes above the root."""

    def build_forgery(rng: random.Random) -> Forgery:
        scene = of_heights(rng, [0, 1, 0], 1)
        return _over(scene, _wrap_root(scene.repo.tree, times))

    return build_forgery


def _chain(times: int) -> Builder:
    """So many empty nodes between the root and a child."""

    def build_forgery(rng: random.Random) -> Forgery:
        scene = of_heights(rng, [1, 0, 1], 1)
        return _over(scene, _wrap_child(scene.repo.tree, 1, times))

    return build_forgery


def _nothing(times: int, layer: int) -> Builder:
    """So many empty nodes above one that has nothing below it, hung where a root at `layer` has no child."""

    def build_forgery(rng: random.Random) -> Forgery:
        scene = of_heights(rng, [layer] * 3, 1)
        root = scene.repo.tree
        children = (_wrap_root(EMPTY, times), *root.children[1:])
        return _over(scene, make_node(root.layer, root.keys, root.values, children))

    return build_forgery


for _times in (1, 3):
    FORGERIES.add(
        f"empty/root_is_pointer_{_times}",
        f"{_times} empty nodes stand above the root",
        _pointers(_times),
        "mst_empty_node",
    )
for _times in (0, 1, 2):
    FORGERIES.add(
        f"empty/at_bottom_{_times}",
        f"a subtree of {_times + 1} nodes holds nothing at all",
        _nothing(_times, _times + 1),
        "mst_empty_node",
    )
for _times in (130, 600, 12_000):
    FORGERIES.add(
        f"deep/chain_{_times}",
        f"{_times} empty nodes stand between the root and its child",
        _chain(_times),
        "mst_too_deep mst_key_depth",
    )
    FORGERIES.add(
        f"deep/pointers_{_times}",
        f"{_times} empty nodes stand above the root",
        _pointers(_times),
        "mst_too_deep mst_empty_node",
    )


@FORGERIES.row("empty/repo_of_pointer", "mst_empty_node")
def _repo_of_pointer(rng: random.Random) -> Forgery:
    """a repository without records has a root that points to the empty node"""
    return _over(Scene.of(rng, one_delete, paths=[mine(rng)]), _wrap_root(EMPTY, 1))


def _moved(root: Node, source: int, target: int, *, front: bool) -> Node:
    """The only leaf of one child moved into another child, at its front or its end; each child in good order."""
    giver, taker = root.children[source], root.children[target]
    if giver is None or taker is None:
        raise ValueError("Both children must be there.")
    pairs = [*zip(taker.keys, taker.values, strict=True)]
    pairs.insert(0 if front else len(pairs), (giver.keys[0], giver.values[0]))
    keys, values = zip(*pairs, strict=True)
    children = list(root.children)
    children[source], children[target] = None, make_node(0, keys, values, (None,) * (len(keys) + 1))
    return make_node(root.layer, root.keys, root.values, tuple(children))


@FORGERIES.row("order/beyond_upper_bound", "mst_key_order")
def _beyond_upper_bound(rng: random.Random) -> Forgery:
    """a child holds a key that belongs after its parent's next key"""
    scene = of_heights(rng, [0, 1, 0, 1, 0], 2)
    return _over(scene, _moved(scene.repo.tree, 2, 1, front=False))


@FORGERIES.row("order/below_lower_bound", "mst_key_order")
def _below_lower_bound(rng: random.Random) -> Forgery:
    """a child holds a key that belongs before its parent's key"""
    scene = of_heights(rng, [0, 1, 0, 1, 0], 2)
    return _over(scene, _moved(scene.repo.tree, 0, 1, front=True))


@FORGERIES.row("order/children_swapped", "mst_key_order op_not_in_tree")
def _children_swapped(rng: random.Random) -> Forgery:
    """two subtrees have changed places"""
    scene = of_heights(rng, [0, 1, 0, 1, 0], 2)
    root = scene.repo.tree
    left, middle, right = root.children
    return _over(scene, make_node(root.layer, root.keys, root.values, (middle, left, right)))


@FORGERIES.row("order/shared_subtree", "mst_key_order")
def _shared_subtree(rng: random.Random) -> Forgery:
    """one subtree hangs in two places, so that its keys stand there twice"""
    scene = of_heights(rng, [1, 0, 1], 1)
    root = scene.repo.tree
    return _over(scene, make_node(root.layer, root.keys, root.values, (None, root.children[1], root.children[1])))
