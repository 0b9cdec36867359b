"""Waiting for jobs: the ingesters that run do them, or, where none does, one that is run here until they are done."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, NamedTuple, Never

from appview.commands import CommandError
from appview.commands.progress import Progress
from appview.config import Config
from appview.db import AWAY, DatabaseError, Pool
from ingester.engine import Engine, engine
from ingester.garbage import look_seldom
from ingester.leader import Fenced, leaders
from ingester.shard import Shard

POLL_SECONDS: Final = 0.3
COUNT_SECONDS: Final = 1.0
"""Between two counts of what is left, or twenty times as long as counting takes."""
ABSENT_SECONDS: Final = 5
"""How long an ingester that does the jobs may be away, as when it is started anew."""

_ALL: Final = "from jobs where kind = any($1)"
_NAMED: Final = f"{_ALL} and subject = any($2)"
_LEFT: Final = "(error is null or leased)"

logger = logging.getLogger("plyr.waiting")


class Outcome(NamedTuple):
    """How many jobs there were, and how many of them failed and are tried again later."""

    total: int
    failed: int


async def until_done(
    config: Config, url: str, pool: Pool, kinds: Sequence[str], dids: Sequence[str], *, unit: str = "repositories"
) -> Outcome:
    """Wait until no job of `kinds` is left (of `dids`, if any are named) but such as failed; `unit` is for people.

    Raises CommandError when nobody does them any more before that.
    """
    working = asyncio.create_task(_working(config, url, pool))
    waiting = asyncio.create_task(_wait(pool, kinds, dids, unit))
    try:
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            error = working.exception()
            if isinstance(error, CommandError | DatabaseError):
                raise error
            reason = error if isinstance(error, Fenced) else f"{type(error).__name__}: {error}"
            raise CommandError(f"the work has ended: {reason}") from error
        return waiting.result()
    finally:
        waiting.cancel()
        working.cancel()
        await asyncio.gather(waiting, working, return_exceptions=True)


async def _wait(pool: Pool, kinds: Sequence[str], dids: Sequence[str], unit: str) -> Outcome:
    """Wait until nothing is left but what failed."""
    clock = asyncio.get_running_loop().time
    left, failed = await _count(pool, kinds, dids)
    total = left + failed
    progress = Progress(total, unit)
    due = clock() + COUNT_SECONDS
    while await _is_any_left(pool, kinds, dids):
        if clock() >= due:
            started = clock()
            left, failed = await _count(pool, kinds, dids)
            progress.at(max(0, total - left - failed), f"{failed} failed" if failed else "")
            due = clock() + max(COUNT_SECONDS, 20 * (clock() - started))
        await asyncio.sleep(POLL_SECONDS)
    progress.end()
    _, failed = await _count(pool, kinds, dids)
    return Outcome(total, failed)


async def _is_any_left(pool: Pool, kinds: Sequence[str], dids: Sequence[str]) -> bool:
    """Whether a job is still to be tried."""
    row = await _ask(pool, f"select exists (select {_NAMED if dids else _ALL} and {_LEFT})", kinds, dids)
    return bool(row[0])


async def _count(pool: Pool, kinds: Sequence[str], dids: Sequence[str]) -> tuple[int, int]:
    """How many jobs are still to be tried, and how many wait since they failed."""
    counts = f"count(*) filter (where {_LEFT}), count(*) filter (where not {_LEFT})"
    row = await _ask(pool, f"select {counts} {_NAMED if dids else _ALL}", kinds, dids)
    return row[0], row[1]


async def _ask(pool: Pool, sql: str, kinds: Sequence[str], dids: Sequence[str]) -> Sequence[int]:
    """One row, asked for until the database answers: those who do the jobs wait for it as well."""
    while True:
        try:
            row = await pool.fetchrow(sql, kinds, *([dids] if dids else []))
        except AWAY as error:
            logger.warning("waiting for the database: %s", error)
            await asyncio.sleep(COUNT_SECONDS)
        else:
            return list(row or ())


async def _working(config: Config, url: str, pool: Pool) -> None:
    """See to it that the jobs are done, until cancelled: by the ingesters that run, or, where none does, here.

    Raises what has ended that.
    """
    async with pool.acquire() as connection:
        running = await leaders(connection)
    if running:
        await _accompany(pool, running)
    if Shard.parse(config.shard).total > 1:
        raise CommandError(f"no ingester runs, and this process would be one of several (shard {config.shard})")
    logging.getLogger("plyr").setLevel(logging.WARNING)
    async with engine(config, url) as made:
        look_seldom()
        working = asyncio.create_task(made.run(live=False))
        try:
            await asyncio.shield(working)
        except asyncio.CancelledError:
            await _wind_down(made)
            raise
        finally:
            working.cancel()
            await asyncio.wait({working})


async def _accompany(pool: Pool, shards: Sequence[Shard]) -> Never:
    """Watch the ingesters that lead these shards. Raises CommandError when one does so no longer."""
    absent = 0
    while absent < ABSENT_SECONDS:
        await asyncio.sleep(1)
        try:
            async with pool.acquire() as connection:
                absent = 0 if set(shards) <= set(await leaders(connection)) else absent + 1
        except AWAY as error:
            logger.warning("waiting for the database: %s", error)
    raise CommandError("an ingester that did the work has ended; what is left is done when one runs again")


async def _wind_down(made: Engine) -> None:
    try:
        await made.stop()
    except TimeoutError:
        logger.warning("what was finished last could not be written in time; it is done again with the next start")
