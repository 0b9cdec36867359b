"""How a figure is taken: every contender in turn, round by round, so that the machine's moods meet all alike."""

import gc
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

Contender = Callable[[], float]
"""Does the work once and returns its rate, or whatever is compared."""


class Figure(NamedTuple):
    """A figure beside its limit and a peer, all in `unit`; the ratios are medians over the rounds, not of these."""

    name: str
    value: float
    unit: str
    limit: float
    peer: float
    peer_name: str
    of_limit: float
    of_peer: float

    def row(self) -> dict[str, str | float]:
        """As `.bench/results.json` has it."""
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in self._asdict().items()}


def interleaved(
    name: str, unit: str, ours: Contender, limit: Contender, peer: Contender, peer_name: str, *, rounds: int = 7
) -> Figure:
    """The median of each contender over `rounds`, and the medians of the ratios within a round; one round warms up."""
    taken = [(ours(), limit(), peer()) for _ in range(rounds + 1)][1:]
    return Figure(
        name,
        statistics.median(value for value, _, _ in taken),
        unit,
        statistics.median(value for _, value, _ in taken),
        statistics.median(value for _, _, value in taken),
        peer_name,
        statistics.median(value / limit for value, limit, _ in taken),
        statistics.median(value / peer for value, _, peer in taken),
    )


def per_cpu_second(count: int, work: Callable[[], None]) -> float:
    """How many of `count` things `work` does in a second of this process's processor time."""
    gc.collect()
    started = time.process_time()
    work()
    return count / (time.process_time() - started)
