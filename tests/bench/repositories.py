"""`repositories`: ten thousand small repositories found and fetched by `python -m ingester backfill`, from one host.

From the start of the command to its end, all of them then being in the index; in the end every count is exact.
`python -m tests.bench.repositories --repos 500` is a quick one.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Final

from appview import db
from appview.index.recount import differences
from tests.bench.exports import FEW_RECORDS, many_exports, serving
from tests.bench.memory import LIMIT_MB, process_settings
from tests.bench.rig import database

REPOS: Final = 10_000
_MB: Final = 1_000_000


def run(say: Callable[[str], None], repos: int = REPOS) -> int:
    """Take the figures, print them, and say by the exit code whether they are within their limits."""
    made = many_exports(repos, say)
    with database() as url, serving(made) as origin, tempfile.TemporaryDirectory() as folder:
        settings = process_settings(
            url, PLYR_PLC_URL=origin, PLYR_RELAY_URLS=origin, PLYR_DISCOVERY_URL=origin, PLYR_HOST_RATE="10000"
        )
        started = time.monotonic()
        process = subprocess.Popen([sys.executable, "-m", "ingester", "backfill"], cwd=folder, env=settings)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        assert os.waitstatus_to_exitcode(status) == 0, "the command failed"
        records = asyncio.run(_counted(url, repos))
    peak = used.ru_maxrss * 1024 / _MB
    cpu = used.ru_utime + used.ru_stime
    print(f"{repos:,} repositories of {FEW_RECORDS} records: {seconds:.1f} s, {cpu:.1f} s of them processor time")
    print(f"{repos / seconds:,.0f} repositories/s, {records / seconds:,.0f} records/s, {peak:.0f} MB at most")
    return int(peak > LIMIT_MB)


async def _counted(url: str, repos: int) -> int:
    """How many records there are, once it is sure that none is missing and every count is exact."""
    connection = await db.connect(url)
    whole = await connection.fetchval("select count(*) from repos where status = 'synchronized'")
    assert whole == repos, f"{whole} of {repos} repositories are whole"
    records: int = await connection.fetchval("select count(*) from records where cid is not null")
    assert records == repos * FEW_RECORDS, f"{records} records"
    assert not await differences(connection)
    await connection.close()
    return records


def main() -> int:
    """Run it at the size that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.repositories", description=__doc__)
    parser.add_argument("--repos", type=int, default=REPOS)
    options = parser.parse_args()
    return run(lambda text: print(text, file=sys.stderr, flush=True), options.repos)


if __name__ == "__main__":
    sys.exit(main())
