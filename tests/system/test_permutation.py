"""Whatever the order, the tables are the same: a few random lives, others each time; the seed is in the failure."""

import time

import pytest

from tests.system.permutation import check_example

EXAMPLES = 6


@pytest.mark.parametrize("number", range(EXAMPLES))
async def test_the_same_messages_in_any_order_make_the_same_tables(database_url: str, number: int) -> None:
    seed = time.time_ns() // 10**9 * EXAMPLES + number
    assert await check_example(seed, database_url) > 60
