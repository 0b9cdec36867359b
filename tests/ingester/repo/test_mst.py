import itertools
import json
import random
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import pytest

from ingester.repo.car import read_car
from ingester.repo.commit import parse_commit
from ingester.repo.errors import ProofError, RepoError, TreeError
from ingester.repo.mst import EMPTY_ROOT, Tree, TreeOp, find_record, invert, load_tree, walk_tree
from ingester.repo.node import encode_node, layer_of, node_cid
from lexicons.data import CID
from tests.shared import fixture, fixture_lines
from tests.writer.cbor import Link
from tests.writer.mst import build

V, W = Link(CID.of(b"value")), Link(CID.of(b"another value"))
ABSENT = CID.of(b"a node that is nowhere")

Blocks = dict[bytes, bytes]


@cache
def key(layer: int, prefix: bytes = b"") -> bytes:
    """The first key behind `prefix` that belongs to `layer`."""
    return next(name for n in itertools.count() if layer_of(name := b"%s%04x" % (prefix, n)) == layer)


def planted(leaves: Iterable[bytes], value: Link = V) -> tuple[bytes, Blocks]:
    """The root and all nodes of the tree in which `leaves` have `value`."""
    tree = build(dict.fromkeys(leaves, value))
    return bytes(tree.cid), {bytes(cid): block for cid, block in tree.blocks().items()}


def put(blocks: Blocks, keys: list[bytes], subtrees: list[bytes | None]) -> bytes:
    """The CID of a node made by hand and added to `blocks`."""
    block = encode_node(keys, [bytes(V)] * len(keys), subtrees)
    blocks[node_cid(block)] = block
    return node_cid(block)


def chain(blocks: Blocks, cid: bytes, length: int) -> bytes:
    """`length` nodes without keys, each of which points to the next, and the last to `cid`."""
    for _ in range(length):
        cid = put(blocks, [], [cid])
    return cid


def between(before: Iterable[bytes], after: Iterable[bytes]) -> list[TreeOp]:
    """The operations that turn the set of keys `before` into `after`."""
    before, after = set(before), set(after)
    return [
        *(TreeOp(name, bytes(V), None) for name in sorted(after - before)),
        *(TreeOp(name, None, bytes(V)) for name in sorted(before - after)),
    ]


def undone(root: bytes, blocks: Mapping[bytes, bytes], ops: Iterable[TreeOp]) -> bytes | str:
    """The root before `ops`, or the reason why there is no telling."""
    try:
        return invert(load_tree(root, blocks), ops)
    except RepoError as error:
        return error.reason


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(RepoError) as caught:
        call()
    return caught.value.reason


# --- the interop suite ---


@cache
def proofs() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(fixture("interop/firehose/commit-proof-fixtures.json").read_bytes())
    return found


@pytest.mark.parametrize("number", range(6))
def test_the_proofs_of_the_interop_suite_hold_both_ways(number: int) -> None:
    case = proofs()[number]
    value = Link(CID.parse(case["leafValue"]))
    before, adds, dels = ({name.encode() for name in case[part]} for part in ("keys", "adds", "dels"))
    old_root, old_blocks = planted(before, value)
    new_root, new_blocks = planted(before - dels | adds, value)
    assert str(CID(old_root)) == case["rootBeforeCommit"]
    assert str(CID(new_root)) == case["rootAfterCommit"]
    ops = [
        *(TreeOp(name, bytes(value), None) for name in sorted(adds)),
        *(TreeOp(name, None, bytes(value)) for name in sorted(dels)),
    ]
    # Forward: what the whole trees say of the operations.
    assert dict(walk_tree(new_root, new_blocks.get)).keys() == before - dels | adds
    redone = [TreeOp(op.key, op.prev, op.cid) for op in ops]
    assert invert(load_tree(old_root, old_blocks), redone) == new_root
    # Backward, from the proof alone, in any order.
    proof = {bytes(CID.parse(cid)): new_blocks[CID.parse(cid)] for cid in case["blocksInProof"]}
    for ordered in itertools.islice(itertools.permutations(ops), 200):
        assert undone(new_root, proof, ordered) == old_root
    # And without each of its blocks: a refusal, or it was not needed (one fixture has more than it must).
    refused = 0
    for cid in proof:
        found = undone(new_root, {name: block for name, block in proof.items() if name != cid}, ops)
        assert found in (old_root, "proof_incomplete", "missing_root_node")
        refused += found != old_root
    assert refused >= len(proof) - 2
    # Nothing else passes for the same commit.
    for left_out in ops:
        assert undone(new_root, proof, [op for op in ops if op != left_out]) != old_root


def test_there_are_six_proofs_in_the_interop_suite() -> None:
    assert len(proofs()) == 6


def test_the_example_keys_make_one_tree_in_whatever_order() -> None:
    names = [line.encode() for line in fixture_lines("interop/mst/example_keys.txt")]
    assert len(names) == 156
    assert all(layer_of(name) == int(name[1:2]) for name in names)
    root, blocks = planted(names)
    assert [name for name, _ in walk_tree(root, blocks.get)] == names
    rng = random.Random(156)
    rest, ops = set(names), []
    for name in rng.sample(names, 60):
        rest.remove(name)
        ops.append(TreeOp(name, bytes(V), None))
        rng.shuffle(ops)
        assert undone(root, blocks, ops) == planted(rest)[0]


# --- loading and walking ---


def test_the_empty_tree() -> None:
    assert str(CID(EMPTY_ROOT)) == "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm"
    root, blocks = planted([])
    assert root == EMPTY_ROOT
    tree = load_tree(root, blocks)
    assert tree.layer == -1
    assert list(walk_tree(root, blocks.get)) == []
    assert invert(tree, []) == EMPTY_ROOT
    assert find_record(tree, b"any") is None
    assert refusal(lambda: invert(tree, [TreeOp(b"any", bytes(V), None)])) == "op_not_in_tree"


def test_a_tree_without_its_root_node_is_refused() -> None:
    root, _ = planted([key(0)])
    assert refusal(lambda: load_tree(root, {})) == "missing_root_node"
    assert refusal(lambda: list(walk_tree(root, lambda _: None))) == "incomplete_tree"


def test_a_tree_is_as_much_of_it_as_is_there() -> None:
    root, blocks = planted([key(layer, prefix) for layer in (0, 1, 2, 3) for prefix in (b"a", b"b", b"c")])
    tree = load_tree(root, blocks)
    assert (tree.root, tree.layer) == (root, 3)
    assert tree.nodes.keys() == blocks.keys()
    assert load_tree(root, {root: blocks[root]}).nodes.keys() == {root}
    assert load_tree(root, {**blocks, ABSENT: b"\xff"}) == tree


def test_a_walk_says_when_a_node_is_missing_and_not_before() -> None:
    names = sorted(key(layer, prefix) for layer in (0, 1, 2) for prefix in (b"a", b"b", b"c", b"d"))
    root, blocks = planted(names)
    for missing in blocks:
        seen: list[bytes] = []
        walk = walk_tree(root, {cid: block for cid, block in blocks.items() if cid != missing}.get)
        with pytest.raises(ProofError) as caught:
            seen.extend(name for name, _ in walk)
        assert caught.value.reason == "incomplete_tree"
        assert seen == names[: len(seen)]


K0, K1, K2, K3 = (key(layer, b"m") for layer in range(4))
LOW0, HIGH0, HIGH1 = key(0, b"a"), key(0, b"z"), key(1, b"z")


def broken_trees() -> dict[str, tuple[str, Callable[[Blocks], bytes]]]:
    """What is wrong, the reason that tells it, and how to make it; all nodes are there."""

    return {
        "a root with a pointer alone": ("mst_empty_node", lambda b: put(b, [], [put(b, [K0], [None, None])])),
        "an empty node below the root": ("mst_empty_node", lambda b: put(b, [K1], [put(b, [], [None]), None])),
        "a chain to an empty node": (
            "mst_empty_node",
            lambda b: put(b, [K3], [chain(b, put(b, [], [None]), 2), None]),
        ),
        "a node below the lowest layer": (
            "mst_key_depth",
            lambda b: put(b, [K0], [put(b, [LOW0], [None, None]), None]),
        ),
        "an absent node below the lowest layer": ("mst_key_depth", lambda b: put(b, [K0], [ABSENT, None])),
        "a chain below the lowest layer": (
            "mst_key_depth",
            lambda b: put(b, [K1], [chain(b, put(b, [LOW0], [None, None]), 1), None]),
        ),
        "a layer skipped": ("mst_key_depth", lambda b: put(b, [K2], [put(b, [LOW0], [None, None]), None])),
        "two layers in one node": (
            "mst_key_depth",
            lambda b: put(b, sorted([K1, key(0, b"zz")]), [None, None, None]),
        ),
        "a smaller key to the right": ("mst_key_order", lambda b: put(b, [K1], [None, put(b, [LOW0], [None, None])])),
        "a greater key to the left": ("mst_key_order", lambda b: put(b, [K1], [put(b, [HIGH0], [None, None]), None])),
        "a key beyond the gap of a node above": (
            "mst_key_order",
            lambda b: put(b, [K2], [put(b, [key(1, b"b")], [None, put(b, [HIGH0], [None, None])]), None]),
        ),
        "a key before the gap of a node above": (
            "mst_key_order",
            lambda b: put(b, [K2], [None, put(b, [HIGH1], [put(b, [LOW0], [None, None]), None])]),
        ),
        "a key beyond the gap under a chain": (
            "mst_key_order",
            lambda b: put(b, [K2], [chain(b, put(b, [HIGH0], [None, None]), 1), None]),
        ),
        "a node that is no node": ("bad_mst_node", lambda b: put(b, [K1], [_rubbish(b), None])),
        "a root that is no node": ("bad_mst_node", _rubbish),
    }


def _rubbish(blocks: Blocks) -> bytes:
    blocks[node_cid(b"\xa0")] = b"\xa0"
    return node_cid(b"\xa0")


@pytest.mark.parametrize("name", broken_trees())
def test_a_tree_that_breaks_a_rule_is_refused_loaded_or_walked(name: str) -> None:
    reason, make = broken_trees()[name]
    blocks: Blocks = {}
    root = make(blocks)
    assert refusal(lambda: load_tree(root, blocks)) == reason
    assert refusal(lambda: list(walk_tree(root, blocks.get))) == reason


def test_a_key_may_not_equal_the_one_that_bounds_its_gap() -> None:
    # Only a key of two layers could; the order is found out before the layer.
    blocks: Blocks = {}
    for subtrees in ([put(blocks, [K1], [None, None]), None], [None, put(blocks, [K1], [None, None])]):
        root = put(blocks, [K1], subtrees)
        assert refusal(lambda root=root: load_tree(root, blocks)) == "mst_key_order"  # type: ignore[misc]


@pytest.mark.parametrize("shared", ["a node", "a chain to an absent node", "an absent node"])
def test_one_subtree_in_two_places_is_refused(shared: str) -> None:
    # Else a few bytes of a commit would be read as often as there are gaps, times layers: a tree that fans out.
    blocks: Blocks = {}
    names = sorted(key(3, b"%02x" % n) for n in range(40))
    subtree = {
        "a node": lambda: chain(blocks, put(blocks, [key(0, b"00")], [None, None]), 2),
        "a chain to an absent node": lambda: chain(blocks, ABSENT, 2),
        "an absent node": lambda: bytes(ABSENT),
    }[shared]()
    root = put(blocks, names, [subtree] * (len(names) + 1))
    assert refusal(lambda: load_tree(root, blocks)) == "mst_key_order"
    assert refusal(lambda: list(walk_tree(root, blocks.get))) in {"mst_key_order", "incomplete_tree"}


def test_a_tree_as_deep_as_keys_can_be_mined_is_read() -> None:
    names = [key(layer, b"%x" % layer) for layer in range(9)]
    root, blocks = planted([names[8], names[0]])
    assert len(blocks) == 9
    assert [name for name, _ in walk_tree(root, blocks.get)] == sorted([names[8], names[0]])
    assert undone(root, blocks, [TreeOp(names[8], bytes(V), None)]) == planted([names[0]])[0]


# --- inversion ---

# Seven keys of four layers, in an order in which removals merge, split, shrink and grow the tree.
SEVEN = [key(layer, b"%c" % letter) for layer, letter in zip((0, 2, 0, 1, 3, 0, 1), b"abcdefg", strict=True)]
SUBSETS = [frozenset(itertools.compress(SEVEN, bits)) for bits in itertools.product((0, 1), repeat=len(SEVEN))]


@cache
def of_subset(subset: frozenset[bytes]) -> tuple[bytes, Blocks]:
    return planted(subset)


def test_every_change_between_small_trees_is_undone() -> None:
    for after in SUBSETS:
        root, blocks = of_subset(after)
        tree = load_tree(root, blocks)
        for before in SUBSETS:
            assert invert(tree, between(before, after)) == of_subset(before)[0]


def test_a_partial_tree_gives_the_truth_or_a_refusal_whatever_the_order_of_operations() -> None:
    rng = random.Random(7)
    told = refused = 0
    for _ in range(1_200):
        before, after = rng.sample(SUBSETS, 2)
        root, blocks = of_subset(after)
        part = {cid: block for cid, block in blocks.items() if cid == root or rng.random() < 0.6}
        ops = between(before, after)
        if len(ops) > 4:
            continue
        answers = {undone(root, part, ordered) for ordered in itertools.permutations(ops)}
        assert len(answers) == 1
        # A lone absent subtree passes for the old root: only its bytes could say that it has no keys, and so is none.
        assert answers <= {of_subset(before)[0], "proof_incomplete", *(blocks.keys() - part.keys())}
        refused += answers == {"proof_incomplete"}
        told += part != blocks and answers == {of_subset(before)[0]}
    assert refused > 50
    assert told > 50


def test_what_lies_behind_two_new_keys_need_not_be_there_whichever_is_undone_first() -> None:
    blocks: Blocks = {}
    low, high = key(2, b"b"), key(2, b"e")
    old = put(blocks, [low, high], [None, bytes(ABSENT), None])
    # One new key stands at the layer of its neighbours, the other far below it and just before it.
    new_high, new_low = key(2, b"c5"), key(0, b"c1")
    leaf = chain(blocks, put(blocks, [new_low], [None, None]), 1)
    root = put(blocks, [low, new_high, high], [None, leaf, bytes(ABSENT), None])
    ops = [TreeOp(new_high, bytes(V), None), TreeOp(new_low, bytes(V), None)]
    assert undone(root, blocks, ops) == old
    assert undone(root, blocks, ops[::-1]) == old


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], SEVEN[:1]),
        ([], SEVEN),
        (SEVEN[:1], []),
        (SEVEN, []),
        (SEVEN[:1], SEVEN[1:2]),  # one tree for another
        ([SEVEN[0]], [SEVEN[0], SEVEN[4]]),  # the root grows by three layers
        ([SEVEN[0], SEVEN[4]], [SEVEN[0]]),  # and shrinks
        ([SEVEN[0], SEVEN[2]], [SEVEN[0], SEVEN[1], SEVEN[2]]),  # a node split in two
        ([SEVEN[0], SEVEN[1], SEVEN[2]], [SEVEN[0], SEVEN[2]]),  # and merged
        ([SEVEN[3], SEVEN[6]], [SEVEN[3], SEVEN[4], SEVEN[6]]),
        ([SEVEN[0], SEVEN[1], SEVEN[2]], [SEVEN[0], SEVEN[4], SEVEN[2]]),  # merge and split in one
    ],
    ids=lambda names: str(len(names)),
)
def test_trees_grow_shrink_split_and_merge(before: list[bytes], after: list[bytes]) -> None:
    root, blocks = planted(after)
    for ordered in itertools.islice(itertools.permutations(between(before, after)), 30):
        assert undone(root, blocks, ordered) == planted(before)[0]


def test_no_operations_need_no_more_than_the_root() -> None:
    root, blocks = planted(SEVEN)
    assert undone(root, {root: blocks[root]}, []) == root


def test_updates_are_undone_in_place() -> None:
    root, blocks = planted(SEVEN)
    ops = [TreeOp(name, bytes(V), bytes(W)) for name in SEVEN]
    assert undone(root, blocks, ops) == planted(SEVEN, W)[0]
    assert undone(root, blocks, [TreeOp(SEVEN[0], bytes(V), bytes(V))]) == root


def test_a_value_may_be_a_cid_of_any_kind() -> None:
    odd = Link(b"\x01\x55\x00\x00")
    old, new = build({SEVEN[0]: odd, SEVEN[4]: V}), build({SEVEN[0]: V, SEVEN[4]: odd})
    ops = [TreeOp(SEVEN[0], bytes(V), bytes(odd)), TreeOp(SEVEN[4], bytes(odd), bytes(V))]
    assert undone(bytes(new.cid), {bytes(c): b for c, b in new.blocks().items()}, ops) == old.cid


def test_an_operation_that_the_tree_contradicts_is_refused() -> None:
    root, blocks = planted(SEVEN[:6])
    there, absent = SEVEN[3], SEVEN[6]
    for op, reason in [
        (TreeOp(absent, bytes(V), None), "op_not_in_tree"),
        (TreeOp(absent, bytes(V), bytes(W)), "op_not_in_tree"),
        (TreeOp(there, bytes(W), None), "op_cid_mismatch"),
        (TreeOp(there, bytes(W), bytes(V)), "op_cid_mismatch"),
        (TreeOp(there, None, bytes(V)), "deleted_path_present"),
        (TreeOp(there[:-1], bytes(V), None), "op_not_in_tree"),
        (TreeOp(there + b"\0", bytes(V), None), "op_not_in_tree"),
        (TreeOp(b"\0", bytes(V), None), "op_not_in_tree"),
        (TreeOp(b"\xff", bytes(V), None), "op_not_in_tree"),
    ]:
        assert undone(root, blocks, [op]) == reason
        assert undone(root, blocks, [TreeOp(SEVEN[0], bytes(V), None), op]) == reason


def test_what_a_commit_does_not_say_changes_the_root() -> None:
    before, after = SEVEN[:4], SEVEN[2:]
    root, blocks = planted(after)
    truth = planted(before)[0]
    ops = between(before, after)
    assert undone(root, blocks, ops) == truth
    for at, op in enumerate(ops):
        assert undone(root, blocks, ops[:at] + ops[at + 1 :]) != truth
        if op.prev is not None:
            assert undone(root, blocks, [*ops[:at], op._replace(prev=bytes(W)), *ops[at + 1 :]]) != truth


def test_inverting_leaves_the_tree_as_it_was() -> None:
    root, blocks = planted(SEVEN)
    tree, same = load_tree(root, blocks), load_tree(root, blocks)
    for before in SUBSETS[::7]:
        invert(tree, between(before, SEVEN))
    assert tree == same


def calls_of(action: Callable[[], object]) -> int:
    """How many Python functions `action` calls: a measure of work that no busy machine disturbs."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


def crossing(width: int) -> tuple[Tree, list[TreeOp]]:
    """A commit that puts low keys where high ones stand alone, so that each high one's subtree must be opened."""
    blocks: Blocks = {}
    names: list[bytes] = []
    subtrees: list[bytes | None] = [None]
    ops = []
    for n in range(width):
        high, low = key(3, b"%03x-m" % n), key(0, b"%03x-a" % n)
        names += [high, key(3, b"%03x-z" % n)]
        subtrees += [chain(blocks, put(blocks, [key(0, b"%03x-p" % n)], [None, None]), 2), None]
        ops += [TreeOp(high, bytes(V), None), TreeOp(low, None, bytes(V))]
    root = put(blocks, names, subtrees)
    return load_tree(root, blocks), ops


def test_crossings_cost_no_more_than_one_build() -> None:
    small, large = crossing(12), crossing(48)
    assert calls_of(lambda: invert(*large)) < 6 * calls_of(lambda: invert(*small))


def test_a_wide_tree_costs_by_its_width() -> None:
    def work(width: int) -> int:
        root, blocks = planted([key(0, b"%04x" % n) for n in range(width)] + [key(1, b"%04x" % width)])
        return calls_of(lambda: load_tree(root, blocks))

    assert work(1_600) < 6 * work(400)


# --- single records ---


def test_a_record_is_found_or_proven_absent_or_undecided() -> None:
    root, blocks = planted(SEVEN)
    tree = load_tree(root, blocks)
    for name in SEVEN:
        assert find_record(tree, name) == V
        for near in (name[:-1], name + b"\0", name[:-1] + bytes((name[-1] + 1,))):
            assert find_record(tree, near) is None
    assert find_record(tree, b"") is None
    for missing in blocks.keys() - {root}:
        part = load_tree(root, {cid: block for cid, block in blocks.items() if cid != missing})
        answers = {_found(part, name) for name in SEVEN}
        assert answers == {bytes(V), "proof_incomplete"}


def _found(tree: Tree, name: bytes) -> bytes | str | None:
    try:
        return find_record(tree, name)
    except ProofError as error:
        return error.reason


@pytest.mark.parametrize("name", ["bob", "carol", "zoe"])
def test_exports_of_real_repositories_are_walked_to_the_end(name: str) -> None:
    car = read_car(fixture(f"frames/cars/{name}.car").read_bytes(), max_blocks=10_000)
    commit = parse_commit(car.blocks[car.root])
    records = list(walk_tree(commit.data, car.blocks.get))
    assert [path for path, _ in records] == sorted({path for path, _ in records})
    assert all(cid in car.blocks for _, cid in records)
    tree = load_tree(commit.data, car.blocks)
    assert all(find_record(tree, path) == cid for path, cid in records)
    ops = [TreeOp(path, cid, None) for path, cid in records]
    assert invert(tree, ops) == EMPTY_ROOT
    assert build({path: Link(cid) for path, cid in records}).cid == commit.data


def test_errors_are_the_documented_ones() -> None:
    root, blocks = planted(SEVEN)
    with pytest.raises(TreeError):
        load_tree(ABSENT, blocks)
    with pytest.raises(ProofError):
        invert(load_tree(root, {root: blocks[root]}), [TreeOp(SEVEN[0], bytes(V), None)])
