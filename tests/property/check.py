"""One generated commit, put to the verifier in every way, with the whole truth beside it."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping

import pytest

from ingester.repo.errors import RepoError
from ingester.repo.mst import TreeOp, invert, load_tree, walk_tree
from tests.writer.generate import Step, histories
from tests.writer.mst import build
from tests.writer.proof import Incomplete, covering_nodes
from tests.writer.proof import invert as witness_invert


class Disagreement(AssertionError):
    """The verifier and the truth differ; the message says how to see it again."""


def check_histories(seed: int, commits: int, *, max_keys: int = 400) -> Iterator[Counter[str]]:
    """Check `commits` generated commits; yields the running counts after each. Raises Disagreement."""
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    for number, step in enumerate(histories(rng, commits, max_keys=max_keys)):
        try:
            counts += check_step(step, rng)
        except (AssertionError, RepoError) as error:
            raise Disagreement(f"seed {seed}, commit {number}: {error!r}") from error
        yield counts


def check_share(seed: int, commits: int) -> Counter[str]:
    """The counts of `check_histories` at its end."""
    counts: Counter[str] = Counter()
    for counts in check_histories(seed, commits):  # noqa: B007 - the last ones are those of the whole share
        pass
    return counts


def check_step(step: Step, rng: random.Random) -> Counter[str]:
    """Undo and redo one commit on its partial tree, in any order of operations, and with a node left out."""
    blocks: dict[bytes, bytes] = dict(step.event.nodes.items())
    ops = [TreeOp(op.key, op.cid, op.prev) for op in step.event.ops]
    before, after = step.root_before, step.root_after
    rng.shuffle(ops)
    assert invert(load_tree(after, blocks), ops) == before, "undone"
    redone = [TreeOp(op.key, op.prev, op.cid) for op in ops]
    assert invert(load_tree(before, _nodes_for_redoing(step)), redone) == after, "redone"
    counts = Counter(commits=1, operations=len(ops), undone=1, redone=1)
    if ops and len(blocks) > 1:
        counts += _without_one(rng.choice(sorted(blocks)), step, blocks, ops)
    if rng.random() < 0.02:
        counts += _walked(step)
    return counts


def _without_one(missing: bytes, step: Step, blocks: Mapping[bytes, bytes], ops: list[TreeOp]) -> Counter[str]:
    """A needed node left out is a refusal; one that is not needed changes nothing. The witness says which it is."""
    rest = {cid: block for cid, block in step.event.nodes.items() if cid != missing}
    try:
        needed = witness_invert(rest, step.root_after, step.event.ops) != step.root_before
    except (Incomplete, KeyError):
        needed = True
    try:
        found = invert(load_tree(step.root_after, {c: b for c, b in blocks.items() if c != missing}), ops)
    except RepoError as error:
        assert needed, f"{error.reason} though the node was not needed"  # noqa: PT017 - either outcome may be right
        assert error.reason in {"proof_incomplete", "missing_root_node"}, error.reason  # noqa: PT017
        return Counter(refused_without_a_node=1)
    # An absent node may turn out to be the new root, and to hold nothing but a pointer: then it is not prevData.
    assert (found != step.root_before) == needed, "passed without a needed node, or not without a spare one"
    return Counter(refused_without_a_node=1) if needed else Counter(passed_without_a_spare_node=1)


def _walked(step: Step) -> Counter[str]:
    """The whole tree walked is the whole truth, and with any node left out it is a refusal."""
    nodes: dict[bytes, bytes] = {node.cid: node.block for node in build(step.after).walk()}
    root = step.root_after
    assert list(walk_tree(root, nodes.get)) == sorted(step.after.items())
    for missing in nodes:
        rest = {cid: block for cid, block in nodes.items() if cid != missing}
        with pytest.raises(RepoError) as refused:
            list(walk_tree(root, rest.get))
        assert refused.value.reason == "incomplete_tree"
    return Counter(walked=1, refused_walks=len(nodes))


def _nodes_for_redoing(step: Step) -> dict[bytes, bytes]:
    """The nodes of the tree before that cover the same keys, as if it had come after."""
    new, proof = covering_nodes(
        build(step.after), build(step.before), sorted(step.before), [op.key for op in step.event.ops]
    )
    return dict((new | proof).items())
