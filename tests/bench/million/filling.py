"""A database filled with a network of a given shape: rows first, in one transaction, then indexes, then counts.

Several processes make the rows, and this one copies them, so that all of a machine with two cores is at work. Under
wal_level=minimal nothing of it is written twice, and nothing has to be vacuumed.
"""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Final, TypeVar

from appview import db
from appview.db import Connection
from tests.bench.million import making
from tests.bench.million.counting import count
from tests.bench.million.making import Network, Piece
from tests.bench.million.shape import Shape
from tests.bench.million.tables import COLUMNS

Say = Callable[[str], None]
_T = TypeVar("_T")

TABLES: Final = (
    *("actors", "repos", "did_documents", "records", "tracks", "likes", "comments", "lists", "list_items"),
    *("profiles", "bsky_profiles", "follows"),
)
WORKERS: Final = 2
_AHEAD: Final = 2 * WORKERS
_HOURS: Final = 6 * 3600.0
_CHUNK: Final = 2_000

_here: list[Network] = []
"""What this process works on."""


async def fill(url: str, shape: Shape, refs_path: Path, say: Say) -> None:
    """Fill the database at `url`, which is migrated and empty; `refs_path` is a file that may be written meanwhile."""
    connection = await db.connect(url, command_seconds=_HOURS)
    # Other than the server's, which are made for many small questions.
    await connection.execute(
        "set maintenance_work_mem = '1GB'; set work_mem = '512MB'; set synchronous_commit = off;"
        " set idle_in_transaction_session_timeout = 0"
    )
    indexes = await _drop_indexes(connection)
    with _workers(Network(shape, refs_path)) as workers:
        async with connection.transaction():
            await connection.execute(f"truncate {', '.join(TABLES)}")
            await _copy_all(connection, workers, shape, refs_path, say)
    for number, (name, command) in enumerate(indexes, 1):
        say(f"index {number} of {len(indexes)}: {name}")
        await connection.execute(command)
    say("counting ...")
    await count(connection)
    await connection.execute("analyze")
    await connection.close()


async def _drop_indexes(connection: Connection) -> list[tuple[str, str]]:
    """Drop all indexes of what is to be filled; the name of each, and the command that makes it again."""
    constraints = await connection.fetch(
        """
        select conrelid::regclass::text as held, conname, pg_get_constraintdef(oid) as definition from pg_constraint
        where contype in ('p', 'u') and conrelid = any($1::text[]::regclass[]) order by 1, 2
        """,
        TABLES,
    )
    again = []
    for held, name, definition in constraints:
        await connection.execute(f"alter table {held} drop constraint {name}")
        again.append((name, f"alter table {held} add constraint {name} {definition}"))
    others = await connection.fetch(
        """
        select indexrelid::regclass::text, pg_get_indexdef(indexrelid) from pg_index
        where indrelid = any($1::text[]::regclass[]) order by 1
        """,
        TABLES,
    )
    for name, definition in others:
        await connection.execute(f"drop index {name}")
        again.append((name, definition))
    return again


async def _copy_all(
    connection: Connection, workers: ProcessPoolExecutor, shape: Shape, refs_path: Path, say: Say
) -> None:
    for piece in _in_order(workers, making.accounts, _ranges(shape.accounts)):
        await _copy(connection, piece)
    say(f"{shape.accounts:,} accounts")
    with refs_path.open("wb") as file:
        for piece in _in_order(workers, making.tracks, _ranges(shape.tracks)):
            await _copy(connection, piece)
            file.write(piece.rest)
    say(f"{shape.tracks:,} tracks")
    for job, total in (
        (making.comments, shape.comments),
        (making.lists, shape.lists),
        (making.follows, shape.accounts),
    ):
        for piece in _in_order(workers, job, _ranges(total)):
            await _copy(connection, piece)
        say(f"all {job.__name__}")
    buckets = [bytearray() for _ in range(shape.buckets)]
    for parts in _in_order(workers, making.likes_in_buckets, _ranges(shape.accounts)):
        for bucket, part in zip(buckets, parts, strict=True):
            bucket.extend(part)
    say(f"{shape.likes:,} likes ...")
    for done, piece in enumerate(_in_order(workers, making.likes, ((bytes(bucket),) for bucket in buckets)), 1):
        await _copy(connection, piece)
        if done % 40 == 0:
            say(f"{done / len(buckets):.0%} of the likes")


def _ranges(total: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + _CHUNK, total)) for start in range(0, total, _CHUNK))


def _in_order(
    workers: ProcessPoolExecutor, job: Callable[..., _T], arguments: Iterable[tuple[object, ...]]
) -> Iterator[_T]:
    """What `job` makes of each, in their order, and never more than a few ahead of who takes it."""
    waiting: deque[Future[_T]] = deque()
    for each in arguments:
        waiting.append(workers.submit(_work, job, *each))
        if len(waiting) > _AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


async def _copy(connection: Connection, piece: Piece) -> None:
    for table, data in piece.rows.items():
        await connection.copy_to_table(
            table, source=BytesIO(data), columns=COLUMNS[table].names, format="binary", freeze=True, timeout=_HOURS
        )


@contextmanager
def _workers(network: Network) -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, context, initializer=_begin, initargs=(network,)) as workers:
        yield workers


def _begin(network: Network) -> None:
    _here.append(network)


def _work(job: Callable[..., _T], *arguments: object) -> _T:
    return job(_here[0], *arguments)
