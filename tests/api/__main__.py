"""`python -m tests.api`: schemathesis for as long as is wanted, on a server and a database of its own."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from appview.embedded.postgres import postgres
from tests.api.fuzz import fuzz
from tests.database import CARELESS, serving


def main() -> int:
    """Ask; 1 when anything was answered otherwise than the document says."""
    parser = argparse.ArgumentParser(prog="python -m tests.api", description=__doc__)
    parser.add_argument("--examples", type=int, default=500, help="requests of each kind for each method")
    parser.add_argument("--seconds", type=int, help="the time for all of it; fuzzing goes on until it is spent")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32, help="another seed, other requests")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="plyr-") as folder,
        postgres(Path(folder), CARELESS) as url,
        serving(url) as server,
        server.database() as database_url,
    ):
        run = fuzz(database_url, examples=options.examples, seconds=options.seconds, seed=options.seed)
    print(run.said)
    return run.code


if __name__ == "__main__":
    sys.exit(main())
