"""`python -m ingester backfill` and `resync`: fetch what was there before us, or what we doubt, and wait for it."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Final, Never

from appview import log
from appview.commands import CommandError, Commands
from appview.commands.database import database, migrated
from appview.commands.progress import Progress
from appview.config import Config
from appview.db import AWAY, DatabaseError, Pool
from appview.index.records import record_types
from appview.jobs import rows as jobs
from appview.net.http import HttpClient
from appview.net.lookup import Dns
from appview.net.policy import Policy
from ingester.discovery import Discovery
from ingester.engine import Engine, discovery_sources, engine
from ingester.hosts import HostError
from ingester.leader import Fenced, leaders
from ingester.shard import Shard
from lexicons.formats import is_did, is_nsid

POLL_SECONDS: Final = 0.3
COUNT_SECONDS: Final = 1.0
"""Between two counts of what is left, or twenty times as long as counting takes."""
ABSENT_SECONDS: Final = 5
"""How long the ingester that fetches may be away, as when it is started anew."""

_ALL: Final = "from jobs where kind = 'fetch'"
_NAMED: Final = f"{_ALL} and subject = any($1)"
_LEFT: Final = "(error is null or leased)"

logger = logging.getLogger("plyr.backfill")


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
    fetching = asyncio.create_task(_fetching(config, url, pool))
    waiting = asyncio.create_task(_wait(pool, dids))
    try:
        await asyncio.wait({fetching, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            error = fetching.exception()
            if isinstance(error, CommandError | DatabaseError):
                raise error
            reason = error if isinstance(error, Fenced) else f"{type(error).__name__}: {error}"
            raise CommandError(f"the fetching has ended: {reason}") from error
        total, failed = waiting.result()
    finally:
        waiting.cancel()
        fetching.cancel()
        await asyncio.gather(waiting, fetching, return_exceptions=True)
    print(f"{max(0, total - failed):,} repositories fetched", file=sys.stderr)
    if failed:
        print(f"{failed:,} could not be fetched yet; they are tried again later", file=sys.stderr)
    return 1 if failed else 0


async def _wait(pool: Pool, dids: Sequence[str]) -> tuple[int, int]:
    """Wait until nothing is left but what failed; how many there were, and how many failed."""
    clock = asyncio.get_running_loop().time
    left, failed = await _count(pool, dids)
    total = left + failed
    progress = Progress(total, "repositories")
    due = clock() + COUNT_SECONDS
    while await _is_any_left(pool, dids):
        if clock() >= due:
            started = clock()
            left, failed = await _count(pool, dids)
            progress.at(max(0, total - left - failed), f"{failed} failed" if failed else "")
            due = clock() + max(COUNT_SECONDS, 20 * (clock() - started))
        await asyncio.sleep(POLL_SECONDS)
    progress.end()
    _, failed = await _count(pool, dids)
    return total, failed


async def _is_any_left(pool: Pool, dids: Sequence[str]) -> bool:
    """Whether a fetch is still to be tried."""
    row = await _ask(pool, f"select exists (select {_NAMED if dids else _ALL} and {_LEFT})", dids)
    return bool(row[0])


async def _count(pool: Pool, dids: Sequence[str]) -> tuple[int, int]:
    """How many fetches are still to be tried, and how many wait since they failed."""
    counts = f"count(*) filter (where {_LEFT}), count(*) filter (where not {_LEFT})"
    row = await _ask(pool, f"select {counts} {_NAMED if dids else _ALL}", dids)
    return row[0], row[1]


async def _ask(pool: Pool, sql: str, dids: Sequence[str]) -> Sequence[int]:
    """One row, asked for until the database answers: those who fetch wait for it as well."""
    while True:
        try:
            row = await pool.fetchrow(sql, *([dids] if dids else []))
        except AWAY as error:
            logger.warning("waiting for the database: %s", error)
            await asyncio.sleep(COUNT_SECONDS)
        else:
            return list(row or ())


async def _fetching(config: Config, url: str, pool: Pool) -> None:
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
    raise CommandError("an ingester that fetched has ended; what is left is fetched when one runs again")


async def _wind_down(made: Engine) -> None:
    try:
        await made.stop()
    except TimeoutError:
        logger.warning("what was finished last could not be written in time; it is done again with the next start")


def _did(text: str) -> str:
    if not is_did(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a DID")
    return text


def _nsid(text: str) -> str:
    if not is_nsid(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not an NSID")
    return text
