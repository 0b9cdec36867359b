"""Worker processes as they are run, with real Redis and Postgres: no job is lost, whatever is."""

import asyncio
import subprocess
import sys

import pytest
from redis import Redis

from appview.config import Config
from appview.jobs.broker import create_broker
from appview.jobs.rows import want
from tests.appview.jobs.workers import Workers
from tests.appview.net.world import ALICE, BOB, document

DISPATCHERS = """
    select count(*) from pg_locks
    where locktype = 'advisory' and granted
        and database = (select oid from pg_database where datname = current_database())
"""


async def wanted(workers: Workers, *dids: str) -> None:
    async with workers.pool.acquire() as connection:
        await want(connection, "identity", dids)


class Gate:
    """A directory that answers when it is let."""

    def __init__(self, did: str) -> None:
        self.did = did
        self.asked = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self) -> bytes:
        self.asked.set()
        await self.open.wait()
        return document(self.did)


async def test_the_worker_of_the_procfile(workers: Workers) -> None:
    workers.publish(ALICE, "alice.test")
    await wanted(workers, ALICE)
    workers.start("appview.jobs", processes=2)
    await workers.until(workers.no_jobs)
    workers.publish(BOB, "bob.test")
    await wanted(workers, BOB)
    await workers.until(workers.no_jobs)
    assert await workers.handles() == {ALICE: "alice.test", BOB: "bob.test"}
    assert await workers.pool.fetchval(DISPATCHERS) == 1
    assert await workers.stop() == [0]
    assert await workers.pool.fetchval("select array_agg(did order by did) from did_documents") == [BOB, ALICE]


async def test_redis_is_emptied(workers: Workers) -> None:
    gate = Gate(ALICE)
    dids = [f"did:plc:{'a' * 22}{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(30)]
    for n, did in enumerate(dids):
        workers.publish(did, f"n{n}.test")
    workers.publish(ALICE, "alice.test", gate)
    await wanted(workers, ALICE)
    workers.start(threads=1)
    await asyncio.wait_for(gate.asked.wait(), 60)
    await wanted(workers, *dids)
    with Redis.from_url(workers.broker_url) as client:

        async def waiting() -> bool:
            return int(client.llen("dramatiq:jobs")) >= 4

        await workers.until(waiting)
        client.flushall()
    gate.open.set()
    await workers.until(workers.no_jobs)
    assert len(await workers.handles()) == 31


async def test_a_worker_is_killed_amid_a_job(workers: Workers) -> None:
    gate = Gate(ALICE)
    workers.publish(ALICE, "alice.test", gate)
    await wanted(workers, ALICE)
    workers.start()
    await asyncio.wait_for(gate.asked.wait(), 60)
    workers.kill()
    gate.open.set()
    assert not await workers.no_jobs()
    workers.publish(ALICE, "alice.test")
    workers.start()
    await workers.until(workers.no_jobs)
    assert await workers.handles() == {ALICE: "alice.test"}


async def test_a_worker_is_stopped_amid_a_job(workers: Workers) -> None:
    gate = Gate(ALICE)
    workers.publish(ALICE, "alice.test", gate)
    await wanted(workers, ALICE)
    workers.start("appview.jobs")
    await asyncio.wait_for(gate.asked.wait(), 60)
    assert await workers.stop() == [0]
    gate.open.set()
    row = await workers.pool.fetchrow("select error, leased, due_at <= now() from jobs where kind = 'identity'")
    assert tuple(row or ()) == ("the worker was stopped", False, True)
    assert "Traceback" not in workers.said()


async def test_messages_come_twice(workers: Workers) -> None:
    workers.publish(ALICE, "alice.test")
    broker = create_broker(Config.load(workers.environment, dotenv=None))
    for _ in range(5):
        broker.get_actor("refresh_identity").send(ALICE)
    await wanted(workers, ALICE)
    workers.start(threads=1)
    await workers.until(workers.no_jobs)
    with Redis.from_url(workers.broker_url) as client:

        async def emptied() -> bool:
            return not client.hlen("dramatiq:jobs.msgs")

        await workers.until(emptied)
    assert workers.asked(ALICE) == 1
    broker.close()


async def test_what_is_wanted_meanwhile_is_done_again(workers: Workers) -> None:
    gate = Gate(ALICE)
    workers.publish(ALICE, "alice.test", gate)
    await wanted(workers, ALICE)
    workers.start("appview.jobs")
    await asyncio.wait_for(gate.asked.wait(), 60)
    await wanted(workers, ALICE)
    gate.open.set()
    await workers.until(workers.no_jobs)
    assert workers.asked(ALICE) == 2


async def test_the_database_goes_away_for_a_while(workers: Workers) -> None:
    workers.publish(ALICE, "alice.test")
    workers.start()

    async def dispatching() -> bool:
        return bool(await workers.pool.fetchval(DISPATCHERS) == 1)

    await workers.until(dispatching)
    await workers.pool.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )
    await wanted(workers, ALICE)
    await workers.until(workers.no_jobs)
    assert await workers.handles() == {ALICE: "alice.test"}


@pytest.mark.parametrize("missing", ["PLYR_DATABASE_URL", "PLYR_REDIS_URL"])
async def test_what_is_not_set_is_named(workers: Workers, missing: str) -> None:
    del workers.environment[missing]
    workers.start("appview.jobs")
    assert await workers.ended() == [1]
    assert f"worker: {missing} is not set" in workers.said()


def test_rows_need_no_broker() -> None:
    checks = "import sys, appview.jobs.rows; sys.exit('dramatiq' in sys.modules or 'redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", checks], check=False).returncode == 0
