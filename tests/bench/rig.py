"""A real database with its real settings, and the ingester on it, for the figures that end in durable rows."""

import asyncio
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appview import db
from appview.config import Config
from appview.db import Connection
from appview.embedded.postgres import postgres
from appview.keys import PublicKey
from ingester.engine import Engine, engine
from ingester.events import CommitEvent, parse_event
from ingester.garbage import look_seldom
from ingester.sync import Signer
from lexicons.frames import decode_frame
from tests.bench.corpus import Corpus

if TYPE_CHECKING:
    from asyncpg import Record

NOWHERE = "http://127.0.0.1:1"
FILLED = (
    "records",
    "tracks",
    "likes",
    "comments",
    "lists",
    "list_items",
    "follows",
    "repos",
    "subject_counts",
    "actor_counts",
)
OTHERS = ("actors", "totals", "upstreams", "discoveries", "jobs", "held_frames", "did_documents")


logging.getLogger("plyr").setLevel(logging.ERROR)


@contextmanager
def database() -> Iterator[str]:
    """The embedded Postgres, as `up` runs it, migrated."""
    with tempfile.TemporaryDirectory(prefix="plyr-") as folder, postgres(Path(folder)) as url:
        asyncio.run(_migrate(url))
        yield url


async def _migrate(url: str) -> None:
    connection = await db.connect(url)
    await db.migrate(connection)
    await connection.close()


def settings(**variables: str) -> Config:
    """The settings of a machine that speaks to loopback alone, with these variables."""
    return Config.load(
        {"PLYR_DEV": "1", "PLYR_RELAY_URLS": NOWHERE, "PLYR_PLC_URL": NOWHERE, "PLYR_DISCOVERY_URL": NOWHERE}
        | {"PLYR_HOST_RATE": "1000"}
        | variables,
        None,
    )


async def emptied(connection: Connection) -> None:
    """Empty every table that a round fills."""
    await connection.execute(f"truncate {', '.join(FILLED + OTHERS)}")


async def prepared(connection: Connection, corpus: Corpus) -> int:
    """Let the repositories of `corpus` be known up to where its frames begin; returns the last seq."""
    firsts: dict[str, CommitEvent] = {}
    seq = 0
    for frame in corpus.frames:
        event = parse_event(decode_frame(frame))
        assert isinstance(event, CommitEvent)
        firsts.setdefault(event.did, event)
        seq = event.seq
    await emptied(connection)
    await connection.executemany("insert into actors (did) values ($1)", [(did,) for did in firsts])
    await connection.executemany(
        """
        insert into repos (did, status, rev, data, reason, status_at)
        values ($1, 'synchronized', $2, $3, 'benchmark', now())
        """,
        [(did, event.since, event.prev_data) for did, event in firsts.items()],
    )
    return seq


def know(made: Engine, keys: Mapping[str, str]) -> None:
    """Let the ingester know these signing keys (Multikeys by DID), as one that has run for a while does."""
    made.signers.preset((did, Signer(PublicKey.from_multikey(key))) for did, key in keys.items())


@asynccontextmanager
async def ingesting(
    config: Config, url: str, prepare: Callable[[Engine], None], *, live: bool
) -> AsyncIterator[Engine]:
    """The ingester at work; what it dies of is raised at the end of the block."""
    async with engine(config, url) as made:
        prepare(made)
        look_seldom()
        running = asyncio.create_task(made.run(live=live))
        try:
            yield made
        finally:
            if running.done():
                running.result()
            running.cancel()
            await asyncio.wait({running})


async def copied(url: str, count: int) -> float:
    """How fast the rows that the last round left behind go by COPY into tables like theirs: `count` a second."""
    connection = await db.connect(url)
    rows: dict[str, list[Record]] = {}
    for table in FILLED:
        rows[table] = await connection.fetch(f"select * from {table}")
        await connection.execute(f"create table if not exists limit_{table} (like {table} including all)")
        await connection.execute(f"truncate limit_{table}")
    started = time.perf_counter()
    async with connection.transaction():
        for table, taken in rows.items():
            await connection.copy_records_to_table(f"limit_{table}", records=[tuple(row) for row in taken])
    seconds = time.perf_counter() - started
    await connection.close()
    return count / seconds


def run(work: Coroutine[Any, Any, float]) -> float:
    """Do `work` in a loop of its own."""
    return asyncio.run(work)
