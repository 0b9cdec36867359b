"""The tree and its proofs against the interop fixtures."""

import json
import random
from typing import Any

import pytest

from tests.shared import fixture, fixture_lines
from tests.writer.cbor import Link, cid_of, link_from_text
from tests.writer.mining import mine, mine_sequence
from tests.writer.mst import build, common_prefix, height_of
from tests.writer.proof import (
    Contradiction,
    Incomplete,
    Op,
    covering_nodes,
    invert,
    minimal_proof,
    name_tree,
    read_tree,
)

EMPTY = "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm"


def _proof_cases() -> list[Any]:
    cases: list[Any] = json.loads(fixture("interop/firehose/commit-proof-fixtures.json").read_text())
    assert len(cases) == 6
    return cases


def _trees(case: Any) -> tuple[dict[bytes, Link], dict[bytes, Link], list[Op]]:
    value = link_from_text(case["leafValue"])
    before = {key.encode(): value for key in case["keys"]}
    ops = [Op("create", key, value) for key in case["adds"]] + [Op("delete", key, None, value) for key in case["dels"]]
    after = {key: value for key in before if key.decode() not in case["dels"]}
    return before, after | {key.encode(): value for key in case["adds"]}, ops


def test_key_heights() -> None:
    for case in json.loads(fixture("interop/mst/key_heights.json").read_text()):
        assert height_of(case["key"].encode()) == case["height"], case


def test_common_prefixes() -> None:
    for case in json.loads(fixture("interop/mst/common_prefix.json").read_text()):
        assert common_prefix(case["left"].encode(), case["right"].encode()) == case["len"], case


def test_example_keys_in_any_order() -> None:
    keys = fixture_lines("interop/mst/example_keys.txt")
    assert len(keys) == 156
    assert all(height_of(key.encode()) == int(key[1]) for key in keys)
    rng, roots = random.Random(1), set()
    for _ in range(5):
        rng.shuffle(keys)
        roots.add(build({key.encode(): cid_of(b"value") for key in keys}).cid)
    assert len(roots) == 1


def test_empty_tree() -> None:
    assert str(build({}).cid) == EMPTY


@pytest.mark.parametrize("number", range(6))
def test_commit_proofs(number: int) -> None:
    case = _proof_cases()[number]
    before, after, ops = _trees(case)
    old, new = build(before), build(after)
    assert str(old.cid) == case["rootBeforeCommit"]
    assert str(new.cid) == case["rootAfterCommit"]
    listed = {link_from_text(text) for text in case["blocksInProof"]}
    fresh, others = covering_nodes(old, new, sorted(after), [op.key for op in ops])
    assert fresh.keys() | others.keys() == listed
    assert invert({cid: new.blocks()[cid] for cid in listed}, new.cid, ops) == old.cid
    assert invert(new.blocks(), new.cid, reversed(ops)) == old.cid


@pytest.mark.parametrize("number", range(6))
def test_no_block_of_a_minimal_proof_can_be_left_out(number: int) -> None:
    before, after, ops = _trees(_proof_cases()[number])
    old, new = build(before), build(after)

    def sufficient(nodes: Any) -> bool:
        try:
            return invert(nodes, new.cid, ops) == old.cid
        except Incomplete:
            return False

    minimal = minimal_proof(new.blocks(), sufficient)
    assert sufficient(minimal)
    assert not any(sufficient({cid: minimal[cid] for cid in minimal if cid != left_out}) for left_out in minimal)


def test_a_tree_with_stubs_keeps_its_name() -> None:
    rng = random.Random(3)
    tree = build({mine(rng).encode(): cid_of(rng.randbytes(4)) for _ in range(200)})
    blocks = tree.blocks()
    kept = {cid: block for cid, block in blocks.items() if cid == tree.cid or rng.random() < 0.6}
    assert len(kept) < len(blocks)
    assert name_tree(read_tree(kept, tree.cid)) == tree.cid


def test_operations_that_the_tree_does_not_bear_out() -> None:
    value = cid_of(b"value")
    tree = build({b"a/b": value})
    for op in (
        Op("create", "a/c", value),
        Op("create", "a/b", cid_of(b"other")),
        Op("update", "a/b", cid_of(b"other"), value),
        Op("delete", "a/b", None, value),
    ):
        with pytest.raises(Contradiction):
            invert(tree.blocks(), tree.cid, [op])


def test_mined_keys_have_their_heights_and_order() -> None:
    heights = [0, 3, 0, 2, 1, 4, 0]
    paths = mine_sequence(random.Random(2), heights)
    assert [height_of(path.encode()) for path in paths] == heights
    assert paths == sorted(paths)
    assert build({path.encode(): cid_of(b"x") for path in paths}).layer == 4
