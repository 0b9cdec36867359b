"""`python -m appview reindex`: make every derived table anew from the records that are kept."""

import argparse
import asyncio

from appview import db
from appview.commands import Commands
from appview.commands.check import LONG_SECONDS
from appview.commands.database import database
from appview.commands.progress import Progress
from appview.config import Config
from appview.db import Connection
from appview.index import rebuild, recount
from appview.index.lock import index_lock
from appview.index.rebuild import Makers
from appview.index.search import differences as search

_TASK = "reindex"


def register(commands: Commands) -> None:
    """Add the command to `commands`."""
    parser = commands.add_parser(
        "reindex",
        help="make every derived table anew from the stored records",
        description="Judge every stored record again, make what is derived from it anew, take out what belongs to no "
        "record, and count everything. In short transactions, while the system runs; one that was stopped goes on "
        "where it was.",
    )
    parser.add_argument("--restart", action="store_true", help="begin anew, whatever an earlier run has done")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Reindex."""
    config = Config.load()
    with database(config) as url:
        asyncio.run(_reindex(url, Makers.of(config.namespace), restart=options.restart))
    return 0


async def _reindex(url: str, makers: Makers, *, restart: bool) -> None:
    connection = await db.connect(url, command_seconds=LONG_SECONDS)
    try:
        await db.require_migrated(connection)
        after, done = ("", 0) if restart else await _place(connection)
        if after:
            print(f"going on after {after}")
        estimate = await connection.fetchval("select reltuples::bigint from pg_class where oid = 'records'::regclass")
        progress = Progress(max(estimate, 0), "records")
        last: str | None = after
        while last is not None:
            async with connection.transaction():
                await index_lock(connection)
                records = await rebuild.page(connection, last)
                await rebuild.rebuild(connection, makers, records)
                last, done = records[-1].uri if records else None, done + len(records)
                await _note(connection, last, done)
            progress.at(done)
        progress.end()
        lost = await rebuild.orphans(connection, makers)
        await rebuild.remove(connection, makers, lost)
        counters = await recount.differences(connection)
        await recount.repair(connection, counters)
        texts = await search.differences(connection)
        await search.repair(connection, texts)
    finally:
        await connection.close()
    print(
        f"{done:,} records; {len(lost):,} rows without a record taken out; {len(counters):,} counters and "
        f"{len(texts):,} texts of the search set right"
    )


async def _place(connection: Connection) -> tuple[str, int]:
    """Where an earlier run was stopped, and how much it had done."""
    row = await connection.fetchrow("select place, done from places where task = $1", _TASK)
    return (row["place"], row["done"]) if row else ("", 0)


async def _note(connection: Connection, place: str | None, done: int) -> None:
    if place is None:
        await connection.execute("delete from places where task = $1", _TASK)
    else:
        await connection.execute(
            "insert into places (task, place, done) values ($1, $2, $3)"
            " on conflict (task) do update set place = excluded.place, done = excluded.done",
            _TASK,
            place,
            done,
        )
