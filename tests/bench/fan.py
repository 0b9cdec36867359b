"""`fan`: the account that likes a hundred thousand tracks is deactivated, and comes back, while others read and write.

Four callers ask for tracks and for likes of the hits; a writer commits five likes at a time, under the lock that every
writer takes. Both are measured before, and while the counts follow the account in the ingester's steps. In the end what
the writer wrote is purged. Exits with 1 where a count is not exact then.
"""

import asyncio
import itertools
import statistics
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final, NamedTuple

from appview import db
from appview.db import Connection
from appview.index import actors, shift
from appview.index.apply import Change, apply
from appview.index.lock import index_lock
from appview.index.recount import differences
from appview.index.tolerance import Judge
from lexicons.data import CID, encode
from lexicons.formats import tid_from_time_us
from tests.bench import questions
from tests.bench.load import Ask, Load, load
from tests.bench.million.cached import database, server
from tests.bench.million.tables import NAMESPACE, TYPES
from tests.bench.million.times import written
from tests.bench.serving import serving

Say = Callable[[str], None]

CALLERS: Final = 4
SECONDS: Final = 20.0
"""Before; while the account turns, for as long as that takes at least."""
LIKES: Final = 5
_REST: Final = 0.02
_WRITER: Final = "did:plc:writerwriterwriterwriter"
_HOUR: Final = 3600.0
_judge: Final = Judge(NAMESPACE)
_numbers: Final = itertools.count()


class Met(NamedTuple):
    """What the callers met with, and the seconds that each commit took."""

    reads: Load
    commits: Sequence[float]

    def __str__(self) -> str:
        reads = (
            f"{self.reads.percentile(50):.1f} p99 {self.reads.percentile(99):.1f} ms, {self.reads.rate:,.0f} a second"
        )
        p50, p99 = (
            statistics.quantiles(self.commits, n=100, method="inclusive")[percent - 1] * 1_000 for percent in (50, 99)
        )
        return f"reads p50 {reads}; commits p50 {p50:.1f} p99 {p99:.1f} max {max(self.commits) * 1_000:.1f} ms"


def run(say: Say, size: str = "1m") -> int:
    """Turn the fan, print what others met with meanwhile, and say by the exit code whether the counts are exact."""
    with server() as root:
        url = database(root, size, say)
        with serving(url) as origin:
            return asyncio.run(_measure(say, url, origin))


async def _measure(say: Say, url: str, origin: str) -> int:
    connection = await db.connect(url, command_seconds=_HOUR)
    found = await questions.sample(connection)
    fan = await connection.fetchval("select did from actor_counts order by likes desc, did limit 1")
    asks = [*questions.tracks(found), *await questions.likes(connection, found.hits, 1)]
    try:
        print(f"before: {await _met(url, origin, asks, found.tracks, asyncio.sleep(SECONDS))}")
        for active in (False, True):
            met = await _met(url, origin, asks, found.tracks, _turn(connection, fan, active=active))
            print(f"{'shown' if active else 'hidden'}: {met}")
    finally:
        await _purge(connection)
    say("counting anew ...")
    off = await differences(connection)
    await connection.close()
    print("\n".join(map(str, off[:10])) or "every count is exact")
    return 1 if off else 0


async def _met(
    url: str, origin: str, asks: Sequence[Ask], subjects: Sequence[str], meanwhile: Coroutine[None, None, None]
) -> Met:
    """What callers and a writer meet with for SECONDS, from when `meanwhile` begins."""
    async with _writing(url, subjects) as commits:
        turning = asyncio.create_task(meanwhile)
        reads = await asyncio.to_thread(load, origin, asks, seconds=SECONDS, callers=CALLERS)
    await turning
    return Met(reads, commits)


@asynccontextmanager
async def _writing(url: str, subjects: Sequence[str]) -> AsyncIterator[list[float]]:
    """An account likes one after the other while the block lasts; the seconds that each of its commits took."""
    connection = await db.connect(url)
    commits: list[float] = []

    async def write() -> None:
        endless = itertools.cycle(subjects)
        while True:
            changes = [_like(subject) for subject in itertools.islice(endless, LIKES)]
            began = time.perf_counter()
            async with connection.transaction():
                await index_lock(connection)
                await actors.see(connection, [_WRITER])
                await apply(connection, TYPES, changes, datetime.now(UTC))
            commits.append(time.perf_counter() - began)
            await asyncio.sleep(_REST)

    writing = asyncio.create_task(write())
    try:
        yield commits
    finally:
        writing.cancel()
        await asyncio.wait({writing})
        await connection.close()


def _like(subject: str) -> Change:
    time_us = time.time_ns() // 1_000
    tid = tid_from_time_us(time_us, next(_numbers) % 1_024)
    nsid = f"{NAMESPACE}.like"
    ref = {"uri": subject, "cid": str(CID.of(subject.encode()))}
    value = {"$type": nsid, "subject": ref, "createdAt": written(time_us // 1_000).decode()}
    block = encode(value)
    judgement = _judge.judge(nsid, tid, block)
    return Change(f"at://{_WRITER}/{nsid}/{tid}", _WRITER, nsid, tid, tid, CID.of(block), block, judgement, "live")


async def _turn(connection: Connection, did: str, *, active: bool) -> None:
    """As the ingester does it: the account turns with one commit, and its counts follow with the next ones."""
    began = time.monotonic()
    async with connection.transaction():
        await index_lock(connection)
        await actors.set_status(
            connection, did, active=active, status=None if active else "deactivated", now=datetime.now(UTC)
        )
    is_over, steps = False, 0
    while not is_over:
        start = time.monotonic()
        async with connection.transaction():
            await index_lock(connection)
            is_over = await shift.step(connection, did)
        steps += 1
        await asyncio.sleep(time.monotonic() - start)
    async with connection.transaction():
        await connection.execute("delete from jobs where subject = $1", did)
    print(f"{'shown' if active else 'hidden'} in {time.monotonic() - began:.1f} s and {steps} steps")


async def _purge(connection: Connection) -> None:
    """Take out all that the writer left."""
    is_over = False
    while not is_over:
        async with connection.transaction():
            await index_lock(connection)
            is_over = await actors.purge(connection, _WRITER)
    await connection.execute("delete from actors where did = $1", _WRITER)
