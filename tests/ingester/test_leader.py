"""Who leads a shard: one at a time, the next one soon, and never two divisions of the work at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from appview import db
from appview.db import Connection
from ingester.leader import Fenced, Leadership, leaders
from ingester.shard import Shard
from tests.ingester.world import SECONDS

ONE = Shard(0, 1)
SILENCE = 0.6


@asynccontextmanager
async def leading(url: str, shard: Shard = ONE) -> AsyncIterator[Leadership]:
    leadership = Leadership(url, shard, silence=SILENCE)
    try:
        async with asyncio.timeout(SECONDS):
            await leadership.take()
        yield leadership
    finally:
        await leadership.let_go()


@asynccontextmanager
async def speaking(leadership: Leadership) -> AsyncIterator[None]:
    """What a leader does that is well: it says so."""

    async def speak() -> None:
        while True:
            await leadership.connection.execute("update shards set status = '{}', status_at = clock_timestamp()")
            await asyncio.sleep(SILENCE / 10)

    voice = asyncio.create_task(speak())
    try:
        yield
    finally:
        voice.cancel()
        await asyncio.wait({voice})


async def in_line(url: str, shard: Shard = ONE) -> tuple[Leadership, "asyncio.Task[None]"]:
    """One that stands by."""
    waiting = Leadership(url, shard, silence=SILENCE)
    taking = asyncio.create_task(waiting.take())
    await asyncio.sleep(SILENCE)
    return waiting, taking


async def test_a_leader_that_speaks_is_left_alone(database_url: str) -> None:
    async with leading(database_url) as first, speaking(first):
        second, taking = await in_line(database_url)
        await asyncio.sleep(3 * SILENCE)
        assert not taking.done()
        taking.cancel()
        await second.let_go()


async def test_a_silent_one_is_relieved_and_fenced_off(database_url: str, connection: Connection) -> None:
    async with leading(database_url) as first:
        async with speaking(first):
            second, taking = await in_line(database_url)
        await asyncio.wait_for(taking, SECONDS)
        assert second.epoch == first.epoch + 1
        with pytest.raises(Fenced, match="another ingester holds shard 0/1"):
            await first.resume()
        async with connection.transaction():
            with pytest.raises(Fenced, match="taken over"):
                await first.fence(connection)
            await second.fence(connection)
        await second.let_go()


async def test_one_that_is_busy_is_not_silent(database_url: str) -> None:
    """It may take minutes to hide an account with a million records: nothing is said meanwhile."""
    async with leading(database_url) as first:
        async with speaking(first):
            second, taking = await in_line(database_url)
        await first.connection.execute("select pg_sleep($1)", 4 * SILENCE)
        assert not taking.done()
        taking.cancel()
        await second.let_go()


async def test_one_that_still_reads_what_there_is_has_longer(database_url: str) -> None:
    async with leading(database_url):
        second, taking = await in_line(database_url)
        await asyncio.sleep(3 * SILENCE)
        assert not taking.done()
        taking.cancel()
        await second.let_go()


async def test_shards_of_one_division_lead_side_by_side(database_url: str, connection: Connection) -> None:
    async with leading(database_url, Shard(0, 2)), leading(database_url, Shard(1, 2)):
        assert await leaders(connection) == [Shard(0, 2), Shard(1, 2)]


async def test_of_two_divisions_one_waits_for_the_other(database_url: str, connection: Connection) -> None:
    async with leading(database_url, ONE) as first, speaking(first):
        second, taking = await in_line(database_url, Shard(1, 2))
        assert not taking.done()
        await first.let_go()
        await asyncio.wait_for(taking, SECONDS)
        assert await leaders(connection) == [Shard(1, 2)]
        async with connection.transaction():
            with pytest.raises(Fenced):
                await first.fence(connection)
        await second.let_go()


async def test_a_new_division_begins_where_the_slowest_of_the_old_one_stood(database_url: str) -> None:
    connection = await db.connect(database_url)
    try:
        for shard in (Shard(0, 2), Shard(1, 2)):
            async with leading(database_url, shard):
                pass
        await connection.execute(
            "insert into upstreams values ('0/2', 'wss://a', 70), ('1/2', 'wss://a', 50),"
            " ('0/2', 'wss://b', 9), ('1/2', 'wss://c', null), ('0/2', 'wss://c', 3)"
        )
        for shard in (Shard(2, 3), Shard(0, 3), Shard(1, 3)):
            async with leading(database_url, shard):
                pass
            # What one of the new ones has done since is not undone by the next.
            await connection.execute("update upstreams set cursor = cursor + 1 where shard = '2/3'")
        rows = await connection.fetch("select shard, url, cursor from upstreams order by shard")
        assert [tuple(row) for row in rows] == [("0/3", "wss://a", 50), ("1/3", "wss://a", 50), ("2/3", "wss://a", 53)]
        assert [row["shard"] for row in await connection.fetch("select shard from shards order by shard")] == [
            "0/3",
            "1/3",
            "2/3",
        ]
    finally:
        await connection.close()
