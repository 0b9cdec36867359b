"""Hosts that are slow, or do not want to be asked as often: they hold up their own repositories at most."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from appview.jobs import rows as jobs
from ingester.budget import AT_ONCE
from tests.ingester.world import SECONDS, World, create, world
from tests.system.synthetic import Account, Pds

GET_REPO = "com.atproto.sync.getRepo"


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
    async with two_hosts(database_url, 7) as (there, here, others):
        there.pds.gate = asyncio.Event()
        async with there.ingesting(live=False):
            await there.until(whole(others))
            assert there.pds.asked[GET_REPO] == AT_ONCE
            there.pds.gate.set()
            await there.until(whole(here))
        assert there.pds.asked[GET_REPO] >= 7


async def test_a_host_that_wants_to_be_left_alone_is(database_url: str) -> None:
    async with two_hosts(database_url, 8) as (there, here, others):
        there.pds.answers_with = _not_now
        async with there.ingesting(live=False) as made:
            await there.until(whole(others))
            await there.until("select count(*) = 8 from jobs where kind = 'fetch' and due_at > now() + interval '50 s'")
            # Those that had gone out already have failed; of the others none has.
            asked = there.pds.asked[GET_REPO]
            assert asked <= AT_ONCE
            assert await there.value("select count(*) from jobs where kind = 'fetch' and attempts = 0") == 8 - asked
            assert made.metrics.postponed["fetch"] >= 8 - asked
            # Nor is it asked when somebody wants it at once.
            await there.connection.execute("update jobs set due_at = now()")
            made.workers["fetch"].wake.set()
            async with asyncio.timeout(SECONDS):
                while made.metrics.postponed["fetch"] < 2 * 8 - asked:
                    await asyncio.sleep(0.01)
        assert there.pds.asked[GET_REPO] == asked
        assert len(here) == 8


async def test_a_host_is_asked_so_many_times_a_second(database_url: str) -> None:
    async with two_hosts(database_url, 6) as (there, here, _):
        started = time.monotonic()
        async with there.ingesting(live=False, PLYR_HOST_RATE="4") as made:
            await there.until(whole(here))
            # Discovery, which asks as well, and the other host's repositories, of which the upstream is asked, count.
            assert sum(there.pds.asked.values()) <= 8 + 4 * (time.monotonic() - started)
            assert made.metrics.postponed["fetch"]


def _not_now(_car: bytes) -> bytes:
    raise web.HTTPTooManyRequests(headers={"Retry-After": "60"})
