"""Holes in a stream: what came while we were away, and does not come any more. Found while reading, closed by asking.

A server may have deleted messages (those of an account that is gone), or count in steps: a hole is no error. It is a
job, wanted in the transaction that moves the cursor over it: discovery at that upstream again, and for the repositories
that are followed already, their PDSes asked where they stand.
"""

import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from appview.db import Connection, Pool
from appview.index import repos
from appview.jobs import rows as jobs
from appview.jobs.rows import Job
from appview.net.cache import RateLimit
from ingester.hosts import http_origin
from ingester.metrics import Metrics
from ingester.patience import Patience
from ingester.writer import Writer

KIND: Final = "gap"
"""The kind of such a job; its subject is the upstream, for all shards together."""
LARGE: Final = 1_000
"""A hole of as many messages, or of nobody knows how many, is large; where none ever came, it is small."""
STEP: Final = 5_000
"""Repositories whose PDSes are wanted to be asked in one transaction."""

EVERY_SHARD: Final = (0, 1)
"""One shard closes a hole for all: whichever the URL belongs to."""

log = logging.getLogger("plyr.gaps")


class Gaps:
    """Finds no holes itself: is told of them (`found`), and closes them (`close`, which does the jobs)."""

    def __init__(
        self,
        pool: Pool,
        writer: Writer,
        metrics: Metrics,
        patience: Patience,
        source_of: Callable[[str], str],
        discover: Callable[[str], None],
    ) -> None:
        """`source_of`: who is asked what an upstream does not bring; `discover` is told when that one is to be."""
        self._pool = pool
        self._writer = writer
        self._metrics = metrics
        self._patience = patience
        self._source_of = source_of
        self._discover = discover
        self._open: Counter[str] = Counter()
        self._at_once = {
            gap: RateLimit(1, gap, clock=time.monotonic) for gap in (patience.small_gap, patience.large_gap)
        }

    def found(self, url: str, from_seq: int | None, to_seq: int | None) -> None:
        """What lies between these seqs of `url` (None: not known) did not come. To be said before the cursor moves on:
        what is wanted now is in the same transaction as the cursor, or in an earlier one.
        """
        size = None if from_seq is None or to_seq is None else to_seq - from_seq - 1
        if size is not None:
            where = f"{size} messages behind {from_seq}"
        else:
            where = "what came between connections" if from_seq is None else f"what came behind {from_seq}"
        log.warning("%s: %s did not reach us: it is asked what was in there", url, where)
        self._metrics.gaps[url, "found"] += 1
        self._open[url] += 1
        is_small = from_seq is None or (size is not None and size < LARGE)
        often = self._patience.small_gap if is_small else self._patience.large_gap
        self._writer.batch.want(KIND, url, where, delay=0.0 if self._at_once[often].allow(url) else often)

    def fresh(self, url: str) -> None:
        """`url` is followed from now on: what was there before is asked for in the same way."""
        self._writer.batch.want(KIND, url, "followed from now on")
        self._writer.wake()

    async def close(self, job: Job) -> None:
        """Want all that shows what was in a hole. May be broken off anywhere: it is then done again."""
        url, source, count = job.subject, self._source_of(job.subject), self._open[job.subject]
        async with self._pool.acquire() as connection:
            host = http_origin(url) if await repos.is_host(connection, http_origin(url)) else None
        after: str | None = ""
        while after is not None:
            after = await self._recheck(host, after)
        await self._act(lambda connection: self._end(connection, job, source))
        self._open[url] -= count
        self._metrics.gaps[url, "closed"] += count
        self._discover(source)
        log.info("%s: the repositories %s are asked for", url, "that it hosts" if host else "that are followed")

    async def _recheck(self, host: str | None, after: str) -> str | None:
        """Have the next ones behind `after` asked for; where that ended, None at the last."""
        end: str | None = None

        async def some(connection: Connection) -> None:
            nonlocal end
            end = await repos.recheck(connection, EVERY_SHARD, host, after=after, limit=STEP)

        await self._act(some)
        return end

    async def _end(self, connection: Connection, job: Job, source: str) -> None:
        # A pass that is under way goes on to its end, and is followed by another.
        await connection.execute("update discoveries set again = true where source = $1", source)
        if not await jobs.done(connection, job):
            # Another was found meanwhile, and a server that has one on each connection must not keep us busy.
            await connection.execute(
                "update jobs set due_at = now() + make_interval(secs => $3) where kind = $1 and subject = $2",
                job.kind,
                job.subject,
                self._patience.large_gap,
            )

    async def _act(self, step: Callable[[Connection], Awaitable[None]]) -> None:
        self._writer.act(lambda connection, _now: step(connection))
        await self._writer.durable()
