"""What `python -m appview` and `python -m ingester` have in common: find the command, run it, answer with its code."""

import argparse
import errno
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final, Protocol

from appview.commands import CommandError, Commands
from appview.config import ConfigError
from appview.db import DatabaseError
from appview.supervisor.service import ServiceError

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class Command(Protocol):
    """A module that holds a command."""

    def register(self, commands: Commands) -> None:
        """Add its parser, with `run` set as a default: from the parsed options to the exit code."""


def main(program: str, description: str, commands: Sequence[Command], arguments: list[str] | None) -> int:
    """Run one of `commands`; returns its exit code: 0 done, 1 the command's own no, 2 it could not be carried out."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in commands:
        command.register(parsers)
    options = parser.parse_args(arguments)
    if sys.stdout is None:
        print(f"{program}: there is no standard output to answer to", file=sys.stderr)
        return 2
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except (CommandError, ConfigError, DatabaseError, ServiceError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever read our output has seen enough; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        print(f"{program}: the answer cannot be written: {error.strerror}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    else:
        return code
