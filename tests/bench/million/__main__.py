"""`python -m tests.bench.million`: make the indexes that are named, unless they are there, and say where they are."""

import argparse
import signal
import sys

from tests.bench.million.cached import SIZES, database, server


def main() -> int:
    """Make them, and with --serve keep the server up."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.million", description=__doc__)
    parser.add_argument("sizes", nargs="*", metavar="SIZE", help=f"of {', '.join(SIZES)}; none: all")
    parser.add_argument("--serve", action="store_true", help="keep the server up until SIGTERM or SIGINT")
    options = parser.parse_args()
    if unknown := set(options.sizes) - set(SIZES):
        parser.error(f"there is no size {', '.join(unknown)}; there are {', '.join(SIZES)}")
    with server() as url:
        for size in options.sizes or SIZES:
            print(f"{size}: {database(url, size, _say)}", flush=True)
        if options.serve:
            print("serving", flush=True)
            signal.sigwait({signal.SIGTERM, signal.SIGINT})
    return 0


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
