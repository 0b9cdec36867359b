"""Rankings as data: records in, order out."""

import random
from datetime import timedelta
from typing import Final

import pytest

from appview.db import Connection
from appview.index import rankings
from appview.index.rankings import KEPT, NAMES, drop_overtaken, make
from tests.index_writer import NOW, IndexWriter
from tests.stories import Story

# Everybody here has been for a while, but for those that a story introduces.
OLD: Final = """
    ann made intro 2000h
    ben made overture 2000h
    cat made prelude 2000h
    dan made verse 2000h
    eve made bridge 2000h
"""

CASES: Final = {
    "nothing happened": ("", "trending", ""),
    "nobody liked anything": ("ann made song 1h", "top-all", ""),
    "as many as like it": (
        "ann liked bridge 1h\nben liked verse 1h\ncat liked verse 1h",
        "top-all",
        "verse:2 bridge:1",
    ),
    "of as many the newer": ("ann made song 9h\nben liked song 1h\nann liked bridge 1h", "top-all", "song:1 bridge:1"),
    "an account counts once": (
        "ann liked bridge 1h\nann liked bridge 2h\nann liked verse 3h\nben liked verse 4h",
        "top-day",
        "verse:2 bridge:1",
    ),
    "a day": ("ann liked verse 23h\nann liked bridge 24h\nben liked bridge 25h", "top-day", "verse:1"),
    "a week": ("ann liked verse 167h\nann liked bridge 168h", "top-week", "verse:1"),
    "a month": ("ann liked verse 719h\nann liked bridge 720h", "top-month", "verse:1"),
    "at any time": ("ann liked verse 720h\nann liked bridge 1900h", "top-all", "bridge:1 verse:1"),
    "who unlikes counts no more": ("ann liked verse 1h\nann unliked verse", "top-day", ""),
    "a track that is gone": ("ann liked bridge 1h\neve unmade bridge", "top-day", ""),
    "a track that is gone, of all": ("ann liked bridge 1h\neve unmade bridge", "top-all", ""),
    "hidden accounts do not count": (
        "ann liked bridge 1h\nben liked bridge 1h\ncat liked verse 1h\nben is hidden\nann is hidden",
        "top-week",
        "verse:1",
    ),
    "nor are their tracks there": ("ann liked bridge 1h\ncat liked verse 1h\neve is hidden", "top-all", "verse:1"),
    "a vote decays by half in a day": (
        "ann liked bridge 25h\nben liked bridge 25h\ncat liked verse 0.9h",
        "trending",
        "verse:1 bridge:2",
    ),
    "and by no more": (
        "ann liked bridge 23h\nben liked bridge 23h\ncat liked verse 0h",
        "trending",
        "bridge:2 verse:1",
    ),
    "what is older than a week is no vote": ("ann liked verse 169h\nann liked bridge 167h", "trending", "bridge:1"),
    "to play is to vote": ("ann liked verse 5h\nann played bridge 4h", "trending", "bridge:1 verse:1"),
    "to like and to play is one vote, the later": (
        "ann liked bridge 9h\nann played bridge 4h\nben liked verse 3h\nann liked prelude 5h",
        "trending",
        "verse:1 bridge:1 prelude:1",
    ),
    "a vote for oneself is a tenth": (
        "eve liked bridge 0h\neve played bridge 0h\nann liked verse 78h",
        "trending",
        "verse:1 bridge:1",
    ),
    "but is one": ("eve liked bridge 0h\nann liked verse 82h", "trending", "bridge:1 verse:1"),
    "a vote of somebody new is a quarter": (
        "new liked bridge 1h\nann liked verse 48h",
        "trending",
        "verse:1 bridge:1",
    ),
    "but is one too": ("new liked bridge 1h\nann liked verse 50h", "trending", "bridge:1 verse:1"),
    "new is who made nothing a day before": (
        "new liked overture 26h\nnew liked bridge 1h\nann liked verse 2h",
        "trending",
        "bridge:1 verse:1 overture:1",
    ),
    "whatever it was": (
        "new commented overture 26h\nnew liked bridge 1h\nann liked verse 2h",
        "trending",
        "bridge:1 verse:1",
    ),
    "of one account two at most": (
        """
        eve made coda 9h
        eve made outro 9h
        ann liked coda 1h
        ben liked coda 1h
        ann liked outro 2h
        ann liked bridge 3h
        ann liked verse 4h
        """,
        "trending",
        "coda:2 outro:1 verse:1",
    ),
    "hidden listeners have no vote": (
        "ann liked bridge 1h\nben liked bridge 1h\ncat liked verse 9h\nann is hidden\nben is hidden",
        "trending",
        "verse:1",
    ),
    "nor are their tracks trending": ("ann liked bridge 1h\ncat liked verse 9h\neve is hidden", "trending", "verse:1"),
    "of as many points the newer": (
        "ann made song 1h\nben liked song 1h\nben liked verse 1h",
        "trending",
        "song:1 verse:1",
    ),
}


@pytest.fixture
async def story(connection: Connection) -> Story:
    """A story of which only the old times are told."""
    story = Story(IndexWriter(connection))
    await story.tell(OLD)
    return story


async def order(connection: Connection, story: Story, name: str) -> str:
    """The newest ranking, as tracks with their votes."""
    rows = await connection.fetch(
        """
        select uri, votes from ranked
        where ranking = (select id from rankings where name = $1 order by at desc limit 1) order by place
        """,
        name,
    )
    return " ".join(f"{story.name(uri)}:{votes}" for uri, votes in rows)


@pytest.mark.parametrize("case", CASES)
async def test_order(connection: Connection, story: Story, case: str) -> None:
    told, name, expected = CASES[case]
    await story.tell(told)
    assert await make(connection, name, NOW)
    assert await order(connection, story, name) == expected


async def test_what_lies_after_the_instant_does_not_count(connection: Connection, story: Story) -> None:
    await story.tell("ann liked verse 3h\nben liked bridge 1h")
    for name in ("trending", "top-day"):
        await make(connection, name, NOW - timedelta(hours=2))
        assert await order(connection, story, name) == "verse:1"


async def test_an_instant_has_one_order_whatever_came_first(connection: Connection, story: Story) -> None:
    chance = random.Random(1)
    who, what = ("ann", "ben", "cat", "dan", "eve"), ("intro", "overture", "prelude", "verse", "bridge")
    told = list(
        dict.fromkeys(
            f"{chance.choice(who)} {chance.choice(('liked', 'played'))} {chance.choice(what)} {chance.randrange(200)}h"
            for _ in range(60)
        )
    )
    orders = {name: set() for name in NAMES}  # type: dict[str, set[str]]
    for _ in range(3):
        chance.shuffle(told)
        await connection.execute("delete from records where collection <> 'fm.plyr.track'")
        await connection.execute("truncate likes, plays, subject_counts, rankings, ranked")
        await story.tell("\n".join(told))
        # When somebody was first heard of says nothing of anything.
        await connection.execute("update actors set first_seen_at = now() - random() * interval '1 year'")
        for name in NAMES:
            await make(connection, name, NOW)
            orders[name].add(await order(connection, story, name))
    assert [len(found) for found in orders.values()] == [1] * len(NAMES)
    assert len(orders["trending"].pop().split()) == 5


async def test_time_alone_writes_nothing(connection: Connection, story: Story) -> None:
    await story.tell("ann liked bridge 30h\nben liked bridge 2h\ncat liked verse 1h")
    assert await make(connection, "trending", NOW)
    assert not await make(connection, "trending", NOW + timedelta(hours=1))
    assert await connection.fetchval("select array_agg(at) from rankings") == [NOW]
    await story.tell("ben liked verse 0h")
    assert await make(connection, "trending", NOW + timedelta(hours=2))
    assert await order(connection, story, "trending") == "verse:2 bridge:2"


async def test_the_same_instant_twice_is_one_ranking(connection: Connection, story: Story) -> None:
    await make(connection, "top-all", NOW)
    await story.tell("ann liked verse 1h")
    await make(connection, "top-all", NOW)
    assert await connection.fetchval("select count(*) from rankings") == 1


async def test_an_overtaken_ranking_is_kept_for_an_hour(connection: Connection, story: Story) -> None:
    minute = timedelta(minutes=1)
    await make(connection, "top-all", NOW - 9 * KEPT)
    await story.tell("ann liked verse 1h")
    await make(connection, "top-all", NOW)
    await make(connection, "trending", NOW - 9 * KEPT)
    for at, left in ((NOW + KEPT - minute, 2), (NOW + KEPT, 1), (NOW + 9 * KEPT, 1)):
        await drop_overtaken(connection, "top-all", at)
        assert await connection.fetchval("select count(*) from rankings where name = 'top-all'") == left
    assert await order(connection, story, "top-all") == "verse:1"
    assert await connection.fetchval("select count(*) from rankings where name = 'trending'") == 1


async def test_a_ranking_has_an_end(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story(IndexWriter(connection))
    await story.tell(OLD)
    await story.tell("ann liked verse 1h\nben liked verse 1h\nann liked bridge 2h\nann liked prelude 3h")
    monkeypatch.setattr(rankings, "PLACES", 2)
    for name in NAMES:
        await make(connection, name, NOW)
        assert (await order(connection, story, name)).split()[0] == "verse:2"
        assert len((await order(connection, story, name)).split()) == 2


async def test_there_is_no_other_ranking(connection: Connection) -> None:
    with pytest.raises(KeyError):
        await make(connection, "top-year", NOW)
