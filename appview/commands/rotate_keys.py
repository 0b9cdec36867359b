"""`python -m appview rotate-keys`: seal everything under the current secret key, and say which former ones may go."""

import argparse
import asyncio
from collections.abc import Sequence

from appview import db
from appview.accounts import resealing
from appview.accounts.resealing import Use
from appview.accounts.vault import Vault
from appview.commands import CommandError, Commands
from appview.commands.check import LONG_SECONDS
from appview.commands.database import database
from appview.commands.progress import Progress
from appview.config import Config
from appview.embedded.folder import load_secrets


def register(commands: Commands) -> None:
    """Add the command to `commands`."""
    parser = commands.add_parser(
        "rotate-keys",
        help="seal everything under the current secret key",
        description="Seal what is sealed under a key of PLYR_OLD_SECRET_KEYS under PLYR_SECRET_KEY, while the system "
        "runs, and say of each key what it is still needed for. To be run once all processes know both keys; may be "
        "stopped and run again. Exits with 1 when something is sealed under a key that is not given.",
    )
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    """Rotate."""
    config = Config.load()
    with database(config) as url:
        return asyncio.run(_rotate(url, [current_key(config), *config.old_secret_keys]))


def current_key(config: Config) -> str:
    """The secret key of the processes: the one that is set, else the one that `up` made. Raises CommandError."""
    if config.secret_key is not None:
        return config.secret_key
    if config.database_url is not None:
        raise CommandError("PLYR_SECRET_KEY is not set: nothing can be sealed without a key")
    return load_secrets(config.data_dir).key


async def _rotate(url: str, secrets: Sequence[str]) -> int:
    connection = await db.connect(url, command_seconds=LONG_SECONDS)
    try:
        await db.require_migrated(connection)
        before, _ = await resealing.uses(connection, secrets)
        progress = Progress(sum(use.sealed for use in before[1:]), "grants")
        done = await resealing.reseal(connection, Vault(secrets), progress.at)
        progress.end()
        (current, *former), unknown = await resealing.uses(connection, secrets)
    finally:
        await connection.close()
    print(f"{done:,} grants were sealed anew; {current.sealed:,} are sealed under PLYR_SECRET_KEY")
    for number, use in enumerate(former, 1):
        print(f"key {number} of PLYR_OLD_SECRET_KEYS {_verdict(use)}")
    if unknown.client:
        print(f"{unknown.client:,} grants began with a client's key of none of these, and cannot be renewed")
    if unknown.sealed:
        print(f"{unknown.sealed:,} grants are sealed under none of these keys, and do not open")
    return 1 if unknown.sealed else 0


def _verdict(use: Use) -> str:
    """What is to be said of a former key."""
    needs = []
    if use.sealed:
        needs.append(f"{use.sealed:,} grants are sealed under it: a process still has it as its PLYR_SECRET_KEY")
    if use.under_way:
        needs.append(f"{use.under_way:,} sign-ins began under it, which are over in ten minutes")
    if use.client:
        needs.append(
            f"{use.client:,} grants began with its client's key, and end with it: their accounts sign in again"
        )
    return f"is still needed: {'; '.join(needs)}" if needs else "may be dropped"
