"""`durable_commits`: frames from a socket, proven, and committed with their cursor. Feeder, ingester and Postgres share
the machine's cores.

The limit is Postgres taking the very rows that came of them by COPY, indexes and commit included. The peer is the plain
consumer that is often written: decode with the SDK, verify nothing, insert each record as it comes.
"""

import asyncio
import time
from collections.abc import Callable

import atproto
from atproto import CAR, parse_subscribe_repos_message
from atproto_firehose.models import Frame as SdkFrame

from appview import db
from ingester.batch import Batch
from tests.bench.corpus import Corpus, many, path_of
from tests.bench.feeder import feeding
from tests.bench.measure import Figure, interleaved
from tests.bench.rig import copied, database, ingesting, know, prepared, settings
from tests.bench.rig import run as run_loop

PEER_FRAMES = 1_500
ROUNDS = 3
_SECONDS = 120


def run(say: Callable[[str], None]) -> Figure:
    """Take the figure, in commits a second of the clock."""
    corpus = many(say)
    with database() as url, feeding(path_of("many"), 1) as port:
        return interleaved(
            "durable_commits",
            "commits/s",
            lambda: run_loop(_ours(url, port, corpus)),
            lambda: run_loop(copied(url, len(corpus.frames))),
            lambda: run_loop(_row_by_row(url, corpus)),
            "SDK, unverified, row by row",
            rounds=ROUNDS,
        )


async def _ours(url: str, port: int, corpus: Corpus) -> float:
    connection = await db.connect(url)
    last = await prepared(connection, corpus)
    loop = asyncio.get_running_loop()
    done: asyncio.Future[float] = loop.create_future()

    def committed(batch: Batch) -> None:
        if last in batch.cursors.values() and not done.done():
            done.set_result(time.perf_counter())

    async with ingesting(
        settings(PLYR_RELAY_URLS=f"ws://127.0.0.1:{port}"), url, lambda made: know(made, corpus.keys), live=True
    ) as made:
        made.writer.on_commit.append(committed)
        started = time.perf_counter()
        ended = await asyncio.wait_for(done, _SECONDS)
    records = await connection.fetchval("select count(*) from records")
    assert records > len(corpus.frames), records
    await connection.close()
    return len(corpus.frames) / (ended - started)


async def _row_by_row(url: str, corpus: Corpus) -> float:
    connection = await db.connect(url)
    await connection.execute("create table if not exists peer (uri text primary key, cid text, value jsonb)")
    await connection.execute("truncate peer")
    started = time.perf_counter()
    for frame in corpus.frames[:PEER_FRAMES]:
        message = parse_subscribe_repos_message(SdkFrame.from_bytes(frame))
        car = CAR.from_bytes(message.blocks)
        for op in message.ops:
            uri = f"at://{message.repo}/{op.path}"
            if op.cid is None:
                await connection.execute("delete from peer where uri = $1", uri)
                continue
            value = car.blocks.get(atproto.CID.decode(op.cid) if isinstance(op.cid, bytes) else op.cid)
            await connection.execute(
                "insert into peer values ($1, $2, $3) on conflict (uri) do update set cid = $2, value = $3",
                uri,
                str(op.cid),
                value,
            )
    seconds = time.perf_counter() - started
    await connection.close()
    return PEER_FRAMES / seconds
