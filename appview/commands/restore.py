"""`python -m appview restore`: what `backup` wrote, into a database."""

import argparse
import asyncio
from pathlib import Path
from typing import Final

from appview import db
from appview.accounts.backups import Backup, BadBackup, Outcome, restore
from appview.accounts.vault import Vault
from appview.commands import CommandError, Commands
from appview.commands.backup import CONTENTS
from appview.commands.check import LONG_SECONDS
from appview.commands.database import database
from appview.commands.rotate_keys import current_key
from appview.config import Config

_WORDS: Final = {
    "forgotten": "accounts that were forgotten",
    "grants": "grants",
    "browsers": "browsers that are signed in",
    "developer_tokens": "developer tokens",
    "preferences": "preferences",
    "erasures": "accounts that asked to be forgotten",
    "takedowns": "accounts that were taken down",
}


def register(commands: Commands) -> None:
    """Add the command to `commands`."""
    parser = commands.add_parser(
        "restore",
        help="put what a backup has into the database",
        description="Put into the database what FILE has and it has not, best before the ingester runs; what is there "
        "stays as it is, so that this may be done again. Exits with 1 when something was left out: a grant that is "
        "sealed under a key that is not given, or whose number is another's by now, with what depends on it; or a wish "
        "to be forgotten of an account that is followed here; or what an account had when it was forgotten since. Who "
        "was is known by the database, and by FILE if it was later made: of several files restore the newest first, "
        "and should none be as new, have those forgotten again who asked for it since. Whoever signed out, or revoked "
        "a token, since the backup was made is back as they were. A grant that was renewed since has ended at its "
        "server: its account signs in again. Two systems that run must never have the same grants. "
        f"{CONTENTS}",
    )
    parser.add_argument("file", metavar="FILE", type=Path)
    parser.add_argument("--dry-run", action="store_true", help="say what would be restored, and change nothing")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Restore; 0 when all of it is in the database, 1 when something was left out."""
    config = Config.load()
    try:
        backup = Backup(options.file)
    except BadBackup as error:
        raise CommandError(str(error).rstrip(".")) from None
    except OSError as error:
        raise CommandError(f"{options.file} cannot be read: {error.strerror}") from None
    with database(config) as url:
        vault = Vault([current_key(config), *config.old_secret_keys])
        outcomes = asyncio.run(_restore(url, backup, vault, dry_run=options.dry_run))
    print(f"of {backup.at}{', of which nothing was restored now' if options.dry_run else ''}:")
    for outcome in outcomes:
        print(_told(outcome))
    return 1 if any(outcome.left_out for outcome in outcomes) else 0


async def _restore(url: str, backup: Backup, vault: Vault, *, dry_run: bool) -> list[Outcome]:
    connection = await db.connect(url, command_seconds=LONG_SECONDS)
    try:
        await db.require_migrated(connection)
        return await restore(connection, backup, vault.key_names, dry_run=dry_run)
    finally:
        await connection.close()


def _told(outcome: Outcome) -> str:
    here = outcome.given - outcome.restored - outcome.left_out
    return (
        f"{outcome.given:,} {_WORDS[outcome.table]}: {outcome.restored:,} new, {here:,} here already, "
        f"{outcome.left_out:,} left out"
    )
