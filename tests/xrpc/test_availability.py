import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import asyncpg
import pytest

from appview.db import Pool, create_pool
from appview.embedded.postgres import postgres
from tests.database import CARELESS
from xrpc.availability import is_away, within
from xrpc.errors import Unavailable


async def read(pool: Pool) -> int | None:
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        answer: int | None = await connection.fetchval("select 1")
        return answer


async def failing(error: Exception) -> None:
    raise error


async def test_a_database_that_takes_too_long_is_unavailable_and_its_pool_stays_whole(pool: Pool) -> None:
    with pytest.raises(Unavailable, match="in time"):
        await within(0.2, pool.execute("select pg_sleep(30)"))
    assert await within(10, read(pool)) == 1


@contextmanager
def silent(processes: list[int]) -> Iterator[None]:
    """These neither answer nor close a connection."""
    for process in processes:
        os.kill(process, SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, SIGCONT)


async def test_a_silent_server_is_not_waited_for() -> None:
    with tempfile.TemporaryDirectory(prefix="plyr-") as folder, postgres(Path(folder), CARELESS) as url:
        async with await create_pool(url, lazy=True) as pool:
            backends = await pool.fetch("select pid from pg_stat_activity where backend_type = 'client backend'")
            postmaster = (Path(folder) / "postgres" / "postmaster.pid").read_text().split()[0]
            with silent([int(postmaster), *(backend["pid"] for backend in backends)]):
                for _ in range(3):
                    began = time.monotonic()
                    with pytest.raises(Unavailable):
                        await within(0.5, read(pool))
                    # asyncpg alone would take the 10 s that a connection may take, so as to cancel what it asked.
                    assert time.monotonic() - began < 5
            assert await within(30, read(pool)) == 1


async def test_who_stops_waiting_stops_the_work() -> None:
    began, stopped = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    waiting = asyncio.create_task(within(60, work()))
    await began.wait()
    waiting.cancel()
    await asyncio.wait_for(stopped.wait(), 10)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        FileNotFoundError(),
        TimeoutError(),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.ConnectionDoesNotExistError(),
        asyncpg.CannotConnectNowError(),
        asyncpg.AdminShutdownError(),
        asyncpg.QueryCanceledError(),
        asyncpg.TooManyConnectionsError(),
        asyncpg.InvalidPasswordError(),
        asyncpg.InvalidCatalogNameError(),
        asyncpg.SerializationError(),
    ],
)
async def test_away(error: Exception) -> None:
    assert is_away(error)
    with pytest.raises(Unavailable):
        await within(1, failing(error))


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.UndefinedTableError(),
        asyncpg.UndefinedColumnError(),
        asyncpg.PostgresSyntaxError(),
        asyncpg.ReadOnlySQLTransactionError(),
        asyncpg.CharacterNotInRepertoireError(),
        asyncpg.DivisionByZeroError(),
        asyncpg.exceptions.DataError(),
    ],
)
async def test_wrong(error: Exception) -> None:
    """A fault of ours must be seen as one, and not as a database that will come back."""
    assert not is_away(error)
    with pytest.raises(type(error)):
        await within(1, failing(error))


async def test_what_is_none_of_the_databases_passes() -> None:
    with pytest.raises(KeyError):
        await within(1, failing(KeyError()))
