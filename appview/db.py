"""The database: connections and pools that speak jsonb as values, and the migrations that make the schema.

Every connection has time limits: for being made, for each answer, and for a transaction left idle. No query of ours is
meant to come near them; what does is a fault that must not hold a lock or a pool for ever.
"""

import hashlib
import re
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar
from urllib.parse import urlsplit

import asyncpg
import orjson

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
"""A connection of one's own, or one borrowed from a pool."""
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

MIGRATIONS: Final = Path(__file__).parents[1] / "migrations"

CONNECT_SECONDS: Final = 10.0
COMMAND_SECONDS: Final = 60.0
IDLE_TRANSACTION_SECONDS: Final = 60.0
_MIGRATION_SECONDS: Final = 86_400.0
# Any number will do that no other program takes in the same database.
_MIGRATION_LOCK: Final = 0x706C_7972_0001

_TABLE: Final = """
    create table if not exists schema_migrations (
        name text collate "C" primary key,
        checksum text not null,
        applied_at timestamptz not null default now()
    )
"""
AWAY: Final = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a rollback, asked of a connection that broke in the middle of a statement
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # the server stops, starts, or gave up on a statement
    asyncpg.InsufficientResourcesError,  # no disk, no memory, no connections
)
"""What is raised when the database is not there or breaks off, whatever was asked of it: it may be asked again."""

_is_migration = re.compile(r"[0-9]{4}_[a-z0-9_]+\.sql").fullmatch
_T = TypeVar("_T")


class DatabaseError(Exception):
    """The database cannot be used; the message is one sentence for the operator."""


class Unreachable(DatabaseError):
    """No connection could be made."""


class MigrationError(DatabaseError):
    """The migrations in the folder and those in the database do not go together, or one of them failed."""


class Migration(NamedTuple):
    """One file of the folder: its name without the ending, its SQL, and the SHA-256 of that, in hex."""

    name: str
    sql: str
    checksum: str


async def connect(
    url: str, *, command_seconds: float = COMMAND_SECONDS, read_only: bool = False
) -> "asyncpg.Connection[asyncpg.Record]":
    """One connection; a query of it may take `command_seconds`, and with `read_only` none can write.

    Raises Unreachable.
    """
    options = _options(command_seconds, read_only=read_only)
    connection: asyncpg.Connection[asyncpg.Record] = await _reached(url, asyncpg.connect(url, **options))
    await _speak_json(connection)
    return connection


async def create_pool(
    url: str,
    *,
    size: int = 10,
    command_seconds: float = COMMAND_SECONDS,
    read_only: bool = False,
    lazy: bool = False,
    tidy: bool = False,
) -> Pool:
    """A pool of at most `size` connections, of which one is made now, or with `lazy` none before it is asked for.

    With `read_only` no query can write. Then, and with `tidy`, none may change the settings of its session either, but
    for a transaction's time: nobody sets them back, which takes a round trip each time.

    Raises Unreachable.
    """
    options = _options(command_seconds, read_only=read_only)
    fewest = 0 if lazy else 1
    if read_only or tidy:
        options["reset"] = _leave
    return await _reached(url, asyncpg.create_pool(url, min_size=fewest, max_size=size, init=_speak_json, **options))


async def _leave(_connection: Connection) -> None:
    pass


def _options(command_seconds: float, *, read_only: bool) -> dict[str, Any]:
    return {
        "timeout": CONNECT_SECONDS,
        # The server gives up first and says why; ours is for a server that is gone.
        "command_timeout": command_seconds + 5,
        "server_settings": {
            "application_name": "plyr-appview",
            # A machine that went away without a word does not keep its locks for hours.
            "tcp_keepalives_idle": "30",
            "tcp_keepalives_interval": "10",
            "tcp_keepalives_count": "3",
            "statement_timeout": f"{command_seconds * 1000:.0f}",
            "idle_in_transaction_session_timeout": f"{IDLE_TRANSACTION_SECONDS * 1000:.0f}",
            "default_transaction_read_only": "on" if read_only else "off",
        },
    }


async def _reached(url: str, attempt: Awaitable[_T]) -> _T:
    try:
        return await attempt
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        # A TimeoutError has no text, and what has may be of several lines.
        said = str(error).strip().partition("\n")[0] or "no answer in time"
        raise Unreachable(f"the database {_named(url)} cannot be used: {said}") from None


def _named(url: str) -> str:
    """`url` as it may be shown: the host and the database, no user and no password."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or "of a local socket"
        return f"{host}{f':{parts.port}' if parts.port else ''}{parts.path}"
    except ValueError:
        return "of a URL that does not parse"


async def _speak_json(connection: Connection) -> None:
    # In its binary form a jsonb is its text behind a version, which has always been 1.
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: b"\x01" + orjson.dumps(value),
        decoder=lambda data: orjson.loads(memoryview(data)[1:]),
        format="binary",
    )


async def migrate(connection: Connection, folder: Path = MIGRATIONS) -> list[str]:
    """Apply what `folder` has and the database has not, in the order of the names, each in its own transaction.

    Returns the names that were applied. Several may do this at once: they wait for each other. Raises MigrationError
    when an applied file was changed or is gone, when a new one sorts before an applied one, or when its SQL fails.
    """
    migrations = _read(folder)
    done = []
    for migration in migrations:
        async with connection.transaction():
            await connection.execute("set local statement_timeout = 0", timeout=_MIGRATION_SECONDS)
            await connection.execute("select pg_advisory_xact_lock($1)", _MIGRATION_LOCK, timeout=_MIGRATION_SECONDS)
            await connection.execute(_TABLE)
            applied = await _applied(connection)
            _agree(migrations, applied)
            if migration.name not in applied:
                await _apply(connection, migration)
                done.append(migration.name)
    return done


async def require_migrated(connection: Connection, folder: Path = MIGRATIONS) -> None:
    """Raises MigrationError unless the database is as `folder` would make it."""
    migrations = _read(folder)
    applied = await _applied(connection)
    _agree(migrations, applied)
    if behind := [migration.name for migration in migrations if migration.name not in applied]:
        raise MigrationError(f"the database lacks the migration {behind[0]}: run `python -m appview migrate`")


def _read(folder: Path) -> Sequence[Migration]:
    files = sorted(folder.glob("*.sql"))
    if not files:
        raise MigrationError(f"there are no migrations in {folder}")
    if odd := [file.name for file in files if not _is_migration(file.name)]:
        raise MigrationError(f"the migration {odd[0]} is not named as 0001_some_words.sql")
    contents = ((file.stem, file.read_bytes()) for file in files)
    return [Migration(name, sql.decode(), hashlib.sha256(sql).hexdigest()) for name, sql in contents]


async def _applied(connection: Connection) -> dict[str, str]:
    """Name and checksum of what was applied, also where there is no table of it yet."""
    if await connection.fetchval("select to_regclass('schema_migrations')") is None:
        return {}
    rows = await connection.fetch("select name, checksum from schema_migrations order by name")
    return {row["name"]: row["checksum"] for row in rows}


def _agree(migrations: Sequence[Migration], applied: Mapping[str, str]) -> None:
    known = {migration.name: migration.checksum for migration in migrations}
    for name, checksum in applied.items():
        if name not in known:
            raise MigrationError(f"the database has the migration {name}, which this version does not know")
        if known[name] != checksum:
            raise MigrationError(f"the migration {name} was changed after it was applied; a new one must follow it")
    last = max(applied, default="")
    for name in sorted(known.keys() - applied.keys()):
        if name < last:
            raise MigrationError(f"the migration {name} comes before {last}, which is applied")


async def _apply(connection: Connection, migration: Migration) -> None:
    try:
        await connection.execute(migration.sql, timeout=_MIGRATION_SECONDS)
    except asyncpg.PostgresError as error:
        raise MigrationError(f"the migration {migration.name} failed: {error}") from error
    await connection.execute(
        "insert into schema_migrations (name, checksum) values ($1, $2)", migration.name, migration.checksum
    )
