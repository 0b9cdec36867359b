"""A few of the scenarios, shortly; all of them at their length are `make chaos`."""

import time
from pathlib import Path

import pytest

from tests.chaos.harness import Arena, Toll
from tests.chaos.scenarios import SCENARIOS

QUICK = ("key rotation", "purge and return", "hostile upstream")


@pytest.mark.parametrize("name", QUICK)
async def test_the_tables_are_right_after(name: str, database_url: str, tmp_path: Path) -> None:
    seed = time.time_ns() // 10**9
    toll: Toll = await SCENARIOS[name].play(Arena(seed, database_url, tmp_path, seconds=2.0, kills=0, patience=0.5))
    print(f"{toll.hits}; seed {seed}")
    assert toll.missed == []
    assert toll.messages > 100
    assert toll.differences == []
