"""Which database a command works on."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from appview import db
from appview.commands.database import database, migrated
from appview.config import Config
from appview.embedded.postgres import postgres
from tests.database import CARELESS, Server


@pytest.fixture
def data() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="plyr-") as folder:
        yield Path(folder) / "data"


def config(**settings: object) -> Config:
    return Config.load({f"PLYR_{name}": str(value) for name, value in settings.items()}, dotenv=None)


def test_the_given_one_goes_first(data: Path) -> None:
    with database(config(DATABASE_URL="postgresql://db/plyr", DATA_DIR=data)) as url:
        assert url == "postgresql://db/plyr"
    assert not data.exists()


def test_the_embedded_one_is_found_where_it_runs_and_goes_on(data: Path) -> None:
    with postgres(data, CARELESS) as running:
        with database(config(DATA_DIR=data)) as url:
            assert url == running
        assert asyncio.run(asked(running)) == 1


async def asked(url: str) -> object:
    connection = await db.connect(url)
    try:
        return await connection.fetchval("select 1")
    finally:
        await connection.close()


async def counted(url: str) -> object:
    async with migrated(url) as pool:
        return await pool.fetchval("select count(*) from records")


def test_a_pool_is_of_a_migrated_database(database_server: Server, database_url: str) -> None:
    assert asyncio.run(counted(database_url)) == 0
    behind = pytest.raises(db.MigrationError, match="run `python -m appview migrate`")
    with database_server.database(migrated=False) as empty, behind:
        asyncio.run(counted(empty))
