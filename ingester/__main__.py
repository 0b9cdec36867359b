"""`python -m ingester`: the commands of the ingester."""

import argparse
import os
import signal
import sys

from ingester.commands import CommandError, verify, verify_car


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code: 0 done, 1 the command's own no, 2 it could not be carried out."""
    parser = argparse.ArgumentParser(prog="python -m ingester", description="From the network to the index.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (verify, verify_car):
        command.register(commands)
    options = parser.parse_args(arguments)
    if sys.stdout is None:
        print(f"{parser.prog}: there is no standard output to answer to", file=sys.stderr)
        return 2
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except CommandError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever read our output has seen enough; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        print(f"{parser.prog}: the answer cannot be written: {error.strerror}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    else:
        return code


if __name__ == "__main__":
    sys.exit(main())
