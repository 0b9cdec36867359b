"""A network of identities, a Redis of this worker's own, and worker processes over them."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis

from appview.db import Pool
from appview.embedded.redis import redis
from appview.index.documents import PostgresDocuments
from appview.index.rebuild import Makers
from appview.jobs.family import Tools
from tests.appview.jobs.workers import Workers
from tests.appview.net.world import World, identity_world
from tests.index_writer import NAMESPACE


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with identity_world() as here:
        yield here


@pytest.fixture
async def tools(world: World, pool: Pool) -> AsyncIterator[Tools]:
    identities = world.another_resolver(PostgresDocuments(pool))
    yield Tools(pool, identities, Makers.of(NAMESPACE), world.http)
    await identities.aclose()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="plyr-") as folder, redis(Path(folder)) as url:
        yield url


@pytest.fixture
def broker_url(redis_server: str) -> str:
    """The URL of an empty Redis."""
    with Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture
async def workers(
    world: World, pool: Pool, database_url: str, broker_url: str, tmp_path: Path
) -> AsyncIterator[Workers]:
    workers = Workers(world, pool, database_url, broker_url, tmp_path)
    yield workers
    await workers.stop()
