"""The following feed as data: records in, order out."""

from typing import Final

import pytest

from appview.db import Connection
from appview.reads import following as module
from appview.reads.following import Followed, following
from tests.index_writer import IndexWriter
from tests.stories import Story, did

CASES: Final = {
    "whoever follows nobody": ("ann made song 1h", ""),
    "what they made, the newest first": (
        "ann made song 2h\nben made verse 1h\nann made bridge 3h\nme follows ann 9h\nme follows ben 9h",
        "verse song bridge",
    ),
    "not what oneself made, nor others": ("me made song 1h\nann made verse 1h\nann follows me 9h", ""),
    "followed twice is followed once": ("ann made song 1h\nme follows ann 9h\nme follows ann 8h", "song"),
    "who is followed no more": ("ann made song 1h\nme follows ann 9h\nme unfollows ann", ""),
    "the tracks from before, too": ("ann made song 100h\nme follows ann 9h", "song"),
    "what is gone": ("ann made song 1h\nann made verse 2h\nme follows ann 9h\nann unmade song", "verse"),
    "who is hidden": (
        "ann made song 1h\nben made verse 2h\nme follows ann 9h\nme follows ben 9h\nann is hidden",
        "verse",
    ),
    "who made nothing": ("ann made song 1h\nme follows ann 9h\nme follows ben 9h", "song"),
    "tracks of one moment": (
        "ann made song 1h\nben made verse 1h\nann made bridge 1h\nme follows ann 9h\nme follows ben 9h",
        "verse bridge song",
    ),
}


async def whole(connection: Connection, limit: int) -> list[Followed]:
    """All of it, in pages."""
    page = await following(connection, did("me"), after=None, limit=limit)
    seen = page.tracks
    while page.last is not None:
        assert len(page.tracks) == limit
        page = await following(connection, did("me"), after=page.last, limit=limit)
        seen += page.tracks
    return seen


@pytest.mark.parametrize("limit", [1, 2, 100])
@pytest.mark.parametrize("case", CASES)
async def test_order(connection: Connection, index: IndexWriter, case: str, limit: int) -> None:
    told, expected = CASES[case]
    story = Story(index)
    await story.tell(told)
    seen = await whole(connection, limit)
    assert story.names([track.uri for track in seen]) == expected
    for track in seen:
        assert track.uri.startswith(f"at://{track.did}/")
        assert track.follow.startswith(f"at://{did('me')}/app.bsky.graph.follow/")


async def test_one_who_made_much_and_many_who_made_little(connection: Connection, index: IndexWriter) -> None:
    story = Story(index)
    await story.tell("\n".join(f"ann made ann{n} {n}h" for n in range(30)))
    await story.tell("\n".join(f"fan{n} made fan{n} {n * 3}.5h" for n in range(30)))
    await story.tell("me follows ann 0h\n" + "\n".join(f"me follows fan{n} 0h" for n in range(30)))
    seen = await whole(connection, 100)
    assert story.names([track.uri for track in seen]).split()[:6] == ["ann0", "fan0", "ann1", "ann2", "ann3", "fan1"]
    assert len(seen) == 60
    for limit in (1, 7, 29, 59):
        assert await whole(connection, limit) == seen


async def test_it_has_an_end_whom_one_can_follow(
    connection: Connection, index: IndexWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = Story(index)
    await story.tell("ann made song 2h\nben made verse 1h\nme follows ann 9h\nme follows ben 9h")
    monkeypatch.setattr(module, "FOLLOWS", 1)
    page = await following(connection, did("me"), after=None, limit=9)
    assert story.names([track.uri for track in page.tracks]) == "song"
