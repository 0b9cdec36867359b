"""`feed_latest`, `feed_latest_p99_ms` and `feed_latest_cached`: a page of fifty of the newest tracks, for 16 callers.

On the index of a million tracks. The first two are of pages that begin at any of the newest five thousand, so that no
answer is one that was kept: beside the same bytes from the fewest statements and put together by hand
(tests/bench/limits.py), and beside `select 1`. The third is of the one page that everybody asks for, beside as many
bytes that are always the same.
"""

import asyncio
from collections.abc import Callable, Sequence
from urllib.request import urlopen

import orjson

from appview import db
from tests.bench import questions
from tests.bench.load import Ask, Load, load
from tests.bench.measure import Figure, interleaved
from tests.bench.million.cached import database, server
from tests.bench.million.tables import NAMESPACE
from tests.bench.serving import serving

Say = Callable[[str], None]

SECONDS = 4.0
ROUNDS = 3
_HOT = Ask(f"/xrpc/{NAMESPACE}.feed.getFeed?feed=latest")


def run(say: Say, size: str = "1m") -> list[Figure]:
    """Take the figures: pages a second, and milliseconds."""
    with server() as root:
        url = database(root, size, say)
        pages = asyncio.run(_pages(url))
        with serving(url) as ours, serving(url, "tests.bench.limits") as limits:
            least = _same(ours, limits, pages)
            page_bytes = len(_body(ours, _HOT))
            select, constant = Ask("/select"), Ask(f"/constant?size={page_bytes}")
            loads: dict[str, list[Load]] = {"ours": [], "limit": [], "select": []}

            def met(name: str, origin: str, asks: Sequence[Ask]) -> Callable[[], float]:
                def rate() -> float:
                    taken = load(origin, asks, seconds=SECONDS)
                    loads.setdefault(name, []).append(taken)
                    return taken.rate

                return rate

            contenders = met("ours", ours, pages), met("limit", limits, least), met("select", limits, [select])
            say(f"{len(pages):,} pages, for 16 callers ...")
            varying = interleaved("feed_latest", "pages/s", *contenders, "`select 1`", rounds=ROUNDS)
            say("the newest page, for 16 callers ...")
            hot = interleaved(
                "feed_latest_cached",
                "pages/s",
                met("hot", ours, [_HOT]),
                met("constant", limits, [constant]),
                met("select", limits, [select]),
                "`select 1`",
                rounds=ROUNDS,
            )
    return [varying, _p99(loads), hot]


async def _pages(url: str) -> list[Ask]:
    connection = await db.connect(url)
    pages = await questions.latest(connection)
    await connection.close()
    return pages


def _same(ours: str, limits: str, pages: Sequence[Ask]) -> list[Ask]:
    """What is asked of the limit instead of `pages`; that it is the same is looked at here, and all of it warmed up."""
    least = [Ask(f"/latest?{page.path.partition('?')[2]}") for page in pages]
    for page, instead in zip(pages, least, strict=True):
        assert orjson.loads(_body(ours, page)) == orjson.loads(_body(limits, instead)), page.path
    return least


def _body(origin: str, ask: Ask) -> bytes:
    with urlopen(origin + ask.path) as response:  # noqa: S310 - an address of our own
        body: bytes = response.read()
    return body


def _p99(loads: dict[str, list[Load]]) -> Figure:
    ours, limit, select = (
        sorted(taken.percentile(99) for taken in loads[name][1 : ROUNDS + 1])[ROUNDS // 2]
        for name in ("ours", "limit", "select")
    )
    return Figure("feed_latest_p99_ms", ours, "ms", limit, select, "`select 1`", ours / limit, ours / select)
