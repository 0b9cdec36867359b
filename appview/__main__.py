"""`python -m appview`: the commands of the centre, and `up`, which starts everything."""

import sys

from appview.commands import (
    backup,
    check,
    explain,
    keygen,
    migrate,
    publish_lexicons,
    reindex,
    restore,
    rotate_keys,
    up,
)
from appview.commands import main as program

COMMANDS = (up, migrate, check, reindex, explain, publish_lexicons, keygen, rotate_keys, backup, restore)
"""Every command: a module of `appview/commands`, and a line here."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code: 0 done, 1 the command's own no, 2 it could not be carried out."""
    return program.main("python -m appview", "The index of fm.plyr.* and what keeps it.", COMMANDS, arguments)


if __name__ == "__main__":
    sys.exit(main())
