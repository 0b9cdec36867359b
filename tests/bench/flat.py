"""`flat`: every method at ten thousand, a hundred thousand and a million tracks, for four callers, in milliseconds.

What is asked is of the same kind and, but for a page that the smaller index cannot fill, of the same size. Exits with 1
where the median at a million tracks is more than one and a half times that at ten thousand.
"""

import asyncio
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Final, NamedTuple

from tests.bench.load import Ask, Load, load
from tests.bench.million.cached import SIZES, database, server
from tests.bench.reading import CALLERS, questions_of
from tests.bench.serving import serving

Say = Callable[[str], None]

SECONDS: Final = 2.0
ROUNDS: Final = 3
MOST: Final = 1.5


class Times(NamedTuple):
    """Medians over the rounds, in milliseconds, and the mean size of an answer, in bytes."""

    p50: float
    p99: float
    size: float


def run(say: Say, sizes: Sequence[str] = tuple(SIZES)) -> int:
    """Ask everything of each, print how long it took, and say by the exit code whether it is flat."""
    with server() as root, ExitStack() as stack:
        urls = [database(root, size, say) for size in sizes]
        asked = [asyncio.run(questions_of(url)) for url in urls]
        origins = [stack.enter_context(serving(url)) for url in urls]
        row = "{:<34}" + "{:>9}{:>9}{:>9}" * len(sizes) + "{:>9}"
        heads = [f"{size} {what}" for size in sizes for what in ("p50", "p99", "bytes")]
        print(row.format("", *heads, "ratio"))
        steep = []
        for name in asked[0]:
            taken = _taken([(origin, questions[name]) for origin, questions in zip(origins, asked, strict=True)])
            ratio = taken[-1].p50 / taken[0].p50
            cells = [cell for times in taken for cell in (f"{times.p50:.1f}", f"{times.p99:.1f}", f"{times.size:,.0f}")]
            print(row.format(name, *cells, f"{ratio:.2f}"), flush=True)
            if ratio > MOST:
                steep.append(name)
    print(f"more than {MOST} x: {', '.join(steep)}" if steep else f"all within {MOST} x")
    return 1 if steep else 0


def _taken(contenders: Sequence[tuple[str, Sequence[Ask]]]) -> list[Times]:
    rounds = [
        [load(origin, asks, seconds=SECONDS, callers=CALLERS) for origin, asks in contenders] for _ in range(ROUNDS)
    ]
    return [_median(loads) for loads in zip(*rounds, strict=True)]


def _median(loads: Sequence[Load]) -> Times:
    return Times(
        statistics.median(one.percentile(50) for one in loads),
        statistics.median(one.percentile(99) for one in loads),
        statistics.median(one.size / len(one.times) for one in loads),
    )
