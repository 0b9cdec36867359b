"""The ingester, put together: everything there is and who speaks to whom, in one constructor."""

import asyncio
import logging
from collections.abc import AsyncIterator, Container
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from appview.accounts.erasure import ERASE
from appview.config import Config
from appview.db import AWAY, Pool, create_pool
from appview.index import repos
from appview.index.records import record_types
from appview.index.shift import JOB as SHIFT
from appview.index.tolerance import Judge
from appview.jobs import rows as jobs
from appview.status import VERSION, Status
from ingester.account import Accounts
from ingester.audit import Audit
from ingester.batch import Batch
from ingester.copies import Copies
from ingester.discovery import Discovery
from ingester.drain import Drainer
from ingester.effects import Effects
from ingester.fetch import Fetcher
from ingester.gaps import KIND as GAP
from ingester.gaps import Gaps
from ingester.hosts import http_origin
from ingester.lanes import Lanes
from ingester.metrics import Metrics
from ingester.network import Network, network
from ingester.patience import PATIENCE, Patience
from ingester.promises import Promises
from ingester.scope import Scope
from ingester.shard import Shard
from ingester.states import Signers, States
from ingester.stream import Stream
from ingester.turns import Turns
from ingester.upstream import Upstream
from ingester.watch import Watch
from ingester.witness import Witness
from ingester.work import Worker
from ingester.writer import Writer

POOL: Final = 12
AT_HOSTS: Final = 24
"""Jobs of a kind that wait for hosts at a time: so many that some slow hosts, a few jobs each, leave places free."""
DRAINS: Final = 6
STATUS_SECONDS: Final = 1.0
_JOB_COUNT_SECONDS: Final = 15.0

log = logging.getLogger("plyr.ingester")


class Followed:
    """The DIDs of which every message counts: those tracked, and those of which a first message is still being judged.

    What was passed by meanwhile would be missing once that message has made its repository one of ours.
    """

    def __init__(self, tracked: Container[str], lanes: Container[str], held: Container[str]) -> None:
        self._tracked = tracked
        self._lanes = lanes
        self._held = held

    def __contains__(self, did: object) -> bool:
        return did in self._tracked or did in self._lanes or did in self._held


class Engine:
    """One shard's ingester: `async with engine(config, url) as e`, then `await e.run()`.

    The loops, each a task of `run`: one a upstream (`Upstream.run`), one a source of discovery (`Discovery.run`), one a
    kind of job (`Worker.run`: fetch, drain, status, recheck, erase, shift, gap), the watch over the upstreams
    (`Watch.run`), the audit (`Audit.run`), the writer (`Writer.run`) and the heartbeat (`_report`).
    """

    def __init__(
        self,
        config: Config,
        database_url: str,
        pool: Pool,
        hosts: Network,
        patience: Patience,
    ) -> None:
        http, named, identities = hosts
        types = record_types(config.namespace)
        signal = [nsid for nsid, kind in types.items() if kind.signal]
        judge = Judge(config.namespace)
        self.metrics = Metrics()
        self.streams: dict[str, Stream] = {url: Stream(url, None) for url in config.relay_urls}
        self.states = States(pool)
        self.signers = Signers(identities)
        self.shard = Shard.parse(config.shard)
        self.writer = Writer(database_url, self.shard, types, self.streams, self.metrics)
        clock = asyncio.get_running_loop().time
        witness = Witness(config.relay_urls, self.signers.pds_of, self.metrics.missed, clock)
        self.effects = Effects(self.writer, self.states, types, judge, self.metrics, witness, self.signers.pds_of)
        self.lanes = Lanes(self.effects, self.writer, self.states, self.signers, self._fail)
        upstreams = {origin: named[origin] for origin in map(http_origin, config.relay_urls)}
        copies = Copies(http, upstreams, identities, types, self.metrics, config.data_dir)
        drainer = Drainer(pool, self.signers, self.lanes, self.effects)
        self.fetcher = Fetcher(pool, copies, identities, self.lanes, self.effects)
        promises = Promises()
        accounts = Accounts(pool, http, identities, self.signers, self.lanes, self.effects, promises)
        sources = {source: named[source].patiently() for source in discovery_sources(config)}
        self.discovery = Discovery(pool, sources, signal, self._wake)
        self.audit = Audit(pool, http, identities, self.effects, self.shard, promises, around=config.audit_seconds)
        self.gaps = Gaps(pool, self.writer, self.metrics, patience, self._source, self._discover_again)
        scope = Scope(Followed(self.states.tracked, self.lanes, self.effects.held), frozenset(signal), self.shard)
        self.upstreams = [
            Upstream(stream, scope, self.lanes, self.effects, self.gaps.fresh, self.gaps.found, patience)
            for stream in self.streams.values()
        ]
        self.watch = Watch(self.upstreams, witness, upstreams, self.metrics, patience)
        leadership = self.writer.leadership
        self.workers = {
            "fetch": Worker(pool, "fetch", AT_HOSTS, self.fetcher.fetch, self.metrics, leadership),
            "drain": Worker(pool, "drain", DRAINS, drainer.drain, self.metrics, leadership),
            "status": Worker(pool, "status", AT_HOSTS, accounts.settle, self.metrics, leadership),
            "recheck": Worker(pool, "recheck", AT_HOSTS, accounts.settle, self.metrics, leadership),
            ERASE: Worker(pool, ERASE, 1, accounts.erase, self.metrics, leadership),
            SHIFT: Worker(pool, SHIFT, 1, Turns(self.writer).shift, self.metrics, leadership),
            GAP: Worker(pool, GAP, 1, self.gaps.close, self.metrics, leadership),
        }
        self._config = config
        self._pool = pool
        self._tasks: asyncio.TaskGroup | None = None
        self._sources: set[str] = set()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._job_counts: dict[str, int] = {}
        self.writer.on_commit.append(self._committed)
        self.writer.on_room.append(self._relieve)

    async def open(self) -> None:
        """Take the shard over, waiting while another has it, and read where we stopped."""
        await self.writer.open()
        async with self._pool.acquire() as connection:
            cursors = await connection.fetch("select url, cursor from upstreams where shard = $1", self._config.shard)
            for row in cursors:
                if row["url"] in self.streams:
                    self.streams[row["url"]].last = row["cursor"]
            # The set itself is shared with the scope.
            async with connection.transaction():
                ours = connection.cursor(
                    "select did from repos where shard_of(did, $2) = $1", *self.shard, prefetch=10_000
                )
                async for row in ours:
                    self.states.tracked.add(row["did"])
            # Whoever had taken them is gone: the shard is ours alone.
            await jobs.release(connection, list(self.workers), claim=self.writer.leadership.claim)
            await repos.resume(connection, self.shard)
            held = await connection.fetch(
                """
                select did, count(*), sum(octet_length(frame)) from held_frames
                where shard_of(did, $2) = $1 group by did
                """,
                *self.shard,
            )
        for did, count, size in held:
            self.effects.keep(did, count, size)
        for did in self.effects.held:
            self.writer.batch.want("drain", did, "restart")

    async def run(self, *, live: bool = True) -> None:
        """Ingest for ever: with `live`, from the upstreams too; without, only jobs are done.

        Raises what cannot be mended by waiting, Fenced among it.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._watch())
                tasks.create_task(self.writer.run())
                self.writer.wake()
                tasks.create_task(self._report())
                for worker in self.workers.values():
                    tasks.create_task(worker.run())
                if live:
                    tasks.create_task(self.watch.run())
                    tasks.create_task(self.audit.run())
                    for upstream in self.upstreams:
                        tasks.create_task(upstream.run())
                        if upstream.stream.last is not None:
                            self._discover(self._source(upstream.stream.url))
        except BaseExceptionGroup as group:
            raise _first(group) from group
        finally:
            self._tasks = None
            await self.lanes.aclose()

    async def stop(self) -> None:
        """Write what is finished, so that the next start goes on from here."""
        async with asyncio.timeout(5):
            await self.writer.durable()

    async def _watch(self) -> None:
        await self._failure

    def _fail(self, error: BaseException) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)

    def _source(self, url: str) -> str:
        """Who is asked what an upstream does not bring."""
        return http_origin(url if self._config.discovery_url is None else self._config.discovery_url)

    def _wake(self) -> None:
        """Jobs were wanted past the writer."""
        for worker in self.workers.values():
            worker.wake.set()

    def _discover_again(self, source: str) -> None:
        """`source` is to be asked again, as its rows say; one that is not in the settings any more is not."""
        self._wake()
        if source in self.discovery.sources:
            self.discovery.again(source)
            self._discover(source)

    def _discover(self, source: str) -> None:
        """Have `source` asked now and then: by one shard, which finds for all."""
        if self._tasks is not None and not self.shard.number and source not in self._sources:
            self._sources.add(source)
            self._tasks.create_task(self.discovery.run(source))

    def _relieve(self) -> None:
        for upstream in self.upstreams:
            upstream.relieve()

    def _committed(self, batch: Batch) -> None:
        for kind, _ in batch.jobs:
            if kind in self.workers:
                self.workers[kind].wake.set()
        self._relieve()

    # --- what it says of itself ---

    async def _report(self) -> None:
        due = 0.0
        loop = asyncio.get_running_loop()
        while True:
            if loop.time() >= due:
                due = loop.time() + _JOB_COUNT_SECONDS
                await self._count_jobs()
            status = self.status()
            self.writer.status = (
                status,
                self.metrics.render(
                    {
                        "plyr_firehose_queue_frames": status["queue"]["frames"],
                        "plyr_firehose_queue_age_seconds": status["queue"]["oldest_seconds"],
                        "plyr_held_frames": status["held_frames"],
                        "plyr_tracked_repos": status["tracked"],
                        "plyr_audit_oldest_seconds": self.audit.oldest_seconds,
                    }
                ),
            )
            self._relieve()
            self.writer.wake()
            await asyncio.sleep(STATUS_SECONDS)

    def status(self) -> Status:
        """How things stand."""
        oldest, now = self.lanes.oldest, asyncio.get_running_loop().time()
        return Status(
            version=VERSION,
            upstreams=[upstream.status() for upstream in self.upstreams],
            queue={
                "frames": self.lanes.waiting + len(self.writer.batch.received),
                "oldest_seconds": 0.0 if oldest is None else round(now - oldest, 3),
            },
            catching_up=self.watch.is_behind or bool(self._job_counts.get("fetch")),
            held_frames=self.effects.held.total(),
            jobs=self._job_counts,
            tracked=len(self.states.tracked),
        )

    async def _count_jobs(self) -> None:
        try:
            rows = await self._pool.fetch(
                "select kind, count(*) from jobs where shard_of(subject, $2) = $1 group by kind", *self.shard
            )
        except AWAY as error:
            log.warning("jobs cannot be counted: %s", error)
        else:
            self._job_counts = {row["kind"]: row["count"] for row in rows}


@asynccontextmanager
async def engine(config: Config, database_url: str, *, patience: Patience = PATIENCE) -> AsyncIterator[Engine]:
    """An engine that has taken its shard over. Raises DatabaseError."""
    async with AsyncExitStack() as stack:
        pool = await create_pool(database_url, size=POOL)
        stack.push_async_callback(pool.close)
        origins = {*discovery_sources(config), *map(http_origin, config.relay_urls)}
        hosts = await stack.enter_async_context(network(config, pool, origins))
        made = Engine(config, database_url, pool, hosts, patience)
        stack.push_async_callback(made.writer.close)
        await made.open()
        yield made


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What ended the tasks: one error, since the first cancels the others."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def discovery_sources(config: Config) -> list[str]:
    """The origins that are asked which repositories there are: the one that is set, or else every upstream."""
    urls = config.relay_urls if config.discovery_url is None else (config.discovery_url,)
    return list(dict.fromkeys(map(http_origin, urls)))
