"""`python -m tests.bench`: take the figures, print the table, keep the results."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench import off_topic_frames, verified_commits
from tests.bench.measure import Figure

RESULTS = Path(__file__).parents[2] / ".bench" / "results.json"
FIGURES: dict[str, Callable[[Callable[[str], None]], Figure]] = {
    "off_topic_frames": off_topic_frames.run,
    "verified_commits": verified_commits.run,
}


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", metavar="NAME,…", help=f"of {', '.join(FIGURES)}")
    names = [name for name in (parser.parse_args().only or "").split(",") if name] or list(FIGURES)
    unknown = [name for name in names if name not in FIGURES]
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(FIGURES)}")
    figures = []
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        figures.append(FIGURES[name](lambda text: print(f"  {text}", file=sys.stderr, flush=True)))
    _print_table(figures)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps([figure.row() for figure in figures], indent=1) + "\n")
    return 0


def _print_table(figures: list[Figure]) -> None:
    row = "{:<18} {:>10} {:<13} {:>10} {:>9} {:>10} {:>8}  {}"
    print(row.format("figure", "ours", "unit", "limit", "of limit", "peer", "x peer", "peer is"))
    for f in figures:
        cells = (
            f"{f.value:,.0f}",
            f.unit,
            f"{f.limit:,.0f}",
            f"{f.of_limit:.0%}",
            f"{f.peer:,.0f}",
            f"{f.of_peer:.2f}",
        )
        print(row.format(f.name, *cells, f.peer_name))


if __name__ == "__main__":
    sys.exit(main())
