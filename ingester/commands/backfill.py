"""`python -m ingester backfill` and `resync`: fetch what was there before us, or what we doubt, and wait for it."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Final

from appview import log
from appview.commands import CommandError, Commands
from appview.commands.database import database, migrated
from appview.commands.progress import Progress
from appview.config import Config
from appview.db import AWAY, Pool
from appview.index.records import record_types
from appview.jobs import rows as jobs
from appview.net.http import HttpClient
from appview.net.lookup import Dns
from appview.net.policy import Policy
from ingester.budget import Budget, HostClient
from ingester.commands.arguments import did, nsid
from ingester.commands.waiting import until_done
from ingester.discovery import Discovery
from ingester.engine import discovery_sources
from ingester.hosts import HostError

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
    parser.add_argument("--did", action="append", type=did, default=[], help="this repository, instead of asking")
    parser.add_argument(
        "--collection", action="append", type=nsid, default=[], help="ask for this collection only (repeatable)"
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
    parser.add_argument("did", nargs="+", type=did, metavar="DID")
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
            budget, sources = Budget(config.host_rate), {}
            for source in discovery_sources(config):
                http = await stack.enter_async_context(HttpClient(Policy.trusting(source), lookup=dns.addresses))
                sources[source] = HostClient(http, budget, patient=True)
            await _discover(Discovery(pool, sources, signal), collections)
        return await _until_fetched(config, url, pool, dids)


async def _discover(discovery: Discovery, collections: Sequence[str]) -> None:
    """Ask each source; one that does not answer is named, and the others are asked all the same.

    Raises CommandError when none answers.
    """
    failures: list[str] = []
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
            except (HostError, *AWAY) as error:
                failures.append(f"{source} cannot be asked: {error}")
                print(failures[-1], file=sys.stderr)
    finally:
        watching.cancel()
        progress.end()
    print(f"{discovery.looked_at:,} repositories listed, {discovery.found:,} of them new", file=sys.stderr)
    if failures and len(failures) == len(discovery.sources):
        raise CommandError("no source could be asked; what was found before is kept")


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
    """Wait until no fetch is left (of `dids`, if any are named) but such as failed. 1 when some failed.

    Raises CommandError when nobody fetches any more before that.
    """
    total, failed = await until_done(config, url, pool, ("fetch",), dids)
    print(f"{max(0, total - failed):,} repositories fetched", file=sys.stderr)
    if failed:
        print(f"{failed:,} could not be fetched yet; they are tried again later", file=sys.stderr)
    return 1 if failed else 0
