"""`python -m appview check`: does the index agree with itself?"""

import argparse
import asyncio

from appview import db
from appview.commands import Commands
from appview.commands.database import database
from appview.commands.progress import Progress
from appview.config import Config
from appview.index import check, recount
from appview.index.rebuild import Makers
from appview.index.search import differences as search

LONG_SECONDS = 6 * 3600.0
"""How long a query may take that reads every row there is."""


def register(commands: Commands) -> None:
    """Add the command to `commands`."""
    parser = commands.add_parser(
        "check",
        help="recompute counts and invariants, and print what differs",
        description="Compare every record with its CID, with the verdict it would get now, and with what is derived "
        "from it; every derived row with its record; every counter with its rows; and what is found in a search with "
        "what it says. Prints one line for each difference and exits with 1 when there is any, repaired or not. The "
        "system may run meanwhile.",
    )
    parser.add_argument(
        "--repair",
        action="store_true",
        help="set right what differs; a repository whose records are in doubt themselves is fetched again",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check; 0 when all is as it should be, 1 when anything was not."""
    config = Config.load()
    with database(config) as url:
        found = asyncio.run(_check(url, Makers.of(config.namespace), repair=options.repair))
    if not found:
        print("no differences")
        return 0
    print(f"{found:,} differences{', repaired' if options.repair else ''}")
    return 1


async def _check(url: str, makers: Makers, *, repair: bool) -> int:
    connection = await db.connect(url, command_seconds=LONG_SECONDS)
    try:
        await db.require_migrated(connection)
        estimate = await connection.fetchval("select reltuples::bigint from pg_class where oid = 'records'::regclass")
        progress = Progress(max(estimate, 0), "records checked")
        found = []
        async for finding in check.check_records(connection, makers, progress.at):
            progress.end()
            print(finding)
            found.append(finding)
        progress.end()
        others = await check.check_orphans(connection, makers)
        others += await check.check_revs(connection)
        others += await check.check_proofs(connection)
        for finding in others:
            print(finding)
            found.append(finding)
        counters = await recount.differences(connection)
        texts = await search.differences(connection)
        for difference in (*counters, *texts):
            print(difference)
        if repair and (found or counters or texts):
            await check.repair(connection, makers, found)
        return len(found) + len(counters) + len(texts)
    finally:
        await connection.close()
