"""A real Postgres for tests: one server for each worker, and in it a database of its own for every test that asks.

The server is the embedded one, or the one that PLYR_TEST_DATABASE_URL names, in which databases may be created.
"""

import asyncio
import itertools
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import asyncpg
import pytest

from appview import db
from appview.embedded.folder import give, servant
from appview.embedded.postgres import postgres
from appview.embedded.running import running
from appview.supervisor.service import Service, as_user

CARELESS: Final[Mapping[str, str]] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "64MB",
}
"""Settings of a server whose data nobody will miss."""

_T = TypeVar("_T")


class Server:
    """A Postgres whose databases are copies of one that is migrated."""

    def __init__(self, url: str) -> None:
        self.url: Final = url
        self._numbers: Final = itertools.count()
        # A loop of its own: fixtures need it before and after a test's loop runs.
        self._loop: Final = asyncio.new_event_loop()
        self._admin: Final = self._run(asyncpg.connect(url))
        self._template: Final = self._name()
        self._execute(f"create database {self._template} template template0 encoding 'UTF8'")
        self._run(_migrate(self.at(self._template)))

    def at(self, name: str) -> str:
        """The URL of the database `name`."""
        return urlsplit(self.url)._replace(path=f"/{name}").geturl()

    @contextmanager
    def database(self, *, migrated: bool = True) -> Iterator[str]:
        """The URL of a new database, which is gone after the block."""
        name = self._name()
        self._execute(f"create database {name} template {self._template if migrated else 'template0'}")
        try:
            yield self.at(name)
        finally:
            self._execute(f"drop database {name} with (force)")

    def close(self) -> None:
        self._execute(f"drop database {self._template}")
        self._run(self._admin.close())
        self._loop.close()

    def _name(self) -> str:
        return f"plyr_test_{os.getpid()}_{next(self._numbers)}"

    def _execute(self, sql: str) -> None:
        self._run(self._admin.execute(sql))

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self._loop.run_until_complete(work)


async def _migrate(url: str) -> None:
    connection = await db.connect(url)
    await db.migrate(connection)
    await connection.close()


@contextmanager
def serving(url: str) -> Iterator[Server]:
    """The server at `url`, with its template while the block lasts."""
    server = Server(url)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def postgres_15() -> Iterator[str]:
    """The URL of a server of Debian's PostgreSQL 15, as one that is given; the test skips where it is not installed."""
    programs = Path("/usr/lib/postgresql/15/bin")
    if not (programs / "postgres").exists():
        pytest.skip(f"the oldest Postgres that is promised to do is not here: there is no {programs}")
    with tempfile.TemporaryDirectory(prefix="plyr-") as name:
        folder, user = Path(name), servant(Path(name) / "data")
        give(folder, user)
        options = ("--username", "given", "--no-sync", "--auth=trust", "--pgdata", folder / "data")
        subprocess.run([programs / "initdb", *options], check=True, capture_output=True, cwd="/", **as_user(user))
        settings = {**CARELESS, "unix_socket_directories": str(folder), "listen_addresses": ""}
        service = Service(
            name="postgres 15",
            command=(
                *(str(programs / "postgres"), "-D", str(folder / "data")),
                *(f"--{name}={value}" for name, value in settings.items()),
            ),
            folder=folder,
            user=user,
            ready=lambda: _accepts(programs, folder),
            death=signal.SIGINT,
            stop=signal.SIGINT,
        )
        with running(service, folder / "log"):
            yield f"postgresql://given@/postgres?host={folder}"


def _accepts(programs: Path, folder: Path) -> bool:
    return subprocess.run([programs / "pg_isready", "-h", folder, "-q"], check=False).returncode == 0


@pytest.fixture(scope="session")
def database_server() -> Iterator[Server]:
    """The server of this worker."""
    if given := os.environ.get("PLYR_TEST_DATABASE_URL"):
        with serving(given) as server:
            yield server
        return
    # Not pytest's own folder, whose path is too long for a socket.
    with (
        tempfile.TemporaryDirectory(prefix="plyr-") as folder,
        postgres(Path(folder), CARELESS) as url,
        serving(url) as server,
    ):
        yield server


@pytest.fixture
def database_url(database_server: Server) -> Iterator[str]:
    """The URL of a database of this test's own, migrated and empty."""
    with database_server.database() as url:
        yield url


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection to this test's database."""
    connection = await db.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[db.Pool]:
    """A pool of connections to this test's database."""
    async with await db.create_pool(database_url, size=8) as pool:
        yield pool
