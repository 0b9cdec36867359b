"""A share of the generated histories with every test run, from another seed each time; the seed is in the failure."""

import time

import pytest

from tests.property.check import check_histories

SHARES = 8
COMMITS = 400


@pytest.mark.parametrize("share", range(SHARES))
def test_generated_commits_agree_with_the_whole_tree_built_anew(share: int) -> None:
    seed = time.time_ns() // 10**9 * SHARES + share
    *_, counts = check_histories(seed, COMMITS)
    assert counts["undone"] == counts["redone"] == COMMITS
    assert counts["refused_without_a_node"] > 0
    assert counts["refused_walks"] > 0
