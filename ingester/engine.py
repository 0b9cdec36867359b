"""The ingester, put together: everything there is and who speaks to whom, in one constructor."""

import asyncio
import logging
from collections.abc import AsyncIterator, Container, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Final

from appview.config import Config
from appview.db import AWAY, Connection, Pool, create_pool
from appview.index import repos
from appview.index.documents import PostgresDocuments
from appview.index.records import record_types
from appview.index.tolerance import Judge
from appview.jobs import rows as jobs
from appview.jobs.rows import Job
from appview.net.http import HttpClient
from appview.net.identity import IdentityResolver
from appview.net.lookup import Dns
from appview.net.policy import Policy
from appview.status import VERSION, Status
from ingester.account import Accounts
from ingester.batch import Batch
from ingester.discovery import Discovery
from ingester.effects import Effects
from ingester.fetch import Fetcher
from ingester.hosts import HostError, http_origin
from ingester.lanes import Lanes
from ingester.metrics import Metrics
from ingester.scope import Scope
from ingester.shard import Shard
from ingester.states import Signers, States
from ingester.stream import Stream
from ingester.upstream import Upstream
from ingester.work import Worker
from ingester.writer import Writer

POOL: Final = 12
DOCUMENTS: Final = 10_000
"""DID documents in memory, a kilobyte each; all that were asked for are in the database too."""
FETCHES: Final = 6
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
    kind of job (`Worker.run`: fetch, drain, status), the writer (`Writer.run`) and the heartbeat (`_report`).
    """

    def __init__(
        self,
        config: Config,
        database_url: str,
        pool: Pool,
        http: HttpClient,
        asked: Mapping[str, HttpClient],
        identities: IdentityResolver,
    ) -> None:
        """`http` asks whom strangers name; `asked`, by source of discovery, whom the operator named."""
        types = record_types(config.namespace)
        signal = [nsid for nsid, kind in types.items() if kind.signal]
        judge = Judge(config.namespace)
        self.metrics = Metrics()
        self.streams: dict[str, Stream] = {url: Stream(url, None) for url in config.relay_urls}
        self.states = States(pool)
        self.signers = Signers(identities)
        self.shard = Shard.parse(config.shard)
        self.writer = Writer(database_url, self.shard, types, self.streams, self.metrics)
        self.effects = Effects(self.writer, self.states, types, judge, self.metrics)
        self.lanes = Lanes(self.effects, self.writer, self.states, self.signers, self._fail)
        self.fetcher = Fetcher(pool, http, identities, self.lanes, self.effects)
        accounts = Accounts(http, identities, self.lanes, self.effects)
        self.discovery = Discovery(pool, asked, signal)
        scope = Scope(Followed(self.states.tracked, self.lanes, self.effects.held), frozenset(signal), self.shard)
        self.upstreams = [
            Upstream(stream, scope, self.lanes, self.effects, self.metrics, self._fresh, self._gap)
            for stream in self.streams.values()
        ]
        self.workers = {
            "fetch": Worker(pool, "fetch", FETCHES, self.fetcher.fetch, self.metrics, self.shard),
            "drain": Worker(pool, "drain", FETCHES, self._drain, self.metrics, self.shard),
            "status": Worker(pool, "status", FETCHES, accounts.settle, self.metrics, self.shard),
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
            await jobs.release(connection, list(self.workers), shard=self.shard)
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

    def _fresh(self, url: str) -> None:
        """An upstream is followed from now on: ask what was there before."""
        self._ask_again(self._source(url))
        self._recheck()

    def _gap(self) -> None:
        """An upstream had more than it kept for us: ask what was in it."""
        for source in self.discovery.sources:
            self._ask_again(source)
        self._recheck()

    def _recheck(self) -> None:
        """What was lost of repositories that are followed already shows in the revs that their hosts name (ES-27)."""
        self.writer.act(lambda connection, _now: repos.recheck(connection, self.shard))

    def _ask_again(self, source: str) -> None:
        """Have `source` asked for all that it has; that it is to be asked is durable before any cursor moves."""

        async def forget(connection: Connection, _now: datetime) -> None:
            await connection.execute("delete from discoveries where source = $1", source)

        async def ask() -> None:
            await self.writer.durable()
            self.discovery.again(source)
            self._discover(source)

        self.writer.act(forget)
        if self._tasks is not None:
            self._tasks.create_task(ask())

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

    async def _drain(self, job: Job) -> None:
        """What was kept of a repository is judged now, if it can be."""
        did = job.subject

        async def is_fetched() -> bool:
            state = await self.states.get(did)
            return state is not None and state.status == "in_progress"

        async def drain() -> None:
            if await is_fetched():
                return  # the fetch that is under way ends with it
            # That its identity could not be had is remembered for longer than it takes to be had again.
            self.signers.purge(did)
            if not await self.fetcher.drain(did) and not await is_fetched():
                raise HostError(f"the identity of {did} cannot be had yet", temporary=True)

        await self.lanes.run(did, drain)
        self.writer.batch.finish(job)
        self.writer.wake()

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
            catching_up=any(upstream.is_behind for upstream in self.upstreams) or bool(self._job_counts.get("fetch")),
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
async def engine(config: Config, database_url: str) -> AsyncIterator[Engine]:
    """An engine that has taken its shard over. Raises DatabaseError."""
    dns = Dns()
    async with AsyncExitStack() as stack:
        pool = await create_pool(database_url, size=POOL)
        stack.push_async_callback(pool.close)
        http = await stack.enter_async_context(HttpClient(config.policy(), lookup=dns.addresses))
        plc_http = await stack.enter_async_context(HttpClient(Policy.trusting(config.plc_url), lookup=dns.addresses))
        asked = {
            source: await stack.enter_async_context(HttpClient(Policy.trusting(source), lookup=dns.addresses))
            for source in discovery_sources(config)
        }
        identities = IdentityResolver(
            http, dns, plc_url=config.plc_url, plc_http=plc_http, size=DOCUMENTS, store=PostgresDocuments(pool)
        )
        stack.push_async_callback(identities.aclose)
        made = Engine(config, database_url, pool, http, asked, identities)
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
