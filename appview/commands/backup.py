"""`python -m appview backup`: a copy of what no PDS holds."""

import argparse
import asyncio
import os
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from appview import db
from appview.accounts.backups import dump
from appview.commands import CommandError, Commands
from appview.commands.check import LONG_SECONDS
from appview.commands.database import database
from appview.commands.progress import Progress
from appview.config import Config

CONTENTS = (
    "In it: what accounts allowed us (sealed as it is in the database), their sessions and developer tokens (as "
    "digests), their preferences, who asked to be forgotten, and whom operators took down. Not in it: the index, which "
    "PDSes give again; sign-ins and writes that are under way; and the secret key, without which what is sealed stays "
    "so: keep PLYR_SECRET_KEY, or the secrets.json in PLYR_DATA_DIR, elsewhere."
)


def register(commands: Commands) -> None:
    """Add the command to `commands`."""
    parser = commands.add_parser(
        "backup",
        help="write a copy of what no PDS holds into a file",
        description="Write what this server alone knows into FILE, as of one instant, while the system runs. Only its "
        f"owner can read the file, which is there whole or not at all. {CONTENTS}",
    )
    parser.add_argument("file", metavar="FILE", type=Path)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Back up."""
    with database(Config.load()) as url:
        rows = asyncio.run(_backup(url, options.file))
    print(f"{rows:,} rows are in {options.file}")
    return 0


async def _backup(url: str, path: Path) -> int:
    connection = await db.connect(url, command_seconds=LONG_SECONDS)
    try:
        await db.require_migrated(connection)
        return await _write(connection, path)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        await connection.close()


async def _write(connection: db.Connection, path: Path) -> int:
    """Write it beside `path` first, so that nobody ever finds half of it there."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    rows, progress = 0, Progress(0, "rows")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            async for line in dump(connection, datetime.now(UTC)):
                file.write(line)
                rows += 1
                progress.at(rows)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    finally:
        progress.end()
    _keep(path.parent)
    # Neither the first line nor the last is one.
    return rows - 2


def _keep(folder: Path) -> None:
    """Have the file's name outlive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
