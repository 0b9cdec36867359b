"""Record keys of a chosen height, found by trying: the means to any shape of tree."""

import random

from tests.writer.mst import height_of
from tests.writer.repo import tid

COLLECTION = "fm.plyr.track"
EARLIEST, LATEST = 1_600_000_000_000_000, 1_790_000_000_000_000


def mine(
    rng: random.Random,
    height: int | None = None,
    *,
    collection: str = COLLECTION,
    low: int = EARLIEST,
    high: int = LATEST,
) -> str:
    """A path with a TID of between `low` and `high` microseconds whose key is `height` high: 4^height tries."""
    while True:
        path = f"{collection}/{tid(rng.randrange(low, high), rng.randrange(1024))}"
        if height is None or height_of(path.encode()) == height:
            return path


def mine_sequence(rng: random.Random, heights: list[int], *, collection: str = COLLECTION) -> list[str]:
    """Paths in increasing order with just these heights, one after the other: a tree to order."""
    step = (LATEST - EARLIEST) // len(heights)
    spans = [(EARLIEST + index * step, EARLIEST + (index + 1) * step) for index in range(len(heights))]
    return [
        mine(rng, height, collection=collection, low=low, high=high)
        for height, (low, high) in zip(heights, spans, strict=True)
    ]
