"""A process that is killed between any two steps of a write, what a job makes of it, and the call made again."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import asyncpg
import pytest
from aiohttp import web

from appview.db import connect
from appview.index.lock import index_lock
from tests.appview.writes.proxy import Forward, passed
from tests.appview.writes.stand import Stand
from tests.network import records

KEY: Final = "a key"
WAIT_SECONDS: Final = 30.0


@dataclass
class Killed:
    """A process with one write to make, and how to end it."""

    here: Stand
    database_url: str
    process: Process | None = None

    async def start(self) -> None:
        given = {
            "database_url": self.database_url,
            "plc": self.here.network.addresses.plc,
            "port": self.here.wire.port,
            "did": self.here.user.did,
            "grant": self.here.grant,
            "key": KEY,
        }
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.appview.writes.one_write", json.dumps(given), stdout=PIPE
        )

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def until_it_waits_for_a_lock(self) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not await self.here.pool.fetchval(
                """
                select exists (
                    select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()
                )
                """
            ):
                await asyncio.sleep(0.02)


class Step(NamedTuple):
    """Where it is killed; whether the PDS has it then, and what the journal says before and after it is settled."""

    name: str
    play: Callable[[Killed], Awaitable[None]]
    is_there: bool
    states: list[str]
    settled: list[str]
    is_shown: bool


@asynccontextmanager
async def holding(killed: Killed, lock: str) -> AsyncIterator[None]:
    """Somebody else has a lock of the database."""
    connection = await connect(killed.database_url)
    try:
        async with connection.transaction():
            if lock == "index":
                await index_lock(connection)
            else:
                await connection.execute(lock)
            yield
    finally:
        await connection.close()


async def before_the_intent(killed: Killed) -> None:
    async with holding(killed, "lock table write_intents in share mode"):
        await killed.start()
        await killed.until_it_waits_for_a_lock()
        await killed.kill()


async def on_its_way(killed: Killed) -> None:
    async def fault(request: web.Request, _forward: Forward) -> web.StreamResponse:
        await killed.kill()
        return web.Response(status=500)

    await _greet_and(killed, fault)


async def while_the_pds_is_at_it(killed: Killed) -> None:
    async def fault(_request: web.Request, forward: Forward) -> web.StreamResponse:
        await killed.kill()
        return await forward()

    await _greet_and(killed, fault)


async def before_the_answer(killed: Killed) -> None:
    async def fault(_request: web.Request, forward: Forward) -> web.StreamResponse:
        answer = await forward()
        await killed.kill()
        return answer

    await _greet_and(killed, fault)


async def before_the_answer_is_noted(killed: Killed) -> None:
    connection = await connect(killed.database_url)
    transaction = connection.transaction()

    async def fault(_request: web.Request, forward: Forward) -> web.StreamResponse:
        answer = await forward()
        await transaction.start()
        await connection.execute("lock table write_intents in share mode")
        return answer

    killed.here.wire.faults = [passed, fault]
    await killed.start()
    await killed.until_it_waits_for_a_lock()
    await killed.kill()
    await transaction.rollback()
    await connection.close()


async def before_it_is_shown(killed: Killed) -> None:
    async with holding(killed, "index"):
        await killed.start()
        await killed.until_it_waits_for_a_lock()
        await killed.kill()


async def after_it_is_shown(killed: Killed) -> None:
    await killed.start()
    assert killed.process is not None
    said, _ = await killed.process.communicate()
    assert json.loads(said)[0].startswith("at://")


async def _greet_and(killed: Killed, fault: Any) -> None:
    # The first request of the process is the one that the PDS answers with its nonce.
    killed.here.wire.faults = [passed, fault]
    await killed.start()
    assert killed.process is not None
    async with asyncio.timeout(WAIT_SECONDS):
        await killed.process.wait()
    # What was on its way arrives.
    await asyncio.sleep(0.3)


STEPS: Final = (
    Step("before the intent", before_the_intent, False, [], [], False),
    Step("on its way to the PDS", on_its_way, False, ["intended"], ["abandoned"], False),
    Step("while the PDS is at it", while_the_pds_is_at_it, True, ["intended"], ["settled"], False),
    Step("before the answer", before_the_answer, True, ["intended"], ["settled"], False),
    Step("before the answer is noted", before_the_answer_is_noted, True, ["intended"], ["settled"], False),
    Step("before it is shown", before_it_is_shown, True, ["written"], ["settled"], True),
    Step("after it is shown", after_it_is_shown, True, ["written"], ["settled"], True),
)


@pytest.mark.parametrize("step", STEPS, ids=[step.name for step in STEPS])
async def test_killed(here: Stand, database_url: str, step: Step) -> None:
    killed = Killed(here, database_url)
    try:
        await step.play(killed)
    finally:
        with suppress(ProcessLookupError, AssertionError):
            await killed.kill()
    here.wire.faults = []
    there = await here.records(records.TRACK)
    assert bool(there) == step.is_there
    await until_gone(here)
    assert await here.states() == step.states

    await here.lapse()
    await here.settle()
    assert await here.states() == step.settled
    shown = await here.shown()
    assert list(shown) == [record["uri"] for record in there if step.is_shown]
    is_fetched = await here.pool.fetchval(
        "select exists (select from jobs where kind = 'fetch' and note = 'unseen_write')"
    )
    assert is_fetched == (step.is_there and not step.is_shown)

    again = await here.repo.create(records.TRACK, records.track("New"), key=KEY)
    (one,) = await here.records(records.TRACK)
    assert (one["uri"], one["cid"]) == (again.uri, again.cid)
    assert await here.states() == (step.settled if step.is_there else ["written"])


async def until_gone(here: Stand) -> None:
    """Wait until Postgres has noticed that the process is dead."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            with suppress(asyncpg.PostgresError):
                others = await here.pool.fetchval(
                    """
                    select count(*) from pg_stat_activity
                    where datname = current_database() and state <> 'idle' and pid <> pg_backend_pid()
                    """
                )
                if not others:
                    return
            await asyncio.sleep(0.05)
