"""The ingester killed in the midst of it, a few times; the many are for `python -m tests.system.kill`.

Here on made-up PDSes: they write faster, and their accounts move, hide, come back and go.
"""

import random
import time
from pathlib import Path

from tests.system.kill import kill_often, synthetic_source
from tests.system.world import running

KILLS = 15


async def test_nothing_is_lost_or_invented_when_the_ingester_is_killed(database_url: str, tmp_path: Path) -> None:
    seed = time.time_ns() // 10**9
    rng = random.Random(seed)
    async with (
        synthetic_source(rng) as source,
        running(tmp_path, database_url, plc_url=source.plc, relay_urls=",".join(source.hosts)) as system,
    ):
        toll = await kill_often(system, source, KILLS, rng)
    print(f"{toll}; seed {seed}")
    assert toll.kills == KILLS
    assert toll.messages > 100 * KILLS
    assert toll.differences == []
