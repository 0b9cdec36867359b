"""Who waits for whom before writing the index."""

import asyncio

import pytest

from appview import db
from appview.index.lock import index_lock


async def waits(attempt: "asyncio.Task[None]") -> bool:
    done, _ = await asyncio.wait([attempt], timeout=0.1)
    return not done


async def locked(pool: db.Pool) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await index_lock(connection)


async def test_commands_exclude_each_other_before_there_is_a_shard(pool: db.Pool) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await index_lock(connection)
        other = asyncio.create_task(locked(pool))
        assert await waits(other)
    await other


async def test_a_command_waits_for_every_ingester(pool: db.Pool) -> None:
    await pool.execute("insert into shards (shard) values ('0/2'), ('1/2')")
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("select epoch from shards where shard = '1/2' for update")
        command = asyncio.create_task(locked(pool))
        assert await waits(command)
    await command


async def test_an_ingester_waits_for_a_command(pool: db.Pool) -> None:
    await pool.execute("insert into shards (shard) values ('0/1')")

    async def write() -> None:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("select epoch from shards where shard = '0/1' for update")

    async with pool.acquire() as connection, connection.transaction():
        await index_lock(connection)
        writer = asyncio.create_task(write())
        assert await waits(writer)
    await writer


async def test_the_lock_needs_a_transaction(pool: db.Pool) -> None:
    async with pool.acquire() as connection:
        with pytest.raises(RuntimeError, match="outside a transaction"):
            await index_lock(connection)
