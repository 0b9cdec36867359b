"""The databases that are kept: one for each size, on one server in `.cache`, made once and brought up to date.

What is kept goes when its maker changes or after a month, since feeds ask for what is recent. A migration that only
adds is applied to what is there.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import asyncpg

from appview import db
from appview.embedded.postgres import postgres, running_url
from tests.bench.million.derived import derive
from tests.bench.million.filling import fill
from tests.bench.million.shape import Shape

Say = Callable[[str], None]

SIZES: Final = {"10k": 10_000, "100k": 100_000, "1m": 1_000_000}
FOLDER: Final = Path(__file__).parents[3] / ".cache" / "million"
_VERSION: Final = 1
_KEPT_DAYS: Final = 30
_DAY_MS: Final = 86_400_000
_HOURS: Final = 6 * 3600.0


@contextmanager
def server() -> Iterator[str]:
    """The URL of the server while the block lasts: one that another process runs, or one of our own."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    url = running_url(FOLDER)
    if url is not None:
        yield url
        return
    with postgres(FOLDER) as url:
        yield url


def database(url: str, size: str, say: Say) -> str:
    """The URL of the index of a size on the server at `url`, made or brought up to date if need be."""
    return asyncio.run(_database(url, size, say))


async def _database(url: str, size: str, say: Say) -> str:
    name = f"bench_{size}"
    admin = await asyncpg.connect(url)
    try:
        end_ms = await _end_of(admin, name)
        if end_ms is None or not await _bring_up(_at(url, name), end_ms, say):
            now_ms = int(time.time() * 1_000)
            shape = Shape(SIZES[size], now_ms // _DAY_MS * _DAY_MS)
            say(f"making an index of {shape.tracks:,} tracks, once ...")
            await _make(admin, url, name, shape, say)
    finally:
        await admin.close()
    return _at(url, name)


async def _end_of(admin: "asyncpg.Connection[asyncpg.Record]", name: str) -> int | None:
    """When the network in the database ends; None where there is none, an old one, or one by another maker."""
    said = await admin.fetchval(
        "select shobj_description(oid, 'pg_database') from pg_database where datname = $1", name
    )
    made: dict[str, int] = {} if said is None else json.loads(said)
    end_ms = made.get("end_ms", 0)
    is_young = time.time() * 1_000 - end_ms < _KEPT_DAYS * _DAY_MS
    return end_ms if is_young and made["version"] == _VERSION else None


async def _bring_up(url: str, end_ms: int, say: Say) -> bool:
    """Apply the migrations that are new, and derive what they added; False where they are no longer the same."""
    connection = await db.connect(url, command_seconds=_HOURS)
    try:
        for migration in await db.migrate(connection):
            say(f"{migration} is applied")
        await derive(connection, end_ms, say)
    except db.MigrationError as error:
        say(str(error))
        return False
    finally:
        await connection.close()
    return True


async def _make(admin: "asyncpg.Connection[asyncpg.Record]", url: str, name: str, shape: Shape, say: Say) -> None:
    """Under another name until it is whole."""
    await admin.execute(f"drop database if exists {name} with (force)")
    await admin.execute(f"drop database if exists {name}_new with (force)")
    await admin.execute(f"create database {name}_new template template0 encoding 'UTF8'")
    connection = await db.connect(_at(url, f"{name}_new"))
    await db.migrate(connection)
    await connection.close()
    refs = FOLDER / f"{name}.refs"
    started = time.monotonic()
    await fill(_at(url, f"{name}_new"), shape, refs, lambda text: say(f"{time.monotonic() - started:5.0f} s  {text}"))
    refs.unlink()
    connection = await db.connect(_at(url, f"{name}_new"), command_seconds=_HOURS)
    await derive(connection, shape.end_ms, say)
    await connection.execute("checkpoint")
    await connection.close()
    await admin.execute(f"alter database {name}_new rename to {name}")
    said = json.dumps({"version": _VERSION, "end_ms": shape.end_ms})
    await admin.execute(f"comment on database {name} is '{said}'")


def _at(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()
