"""Jobs done here: taken from their rows, a few at a time, and given back when they fail."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from errno import EDQUOT, EFBIG, EIO, EMFILE, ENFILE, ENOMEM, ENOSPC, EROFS
from typing import Final

from appview.db import AWAY, Pool
from appview.jobs import rows
from appview.jobs.rows import Job
from appview.net.errors import CouldNotCheck, IdentityError
from ingester.copies import outcome
from ingester.fetch import Superseded
from ingester.hosts import Busy, HostError, NoRepo
from ingester.leader import Leadership
from ingester.metrics import Metrics
from ingester.repo.errors import RepoError

POLL_SECONDS: Final = 1.0
_BRISK_SECONDS: Final = 0.1
"""Between two looks while jobs that were put off come back, one after the other: of many at once a host takes few."""
_BRISK_AHEAD: Final = 60.0
"""For a job that was put off for longer, nobody looks so often."""
_RELEASE_SECONDS: Final = 15.0
_BASE_SECONDS: Final = 2.0
_DAY: Final = 86_400.0
"""For how long a job is taken: it is given back when this process ends, and no other may begin it while it lasts."""
_OURS: Final = frozenset({EMFILE, ENFILE, ENOMEM, ENOSPC, EDQUOT, EFBIG, EIO, EROFS})
"""What this machine lacks, whatever the database does; waiting for that takes as long as it takes."""

log = logging.getLogger("plyr.work")

Handler = Callable[[Job], Awaitable[None]]


class Worker:
    """Does the jobs of one kind, at most `width` at once."""

    def __init__(
        self, pool: Pool, kind: str, width: int, handler: Handler, metrics: Metrics, leadership: Leadership
    ) -> None:
        self.kind = kind
        self.wake = asyncio.Event()
        """Set when there may be a new job."""
        self._pool = pool
        self._width = width
        self._handler = handler
        self._metrics = metrics
        self._leadership = leadership
        self._running: dict[asyncio.Task[None], str] = {}
        """What is being done, and of which subject."""
        self._release_at = 0.0
        self._brisk_until = 0.0

    @property
    def busy(self) -> int:
        """How many are being done."""
        return len(self._running)

    async def run(self) -> None:
        """Work for ever. Raises what a job raises that it may not."""
        try:
            while True:
                self.wake.clear()
                free = self._width - len(self._running)
                for job in await self._take(free) if free else ():
                    self._running[asyncio.create_task(self._do(job))] = job.subject
                await self._pause()
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _pause(self) -> None:
        """Until one is done, there may be a new one, or a while has passed."""
        wake = asyncio.create_task(self.wake.wait())
        is_brisk = asyncio.get_running_loop().time() < self._brisk_until
        seconds = _BRISK_SECONDS if is_brisk else POLL_SECONDS
        try:
            await asyncio.wait({wake, *self._running}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            wake.cancel()
        for task in [task for task in self._running if task.done()]:
            del self._running[task]
            task.result()

    async def _take(self, limit: int) -> list[Job]:
        clock = asyncio.get_running_loop().time
        try:
            async with self._pool.acquire() as connection:
                claim = self._leadership.claim
                if clock() >= self._release_at:
                    # Taken by nobody who is still at it: by us, and the connection broke before we were told, or by who
                    # led before us, in the moment in which we took over.
                    await rows.release(connection, [self.kind], but=self._running.values(), claim=claim)
                    self._release_at = clock() + _RELEASE_SECONDS
                return await rows.take(connection, self.kind, limit, lease=_DAY, claim=claim)
        except AWAY as error:
            self._release_at = 0.0
            log.warning("no %s jobs can be taken: %s", self.kind, error)
            return []

    async def _do(self, job: Job) -> None:
        try:
            await self._handler(job)
        except Superseded as error:
            log.info("%s of %s is not to be done: %s", self.kind, job.subject, error)
            await self._settle(rows.done, job)
        except Busy as error:
            # It goes back, so that others have its place, and not all at once.
            due_in = error.wait + random.uniform(0.0, POLL_SECONDS)  # noqa: S311 - spreads load, guards nothing
            await self._settle(rows.postpone, job, due_in=due_in)
            if due_in < _BRISK_AHEAD:
                self._brisk_until = max(self._brisk_until, asyncio.get_running_loop().time() + due_in + POLL_SECONDS)
            self._metrics.postponed[self.kind] += 1
        except (HostError, IdentityError, RepoError) as error:
            wait = _wait(job, error)
            log.warning("%s of %s failed, again in %.0f s: %s", self.kind, job.subject, wait, error)
            await self._settle(rows.failed, job, str(error), retry_in=wait)
            self._metrics.fetches[outcome(error)] += self.kind == "fetch"
        except AWAY as error:
            is_ours = isinstance(error, OSError) and error.errno in _OURS
            wait = rows.back_off(job.attempts, base=_BASE_SECONDS) if is_ours else POLL_SECONDS
            log.warning("%s of %s broke off, again in %.0f s: %s", self.kind, job.subject, wait, error)
            await self._settle(rows.failed, job, str(error), retry_in=wait)

    async def _settle(self, tell: Callable[..., Awaitable[object]], job: Job, *args: object, **named: object) -> None:
        """Say what became of a job, once the database is there to be told."""
        while True:
            try:
                async with self._pool.acquire() as connection:
                    await tell(connection, job, *args, **named, claim=self._leadership.claim)
            except AWAY as error:
                log.warning("waiting for the database: %s", error)
                await asyncio.sleep(POLL_SECONDS)
            else:
                return


def _wait(job: Job, error: HostError | IdentityError | RepoError) -> float:
    """Seconds until another try is worth it."""
    if isinstance(error, NoRepo):
        # Its account's status, which was asked for, mostly ends this; a host that was only confused is asked again.
        return 60.0 + rows.back_off(job.attempts, base=60.0)
    if isinstance(error, HostError | IdentityError) and not error.temporary:
        return 600.0 + rows.back_off(job.attempts, base=600.0, cap=_DAY)
    asked = error.retry_after if isinstance(error, HostError | CouldNotCheck) else None
    return max(asked or 0.0, rows.back_off(job.attempts, base=_BASE_SECONDS))
