"""Each forgery is refused for just the flaw it was given, and each oddity is not."""

import random
from collections import Counter
from collections.abc import Mapping
from itertools import product

import pytest

from tests.writer.captured import open_frame
from tests.writer.car import read_car
from tests.writer.cbor import Link, decode
from tests.writer.forge import FORGERIES, GENUINE, Entry, removals
from tests.writer.forge.scene import mixed, one_create, one_delete, one_update
from tests.writer.mst import build
from tests.writer.witness import Verdict, examine

WORDS = """
    bad_frame frame_too_large bad_envelope bad_did bad_rev bad_since bad_time blocks_too_large blocks_empty too_many_ops
    future_rev bad_op_action bad_op_path duplicate_path bad_op_shape bad_car car_too_many_blocks block_hash_mismatch
    root_mismatch missing_commit_block bad_commit commit_version did_mismatch rev_mismatch bad_signature
    high_s_signature bad_mst_node mst_prefix mst_key_order mst_key_depth mst_empty_node mst_key_too_long mst_too_deep
    mst_node_too_wide missing_root_node op_not_in_tree op_cid_mismatch record_block_missing record_too_large
    deleted_path_present proof_incomplete prev_data_mismatch prev_data_breaks_chain missing_prev_data replayed_rev
    """
REASONS = frozenset(WORDS.split())


def opinion(entry: Entry, seed: int) -> Verdict:
    forgery = entry.build(random.Random(seed))
    return examine(forgery.frame, forgery.multikey, forgery.prior, forgery.now_us)


@pytest.mark.parametrize("name", FORGERIES)
def test_forgery_is_refused_for_its_flaw(name: str) -> None:
    entry = FORGERIES[name]
    for seed in (1, 2):
        found = opinion(entry, seed)
        assert found.verdict == entry.verdict
        assert found.reason in entry.reasons


@pytest.mark.parametrize("name", GENUINE)
def test_oddity_is_taken(name: str) -> None:
    for seed in (1, 2):
        assert opinion(GENUINE[name], seed) == Verdict(GENUINE[name].verdict)


def test_every_reason_has_a_forgery() -> None:
    alone = {reason for entry in FORGERIES.values() if len(entry.reasons) == 1 for reason in entry.reasons}
    # A chain that is too deep is at the wrong depth, or made of empty nodes, for whoever looks at that first.
    assert alone >= REASONS - {"mst_too_deep"}


@pytest.mark.parametrize("name", ["proof/one_record_missing", "depth/one_too_high", "car/flipped_node"])
def test_the_same_seed_gives_the_same_scene(name: str) -> None:
    one, two = (FORGERIES[name].build(random.Random(5)) for _ in range(2))
    assert one._replace(frame=b"") == two._replace(frame=b"")
    assert one != FORGERIES[name].build(random.Random(6))


def test_removals_are_labelled_as_they_are() -> None:
    labels: Counter[frozenset[str]] = Counter()
    for seed, writes in product(range(5), (one_create, one_update, one_delete, mixed)):
        for removal in removals(random.Random(seed), writes):
            forgery = removal.forgery
            found = examine(forgery.frame, forgery.multikey, forgery.prior, forgery.now_us)
            labels[removal.reasons] += 1
            assert found.reason in removal.reasons or (found == Verdict("ok") and not removal.reasons)
    assert labels[frozenset({"missing_root_node"})] == 20
    assert labels[frozenset({"proof_incomplete"})] > 50
    assert labels[frozenset()] > 0


def leaves_of(nodes: Mapping[bytes, bytes], root: Link) -> dict[bytes, Link]:
    """What a reader without any check takes from a tree, in no order."""
    leaves, waiting = {}, [root]
    while waiting:
        node = decode(nodes[waiting.pop()])
        waiting += [link for link in (node["l"], *(entry["t"] for entry in node["e"])) if link is not None]
        key = b""
        for entry in node["e"]:
            key = key[: entry["p"]] + entry["k"]
            leaves[key] = entry["v"]
    return leaves


SHAPES = [name for name in FORGERIES if name.startswith(("depth/", "empty/", "deep/", "order/"))]


@pytest.mark.parametrize("name", [*SHAPES, "prefix/not_used", "prefix/one_short", "prefix/last_short"])
def test_a_misshapen_tree_has_no_other_flaw(name: str) -> None:
    """A reader that does not mind the shape finds just the leaves that lead back to the tree before."""
    forgery = FORGERIES[name].build(random.Random(3))
    _, payload = open_frame(forgery.frame)
    blocks = {block.cid: block.data for block in read_car(payload["blocks"]).blocks}
    leaves = leaves_of(blocks, decode(blocks[payload["commit"]])["data"])
    for op in payload["ops"]:
        assert leaves.pop(op["path"].encode(), None) == op["cid"]
        if "prev" in op:
            leaves[op["path"].encode()] = op["prev"]
    assert forgery.prior is not None
    assert build(leaves).cid == payload["prevData"] == forgery.prior.data
