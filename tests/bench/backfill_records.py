"""`backfill_records`: repositories fetched over HTTP, proven in full, indexed: from the first request to durable rows.

The limit is Postgres taking the very rows by COPY, indexes and commit included. The peer decodes the same CARs with the
SDK, verifies nothing, and inserts the records a thousand at a time, into one table with one index.
"""

import asyncio
import time
from collections.abc import Callable

import orjson
from atproto import CAR

from appview import db
from appview.jobs import rows as jobs
from tests.bench.exports import RECORDS, REPOS, Exports, exports, serving
from tests.bench.measure import Figure, interleaved
from tests.bench.rig import copied, database, emptied, ingesting, settings
from tests.bench.rig import run as run_loop

COUNT = REPOS * RECORDS
ROUNDS = 3
_SECONDS = 120
_CHUNK = 1_000


def run(say: Callable[[str], None]) -> Figure:
    """Take the figure, in records a second of the clock."""
    made = exports(say)
    with database() as url, serving(made) as origin:
        return interleaved(
            "backfill_records",
            "records/s",
            lambda: run_loop(_ours(url, origin, made)),
            lambda: run_loop(copied(url, COUNT)),
            lambda: run_loop(_with_sdk(url, made)),
            "SDK, unverified, one table",
            rounds=ROUNDS,
        )


async def _ours(url: str, origin: str, made: Exports) -> float:
    connection = await db.connect(url)
    await emptied(connection)
    started = 0.0
    async with ingesting(settings(PLYR_PLC_URL=origin), url, lambda _made: None, live=False) as engine:
        started = time.perf_counter()
        await jobs.want(connection, "fetch", made.cars)
        engine.workers["fetch"].wake.set()
        async with asyncio.timeout(_SECONDS):
            # What is left to be fetched goes with the transaction that makes its rows durable.
            while await connection.fetchval("select exists (select from jobs where kind = 'fetch')"):
                await asyncio.sleep(0.005)
        seconds = time.perf_counter() - started
    records = await connection.fetchval("select count(*) from records where verdict = 'ok'")
    assert records == COUNT, records
    await connection.close()
    return COUNT / seconds


async def _with_sdk(url: str, made: Exports) -> float:
    connection = await db.connect(url)
    await connection.execute("create table if not exists peer_records (cid text primary key, value jsonb)")
    await connection.execute("truncate peer_records")
    started = time.perf_counter()
    rows: list[tuple[str, object]] = []
    for car in made.cars.values():
        for cid, block in CAR.from_bytes(car).blocks.items():
            if isinstance(block, dict) and "$type" in block:
                rows.append((str(cid), orjson.loads(orjson.dumps(block, default=str))))
            if len(rows) == _CHUNK:
                await connection.executemany("insert into peer_records values ($1, $2) on conflict do nothing", rows)
                rows.clear()
    await connection.executemany("insert into peer_records values ($1, $2) on conflict do nothing", rows)
    seconds = time.perf_counter() - started
    await connection.close()
    return COUNT / seconds
