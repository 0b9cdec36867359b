"""Whether a failure means that the database is away, rather than that the code is wrong; and never a long wait."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import asyncpg

from appview.db import AWAY
from xrpc.errors import Unavailable

T = TypeVar("T")

log = logging.getLogger(__name__)

# Classes of SQLSTATE: connection, authorization, no such database, conflict with the primary, out of resources, locked
# or not in the right state, cancelled or shutting down.
_AWAY: Final = ("08", "28", "3D", "40", "53", "55", "57")

# What nobody waits for any more, until it has ended: a task that nothing refers to may end at any time.
_given_up: Final[set[asyncio.Task[Any]]] = set()


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """What `work` answers. Raises Unavailable when that takes longer than `seconds`, or the database is away.

    Work that takes too long is cancelled and not waited for: where the other machine is silent, asyncpg takes seconds
    more to give its connection up.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            _give_up(task)
    if not task.done():
        log.warning("the database did not answer within %g s", seconds)
        raise Unavailable("The database did not answer in time.")
    try:
        return task.result()
    except (asyncpg.PostgresError, *AWAY) as error:
        if not is_away(error):
            raise
        log.warning("the database does not answer: %r", error)
        raise Unavailable("The database does not answer at present.") from error


def is_away(error: Exception) -> bool:
    """Whether `error` is one of a database that is starting, stopping, overwhelmed, unreachable or not there."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "").startswith(_AWAY)
    # Of the errors that asyncpg finds itself, those about a value are a mistake in a query of ours.
    return not isinstance(error, ValueError)


def _give_up(task: asyncio.Task[Any]) -> None:
    task.cancel()
    _given_up.add(task)
    task.add_done_callback(_forget)


def _forget(task: asyncio.Task[Any]) -> None:
    _given_up.discard(task)
    if not task.cancelled():
        # Looked at, or asyncio would report it as an error that nobody heard of.
        task.exception()
