"""From rows to messages: what is due goes to Redis, as long as little enough waits there.

The row stays until the job is done, so Redis may be emptied, and a message may come twice. Every worker process runs
this; a lock in Postgres lets one of them do it, and another take over when that one is gone.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import asyncpg
from dramatiq.brokers.redis import RedisBroker
from redis import RedisError

from appview.db import AWAY, Connection, DatabaseError, connect
from appview.jobs.family import Family
from appview.jobs.rows import CHANNEL, Job, next_due, take

QUEUE: Final = "jobs"
"""The name of the queue in Redis."""

_log = logging.getLogger(__name__)

# Any number will do that no other program takes in the same database.
_LOCK: Final = 0x706C_7972_0003
_RECUR_SECONDS: Final = 60.0
_FULL_SECONDS: Final = 0.2


class Pace(NamedTuple):
    """How much, how soon. Times in seconds."""

    poll: float = 5.0
    """Between two looks when nothing was heard."""
    waiting: int = 64
    """Messages in Redis, beyond which the others wait as rows."""
    lease: float = 180.0
    """After which a job whose message was lost is sent again: longer than a queue of `waiting` takes."""


STEADY: Final = Pace()


async def dispatch(database_url: str, families: Sequence[Family], broker: RedisBroker, pace: Pace) -> None:
    """Hand out what is due, for ever; when the database or Redis is gone, go on when it is back."""
    while True:
        try:
            connection = await connect(database_url)
            try:
                await _dispatch(connection, families, broker, pace)
            finally:
                await connection.close()
        except (DatabaseError, asyncpg.PostgresError, RedisError, *AWAY) as error:
            _log.warning("no jobs are handed out for now: %s", str(error) or type(error).__name__)
        await asyncio.sleep(pace.poll)


async def _dispatch(connection: Connection, families: Sequence[Family], broker: RedisBroker, pace: Pace) -> None:
    kinds = [family.kind for family in families]
    heard = asyncio.Event()
    await connection.add_listener(CHANNEL, lambda *said: heard.set() if said[3] in kinds else None)
    while not await connection.fetchval("select pg_try_advisory_lock($1)", _LOCK):  # noqa: ASYNC110 - another process's
        await asyncio.sleep(pace.poll)
    recur_at = time.monotonic()
    while True:
        heard.clear()
        if time.monotonic() >= recur_at:
            recur_at = time.monotonic() + _RECUR_SECONDS
            for family in families:
                if family.recur is not None:
                    await family.recur(connection)
        if await _hand_out(connection, families, broker, pace):
            left = await next_due(connection, kinds)
            await _wait(heard, min(pace.poll, pace.poll if left is None else left))
        else:
            await asyncio.sleep(_FULL_SECONDS)


async def _hand_out(connection: Connection, families: Sequence[Family], broker: RedisBroker, pace: Pace) -> bool:
    """Send what is due of each family; False when there was no room for all of it."""
    for family in families:
        room = pace.waiting - await asyncio.to_thread(_waiting, broker)
        if room <= 0:
            return False
        jobs = await take(connection, family.kind, room, lease=pace.lease)
        await asyncio.to_thread(_send, broker, family, jobs)
        if len(jobs) == room:
            return False
    return True


def _waiting(broker: RedisBroker) -> int:
    """How many messages nobody has fetched yet."""
    return int(broker.client.llen(f"{broker.namespace}:{QUEUE}"))


def _send(broker: RedisBroker, family: Family, jobs: Sequence[Job]) -> None:
    actor = broker.get_actor(family.actor)
    for job in jobs:
        actor.send(job.subject)


async def _wait(heard: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await heard.wait()
