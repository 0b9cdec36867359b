"""What the feeds cost where there is much to look at: rows read, whatever the page, the plan and the account."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

import pytest

from appview.db import Connection
from appview.index.rankings import make
from appview.reads.following import following
from appview.reads.for_you import CANDIDATES, FELLOWS, LIKERS, LIKES, SEEDS, for_you
from appview.reads.rankings import places

ME: Final = "did:plc:1"
ACCOUNTS: Final = 1_000
TRACKS: Final = 2_000
FOLLOWS: Final = 900
NOW: Final = datetime(2026, 6, 1, tzinfo=UTC)

# Each account made two tracks and likes twenty, of these one that everybody likes; the first follows nearly all.
FILL: Final = f"""
    insert into actors (did) select 'did:plc:' || n from generate_series(1, {ACCOUNTS}) as n;
    create temp table made as
        select n, did, 'at://' || did || '/fm.plyr.track/' || n as uri
        from generate_series(0, {TRACKS} - 1) as n, lateral (select 'did:plc:' || 1 + n % {ACCOUNTS} as did) as author;
    insert into tracks (uri, did, title, artist, gated, sort_at, cid, indexed_at, size)
        select uri, did, 't', 'a', false, timestamptz '2026-05-31' - make_interval(mins => n * 7 % {TRACKS}), '',
            now(), 99
        from made;
    insert into likes (uri, did, subject, sort_at)
        select 'at://' || did || '/fm.plyr.like/' || k, did,
            'at://did:plc:' || 1 + what % {ACCOUNTS} || '/fm.plyr.track/' || what,
            timestamptz '2026-05-31' - make_interval(mins => (n * 31 + k * 977) % 9000)
        from made, generate_series(0, 19) as k,
            lateral (select case k when 0 then 0 else (n % 50 * 40 + k * k * 13) % {TRACKS} end as what) as liked
        where n < {ACCOUNTS};
    insert into follows (uri, did, subject, sort_at)
        select 'at://{ME}/app.bsky.graph.follow/' || n, '{ME}', 'did:plc:' || n, now()
        from generate_series(2, {FOLLOWS} + 1) as n;
    insert into subject_counts (subject, likes) select subject, count(distinct did) from likes group by subject;
    insert into actor_counts (did, likes) select did, count(distinct subject) from likes group by did;
"""

READ: Final = "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int from pg_stat_xact_user_tables"


@pytest.fixture
async def crowded(connection: Connection) -> Connection:
    """The connection to an index with twenty thousand likes, and with a ranking."""
    await connection.execute(FILL)
    await connection.execute("vacuum analyze")
    await make(connection, "trending", NOW)
    return connection


async def first_places(connection: Connection, limit: int) -> int:
    return len((await places(connection, "trending", after=None, limit=limit)).places)


async def first_followed(connection: Connection, limit: int) -> int:
    return len((await following(connection, ME, after=None, limit=limit)).tracks)


async def first_suggested(connection: Connection, limit: int) -> int:
    return len((await for_you(connection, ME, NOW, after=None, limit=limit)).tracks)


PAGES: Final[dict[str, tuple[Callable[[Connection, int], Awaitable[int]], int]]] = {
    # Each place with its track, and whose that is.
    "places": (first_places, 350),
    # Each follow with its newest track, and whose that is; and the page.
    "following": (first_followed, 3 * FOLLOWS + 500),
    # The seeds and who likes them, what these like, and the candidates; all accounts, where that seems less.
    "for you": (
        first_suggested,
        6 * SEEDS + 3 * SEEDS * LIKERS + FELLOWS * (LIKES + 2) + 5 * CANDIDATES + 2 * ACCOUNTS,
    ),
}


async def test_rows_looked_at(crowded: Connection) -> None:
    # All of a table of this size is soon read; all of a large one never is.
    await crowded.execute("set enable_seqscan = off")
    for mode in ("force_custom_plan", "force_generic_plan"):
        await crowded.execute(f"set plan_cache_mode = {mode}")
        for name, (first, most) in PAGES.items():
            for limit in (1, 100):
                async with crowded.transaction(isolation="repeatable_read", readonly=True):
                    before = await crowded.fetchval(READ)
                    found = await first(crowded, limit)
                    rows = await crowded.fetchval(READ) - before
                assert found == limit, name
                assert limit < rows <= most, (name, limit, mode)
