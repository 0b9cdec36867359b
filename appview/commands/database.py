"""The database that a command works on: the given one, or the embedded one, started for it where `up` does not run."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from appview import db
from appview.config import Config
from appview.embedded.postgres import postgres, running_url


@contextmanager
def database(config: Config) -> Iterator[str]:
    """The URL of the database while the block lasts. Raises ServiceError when the embedded one does not start.

    Call it from the main thread, outside the event loop: the embedded server's start blocks for up to a few seconds.
    """
    url = config.database_url or running_url(config.data_dir)
    if url is not None:
        yield url
        return
    with postgres(config.data_dir) as url:
        yield url


@asynccontextmanager
async def migrated(url: str, *, size: int = 4) -> AsyncIterator[db.Pool]:
    """A pool of connections to `url`, whose migrations are all applied. Raises DatabaseError."""
    pool = await db.create_pool(url, size=size)
    async with pool:
        async with pool.acquire() as connection:
            await db.require_migrated(connection)
        yield pool
