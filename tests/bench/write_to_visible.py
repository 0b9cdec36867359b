"""`write_to_visible_p50_ms` and `_p99_ms`: from the receipt of a frame to its rows being there for any reader.

A hundred commits a second come one by one. The limit is one commit of one row of the same kind to the same Postgres.
The peer is the whole way, which the PDS's own delay is most of: from a real PDS's answer to `createRecord` until the
XRPC server of ours would find the record.
"""

import asyncio
import statistics
import time
from collections.abc import Callable

from appview import db
from ingester.batch import Batch
from tests.bench.corpus import Corpus, many, path_of
from tests.bench.feeder import feeding
from tests.bench.measure import Figure
from tests.bench.rig import database, ingesting, know, prepared, settings
from tests.network.launch import Addresses, start_network
from tests.network.network import Network
from tests.network.records import TRACK, track

FRAMES = 1_500
PAUSE = 0.01
WRITES = 40
_SECONDS = 120


def run(say: Callable[[str], None]) -> list[Figure]:
    """Take both figures, in milliseconds; less is better."""
    corpus = many(say)
    with database() as url:
        say(f"{FRAMES:,} frames, {1 / PAUSE:,.0f} a second")
        with feeding(path_of("many"), 1, pause=PAUSE) as port:
            ours = asyncio.run(_ours(url, port, corpus))
        limit = asyncio.run(_single_rows(url))
        say(f"{WRITES} writes to a real PDS")
        with start_network(pds_ports=(0,)) as addresses:
            whole = asyncio.run(_end_to_end(url, addresses))
    return [
        _figure("write_to_visible_p50_ms", 50, ours, limit, whole),
        _figure("write_to_visible_p99_ms", 99, ours, limit, whole),
    ]


def _figure(name: str, percent: int, ours: list[float], limit: list[float], whole: list[float]) -> Figure:
    value, bare, all_of_it = (statistics.quantiles(times, n=100)[percent - 1] * 1_000 for times in (ours, limit, whole))
    return Figure(name, value, "ms", bare, all_of_it, "end to end, PDS included", value / bare, value / all_of_it)


async def _ours(url: str, port: int, corpus: Corpus) -> list[float]:
    connection = await db.connect(url)
    await prepared(connection, corpus)
    await connection.close()
    loop = asyncio.get_running_loop()
    times: list[float] = []
    done = asyncio.Event()

    def committed(batch: Batch) -> None:
        now = loop.time()
        times.extend(now - received for received in batch.received)
        if len(times) >= FRAMES:
            done.set()

    config = settings(PLYR_RELAY_URLS=f"ws://127.0.0.1:{port}")
    async with ingesting(config, url, lambda made: know(made, corpus.keys), live=True) as made:
        made.writer.on_commit.append(committed)
        await asyncio.wait_for(done.wait(), _SECONDS)
    return times


async def _single_rows(url: str) -> list[float]:
    connection = await db.connect(url)
    await connection.execute("create table if not exists limit_likes (like likes including all)")
    times = []
    for number in range(500):
        started = time.perf_counter()
        await connection.execute(
            "insert into limit_likes values ($1, 'did:web:a.test', 'at://b', now())", f"at://{number}"
        )
        times.append(time.perf_counter() - started)
    await connection.close()
    return times


async def _end_to_end(url: str, addresses: Addresses) -> list[float]:
    times = []
    connection = await db.connect(url)
    config = settings(PLYR_PLC_URL=addresses.plc, PLYR_RELAY_URLS=addresses.pds[0].url)
    async with Network.connect(addresses) as network, ingesting(config, url, _nothing, live=True):
        user = await network.create_account("writer")
        for number in range(WRITES):
            written = await user.create_record(TRACK, track(f"Song {number}"))
            started = time.perf_counter()
            async with asyncio.timeout(10):
                while not await connection.fetchval("select exists (select from tracks where uri = $1)", written.uri):
                    await asyncio.sleep(0.002)
            times.append(time.perf_counter() - started)
            await asyncio.sleep(0.05 * (number % 7))
    await connection.close()
    return times


def _nothing(_made: object) -> None:
    pass
