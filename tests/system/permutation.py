"""`python -m tests.system.permutation`: the same messages in any order, repeated, split: always the same tables.

A random life on a made-up network gives the messages. They are replayed through an upstream or two in the order they
were made, and then in others, into one shard or several; what a broken order tears is fetched from the made-up PDSes.
In-process, with the engine that `python -m ingester run` runs.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from appview.config import Config
from appview.db import Connection, connect
from appview.embedded.postgres import postgres
from ingester.engine import Engine, engine
from tests.database import CARELESS, serving
from tests.system.life import Life
from tests.system.oracle import audit
from tests.system.relay import Upstream
from tests.system.settled import left_to_do
from tests.system.snapshot import changes, empty, snapshot
from tests.system.synthetic import Directory, Pds
from tests.writer.captured import open_frame

ORDERS: Final = 3
"""Orders that each example is replayed in, beside the one in which it was made."""
SETTLE_SECONDS: Final = 60.0

Snapshot = dict[str, set[tuple[object, ...]]]


class Disagreement(AssertionError):
    """The tables are not the same, or not what they must be."""


async def check_example(seed: int, url: str, *, steps: int = 60, orders: int = ORDERS) -> int:
    """Live through a life and replay it; how many messages it had. Raises Disagreement, with the seed."""
    rng = random.Random(seed)
    async with Directory() as directory, Pds(directory, "pds1") as one, Pds(directory, "pds2") as two:
        life = Life(rng, [one, two], rng.randint(2, 5))
        for _ in range(steps):
            life.step()
        frames = [*one.stream.frames, *two.stream.frames]
        made = await replay(url, directory, [_in_order(one, two)], [one.url, two.url])
        for number in range(orders):
            shards = rng.choice((1, 1, 2, 3))
            found = await replay(url, directory, _another_order(rng, frames), shards=shards)
            if differences := changes(found, made):
                lines = "\n".join(differences[:20])
                case = f"seed {seed}, order {number}, {shards} shards"
                raise Disagreement(f"{case}: {len(differences)} rows differ:\n{lines}")
    return len(frames)


def _in_order(one: Pds, two: Pds) -> list[bytes]:
    """The messages of both as a relay would have them: by their own time."""
    frames = [*one.stream.frames, *two.stream.frames]
    return sorted(frames, key=lambda frame: str(open_frame(frame)[1]["time"]))


def _another_order(rng: random.Random, frames: Sequence[bytes]) -> list[list[bytes]]:
    """The same messages shuffled a little or wholly, some of them repeated, by one upstream or two."""
    order = list(frames)
    reach = rng.choice((2, 10, len(order)))
    order = [order[index] for index in sorted(range(len(order)), key=lambda index: index + rng.random() * reach)]
    order = [frame for frame in order for _ in range(rng.choice((1, 1, 1, 2)))]
    if rng.random() < 0.2:
        order.reverse()
    if rng.random() < 0.5:
        return [order]
    split: list[list[bytes]] = [[], []]
    for frame in order:
        split[rng.randrange(2)].append(frame)
    return split


async def replay(
    url: str, directory: Directory, orders: Sequence[Sequence[bytes]], hosts: Sequence[str] = (), shards: int = 1
) -> Snapshot:
    """The tables after `shards` engines took these messages into them, an upstream each; with `hosts`, the oracle
    agrees.
    """
    async with AsyncExitStack() as stack:
        upstreams = [await stack.enter_async_context(Upstream()) for _ in orders]
        connection = await connect(url)
        stack.push_async_callback(connection.close)
        await empty(connection)
        for upstream, order in zip(upstreams, orders, strict=True):
            for frame in order:
                upstream.send(frame)
            # From the first message on, where a new upstream would be followed from now on.
            await connection.execute(
                "insert into upstreams select number || '/' || $1::integer, $2, 0"
                " from generate_series(0, $1::integer - 1) as number",
                shards,
                upstream.url,
            )
        ingesters = []
        for number in range(shards):
            environment = _environment(url, directory, upstreams) | {"PLYR_SHARD": f"{number}/{shards}"}
            ingesters.append(await stack.enter_async_context(engine(Config.load(environment, dotenv=None), url)))
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(ingester.run()) for ingester in ingesters]
            left = await _settled(ingesters, connection, {upstream.url: upstream.stream.head for upstream in upstreams})
            for task in running:
                task.cancel()
        if left:
            raise Disagreement("it does not settle:\n" + "\n".join(left[:20]))
        if hosts and (differences := await audit(directory.url, hosts, url)):
            raise Disagreement("the oracle disagrees:\n" + "\n".join(differences[:20]))
        return await snapshot(connection)


async def _settled(ingesters: Sequence[Engine], connection: Connection, heads: Mapping[str, int]) -> list[str]:
    """Wait until everything up to these seqs was taken in and nothing is left to be done; what still is, at last."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        left = [
            f"shard {ingester.shard} is not at {head} of {url}"
            for ingester in ingesters
            for url, head in heads.items()
            if ingester.streams[url].cursor != head
        ]
        for ingester in ingesters:
            await ingester.writer.durable()
        left = left or await left_to_do(connection)
        if not left or time.monotonic() > deadline:
            return left
        await asyncio.sleep(0.005)


def _environment(url: str, directory: Directory, upstreams: Sequence[Upstream]) -> dict[str, str]:
    return {
        "PLYR_DEV": "1",
        "PLYR_DATABASE_URL": url,
        "PLYR_PLC_URL": directory.url,
        "PLYR_RELAY_URLS": ",".join(upstream.url for upstream in upstreams),
        "PLYR_HOST_RATE": "1000",
    }


def _run(first: int, count: int) -> int:
    started, messages = time.monotonic(), 0
    with (
        tempfile.TemporaryDirectory(prefix="plyr-") as folder,
        postgres(Path(folder), CARELESS) as url,
        serving(url) as server,
        server.database() as database,
    ):
        for done, seed in enumerate(range(first, first + count), start=1):
            try:
                messages += asyncio.run(check_example(seed, database))
            except Disagreement as disagreement:
                print(f"DISAGREEMENT at seed {seed}: {disagreement}", file=sys.stderr)
                return 1
            print(f"{done:>6,} examples, {messages:,} messages, {time.monotonic() - started:.0f} s", flush=True)
    return 0


def main() -> int:
    """Check as many examples as asked for; 1 at the first disagreement."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.system.permutation",
        description="Random lives on a made-up network, replayed in the order they were made and in others: repeated, "
        "shuffled, split between upstreams. The tables must be the same, and what the oracle says they must be.",
    )
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the first; the next ones follow")
    options = parser.parse_args()
    return _run(options.seed, options.examples)


if __name__ == "__main__":
    sys.exit(main())
