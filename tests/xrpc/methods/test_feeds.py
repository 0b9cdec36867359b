"""The built-in feeds as they are asked for: names and addresses, reasons, cursors, and who may ask."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from appview.db import Connection
from appview.index.rankings import KEPT, make
from tests.index_writer import IndexWriter
from tests.stories import Story, did
from tests.xrpc.client import Client
from tests.xrpc.viewer import SERVICE_DID, Viewer
from xrpc import cursors

DEFS: Final = "fm.plyr.feed.defs"
PERSONAL: Final = ("following", "for-you")
RANKED: Final = ("trending", "top-day", "top-week", "top-month", "top-all")
STORY: Final = """
    ann made intro 2000h
    ben made overture 2000h
    cat made prelude 2000h
    dan made verse 2000h
    eve made bridge 2000h
    ann liked verse 1h
    ben liked verse 2h
    ben liked bridge 3h
    cat liked bridge 30h
    cat liked overture 31h
    dan liked intro 200h
    me follows eve 500h
    me liked bridge 4h
"""


@pytest.fixture
def index(connection: Connection) -> IndexWriter:
    """Writes to this test's database, now: the requests are made at the present time."""
    return IndexWriter(connection, now=datetime.now(UTC))


@pytest.fixture
async def story(index: IndexWriter) -> Story:
    """What happened, before the requests of these tests."""
    story = Story(index)
    # What is to come is dated by the tests; the index knows nothing that is later than it is.
    await story.tell(STORY)
    return story


@pytest.fixture
async def ranked(story: Story, connection: Connection) -> Story:
    """The same, when all rankings are made."""
    await rank(connection)
    return story


@pytest.fixture
async def me(client: Client, connection: Connection) -> Client:
    """The client, signed in."""
    return client.signed_in(await Viewer.of(connection, did("me")))


async def rank(connection: Connection, at: datetime | None = None) -> None:
    for name in RANKED:
        await make(connection, name, at or datetime.now(UTC))


def address(name: str) -> str:
    return f"at://{SERVICE_DID}/fm.plyr.feed.generator/{name}"


def names(story: Story, answer: Any) -> str:
    return story.names([entry["track"]["uri"] for entry in answer["feed"]])


def reasons(story: Story, answer: Any) -> dict[str, Any]:
    return {story.name(entry["track"]["uri"]): entry.get("reason") for entry in answer["feed"]}


@pytest.mark.parametrize(
    ("feed", "expected"),
    [
        ({"feed": "latest"}, "bridge verse prelude overture intro"),
        ({"feed": "trending"}, "verse bridge overture"),
        ({"feed": "top"}, "bridge verse overture intro"),
        ({"feed": "top", "window": "all"}, "bridge verse overture intro"),
        ({"feed": "top", "window": "month"}, "bridge verse overture intro"),
        ({"feed": "top", "window": "week"}, "bridge verse overture"),
        ({"feed": "top", "window": "day"}, "bridge verse"),
        ({"feed": "top-day"}, "bridge verse"),
        ({"feed": address("top"), "window": "day"}, "bridge verse"),
        ({"feed": address("top-day")}, "bridge verse"),
        ({"feed": "following"}, "bridge"),
        ({"feed": "for-you"}, "overture verse"),
    ],
)
async def test_order(me: Client, ranked: Story, feed: dict[str, str], expected: str) -> None:
    assert names(ranked, await me.ask("feed.getFeed", **feed)) == expected


async def test_reasons(me: Client, ranked: Story) -> None:
    def top(window: str, likes: int) -> dict[str, Any]:
        return {"$type": f"{DEFS}#reasonTop", "window": window, "likes": likes}

    told = {
        name: reasons(ranked, await me.ask("feed.getFeed", feed=name)) for name in ("latest", "trending", *PERSONAL)
    }
    assert set(told["latest"].values()) == {None}
    assert told["trending"]["bridge"] == {"$type": f"{DEFS}#reasonTrending", "listeners": 3}
    assert told["following"]["bridge"] == {
        "$type": f"{DEFS}#reasonFollowing",
        "did": did("eve"),
        "follow": ranked.record("me", "follows", "eve"),
    }
    assert told["for-you"]["verse"] == {
        "$type": f"{DEFS}#reasonForYou",
        "because": {"accounts": [did("ben")], "tracks": [ranked.uri("bridge")]},
    }
    weekly = reasons(ranked, await me.ask("feed.getFeed", feed="top", window="week"))
    assert weekly == {"bridge": top("week", 3), "verse": top("week", 2), "overture": top("week", 1)}
    assert reasons(ranked, await me.ask("feed.getFeed", feed="top"))["bridge"] == top("all", 3)


async def test_a_cold_start(client: Client, connection: Connection, ranked: Story) -> None:
    stranger = client.signed_in(await Viewer.of(connection, did("stranger")))
    trending = await client.ask("feed.getFeed", feed="trending")
    seen, cursor = [], None
    while True:
        page = await stranger.ask("feed.getFeed", feed="for-you", limit=1, **({"cursor": cursor} if cursor else {}))
        seen += page["feed"]
        cursor = page.get("cursor")
        if cursor is None:
            break
    assert [entry["track"]["uri"] for entry in seen] == [entry["track"]["uri"] for entry in trending["feed"]]
    assert [entry["reason"] for entry in seen] == [
        {**entry["reason"], "$type": f"{DEFS}#reasonColdStart"} for entry in trending["feed"]
    ]


async def test_skeletons_say_the_same(me: Client, ranked: Story) -> None:
    described = await me.ask("feed.describeFeedGenerator")
    assert described == {
        "did": SERVICE_DID,
        "feeds": [{"uri": address(name)} for name in ("latest", *RANKED, *PERSONAL)],
    }
    for feed in described["feeds"]:
        whole = await me.ask("feed.getFeed", feed=feed["uri"])
        skeleton = await me.ask("feed.getFeedSkeleton", feed=feed["uri"])
        assert skeleton == {"feed": [{**entry, "track": entry["track"]["uri"]} for entry in whole["feed"]]}
        assert whole["feed"]
        page = await me.ask("feed.getFeedSkeleton", feed=feed["uri"], limit=1)
        assert page["feed"] == skeleton["feed"][:1]
        assert ("cursor" in page) is (len(skeleton["feed"]) > 1)


@pytest.mark.parametrize("method", ["feed.getFeed", "feed.getFeedSkeleton"])
async def test_what_is_personal_is_told_to_whom_it_is_of(client: Client, ranked: Story, method: str) -> None:
    for name in PERSONAL:
        assert await client.refused(method, feed=address(name)) == (401, "AuthMissing")


async def test_what_there_is_not(client: Client, ranked: Story) -> None:
    for feed in ("hits", "top-year", "", "latest ", address("hits"), address("")):
        assert (await client.refused("feed.getFeed", feed=feed))[0] == 400
    assert await client.refused("feed.getFeed", feed="hits") == (400, "UnknownFeed")
    assert await client.refused("feed.getFeed", feed=address("hits")) == (400, "UnknownFeed")
    for feed in (address("hits"), f"at://{did('ann')}/fm.plyr.feed.generator/latest"):
        assert await client.refused("feed.getFeedSkeleton", feed=feed) == (400, "UnknownFeed")
    assert await client.refused("feed.getFeed", feed="top", window="year") == (400, "InvalidRequest")


async def test_before_the_first_ranking(client: Client, story: Story) -> None:
    for name in RANKED:
        assert await client.ask("feed.getFeed", feed=name) == {"feed": []}


async def test_a_page_is_of_the_ranking_that_was_begun(
    client: Client, connection: Connection, story: Story, index: IndexWriter
) -> None:
    now = datetime.now(UTC)
    await rank(connection, now - timedelta(minutes=2))
    first = await client.ask("feed.getFeed", feed="top", limit=2)
    assert names(story, first) == "bridge verse"
    await story.tell(
        "ann liked overture 0.001h\nben liked overture 0.001h\ndan liked overture 0.001h\neve liked overture 1h"
    )
    await rank(connection, now)
    assert names(story, await client.ask("feed.getFeed", feed="top", limit=2)) == "overture bridge"
    # What is hidden or gone meanwhile is passed over, and the page is full all the same.
    second = await client.ask("feed.getFeed", feed="top", limit=1, cursor=first["cursor"])
    assert names(story, second) == "overture"
    assert second["feed"][0]["reason"]["likes"] == 1
    await story.tell("ben is hidden")
    second = await client.ask("feed.getFeed", feed="top", limit=1, cursor=first["cursor"])
    assert names(story, second) == "intro"
    assert "cursor" not in second


async def test_an_expired_cursor(me: Client, connection: Connection, ranked: Story) -> None:
    long_ago = datetime.now(UTC) - KEPT - timedelta(seconds=1)
    assert await me.refused(
        "feed.getFeed", feed="for-you", cursor=cursors.encode("for-you", long_ago, 1, "at://x")
    ) == (
        400,
        "ExpiredCursor",
    )
    for name in RANKED:
        cursor = (await me.ask("feed.getFeed", feed=name, limit=1))["cursor"]
        await connection.execute("delete from rankings where name = $1", name)
        for method in ("feed.getFeed", "feed.getFeedSkeleton"):
            assert await me.refused(method, feed=address(name), cursor=cursor) == (400, "ExpiredCursor")
    cold = cursors.encode("for-you", long_ago, 1, "")
    assert await me.refused("feed.getFeed", feed="for-you", cursor=cold) == (400, "ExpiredCursor")


async def test_a_cursor_is_of_one_feed(me: Client, ranked: Story) -> None:
    given = {
        name: (await me.ask("feed.getFeed", feed=name, limit=1)).get("cursor")
        for name in ("latest", *RANKED, "for-you")
    }
    for name in ("latest", *RANKED, *PERSONAL):
        for other, cursor in given.items():
            if other != name:
                assert cursor is not None
                assert await me.refused("feed.getFeed", feed=name, cursor=cursor) == (400, "InvalidRequest")
    # Whatever numbers somebody puts in.
    for forged in (
        cursors.encode("for-you", datetime.max.replace(tzinfo=UTC), -(1 << 63), "\x7f"),
        cursors.encode("for-you", datetime.max.replace(tzinfo=UTC), (1 << 63) - 1, "x"),
    ):
        await me.ask("feed.getFeed", feed="for-you", cursor=forged)
    places = cursors.encode("trending", datetime.min.replace(tzinfo=UTC), -(1 << 63))
    assert await me.refused("feed.getFeed", feed="trending", cursor=places) == (400, "ExpiredCursor")


@pytest.mark.parametrize("feed", ["following", "for-you", "top", "trending"])
async def test_what_stays_is_seen_once_and_in_order(
    me: Client, connection: Connection, index: IndexWriter, feed: str
) -> None:
    chance = random.Random(feed)
    story = Story(index)
    tracks = [f"t{n}" for n in range(30)]
    await story.tell("\n".join(f"a{n // 2} made {track} {500 - n}h" for n, track in enumerate(tracks)))
    await story.tell("\n".join(f"me follows a{n} 500h" for n in range(15)))
    await story.tell("\n".join(f"me liked {track} 2h" for track in tracks[:4]))
    likes = dict.fromkeys((f"f{chance.randrange(9)}", chance.choice(tracks)) for _ in range(120))
    await story.tell("\n".join(f"{who} liked {what} {chance.randrange(1, 160)}h" for who, what in likes))
    await rank(connection)
    whole = names(story, await me.ask("feed.getFeed", feed=feed, limit=100)).split()
    assert len(whole) > 15

    gone: set[str] = set()
    seen, cursor = [], None
    for round_ in range(40):
        page = await me.ask(
            "feed.getFeed", feed=feed, limit=chance.randint(1, 4), **({"cursor": cursor} if cursor else {})
        )
        seen += names(story, page).split()
        cursor = page.get("cursor")
        if cursor is None:
            break
        if len(gone) < 5:
            track = chance.choice([track for track in tracks[4:] if track not in gone])
            gone.add(track)
            await story.tell(f"a{tracks.index(track) // 2} unmade {track}")
        index.now = datetime.now(UTC)
        await story.tell(f"a{chance.randrange(15)} made new{round_} 0h")
        await story.tell("\n".join(f"f{n} liked {chance.choice(tracks)} 0h" for n in range(9, 12)))
        await rank(connection)
    assert cursor is None
    assert len(seen) == len(set(seen))
    # In place of what went, another track of the same account may come up where there are two at most.
    assert [track for track in seen if track in whole and track not in gone] == [
        track for track in whole if track not in gone
    ]
