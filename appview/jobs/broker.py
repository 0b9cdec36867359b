"""The dramatiq broker: its queue in Redis, an actor for each family of jobs, and what lives as long as a worker does.

Actors are coroutines on the one event loop of their worker process. Nothing is retried by dramatiq: a job's row is due
again when its lease runs out, or when the job itself said so.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, TypeVar

import dramatiq
from dramatiq.asyncio import get_event_loop_thread
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import AsyncIO, Middleware, MiddlewareError

from appview.config import Config, ConfigError
from appview.jobs.accounts import REVOCATIONS, SWEEP
from appview.jobs.dispatch import QUEUE, STEADY, Pace, dispatch
from appview.jobs.erasure import ERASURE
from appview.jobs.family import Family, Tools, give_back, open_tools, perform
from appview.jobs.identity import IDENTITY
from appview.jobs.pending import PENDING
from appview.jobs.ranking import RANKING
from appview.jobs.writes import WRITES
from appview.net.errors import NetError

FAMILIES: Final[tuple[Family, ...]] = (IDENTITY, RANKING, PENDING, REVOCATIONS, SWEEP, WRITES, ERASURE)

_T = TypeVar("_T")


class Workshop(Middleware):
    """Opens the tools when a worker boots, hands out jobs while it runs, and gives back what it stops in."""

    def __init__(self, config: Config, families: Sequence[Family], pace: Pace) -> None:
        self._config = config
        self._families = families
        self._pace = pace
        self._opened = AsyncExitStack()
        self._tools: Tools | None = None
        self._dispatcher: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[Any]] = set()
        self._stopping = False

    async def act(self, family: Family, subject: str) -> None:
        """Do one job, or give it back when the worker is stopped meanwhile."""
        task = asyncio.current_task()
        if self._tools is None or task is None:
            raise RuntimeError("a job came to a worker that is not running")
        if not self._stopping:
            self._running.add(task)
            try:
                await perform(self._tools, family, subject)
            except asyncio.CancelledError:
                if not self._stopping:
                    raise
            else:
                return
            finally:
                self._running.discard(task)
        await give_back(self._tools, family, subject)

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002 - dramatiq's
        """Open the tools and start handing out."""
        try:
            _on_loop(self._boot(broker))
        except NetError as error:
            raise MiddlewareError(str(error)) from error

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002 - dramatiq's
        """Hand out nothing more, and interrupt what runs."""
        _on_loop(self._stop())

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002 - dramatiq's
        """Close the tools."""
        _on_loop(self._opened.aclose())

    async def _boot(self, broker: dramatiq.Broker) -> None:
        self._tools = await self._opened.enter_async_context(open_tools(self._config))
        if isinstance(broker, RedisBroker):
            work = dispatch(self._config.database_url or "", self._families, broker, self._pace)
            self._dispatcher = asyncio.create_task(work)

    async def _stop(self) -> None:
        self._stopping = True
        if self._dispatcher is not None:
            self._dispatcher.cancel()
            await asyncio.gather(self._dispatcher, return_exceptions=True)
        for task in self._running:
            task.cancel()


def create_broker(config: Config, families: Sequence[Family] = FAMILIES, pace: Pace = STEADY) -> RedisBroker:
    """The broker of `config`, with the actors of `families`; nothing is connected yet. Raises ConfigError."""
    if config.database_url is None:
        raise ConfigError("PLYR_DATABASE_URL is not set: a worker has no database of its own")
    if config.redis_url is None:
        raise ConfigError("PLYR_REDIS_URL is not set: a worker has no Redis of its own")
    workshop = Workshop(config, families, pace)
    broker = RedisBroker(url=config.redis_url, middleware=[AsyncIO(), workshop])  # type: ignore[no-untyped-call] # dramatiq's
    for family in families:
        _declare(broker, workshop, family)
    return broker


def _declare(broker: RedisBroker, workshop: Workshop, family: Family) -> None:
    async def act(subject: str) -> None:
        await workshop.act(family, subject)

    dramatiq.actor(actor_name=family.actor, queue_name=QUEUE, broker=broker)(act)


def _on_loop(work: Coroutine[Any, Any, _T]) -> _T:
    """Run `work` on the worker's event loop, and wait for it."""
    thread = get_event_loop_thread()
    if thread is None:
        work.close()
        raise MiddlewareError("the worker has no event loop")
    return thread.run_coroutine(work)
