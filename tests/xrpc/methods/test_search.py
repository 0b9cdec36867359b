"""What a search finds, and in which order: titles of real life, in all scripts, and the ways people type them."""

# ruff: noqa: RUF001 - letters that look like others are what this is about

from typing import Any, Final

import pytest

from tests.index_writer import IndexWriter, ref, rkey
from tests.xrpc.client import Client

TITLES: Final = (
    ("Archangel", "Burial", "Untrue"),
    ("Archangel (Slowed + Reverb)", "somebody", None),
    ("Café del Mar", "Energy 52", None),
    ("Cafe Society", "Various", None),
    ("Don't Speak", "No Doubt", None),
    ("Dont Stop", "Mac", None),
    ("Don’t Look Back in Anger", "Oasis", None),
    ("ＦＵＬＬ ｗｉｄｔｈ", "aesthetic ｗａｖｅ", None),
    ("حُبّ كبير", "فيروز", None),
    ("שָׁלוֹם עליכם", "דבורה", None),
    ("東京の夜", "山田", None),
    ("夜の東京タワー", "佐藤", None),
    ("사랑해 서울", "아이", None),
    ("月亮代表我的心", "邓丽君", None),
    ("🔥🔥 fire", "dj", None),
    ("Q", "Mystery", None),
    ("Sommernacht", "Kapelle", None),
    ("Love", "Small", None),
    ("Love", "Great", None),
    ("Love Me Again", "John Newman", None),
    ("All You Need Is Love", "Beatles", None),
    ("Lovely Day", "Bill Withers", None),
    ("Ólafsson: " + "An Ocean Of Very Long Words And More Of Them, " * 5 + "Finale", "Orchestra", None),
    ("Weird Fishes/Arpeggi", "Radiohead", "In Rainbows"),
    ("A", "B", None),
)
LIKED: Final = {"Great": 3, "John Newman": 2, "Beatles": 20}

TRACKS: Final[dict[str, list[str]]] = {
    # As it is called, then what begins so, then what has it; the better liked first in each.
    "love": ["Great", "Small", "John Newman", "Bill Withers", "Beatles"],
    "LOVE": ["Great", "Small", "John Newman", "Bill Withers", "Beatles"],
    "lovel": ["Bill Withers", "Beatles", "Great", "John Newman", "Small"],
    "archangel": ["Burial", "somebody"],
    "archangel untrue": ["Burial"],
    # The artist and the title, in either order, with what people put between them.
    "burial archangel": ["Burial"],
    "Burial – Archangel": ["Burial"],
    "archangel burial": ["Burial"],
    "burial arch": ["Burial"],
    "again love newman": ["John Newman"],
    # Accents, quotes, width.
    "cafe del mar": ["Energy 52"],
    "CAFÉ DEL": ["Energy 52"],
    "café": ["Energy 52", "Various"],
    "dont": ["Oasis", "No Doubt", "Mac"],
    "don't": ["Oasis", "No Doubt", "Mac"],
    "don‘t sp": ["No Doubt"],
    "full width": ["aesthetic ｗａｖｅ"],
    "wave": ["aesthetic ｗａｖｅ"],
    # Right to left.
    "حب": ["فيروز"],
    "كبير": ["فيروز"],
    "שלום": ["דבורה"],
    "עליכם": ["דבורה"],
    # No spaces.
    "東京": ["山田", "佐藤"],
    "東京の": ["山田"],
    "京の夜": ["山田"],
    "タワー": ["佐藤"],
    "夜": ["佐藤", "山田"],
    "邓丽君": ["邓丽君"],
    "代表我": ["邓丽君"],
    "사랑": ["아이"],
    "서울": ["아이"],
    "🔥": ["dj"],
    # One letter, long titles, parts of words.
    "q": ["Mystery"],
    "a b": ["B"],
    "olafsson an ocean": ["Orchestra"],
    "ocean very finale": ["Orchestra"],
    "nacht": ["Kapelle"],
    "arpeggi": ["Radiohead"],
    "radiohead rainbows": ["Radiohead"],
    # Slips: exchanged, missing, too many, other ones; two of them in a longer word; in each of several words.
    "lvoe": ["Beatles", "Great", "John Newman", "Small"],
    "wierd fishes": ["Radiohead"],
    "archagnel": ["somebody", "Burial"],
    "archnagle": ["somebody", "Burial"],
    "arcangel": ["somebody", "Burial"],
    "rchangel": ["somebody", "Burial"],
    "archaangell": ["somebody", "Burial"],
    "burail archangle": ["Burial"],
    "sommrenacht": ["Kapelle"],
    "kapele": ["Kapelle"],
    # Nothing.
    "...": [],
    "’": [],
    "xylophone": [],
    "xq": [],
    "archangel beatles": [],
    "%": [],
    "_ove": ["Beatles", "Great", "John Newman", "Small", "Bill Withers"],
    "love\\": ["Great", "Small", "John Newman", "Bill Withers", "Beatles"],
}


@pytest.fixture
async def library(index: IndexWriter) -> IndexWriter:
    """All the titles, each by an account of its own."""
    fans = iter(range(1000))
    for place, (title, artist, album) in enumerate(TITLES):
        fields = {"title": title, "artist": artist, **({"album": album} if album else {})}
        uri = await index.write(f"did:plc:author{place}", "fm.plyr.track", rkey(place), **fields)
        await index.write_all(
            (f"did:plc:fan{next(fans)}", "fm.plyr.like", rkey(0), {"subject": ref(uri)})
            for _ in range(LIKED.get(artist, 0))
        )
    return index


async def artists(client: Client, **asked: Any) -> list[str]:
    return [track["artist"] for track in (await client.ask("feed.searchTracks", **asked))["tracks"]]


async def test_tracks_in_their_order(client: Client, library: IndexWriter) -> None:
    found = {q: await artists(client, q=q) for q in TRACKS}
    assert found == TRACKS


async def test_a_page_at_a_time_is_the_same(client: Client, library: IndexWriter) -> None:
    for q in ("love", "dont", "lvoe", "archnagle", "夜"):
        found, cursor = [], None
        while True:
            more: dict[str, str] = {"cursor": cursor} if cursor else {}
            page = await client.ask("feed.searchTracks", q=q, limit=1, **more)
            found += [track["artist"] for track in page["tracks"]]
            cursor = page.get("cursor")
            if cursor is None:
                break
        assert found == TRACKS[q]


async def test_what_changes_is_found_by_its_new_name_at_once(client: Client, library: IndexWriter) -> None:
    burial = "at://did:plc:author0/fm.plyr.track/" + rkey(0)
    await library.write("did:plc:author0", "fm.plyr.track", rkey(0), title="Etched Headplate", artist="Burial")
    assert await artists(client, q="archangel") == ["somebody"]
    assert await artists(client, q="headplate") == ["Burial"]
    await library.set_status("did:plc:author0", active=False)
    assert await artists(client, q="headplate") == await artists(client, q="haedplate") == []
    await library.set_status("did:plc:author0", active=True)
    assert await artists(client, q="haedplate") == ["Burial"]
    await library.delete(burial)
    assert await artists(client, q="headplate") == await artists(client, q="haedplate") == []


async def test_within_what_one_account_made(client: Client, index: IndexWriter) -> None:
    await index.account("did:plc:one", handle="one.test")
    for place, title in enumerate(("Loveless", "True Love", "Love", "Glove", "Lvoe Song", "Hate")):
        await index.write("did:plc:one", "fm.plyr.track", rkey(place), title=title, artist="One")
    await index.write("did:plc:two", "fm.plyr.track", rkey(0), title="Love", artist="Two")

    async def titles(q: str) -> list[str]:
        found = await client.ask("feed.searchTracks", q=q, author="one.test")
        return [track["title"] for track in found["tracks"]]

    assert await titles("love") == ["Love", "Loveless", "True Love", "Glove", "Lvoe Song"]
    assert await titles("one hate") == ["Hate"]
    assert await titles("...") == []
    assert await client.refused("feed.searchTracks", q="love", author="three.test") == (400, "NotFound")


async def test_accounts(client: Client, index: IndexWriter) -> None:
    await index.account("did:plc:one", handle="dj-alice.bsky.social")
    await index.account("did:plc:two", handle="alice.example.com")
    await index.account("did:plc:three", handle="zoe.test")
    await index.write("did:plc:three", "app.bsky.actor.profile", "self", displayName="Alice Zoé ✨")
    await index.write("did:plc:four", "fm.plyr.track", rkey(0), artist="Alice")

    async def dids(q: str, **more: Any) -> list[str]:
        answers = [await client.ask(f"actor.{name}", q=q, **more) for name in ("searchActors", "searchActorsTypeahead")]
        found = [[actor["did"].removeprefix("did:plc:") for actor in answer["actors"]] for answer in answers]
        assert found[0] == found[1]
        return found[0]

    assert await dids("alice") == ["two", "three", "one"]
    assert await dids("@alice.example.com") == ["two"]
    assert await dids("alice.exam") == ["two"]
    assert await dids("dj-alice") == await dids("DJ Alice") == await dids("dj-alice.bsky.social") == ["one"]
    assert await dids("zoe alice") == ["three"]
    assert await dids("aliec zoe") == ["three"]
    assert await dids("bsky") == await dids("social") == await dids("example.com") == []
    # One whose handle goes to another is found by it no more.
    await index.account("did:plc:four", handle="alice.example.com")
    assert await dids("alice.example") == ["four"]
    await index.account("did:plc:four", handle=None)
    assert await dids("alice.example") == []


async def test_lists(client: Client, index: IndexWriter) -> None:
    await index.write("did:plc:one", "fm.plyr.list", rkey(1), name="Untrue", listType="album")
    await index.write("did:plc:one", "fm.plyr.list", rkey(2), name="Untrue stories", listType="playlist")
    await index.write("did:plc:one", "fm.plyr.list", rkey(3), listType="liked")

    async def names(**asked: Any) -> list[str]:
        return [found["name"] for found in (await client.ask("graph.searchLists", **asked))["lists"]]

    assert await names(q="untrue") == ["Untrue", "Untrue stories"]
    assert await names(q="untrue", listType="playlist") == ["Untrue stories"]
    assert await names(q="untreu", listType="album") == ["Untrue"]
    assert await names(q="untrue", listType="mixtape") == []


async def test_all_of_them_in_one_order(client: Client, index: IndexWriter) -> None:
    await index.account("did:plc:one", handle="one.test")
    await index.write("did:plc:one", "app.bsky.actor.profile", "self", displayName="Burial")
    await index.write("did:plc:one", "fm.plyr.track", rkey(1), title="Archangel", artist="Burial")
    await index.write("did:plc:one", "fm.plyr.track", rkey(2), title="Burial", artist="Other")
    await index.write("did:plc:one", "fm.plyr.list", rkey(3), name="Burial mix", listType="playlist")

    async def kinds(**asked: Any) -> list[str]:
        return [
            found["$type"].partition("#")[2] for found in (await client.ask("search.searchAll", **asked))["results"]
        ]

    every = ["profileView", "trackView", "listView", "trackView"]
    assert await kinds(q="burial") == every
    assert await kinds(q="burial", limit=2) == every[:2]
    assert await kinds(q="burail") == ["profileView", "trackView", "trackView", "listView"]
    assert await kinds(q="burial", types=["lists", "actors"]) == ["profileView", "listView"]
    assert await kinds(q="burial", types=["tags"]) == []
    assert await kinds(q="!?") == []


async def test_what_may_be_asked(client: Client, index: IndexWriter) -> None:
    await index.write("did:plc:one", "fm.plyr.track", rkey(1), title="Love")
    methods = ("actor.searchActors", "actor.searchActorsTypeahead", "feed.searchTracks", "graph.searchLists")
    for method in (*methods, "search.searchAll"):
        assert await client.refused(method) == (400, "InvalidRequest")
        assert await client.refused(method, q="") == (400, "InvalidRequest")
        assert await client.refused(method, q="x" * 1001) == (400, "InvalidRequest")
        for q in (
            "?",
            "'; drop table tracks; --",
            "x" * 200,
            "a " * 100,
            "(((",
            "[a-z]*",
            "\\",
            "$1",
            "💥" * 90,
            "\u202e",
        ):
            await client.ask(method, q=q)
    # A cursor goes on with its own search alone.
    await index.write("did:plc:one", "fm.plyr.track", rkey(2), title="Love")
    cursor = (await client.ask("feed.searchTracks", q="love", limit=1))["cursor"]
    assert await client.refused("feed.searchTracks", q="lov", cursor=cursor) == (400, "InvalidRequest")
    assert await client.refused("feed.searchTracks", q="love", author="did:plc:one", cursor=cursor) == (
        400,
        "InvalidRequest",
    )
    assert len((await client.ask("feed.searchTracks", q="love", cursor=cursor))["tracks"]) == 1
