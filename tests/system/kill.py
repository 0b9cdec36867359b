"""`python -m tests.system.kill`: the ingester killed with work in flight, again and again; nothing is lost or invented.

Accounts write all the while, on the real PDSes of the test network, or with `--synthetic` on made-up ones, faster and
with every change that an account can go through. Each kill stops the process first (SIGSTOP), so that what it has open
at Postgres can be seen, and then it is gone (SIGKILL). In the end the oracle compares the tables with the hosts.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import asyncpg

from appview.embedded.postgres import postgres
from tests.database import serving
from tests.network.launch import start_network
from tests.network.network import Network
from tests.system.life import Life
from tests.system.load import Load
from tests.system.oracle import audit
from tests.system.settled import hurry, is_settled, left_to_do
from tests.system.synthetic import Directory, Pds
from tests.system.world import System, running

WRITER: Final = "plyr-ingester-writer"
EARLY: Final = 0.15
"""The share of kills that do not wait until the ingester takes anything in."""
SYNTHETIC_PAUSE: Final = 0.003
"""Seconds between two things that happen on the made-up network."""
CATCH_UP_SECONDS: Final = 120.0
SETTLE_SECONDS: Final = 8.0
"""After which what waits for a while is not waited for: a failure's back-off, a look at an account a minute later."""
HURRY_SECONDS: Final = 1.0


class Source(NamedTuple):
    """Where the writes come from: the hosts to compare with, and what writes for ever."""

    plc: str
    hosts: list[str]
    write: Callable[[], Coroutine[None, None, None]]
    heads: Callable[[], Coroutine[None, None, dict[str, int]]]
    """The newest seq of each host."""


@dataclass
class Toll:
    """What came of it."""

    kills: int = 0
    in_transaction: int = 0
    """Kills that left a transaction of the writer open."""
    early: int = 0
    messages: int = 0
    """Sent by the hosts in all."""
    differences: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        share = self.in_transaction / max(1, self.kills)
        return (
            f"{self.kills} kills, {self.in_transaction} of them ({share:.0%}) within an open transaction, {self.early} "
            f"during the start; {self.messages:,} messages; {len(self.differences)} differences"
        )


@asynccontextmanager
async def synthetic_source(rng: random.Random, accounts: int = 12) -> AsyncIterator[Source]:
    """Two made-up PDSes with a random life on them."""
    async with Directory() as directory, Pds(directory, "pds1") as one, Pds(directory, "pds2") as two:
        life = Life(rng, [one, two], accounts)

        async def write() -> None:
            while True:
                life.step()
                await asyncio.sleep(SYNTHETIC_PAUSE)

        async def heads() -> dict[str, int]:
            return {pds.url: pds.stream.head for pds in (one, two)}

        yield Source(directory.url, [one.url, two.url], write, heads)


@asynccontextmanager
async def real_source(network: Network, rng: random.Random, accounts: int = 6) -> AsyncIterator[Source]:
    """The real PDSes of a network, with accounts that write as fast as these let them."""
    load = await Load.of(network, rng, accounts)

    async def heads() -> dict[str, int]:
        return {pds.url: await pds.last_seq() for pds in network.pds}

    yield Source(network.addresses.plc, [pds.url for pds in network.pds], load.run, heads)


async def kill_often(system: System, source: Source, kills: int, rng: random.Random) -> Toll:
    """Kill the ingester `kills` times while `source` writes; the toll, once it has caught up."""
    toll = Toll()
    connection = await asyncpg.connect(system.database_url)
    writing = asyncio.create_task(source.write())
    try:
        for _ in range(kills):
            system.ingester.start()
            if rng.random() < EARLY:
                toll.early += 1
                await asyncio.sleep(rng.uniform(0.0, 1.0))
            else:
                await _taking_in(system, connection)
                await asyncio.sleep(rng.uniform(0.0, 0.5))
            assert not writing.done(), f"the writing ended: {writing}"
            toll.in_transaction += await _kill(system, connection)
            toll.kills += 1
    finally:
        writing.cancel()
        await asyncio.wait({writing})
        await connection.close()
    await _catch_up(system, source)
    toll.messages = sum((await source.heads()).values())
    toll.differences = await audit(source.plc, source.hosts, system.database_url)
    return toll


async def _taking_in(system: System, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Wait until a cursor has moved."""
    cursors = "select coalesce(sum(cursor), 0) from upstreams"
    before = await connection.fetchval(cursors)

    async def moved() -> bool:
        assert system.ingester.is_running, system.last_words()
        return bool(await connection.fetchval(cursors) != before)

    await system.until(moved, "the ingester takes in what is written")


async def _kill(system: System, connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    """Kill it; whether its writer had a transaction open."""
    system.ingester.freeze()
    is_open = await connection.fetchval(
        "select count(*) from pg_stat_activity where application_name = $1 and xact_start is not null"
        " and datname = current_database()",
        WRITER,
    )
    system.ingester.kill()
    return bool(is_open)


async def _catch_up(system: System, source: Source) -> None:
    heads = await source.heads()
    system.ingester.start()

    settled_by = time.monotonic() + SETTLE_SECONDS

    async def done() -> bool:
        if time.monotonic() > settled_by:
            await hurry(system.database_url)
            await asyncio.sleep(HURRY_SECONDS)
        return await is_settled(system.database_url, heads)

    try:
        await system.until(done, "catching up after the last kill", CATCH_UP_SECONDS)
    except AssertionError:
        connection = await asyncpg.connect(system.database_url)
        print("\n".join((await left_to_do(connection))[:20]), file=sys.stderr)
        await connection.close()
        raise
    await system.ingester.stop()


async def _run(url: str, folder: Path, *, kills: int, seed: int, synthetic: bool) -> Toll:
    rng = random.Random(seed)
    if synthetic:
        async with synthetic_source(rng) as source:
            return await _killed(url, folder, source, kills, rng)
    with start_network() as addresses:
        async with Network.connect(addresses) as network, real_source(network, rng) as source:
            return await _killed(url, folder, source, kills, rng)


async def _killed(url: str, folder: Path, source: Source, kills: int, rng: random.Random) -> Toll:
    async with running(folder, url, plc_url=source.plc, relay_urls=",".join(source.hosts)) as system:
        return await kill_often(system, source, kills, rng)


def main() -> int:
    """Kill as often as asked for; 1 when there is a difference in the end."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.system.kill",
        description="The ingester is killed (kill -9) again and again while accounts write; in the end its tables must "
        "be what the hosts' repositories and statuses say, by an oracle that shares no code with it.",
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--synthetic", action="store_true", help="on made-up PDSes instead of the test network's")
    options = parser.parse_args()
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="plyr-") as folder,
        postgres(Path(folder)) as server_url,
        serving(server_url) as server,
        server.database() as url,
    ):
        toll = asyncio.run(_run(url, Path(folder), kills=options.kills, seed=options.seed, synthetic=options.synthetic))
    print(f"{toll}; seed {options.seed}, {time.monotonic() - started:.0f} s")
    for line in toll.differences[:50]:
        print(line, file=sys.stderr)
    return 1 if toll.differences else 0


if __name__ == "__main__":
    sys.exit(main())
