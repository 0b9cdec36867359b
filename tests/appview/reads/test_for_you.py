"""The for-you feed as data: records in, order out."""

import random
from datetime import datetime, timedelta
from typing import Final

import pytest

from appview.db import Connection
from appview.reads.for_you import BECAUSE, Score, for_you
from tests.index_writer import NOW, IndexWriter
from tests.stories import Story, did

MADE: Final = """
    mia made seed 2000h
    mia made root 2000h
    noa made song 2000h
    ola made verse 2000h
    pia made bridge 2000h
"""

CASES: Final = {
    "whoever likes nothing": ("ann liked song 1h", ""),
    "whoever likes what nobody likes": ("me liked seed 1h\nann liked song 1h", ""),
    "what they like who like the same": ("me liked seed 9h\nann liked seed 8h\nann liked song 7h", "song"),
    "what more of them like is first": (
        """
        me liked seed 9h
        ann liked seed 8h
        ben liked seed 8h
        ann liked song 7h
        ann liked verse 7h
        ben liked verse 7h
        """,
        "verse song",
    ),
    "who shares more is closer": (
        """
        me liked seed 9h
        me liked root 9h
        ann liked seed 8h
        ann liked root 8h
        ben liked seed 8h
        ben liked bridge 8h
        ann liked song 7h
        ben liked verse 7h
        """,
        "song verse bridge",
    ),
    "who likes everything is less close": (
        """
        me liked seed 9h
        ann liked seed 8h
        ben liked seed 8h
        ben liked root 8h
        ben liked bridge 9000h
        ann liked song 7h
        ben liked verse 7h
        """,
        "song verse root bridge",
    ),
    "what few like joins more than what many like": (
        """
        me liked seed 9h
        me liked root 9h
        ann liked seed 8h
        ben liked root 8h
        one liked root 9h
        two liked root 9h
        ann liked song 7h
        ben liked verse 7h
        """,
        "song verse",
    ),
    "what was liked lately": (
        "me liked seed 9h\nann liked seed 8h\nann liked song 700h\nann liked verse 7h",
        "verse song",
    ),
    "what everybody likes is not before everything": (
        """
        me liked seed 9h
        ann liked seed 8h
        ann liked song 7h
        ann liked verse 7h
        one liked song 7h
        two liked song 7h
        """,
        "verse song",
    ),
    "not what oneself made": (
        "me made mine 100h\nme liked seed 9h\nann liked seed 8h\nann liked mine 7h\nann liked song 7h",
        "song",
    ),
    "not what one likes": ("me liked seed 9h\nme liked song 9h\nann liked seed 8h\nann liked song 7h", ""),
    "of one account two at most": (
        """
        noa made coda 10h
        noa made outro 10h
        me liked seed 9h
        ann liked seed 8h
        ann liked song 7h
        ann liked coda 30h
        ann liked outro 500h
        ann liked verse 600h
        """,
        "song coda verse",
    ),
    "not what is gone": ("me liked seed 9h\nann liked seed 8h\nann liked song 7h\nnoa unmade song", ""),
    "not what is hidden": ("me liked seed 9h\nann liked seed 8h\nann liked song 7h\nnoa is hidden", ""),
    "not what the hidden like": ("me liked seed 9h\nann liked seed 8h\nann liked song 7h\nann is hidden", ""),
    "not for what is hidden": ("me liked seed 9h\nann liked seed 8h\nann liked song 7h\nmia is hidden", ""),
    "nothing that came after the instant": (
        "me liked seed 9h\nann liked seed 8h\nann liked song -1h\nben liked seed -1h\nben liked verse 9h",
        "",
    ),
    "nor by what one likes since": ("me liked seed -1h\nann liked seed 8h\nann liked song 7h", ""),
    "nor without what one likes since": (
        "me liked seed 9h\nme liked song -1h\nann liked seed 8h\nann liked song 7h",
        "song",
    ),
}


@pytest.fixture
async def story(index: IndexWriter) -> Story:
    """A story of which only the old times are told."""
    story = Story(index, ago=2)
    await story.tell(MADE)
    return story


AT: Final = NOW - timedelta(hours=2)


async def whole(connection: Connection, limit: int = 100, at: datetime = AT) -> list[str]:
    """All of it, in pages."""
    seen: list[str] = []
    after: Score | None = None
    while True:
        page = await for_you(connection, did("me"), at, after=after, limit=limit)
        seen += [track.uri for track in page.tracks]
        after = page.last
        if after is None:
            return seen
        assert len(page.tracks) == limit


@pytest.mark.parametrize("case", CASES)
async def test_order(connection: Connection, story: Story, case: str) -> None:
    told, expected = CASES[case]
    await story.tell(told)
    assert story.names(await whole(connection)) == expected
    assert story.names(await whole(connection, limit=1)) == expected


async def test_why(connection: Connection, story: Story) -> None:
    await story.tell(
        "me liked seed 9h\nme liked root 9h\nann liked seed 8h\nann liked root 8h\nben liked root 8h\n"
        "ann liked song 7h\nben liked song 7h\nben liked verse 7h"
    )
    page = await for_you(connection, did("me"), AT, after=None, limit=100)
    why = {story.name(track.uri): (track.accounts, sorted(map(story.name, track.tracks))) for track in page.tracks}
    assert why == {"song": ([did("ann"), did("ben")], ["root", "seed"]), "verse": ([did("ben")], ["root"])}
    await story.tell("ann is hidden")
    page = await for_you(connection, did("me"), AT, after=None, limit=100)
    why = {story.name(track.uri): (track.accounts, sorted(map(story.name, track.tracks))) for track in page.tracks}
    assert why == {"song": ([did("ben")], ["root"]), "verse": ([did("ben")], ["root"])}


async def test_a_reason_is_short(connection: Connection, story: Story) -> None:
    await story.tell("\n".join(f"mia made seed{n} 100h\nme liked seed{n} 9h" for n in range(9)))
    await story.tell("\n".join(f"fan{n} liked seed{n} 8h\nfan{n} liked song 8h" for n in range(9)))
    (track,) = (await for_you(connection, did("me"), AT, after=None, limit=100)).tracks
    assert (len(track.accounts), len(track.tracks)) == (BECAUSE, BECAUSE)


async def test_pages_stay_as_they_are_while_others_like(connection: Connection, story: Story) -> None:
    chance = random.Random(2)
    tracks = [f"t{n}" for n in range(40)]
    fans = [f"fan{n}" for n in range(12)]
    await story.tell("\n".join(f"artist{n % 30} made {track} 1000h" for n, track in enumerate(tracks)))
    await story.tell("\n".join(f"me liked {track} {n}h" for n, track in enumerate(tracks[:6])))
    liked = dict.fromkeys((chance.choice(fans), chance.choice(tracks)) for _ in range(150))
    await story.tell("\n".join(f"{fan} liked {track} {chance.randrange(900)}h" for fan, track in liked))
    expected = await whole(connection)
    assert 20 <= len(expected) <= 34

    seen: list[str] = []
    after: Score | None = None
    while True:
        page = await for_you(connection, did("me"), AT, after=after, limit=5)
        seen += [track.uri for track in page.tracks]
        after = page.last
        if after is None:
            break
        who, what = chance.choice(("me", *fans, "new")), chance.choice(tracks)
        await story.tell(f"{who} liked {what} -1h")
    assert seen == expected
    assert await whole(connection, at=AT + timedelta(hours=1, seconds=1)) != expected
