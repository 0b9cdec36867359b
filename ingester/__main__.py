"""`python -m ingester`: the commands of the ingester."""

import sys

from appview.commands import main as program
from ingester.commands import audit, backfill, dead_letters, run, verify, verify_car

COMMANDS = (run, backfill, audit, dead_letters, verify, verify_car)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code: 0 done, 1 the command's own no, 2 it could not be carried out."""
    return program.main("python -m ingester", "From the network to the index.", COMMANDS, arguments)


if __name__ == "__main__":
    sys.exit(main())
