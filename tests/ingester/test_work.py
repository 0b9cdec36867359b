"""Hosts that are slow, or do not want to be asked as often: they hold up their own repositories at most."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from errno import ENOSPC

import pytest
from aiohttp import web

from appview.db import create_pool
from appview.jobs import rows as jobs
from appview.jobs.rows import Job
from ingester.budget import AT_ONCE
from ingester.work import Worker
from tests.ingester.world import SECONDS, World, create, world
from tests.system.synthetic import Account, Directory, Pds

GET_REPO = "com.atproto.sync.getRepo"
NOBODY = "http://127.0.0.1:1"


@asynccontextmanager
async def two_hosts(database_url: str, count: int) -> AsyncIterator[tuple[World, list[Account], list[Account]]]:
    """A world with accounts on its PDS, and others on another; all are to be fetched, and those of its own first."""
    async with world(database_url) as there, Pds(there.directory, "pds2") as other:
        here = [there.pds.create_account(f"here{number}") for number in range(count)]
        there_too = [other.create_account(f"there{number}") for number in range(count)]
        for account in (*here, *there_too):
            account.write(create(account, 1))
            await jobs.want(there.connection, "fetch", [account.did])
        yield there, here, there_too


def whole(accounts: list[Account]) -> str:
    """Whether these repositories are here."""
    dids = ",".join(f"'{account.did}'" for account in accounts)
    return f"select count(*) = {len(accounts)} from repos where status = 'synchronized' and did in ({dids})"


async def test_a_slow_host_has_only_some_of_the_places(database_url: str) -> None:
    async with two_hosts(database_url, AT_ONCE + 1) as (there, here, others):
        there.pds.gate = asyncio.Event()
        # With an upstream that is nobody, nobody but its own accounts' fetches asks this one.
        async with there.ingesting(live=False, PLYR_RELAY_URLS=NOBODY, PLYR_DISCOVERY_URL=NOBODY):
            await there.until(whole(others))
            assert there.pds.asked[GET_REPO] == AT_ONCE
            there.pds.gate.set()
            await there.until(whole(here))
        assert there.pds.asked[GET_REPO] == AT_ONCE + 1


async def test_a_host_that_wants_to_be_left_alone_is(database_url: str) -> None:
    async with two_hosts(database_url, 5) as (there, here, others):
        there.pds.answers_with = _not_now
        async with there.ingesting(live=False, PLYR_RELAY_URLS=NOBODY, PLYR_DISCOVERY_URL=NOBODY) as made:
            await there.until(whole(others))
            await there.until("select count(*) = 5 from jobs where kind = 'fetch' and due_at > now() + interval '50 s'")
            # Those that had gone out already have failed; of the others none has.
            asked = there.pds.asked[GET_REPO]
            assert asked <= AT_ONCE
            assert await there.value("select count(*) from jobs where kind = 'fetch' and attempts = 0") == 5 - asked
            assert made.metrics.postponed["fetch"] >= 5 - asked
            # Nor is it asked when somebody wants it at once.
            await there.connection.execute("update jobs set due_at = now()")
            made.workers["fetch"].wake.set()
            async with asyncio.timeout(SECONDS):
                while made.metrics.postponed["fetch"] < 2 * 5 - asked:
                    await asyncio.sleep(0.01)
        assert there.pds.asked[GET_REPO] == asked
        assert len(here) == 5


class Slow(Pds):
    """A PDS that gives no answer about its accounts before `gate` opens, and then none of use."""

    def __init__(self, directory: Directory, name: str, gate: asyncio.Event) -> None:
        super().__init__(directory, name)
        self._opens = gate
        for method in ("getRepo", "getRepoStatus"):
            self.route(f"/xrpc/com.atproto.sync.{method}", self._wait)

    async def _wait(self, _request: web.Request) -> web.Response:
        await self._opens.wait()
        return web.Response(status=500)


@pytest.mark.parametrize("kind", ["fetch", "status"])
async def test_slow_hosts_leave_places_free(kind: str, database_url: str) -> None:
    gate = asyncio.Event()
    async with world(database_url) as there, AsyncExitStack() as stack:
        hosts = [await stack.enter_async_context(Slow(there.directory, f"slow{number}", gate)) for number in range(3)]
        slow = [host.create_account(f"a{number}") for host in hosts for number in range(AT_ONCE + 1)]
        artist = there.pds.create_account("artist")
        async with there.ingesting(live=False) as made:
            await jobs.want(there.connection, kind, [account.did for account in slow])
            made.workers[kind].wake.set()
            async with asyncio.timeout(SECONDS):
                while sum(host.asked.total() for host in hosts) < 3 * AT_ONCE:
                    await asyncio.sleep(0.01)
            await jobs.want(there.connection, kind, [artist.did])
            made.workers[kind].wake.set()
            await there.until(
                f"select not exists (select from jobs where kind = '{kind}' and subject = '{artist.did}')"
            )
            gate.set()


@pytest.mark.parametrize(
    ("error", "is_soon"), [(OSError(ENOSPC, "no space"), False), (ConnectionRefusedError("no database"), True)]
)
async def test_what_this_machine_lacks_is_not_taken_for_the_database(
    error: OSError, is_soon: bool, database_url: str
) -> None:
    async def fail(_job: Job) -> None:
        raise error

    async with world(database_url) as there, there.ingesting(live=False) as made:
        await jobs.want(there.connection, "other", ["did:web:a.test"])
        await there.connection.execute("update jobs set attempts = 30")
        async with await create_pool(database_url, size=1) as pool:
            worker = Worker(pool, "other", 1, fail, made.metrics, made.writer.leadership)
            working = asyncio.create_task(worker.run())
            await there.until("select exists (select from jobs where kind = 'other' and error is not null)")
            assert await there.value("select due_at < now() + interval '1 s' from jobs where kind = 'other'") == is_soon
            working.cancel()
            await asyncio.wait({working})


async def test_a_host_is_asked_so_many_times_a_second(database_url: str) -> None:
    async with two_hosts(database_url, 4) as (there, here, _):
        started = time.monotonic()
        async with there.ingesting(live=False, PLYR_HOST_RATE="2") as made:
            await there.until(whole(here))
            # Discovery, which asks as well, and the other host's repositories, of which the upstream is asked, count.
            assert sum(there.pds.asked.values()) <= 4 + 2 * (time.monotonic() - started)
            assert made.metrics.postponed["fetch"]


def _not_now(_car: bytes) -> bytes:
    raise web.HTTPTooManyRequests(headers={"Retry-After": "60"})
