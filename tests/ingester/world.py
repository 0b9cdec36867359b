"""The ingester in this process, on a made-up network and a real database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from appview import db
from appview.config import Config
from appview.db import Connection
from ingester.engine import Engine, engine
from ingester.patience import PATIENCE, Patience
from tests.system.settled import left_to_do
from tests.system.synthetic import Account, Directory, Pds
from tests.writer.repo import Write, tid

SECONDS = 20
"""No wait in these tests is near this long unless something hangs."""


def config(directory: Directory, *hosts: Pds, **variables: str) -> Config:
    """The settings of an ingester that follows `hosts`."""
    return Config.load(
        {
            "PLYR_DEV": "1",
            "PLYR_PLC_URL": directory.url,
            "PLYR_RELAY_URLS": ",".join(host.url for host in hosts),
            "PLYR_HOST_RATE": "1000",
            **variables,
        },
        None,
    )


class World:
    """A directory, one PDS, a database, and an ingester that can be started and stopped."""

    def __init__(self, directory: Directory, pds: Pds, connection: Connection, url: str) -> None:
        self.directory = directory
        self.pds = pds
        self.connection = connection
        self.url = url

    @asynccontextmanager
    async def ingesting(
        self, *, live: bool = True, patience: Patience = PATIENCE, **variables: str
    ) -> AsyncIterator[Engine]:
        """The ingester at work; what it dies of is raised at the end of the block."""
        async with engine(config(self.directory, self.pds, **variables), self.url, patience=patience) as made:
            running = asyncio.create_task(made.run(live=live))
            try:
                yield made
                if not running.done():
                    await made.stop()
            finally:
                if running.done():
                    running.result()
                running.cancel()
                await asyncio.wait({running})

    async def settled(self, made: Engine) -> None:
        """Wait until all that the PDS has sent since it was followed is in, and nothing is left to be done."""
        await self.followed(made)
        stream = made.streams[self.pds.url]
        async with asyncio.timeout(SECONDS):
            while True:
                # What was sent before a stream is followed for the first time does not come by it.
                at_head = stream.cursor is None or stream.cursor >= self.pds.stream.head
                await made.writer.durable()
                is_known = self.pds.url not in made.discovery.sources or await self.connection.fetchval(
                    "select exists (select from discoveries where source = $1 and finished_at is not null)",
                    self.pds.url,
                )
                left = await left_to_do(self.connection)
                if at_head and is_known and all(line.endswith("not discovered") for line in left):
                    return
                await asyncio.sleep(0.01)

    async def until(self, sql: str) -> None:
        """Wait until a query answers true."""
        async with asyncio.timeout(SECONDS):
            while not await self.connection.fetchval(sql):
                await asyncio.sleep(0.01)

    async def followed(self, made: Engine) -> None:
        """Wait until the PDS is followed."""
        async with asyncio.timeout(SECONDS):
            while not self.pds.stream.subscribers or made.upstreams[0].state != "live":
                await asyncio.sleep(0.01)

    async def from_the_start(self) -> None:
        """Let the stream be followed from its first message on."""
        await self.connection.execute("insert into upstreams values ('0/1', $1, 0)", self.pds.url)

    async def value(self, sql: str, *arguments: object) -> Any:
        """One value of the database."""
        return await self.connection.fetchval(sql, *arguments)

    async def uris(self) -> set[str]:
        """The records that are there, tombstones left out."""
        return {row["uri"] for row in await self.connection.fetch("select uri from records where cid is not null")}


@asynccontextmanager
async def world(database_url: str) -> AsyncIterator[World]:
    """A world whose ingester is not started yet."""
    async with AsyncExitStack() as stack:
        directory = await stack.enter_async_context(Directory())
        pds = await stack.enter_async_context(Pds(directory, "pds1"))
        connection = await db.connect(database_url)
        stack.push_async_callback(connection.close)
        yield World(directory, pds, connection, database_url)


def track(title: str = "Song") -> dict[str, Any]:
    """A track that nothing is wrong with."""
    return {
        "$type": "fm.plyr.track",
        "title": title,
        "artist": "Artist",
        "fileType": "mp3",
        "audioUrl": "https://audio.example/1.mp3",
        "createdAt": "2025-06-01T12:00:00Z",
    }


def like(uri: str) -> dict[str, Any]:
    """A like of a track."""
    subject = {"uri": uri, "cid": "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm"}
    return {"$type": "fm.plyr.like", "subject": subject, "createdAt": "2025-06-01T12:00:00Z"}


def key(account: Account, number: int) -> str:
    """The record key number `number` of an account."""
    return tid(1_700_000_000_000_000 + number, len(account.did))


def create(account: Account, number: int, collection: str = "fm.plyr.track", **record: Any) -> Write:
    """The write of a new record."""
    return Write("create", f"{collection}/{key(account, number)}", record or track(f"Song {number}"))
