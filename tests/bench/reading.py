"""Figures of what clients ask for most, at a million tracks, for four callers: the 99th percentile, in milliseconds.

No answer is one that was kept. The limit is `select 1` asked through the same server program; the peer is the same
question to an index a hundredth as large, which should take no less. `flat` (tests/bench/flat.py) asks everything.
"""

import asyncio
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from appview import db
from tests.bench.load import Ask, load
from tests.bench.measure import Figure
from tests.bench.million.cached import database, server
from tests.bench.questions import everything, sample, sign_in
from tests.bench.serving import serving

Say = Callable[[str], None]

CALLERS: Final = 4
SECONDS: Final = 2.0
ROUNDS: Final = 3
PEER: Final = "10k"
FIGURES: Final[Mapping[str, str]] = {
    "get_tracks_p99_ms": "feed.getTracks",
    "get_list_p99_ms": "graph.getList",
    "get_likes_p99_ms": "feed.getLikes page 1",
    "get_likes_deep_p99_ms": "feed.getLikes deep",
    "search_p99_ms": "search.searchAll exact",
    "search_prefix_p99_ms": "search.searchAll prefix",
    "search_typo_p99_ms": "search.searchAll typo",
    "trending_p99_ms": "feed.getFeed trending",
    "for_you_p99_ms": "feed.getFeed for-you",
}


def run(say: Say, size: str = "1m") -> list[Figure]:
    """Take the figures."""
    with server() as root:
        url, smaller = database(root, size, say), database(root, PEER, say)
        asked, asked_less = asyncio.run(questions_of(url)), asyncio.run(questions_of(smaller))
        with serving(url) as ours, serving(smaller) as peer, serving(url, "tests.bench.limits") as limits:
            figures = []
            for name, question in FIGURES.items():
                say(f"{name}: {len(asked[question])} different requests, for {CALLERS} callers ...")
                contenders = (
                    (ours, asked[question]),
                    (limits, [Ask("/select")]),
                    (peer, asked_less[question]),
                )
                figures.append(_figure(name, contenders))
    return figures


async def questions_of(url: str) -> dict[str, list[Ask]]:
    """Everything that can be asked of the index at `url`, whose viewers are signed in."""
    connection = await db.connect(url)
    found = await sample(connection)
    await sign_in(connection, found.viewers)
    asked = await everything(connection, found)
    await connection.close()
    return asked


def _figure(name: str, contenders: Sequence[tuple[str, Sequence[Ask]]]) -> Figure:
    taken = [
        [load(origin, asks, seconds=SECONDS, callers=CALLERS).percentile(99) for origin, asks in contenders]
        for _ in range(ROUNDS + 1)
    ][1:]
    value, limit, peer = (statistics.median(times) for times in zip(*taken, strict=True))
    return Figure(
        name,
        value,
        "ms",
        limit,
        peer,
        "10,000 tracks",
        statistics.median(ours / least for ours, least, _ in taken),
        statistics.median(ours / smaller for ours, _, smaller in taken),
    )
