"""`python -m appview migrate`: bring the database's schema up to this version."""

import argparse
import asyncio

from appview import db
from appview.commands import Commands
from appview.commands.database import database
from appview.config import Config


def register(commands: Commands) -> None:
    """Add the command to `commands`."""
    parser = commands.add_parser(
        "migrate",
        help="bring the database's schema up to this version",
        description="Apply the migrations that the database lacks, each in a transaction of its own, and print their "
        "names. Several may run at once. Without PLYR_DATABASE_URL the database is the embedded one. Exits with 2 when "
        "an applied migration was changed, when the database is newer than this version, or when one fails.",
    )
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    """Migrate."""
    with database(Config.load()) as url:
        names = asyncio.run(migrate(url))
    print("\n".join(names) or "nothing to do: the schema is up to date")
    return 0


async def migrate(url: str) -> list[str]:
    """Apply what is missing in the database at `url`; returns the names. Raises DatabaseError."""
    connection = await db.connect(url)
    try:
        return await db.migrate(connection)
    finally:
        await connection.close()
