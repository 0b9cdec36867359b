"""`python -m tests.bench`: take the figures, print the table, keep the results."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench import (
    backfill_records,
    durable_commits,
    fan,
    feed_latest,
    flat,
    memory,
    off_topic_frames,
    plans,
    reading,
    repositories,
    verified_commits,
    write_to_own_view,
    write_to_visible,
)
from tests.bench.measure import Figure

RESULTS = Path(__file__).parents[2] / ".bench" / "results.json"
Say = Callable[[str], None]
FIGURES: dict[str, Callable[[Say], Figure | list[Figure]]] = {
    "off_topic_frames": off_topic_frames.run,
    "verified_commits": verified_commits.run,
    "durable_commits": durable_commits.run,
    "backfill_records": backfill_records.run,
    "write_to_visible": write_to_visible.run,
    "write_to_own_view": write_to_own_view.run,
    "feed_latest": feed_latest.run,
    "reading": reading.run,
}
TOGETHER = {
    **dict.fromkeys(("write_to_visible_p50_ms", "write_to_visible_p99_ms"), "write_to_visible"),
    **dict.fromkeys(("write_to_own_view_p50_ms", "write_to_own_view_p99_ms"), "write_to_own_view"),
    **dict.fromkeys(("feed_latest_p99_ms", "feed_latest_cached"), "feed_latest"),
    **dict.fromkeys(reading.FIGURES, "reading"),
}
"""Figures of one measurement, which are taken together."""
LONG: dict[str, Callable[[Say], int]] = {
    "memory": memory.run,
    "repositories": repositories.run,
    "plans": plans.run,
    "flat": flat.run,
    "fan": fan.run,
}
"""Minutes each: they run where they are named, print what they found, and say by their code whether it will do."""


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", metavar="NAME,…", help=f"of {', '.join([*FIGURES, *LONG])}")
    asked = [name for name in (parser.parse_args().only or "").split(",") if name] or list(FIGURES)
    names = list(dict.fromkeys(TOGETHER.get(name, name) for name in asked))
    unknown = [name for name in names if name not in FIGURES | LONG]
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join([*FIGURES, *LONG])}")
    figures: list[Figure] = []
    code = 0
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        if name in LONG:
            code |= LONG[name](_say)
            continue
        taken = FIGURES[name](_say)
        figures += taken if isinstance(taken, list) else [taken]
    if figures:
        _print_table(figures)
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps([figure.row() for figure in figures], indent=1) + "\n")
    return code


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def _print_table(figures: list[Figure]) -> None:
    row = "{:<24} {:>10} {:<13} {:>10} {:>9} {:>10} {:>8}  {}"
    print(row.format("figure", "ours", "unit", "limit", "of limit", "peer", "x peer", "peer is"))
    for f in figures:
        cells = (
            _number(f.value),
            f.unit,
            _number(f.limit),
            f"{f.of_limit:.0%}",
            _number(f.peer),
            f"{f.of_peer:.2f}",
        )
        print(row.format(f.name, *cells, f.peer_name))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


if __name__ == "__main__":
    sys.exit(main())
