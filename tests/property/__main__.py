"""`python -m tests.property`: generated commits by the hundred thousand, on every core."""

import argparse
import multiprocessing
import sys
import time
from collections import Counter

from tests.property.check import Disagreement, check_share

_SHARE = 1_000


def main() -> int:
    """Check as many commits as asked for; 1 at the first disagreement."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.property",
        description="Random trees and operations: each generated commit undone and redone by the verifier on its "
        "partial tree must give the roots of the whole trees, built anew by an independent writer; without a node that "
        "it needs, it must be refused.",
    )
    parser.add_argument("--commits", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32, help="another seed, other histories")
    options = parser.parse_args()
    shares = [min(_SHARE, options.commits - done) for done in range(0, options.commits, _SHARE)]
    print(f"{options.commits:,} commits from seed {options.seed}", flush=True)
    total: Counter[str] = Counter()
    started = time.monotonic()
    with multiprocessing.get_context("spawn").Pool() as pool:
        jobs = [pool.apply_async(check_share, (options.seed + number, share)) for number, share in enumerate(shares)]
        try:
            for number, job in enumerate(jobs, 1):
                total += job.get()
                if number % 10 == 0 or number == len(jobs):
                    print(f"{total['commits']:>9,} commits, {time.monotonic() - started:.0f} s", flush=True)
        except Disagreement as disagreement:
            print(f"DISAGREEMENT: {disagreement}", file=sys.stderr)
            return 1
    print(", ".join(f"{name} {count:,}" for name, count in total.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
