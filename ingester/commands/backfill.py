"""`python -m ingester backfill` and `resync`: fetch what was there before us, or what we doubt, and wait for it."""

import argparse
import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Final

from appview import log
from appview.commands import CommandError, Commands
from appview.commands.database import database, migrated
from appview.commands.progress import Progress
from appview.config import Config
from appview.db import Pool
from appview.index.records import record_types
from appview.jobs import rows as jobs
from appview.net.http import HttpClient
from appview.net.lookup import Dns
from appview.net.policy import Policy
from ingester.discovery import Discovery
from ingester.engine import discovery_sources, engine
from ingester.hosts import HostError
from ingester.writer import is_held
from lexicons.formats import is_did, is_nsid

POLL_SECONDS: Final = 0.3


def register(commands: Commands) -> None:
    """Add the commands to `commands`."""
    parser = commands.add_parser(
        "backfill",
        help="find the repositories with records of ours, and index them",
        description="Ask which repositories hold records of ours (listReposByCollection, or listRepos and describeRepo "
        "where the host does not serve it), fetch each from its PDS, and wait until all are in the index. A running "
        "ingester does the fetching; without one, this command does. May be broken off: it goes on from there the next "
        "time. Exits with 1 when some could not be fetched yet; they are tried again later.",
    )
    parser.add_argument("--did", action="append", type=_did, default=[], help="this repository, instead of asking")
    parser.add_argument(
        "--collection", action="append", type=_nsid, default=[], help="ask for this collection only (repeatable)"
    )
    parser.set_defaults(
        run=lambda options: _run(lambda config, url: _backfill(config, url, options.did, options.collection))
    )
    parser = commands.add_parser(
        "resync",
        help="fetch repositories again, and make the index equal to them",
        description="Fetch these repositories from their PDSes again, prove them, and make the index equal to them: "
        "create, update and delete. Exits with 1 when one of them could not be fetched.",
    )
    parser.add_argument("did", nargs="+", type=_did, metavar="DID")
    parser.set_defaults(run=lambda options: _run(lambda config, url: _resync(config, url, options.did)))


def _run(work: Callable[[Config, str], Coroutine[None, None, int]]) -> int:
    """Do `work`, given the settings and the URL of the database."""
    config = Config.load()
    log.configure(config.log, "ingester")
    with database(config) as url:
        try:
            return asyncio.run(work(config, url))
        except HostError as error:
            raise CommandError(str(error)) from error


async def _backfill(config: Config, url: str, dids: Sequence[str], collections: Sequence[str]) -> int:
    signal = [nsid for nsid, kind in record_types(config.namespace).items() if kind.signal]
    dns = Dns()
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(migrated(url))
        if dids:
            async with pool.acquire() as connection:
                await jobs.want(connection, "fetch", dids, note="backfill")
        else:
            sources = {
                source: await stack.enter_async_context(HttpClient(Policy.trusting(source), lookup=dns.addresses))
                for source in discovery_sources(config)
            }
            await _discover(Discovery(pool, sources, signal), collections)
        return await _until_fetched(config, url, pool, dids)


async def _discover(discovery: Discovery, collections: Sequence[str]) -> None:
    """Ask each source; one that does not answer is named, and the others are asked all the same. Raises HostError."""
    failures: list[HostError] = []
    progress = Progress(0, "repositories listed")

    async def watch() -> None:
        while True:
            progress.at(discovery.looked_at, f"{discovery.found:,} new")
            await asyncio.sleep(POLL_SECONDS)

    watching = asyncio.create_task(watch())
    try:
        for source in discovery.sources:
            try:
                await discovery.once(source, collections)
            except HostError as error:
                print(f"{source} cannot be asked: {error}", file=sys.stderr)
                failures.append(error)
    finally:
        watching.cancel()
        progress.end()
    print(f"{discovery.looked_at:,} repositories listed, {discovery.found:,} of them new", file=sys.stderr)
    if failures and len(failures) == len(discovery.sources):
        raise failures[0]


async def _resync(config: Config, url: str, dids: Sequence[str]) -> int:
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(migrated(url))
        started: datetime = await pool.fetchval("select now()")
        async with pool.acquire() as connection:
            await jobs.want(connection, "fetch", dids, note="resync")
        await _until_fetched(config, url, pool, dids)
        return await _report(pool, dids, started)


async def _report(pool: Pool, dids: Sequence[str], started: datetime) -> int:
    """One line a repository: what became of it. 1 unless all were fetched."""
    rows = await pool.fetch(
        """
        select asked.did, rev, fetched_at, error, actors.status, coalesce(actors.active, true) as active
        from unnest($1::text[]) as asked (did)
            left join repos using (did) left join actors using (did)
            left join jobs on kind = 'fetch' and subject = asked.did
        """,
        dids,
    )
    code = 0
    for row in rows:
        if row["fetched_at"] is not None and row["fetched_at"] >= started:
            print(f"{row['did']} fetched at {row['rev']}")
        else:
            code = 1
            reason = row["error"] or (None if row["active"] else f"the account is {row['status'] or 'inactive'}")
            print(f"{row['did']} not fetched: {reason or 'its host does not give it out'}")
    return code


async def _until_fetched(config: Config, url: str, pool: Pool, dids: Sequence[str]) -> int:
    """Wait until no fetch is left (of `dids`, if any are named) but such as failed. 1 when some failed."""
    async with _ingester(config, url, pool):
        total = await _left(pool, dids)
        progress = Progress(sum(total), "repositories")
        waiting, failed = total
        while waiting:
            progress.at(sum(total) - waiting - failed, f"{failed} failed" if failed else "")
            await asyncio.sleep(POLL_SECONDS)
            waiting, failed = await _left(pool, dids)
        progress.end()
    print(f"{max(0, sum(total) - failed):,} repositories fetched", file=sys.stderr)
    if failed:
        print(f"{failed:,} could not be fetched yet; they are tried again later", file=sys.stderr)
    return 1 if failed else 0


async def _left(pool: Pool, dids: Sequence[str]) -> tuple[int, int]:
    """How many fetches are still to be tried, and how many wait since they failed."""
    row = await pool.fetchrow(
        """
        select count(*) filter (where error is null or leased), count(*) filter (where error is not null and not leased)
        from jobs where kind = 'fetch' and (cardinality($1::text[]) = 0 or subject = any($1))
        """,
        dids,
    )
    return (row[0], row[1]) if row is not None else (0, 0)


@asynccontextmanager
async def _ingester(config: Config, url: str, pool: Pool) -> AsyncIterator[None]:
    """Whoever does the jobs: the ingester that runs, or, where none does, one within this process."""
    async with pool.acquire() as connection:
        is_running = await is_held(connection, config.shard)
    if is_running:
        yield
        return
    logging.getLogger("plyr").setLevel(logging.WARNING)
    async with engine(config, url) as made:
        running = asyncio.create_task(made.run(live=False))
        try:
            yield
            await made.stop()
        finally:
            running.cancel()
            await asyncio.wait({running})


def _did(text: str) -> str:
    if not is_did(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a DID")
    return text


def _nsid(text: str) -> str:
    if not is_nsid(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not an NSID")
    return text
