"""What is pending is settled soon, by a job that comes back by itself, and is nothing where nothing is pending."""

import asyncio
from datetime import UTC, datetime, timedelta

from appview.db import Connection, Pool
from appview.index.pending import ALL, OwnWrite, show
from appview.jobs.family import Tools, perform
from appview.jobs.pending import PENDING, want_settling
from appview.jobs.rows import take, want
from lexicons.data import CID, encode
from tests.appview.index.filled import MAKERS
from tests.appview.index.samples import did, record
from tests.appview.jobs.workers import Workers
from tests.index_writer import rkey

ALICE = did(1)


def own_write() -> OwnWrite:
    block = encode(record("fm.plyr.track"))
    uri = f"at://{ALICE}/fm.plyr.track/{rkey(1)}"
    return OwnWrite(uri, ALICE, "fm.plyr.track", rkey(1), rkey(0), CID.of(block), block)


async def passed_by(connection: Connection) -> None:
    """The chain has come to where the write should have been."""
    await connection.execute("update repos set status = 'synchronized', rev = $1", rkey(0))


async def due(connection: Connection) -> tuple[float, int, int] | None:
    """Seconds until the job is due, its attempts, and how often it was wanted; None where there is none."""
    found = await connection.fetchrow(
        "select extract(epoch from due_at - now())::float8, attempts, wanted::integer from jobs where kind = 'pending'"
    )
    return None if found is None else tuple(found)


async def test_it_comes_back_until_nothing_is_pending(tools: Tools, pool: Pool, connection: Connection) -> None:
    await show(pool, MAKERS, [own_write()], datetime.now(UTC))
    for _ in range(3):
        await connection.execute("update jobs set due_at = now()")
        await take(connection, PENDING.kind, 1)
        await perform(tools, PENDING, ALL)
        seconds, attempts, _ = await due(connection) or (0.0, 0, 0)
        assert 0.5 < seconds <= 1.0
        assert attempts == 0, "nothing has failed"
    await passed_by(connection)
    await take(connection, PENDING.kind, 1)
    await perform(tools, PENDING, ALL)
    assert await due(connection) is None
    assert await connection.fetchval("select count(*) from records") == 0


async def test_what_is_old_is_looked_at_each_minute(tools: Tools, pool: Pool, connection: Connection) -> None:
    await want_settling(connection)
    assert await due(connection) is None
    await show(pool, MAKERS, [own_write()], datetime.now(UTC) - timedelta(seconds=200))
    await perform(tools, PENDING, ALL)
    assert await due(connection) is None
    await want_settling(connection)
    assert await due(connection) is not None


async def test_another_subject_is_of_another_version(tools: Tools, connection: Connection) -> None:
    await want(connection, PENDING.kind, ["did:plc:alice"])
    await perform(tools, PENDING, "did:plc:alice")
    assert await due(connection) is None


async def test_a_worker_does_it(workers: Workers, pool: Pool, connection: Connection) -> None:
    workers.start("appview.jobs")
    await show(pool, MAKERS, [own_write()], datetime.now(UTC))
    await asyncio.sleep(1.5)
    await passed_by(connection)

    async def is_settled() -> bool:
        return not await connection.fetchval("select exists (select from pending)")

    await workers.until(is_settled)
    assert "Traceback" not in workers.said()
