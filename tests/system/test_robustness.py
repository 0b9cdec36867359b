"""Processes that stop, wait and take over; a database and a directory that are away for a while."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from appview.embedded.postgres import postgres
from tests.database import CARELESS
from tests.network import records
from tests.system.oracle import audit
from tests.system.settled import is_found, is_settled
from tests.system.stage import short_folder
from tests.system.synthetic import Account, Directory, Pds
from tests.system.world import System, running
from tests.writer.repo import Write, tid

FENCED = 3
"""The exit code of an ingester that another has taken over from."""


@pytest.fixture
async def directory() -> AsyncIterator[Directory]:
    async with Directory() as directory:
        yield directory


@pytest.fixture
async def pds(directory: Directory) -> AsyncIterator[Pds]:
    async with Pds(directory, "pds1") as pds:
        yield pds


@pytest.fixture
async def system(directory: Directory, pds: Pds, database_url: str, tmp_path: Path) -> AsyncIterator[System]:
    async with running(tmp_path, database_url, plc_url=directory.url, relay_urls=pds.url) as system:
        yield system


def release(account: Account, number: int) -> None:
    """Publish a track of that number."""
    path = f"{records.TRACK}/{tid(1_750_000_000_000_000 + number)}"
    account.write(Write("create", path, records.track(f"Song {number}")))


async def value(url: str, sql: str, *arguments: object) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval(sql, *arguments) or 0)
    finally:
        await connection.close()


async def followed(system: System, pds: Pds) -> None:
    """Wait until the ingester listens to the PDS, and its first account is in the index."""
    release(account := pds.create_account("first"), 0)

    async def is_heard() -> bool:
        release(account, len(account.repo.leaves))
        return await is_settled(system.database_url, {pds.url: pds.stream.head})

    await system.until(is_heard, "what is written is heard")


async def settled(system: System, pds: Pds, seconds: float = 60.0) -> None:
    head = {pds.url: pds.stream.head}
    await system.until(lambda: is_settled(system.database_url, head), f"the index is at {head}", seconds)


async def audited(system: System, directory: Directory, pds: Pds) -> list[str]:
    return await audit(directory.url, [pds.url], system.database_url)


async def test_it_stops_when_told_and_goes_on_where_it_stopped(system: System, directory: Directory, pds: Pds) -> None:
    system.ingester.start()
    await followed(system, pds)
    account = pds.create_account("busy")
    for number in range(300):
        release(account, number)
    started = time.monotonic()
    assert await system.ingester.stop() == 0
    assert time.monotonic() - started < 5
    cursor = await value(system.database_url, "select cursor from upstreams")
    assert await value(system.database_url, "select count(*) from records where did = $1", account.did) == sum(
        event_seq <= cursor for event_seq in pds.stream.seqs[-300:]
    )
    system.ingester.start()
    await settled(system, pds)
    assert await audited(system, directory, pds) == []


async def test_nothing_is_missed_of_a_quiet_host_while_it_is_away(
    system: System, directory: Directory, pds: Pds
) -> None:
    """It stopped before the first message came: it has no cursor, and yet knows all that was there."""
    release(account := pds.create_account("quiet"), 0)
    system.ingester.start()
    await system.until(lambda: is_found(system.database_url, 1), "what was there is here")
    assert await system.ingester.stop() == 0
    release(account, 1)
    system.ingester.start()

    async def is_here() -> bool:
        return await value(system.database_url, "select count(*) from tracks") == 2

    await system.until(is_here, "what was written meanwhile is here")
    assert await audited(system, directory, pds) == []


async def test_another_one_stands_by_and_takes_over(system: System, directory: Directory, pds: Pds) -> None:
    system.ingester.start()
    await followed(system, pds)
    standby = system.child("standby", "-m", "ingester", "run")
    standby.start()

    async def stands_by() -> bool:
        return "standing by" in standby.log.read_text()

    await system.until(stands_by, "the other one stands by")
    assert await value(system.database_url, "select epoch from shards") == 1
    release(account := pds.create_account("second"), 1)
    await settled(system, pds)
    system.ingester.kill()
    release(account, 2)
    await settled(system, pds)
    assert await value(system.database_url, "select epoch from shards") == 2
    assert standby.is_running
    assert await audited(system, directory, pds) == []


async def test_one_that_slept_while_another_took_over_writes_no_more(
    system: System, directory: Directory, pds: Pds
) -> None:
    system.ingester.start()
    await followed(system, pds)
    system.ingester.freeze()
    # As if Postgres had given the sleeper up: its lock goes with its connection.
    await value(
        system.database_url,
        "select count(pg_terminate_backend(pid)) from pg_stat_activity"
        " where application_name = 'plyr-ingester-writer' and datname = current_database()",
    )
    standby = system.child("standby", "-m", "ingester", "run")
    standby.start()
    release(pds.create_account("second"), 1)
    await settled(system, pds)
    system.ingester.thaw()
    assert await system.ingester.ended() == FENCED
    release(pds.create_account("third"), 1)
    await settled(system, pds)
    assert await audited(system, directory, pds) == []


async def test_postgres_goes_and_comes_back(directory: Directory, pds: Pds) -> None:
    with short_folder() as folder:
        with postgres(folder, CARELESS) as url:
            system = System(folder, url, plc_url=directory.url, relay_urls=pds.url)
            try:
                await system.command("appview", "migrate")
                system.ingester.start()
                await followed(system, pds)
            except BaseException:
                system.close()
                raise
        try:
            # Gone, while writing goes on.
            account = pds.create_account("undeterred")
            for number in range(50):
                release(account, number)
                await asyncio.sleep(0.02)
            with postgres(folder, CARELESS):
                if not system.ingester.is_running:  # whoever supervises it would
                    system.ingester.start()
                release(account, 50)
                await settled(system, pds)
                assert await audited(system, directory, pds) == []
        finally:
            system.close()


async def test_what_cannot_be_checked_waits_for_the_directory(system: System, directory: Directory, pds: Pds) -> None:
    system.ingester.start()
    await followed(system, pds)
    directory.down = True
    account = pds.create_account("unknown")
    for number in range(3):
        release(account, number)

    async def is_held() -> bool:
        return await value(system.database_url, "select count(*) from held_frames where did = $1", account.did) == 3

    await system.until(is_held, "its messages are kept")
    assert await value(system.database_url, "select count(*) from records where did = $1", account.did) == 0
    directory.down = False
    await settled(system, pds)
    assert await value(system.database_url, "select count(*) from tracks where did = $1", account.did) == 3
    assert await audited(system, directory, pds) == []
