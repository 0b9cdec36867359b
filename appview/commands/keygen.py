"""`python -m appview keygen`: a new secret key."""

import argparse
import secrets

from appview.commands import Commands


def register(commands: Commands) -> None:
    """Add the command to `commands`."""
    parser = commands.add_parser(
        "keygen",
        help="print a new PLYR_SECRET_KEY",
        description="Print a new secret key, of 256 random bits, and nothing else. To replace one that is in use, put "
        "that into PLYR_OLD_SECRET_KEYS, start the processes with both, and run rotate-keys.",
    )
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    """Print a key."""
    print(secrets.token_urlsafe(32))
    return 0
