"""Random histories are reproducible, true, and various."""

import random

from tests.writer.generate import Step, histories
from tests.writer.mst import build
from tests.writer.proof import invert
from tests.writer.witness import Verdict, examine


def some(seed: int, commits: int) -> list[Step]:
    return list(histories(random.Random(seed), commits))


def test_the_same_seed_gives_the_same_history() -> None:
    assert [step.event.frame() for step in some(7, 50)] == [step.event.frame() for step in some(7, 50)]
    assert [step.root_after for step in some(7, 50)] != [step.root_after for step in some(8, 50)]


def test_every_commit_can_be_undone() -> None:
    steps = some(3, 600)
    assert len(steps) == 600
    for step in steps:
        changed = dict(step.before)
        for op in step.event.ops:
            assert changed.pop(op.key, None) == op.prev
            if op.cid is not None:
                changed[op.key] = op.cid
        assert changed == step.after
        assert build(step.after).cid == step.root_after == step.event.data
        assert invert(step.event.nodes, step.root_after, step.event.ops) == step.root_before


def test_every_habit_occurs() -> None:
    steps = some(5, 3000)
    layers = [(build(step.before).layer, build(step.after).layer) for step in steps]
    assert any(after > before for before, after in layers)
    assert any(after > before + 1 for before, after in layers)
    assert any(after < before for before, after in layers)
    assert {op.action for step in steps for op in step.event.ops} == {"create", "update", "delete"}
    assert {0, 1, 10, 200} <= {len(step.event.ops) for step in steps}
    assert any(step.before and not step.after for step in steps)
    assert max(len(step.after) for step in steps) > 200


def test_signed_histories_verify() -> None:
    for step in histories(random.Random(4), 60, signed=True):
        event = step.event
        assert event.key is not None
        assert examine(event.frame(), event.key.multikey, None, 1 << 53) == Verdict("ok")
