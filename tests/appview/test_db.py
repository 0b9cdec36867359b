"""Connections and migrations, on the embedded Postgres and on a given one, the oldest that is promised to do."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from appview import db
from tests.database import Server, postgres_15, serving


@pytest.fixture(scope="module", params=["embedded", "given"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if request.param == "embedded":
        yield request.getfixturevalue("database_server")
        return
    with postgres_15() as url, serving(url) as server:
        yield server


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    """An empty database."""
    with server.database(migrated=False) as url:
        yield url


@pytest.fixture
async def connection(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await db.connect(url)
    yield connection
    await connection.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_one.sql").write_text("create table one (n integer); insert into one values (1);")
    (tmp_path / "0002_two.sql").write_text("create table two (n integer);")
    return tmp_path


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, True, "é🎵"]}, [], "text", 0, None, {"n": 2**53}])
async def test_jsonb_is_values(connection: db.Connection, value: object) -> None:
    assert await connection.fetchval("select $1::jsonb", value) == value
    assert await connection.fetchval("select array[$1::jsonb]", value) == [value]


async def test_a_pool_speaks_jsonb_too_and_lends_what_it_has(url: str) -> None:
    async with await db.create_pool(url, size=2) as pool:
        assert await pool.fetchval("select $1::jsonb", {"a": 1}) == {"a": 1}
        async with pool.acquire(), pool.acquire():
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(pool.acquire(), 0.05)


async def test_a_read_only_pool_writes_nothing(url: str, connection: db.Connection) -> None:
    await connection.execute("create table t (n integer)")
    async with await db.create_pool(url, size=1, read_only=True) as pool:
        assert await pool.fetchval("select count(*) from t") == 0
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await pool.execute("insert into t values (1)")


async def test_a_query_that_takes_too_long_is_ended_by_the_server(url: str) -> None:
    connection = await db.connect(url, command_seconds=0.1)
    try:
        with pytest.raises(asyncpg.QueryCanceledError, match="statement timeout"):
            await connection.execute("select pg_sleep(10)")
    finally:
        await connection.close()


async def test_times_are_aware_and_utc(connection: db.Connection) -> None:
    now = await connection.fetchval("select now()")
    assert now.utcoffset().total_seconds() == 0


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("postgresql://plyr:hush@127.0.0.1:1/plyr", "127.0.0.1:1/plyr cannot be used"),
        ("postgresql://plyr:hush@/plyr?host=/nowhere", "a local socket/plyr cannot be used"),
        ("postgresql://plyr:hush@127.0.0.1:1/plyr?sslmode=odd", "127.0.0.1:1/plyr cannot be used"),
    ],
)
async def test_no_connection_is_one_sentence_without_the_password(broken: str, said: str) -> None:
    for attempt in (db.connect(broken), db.create_pool(broken)):
        with pytest.raises(db.Unreachable) as refused:
            await attempt
        assert said in str(refused.value)
        assert "hush" not in str(refused.value)
        assert "\n" not in str(refused.value)


async def test_a_database_that_is_not_there_is_one_sentence(server: Server) -> None:
    with pytest.raises(db.Unreachable, match='database "nothing_here" does not exist'):
        await db.connect(server.at("nothing_here"))


async def test_the_schema_of_this_version(connection: db.Connection) -> None:
    names = sorted(file.stem for file in db.MIGRATIONS.glob("*.sql"))
    with pytest.raises(db.MigrationError, match=f"lacks the migration {names[0]}"):
        await db.require_migrated(connection)
    assert await db.migrate(connection) == names
    assert await db.migrate(connection) == []
    await db.require_migrated(connection)
    assert await connection.fetchval("select count(*) from records") == 0


async def test_migrations_apply_in_order_and_once(connection: db.Connection, folder: Path) -> None:
    assert await db.migrate(connection, folder) == ["0001_one", "0002_two"]
    (folder / "0003_three.sql").write_text("create table three as select n from one;")
    assert await db.migrate(connection, folder) == ["0003_three"]
    assert await connection.fetchval("select count(*) from one") == 1
    assert await connection.fetchval("select count(*) from three") == 1


async def test_a_changed_migration_is_an_error(connection: db.Connection, folder: Path) -> None:
    await db.migrate(connection, folder)
    (folder / "0001_one.sql").write_text("create table one (n bigint);")
    (folder / "0003_three.sql").write_text("create table three ();")
    with pytest.raises(db.MigrationError, match="0001_one was changed after it was applied"):
        await db.migrate(connection, folder)
    assert await connection.fetchval("select to_regclass('three')") is None


async def test_a_database_newer_than_this_version_is_an_error(connection: db.Connection, folder: Path) -> None:
    await db.migrate(connection, folder)
    (folder / "0002_two.sql").unlink()
    for attempt in (db.migrate, db.require_migrated):
        with pytest.raises(db.MigrationError, match="0002_two, which this version does not know"):
            await attempt(connection, folder)


async def test_a_migration_cannot_slip_in_before_an_applied_one(connection: db.Connection, folder: Path) -> None:
    await db.migrate(connection, folder)
    (folder / "0001_aaa.sql").write_text("create table aaa ();")
    with pytest.raises(db.MigrationError, match="0001_aaa comes before 0002_two"):
        await db.migrate(connection, folder)


async def test_what_fails_leaves_nothing_and_keeps_what_came_before(connection: db.Connection, folder: Path) -> None:
    (folder / "0002_two.sql").write_text("create table two (); create table one ();")
    with pytest.raises(db.MigrationError, match='0002_two failed: relation "one" already exists'):
        await db.migrate(connection, folder)
    assert await connection.fetchval("select to_regclass('two')") is None
    (folder / "0002_two.sql").write_text("create table two ();")
    assert await db.migrate(connection, folder) == ["0002_two"]


async def test_several_may_migrate_at_once(url: str, folder: Path) -> None:
    connections = [await db.connect(url) for _ in range(4)]
    try:
        done = await asyncio.gather(*(db.migrate(connection, folder) for connection in connections))
    finally:
        for connection in connections:
            await connection.close()
    assert sorted(name for names in done for name in names) == ["0001_one", "0002_two"]


@pytest.mark.parametrize(("name", "said"), [("one.sql", "one.sql is not named"), (None, "no migrations")])
async def test_a_folder_that_is_not_one_of_migrations(
    connection: db.Connection, tmp_path: Path, name: str | None, said: str
) -> None:
    if name:
        (tmp_path / name).write_text("")
    with pytest.raises(db.MigrationError, match=said):
        await db.migrate(connection, tmp_path)
