"""The mutants fit the source as it is, and the tests that are to kill them are there."""

import ast
from collections import Counter

import pytest

from tests.mutants.catalog import MUTANTS
from tests.mutants.mutant import ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_not_stale(mutant: Mutant) -> None:
    bent = mutant.applied(ROOT)
    assert mutant.new != mutant.old
    if mutant.file.endswith(".py"):
        ast.parse(bent)


def test_each_has_a_name_and_tests_of_its_own_rule() -> None:
    assert max(Counter(mutant.name for mutant in MUTANTS).values()) == 1
    for mutant in MUTANTS:
        assert mutant.tests
        for test in mutant.tests:
            file, _, name = test.partition("::")
            assert (ROOT / file).is_file(), test
            assert not name or f"def {name.partition('[')[0]}(" in (ROOT / file).read_text(), test


def test_there_are_enough_of_them() -> None:
    assert len(MUTANTS) >= 25
