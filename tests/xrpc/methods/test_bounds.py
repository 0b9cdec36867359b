"""No question costs more than another, whatever strangers wrote, and whatever cursor they invent."""

import itertools
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from tests.index_writer import IndexWriter, ref, rkey
from tests.xrpc.client import Client
from xrpc.cursors import encode

ALICE: Final = "did:plc:alice"
BOB: Final = "did:plc:bob"
TRACK: Final = f"at://{ALICE}/fm.plyr.track/{rkey(1)}"
LIST: Final = f"at://{ALICE}/fm.plyr.list/{rkey(1)}"
_LARGEST: Final = 16_000_000

INSTANTS: Final = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), -(1 << 63), (1 << 62), 0, -1)
NUMBERS: Final = (0, -1, 1 << 31, -(1 << 31) - 1, (1 << 63) - 1, -(1 << 63))
TEXTS: Final = ("", "\uffff", "'; drop", "a" * 8_000, "\U0010ffff", "%")

# Each kind of cursor, as whoever reads the source can make one, with what goes into it.
PAGES: Final[dict[str, tuple[str, dict[str, Any], tuple[tuple[Any, ...], ...]]]] = {
    "latest": ("feed.getFeed", {"feed": "latest"}, (INSTANTS, TEXTS)),
    "top-all": ("feed.getFeed", {"feed": "top"}, (INSTANTS, NUMBERS)),
    "trending": ("feed.getFeed", {"feed": "trending"}, (INSTANTS, NUMBERS)),
    "generator": ("feed.getFeed", {"feed": f"at://{ALICE}/fm.plyr.feed.generator/x"}, (TEXTS,)),
    "actor-tracks": ("feed.getActorTracks", {"actor": ALICE}, (INSTANTS, TEXTS)),
    "actor-likes": ("feed.getActorLikes", {"actor": ALICE}, (INSTANTS, TEXTS)),
    "activity": ("feed.getActivity", {}, (INSTANTS, TEXTS)),
    "actor-feeds": ("feed.getActorFeeds", {"actor": ALICE}, (INSTANTS, TEXTS)),
    "likes": ("feed.getLikes", {"uri": TRACK}, (INSTANTS, TEXTS)),
    "comments-by-newest": ("feed.getComments", {"uri": TRACK, "sort": "newest"}, (INSTANTS, TEXTS)),
    "comments-by-position": ("feed.getComments", {"uri": TRACK}, (NUMBERS, TEXTS)),
    "actor-lists": ("graph.getActorLists", {"actor": ALICE}, (INSTANTS, TEXTS)),
    "lists-containing": ("graph.getListsContaining", {"subject": TRACK}, (INSTANTS, TEXTS)),
    "items": ("graph.getList", {"list": LIST}, (NUMBERS,)),
    "search-tracks s ": ("feed.searchTracks", {"q": "s"}, (NUMBERS, TEXTS, NUMBERS)),
    f"search-tracks s {ALICE}": ("feed.searchTracks", {"q": "s", "author": ALICE}, (NUMBERS, TEXTS, NUMBERS)),
    "search-actors s": ("actor.searchActors", {"q": "s"}, (NUMBERS, TEXTS, NUMBERS)),
    "search-lists s ": ("graph.searchLists", {"q": "s"}, (NUMBERS, TEXTS, NUMBERS)),
}


@pytest.mark.parametrize("kind", PAGES)
async def test_a_cursor_of_somebodys_invention_breaks_nothing(client: Client, index: IndexWriter, kind: str) -> None:
    method, parameters, keys = PAGES[kind]
    await index.account(ALICE, handle="alice.test")
    await index.write(ALICE, "fm.plyr.track", rkey(1), title="song")
    await index.write(ALICE, "fm.plyr.list", rkey(1), name="song")
    for given in itertools.product(*(some if len(keys) < 3 else some[::2] for some in keys)):
        answer = await client.get(f"/xrpc/fm.plyr.{method}", params={**parameters, "cursor": encode(kind, *given)})
        assert answer.status_code in (200, 400), (given, answer.text)


async def test_records_that_are_too_much_together_are_left_out(client: Client, index: IndexWriter) -> None:
    heavy = {"padding": "\x01" * 700_000, "album": "Heavy"}
    uris = await index.write_all((ALICE, "fm.plyr.track", rkey(n), heavy) for n in range(8))
    lists = await index.write_all((ALICE, "fm.plyr.list", rkey(n), {**heavy, "name": "Heavy"}) for n in range(4))
    await index.write_all((f"did:plc:a{n}", "fm.plyr.actor.profile", "self", heavy) for n in range(8))
    for method, parameters, field in (
        ("feed.getTracks", {"uris": uris}, "tracks"),
        ("graph.getLists", {"uris": lists}, "lists"),
        ("actor.getProfiles", {"actors": [f"did:plc:a{n}" for n in range(8)]}, "profiles"),
        ("feed.getFeed", {"feed": "latest"}, "feed"),
        ("feed.getActorTracks", {"actor": ALICE}, "tracks"),
    ):
        answer = await client.get(f"/xrpc/fm.plyr.{method}", params=parameters)
        assert len(answer.content) < _LARGEST
        assert 1 <= len(answer.json()[field]) <= 3
    # An empty album that all of them name.
    album = await index.write(ALICE, "fm.plyr.list", rkey(20), name="Heavy", listType="album")
    answer = await client.get("/xrpc/fm.plyr.graph.getList", params={"list": album})
    assert len(answer.content) < _LARGEST
    assert 1 <= len(answer.json()["unplaced"]) <= 3


async def test_who_likes_a_track_a_thousand_times_is_one_of_those_who_like_it(
    client: Client, index: IndexWriter
) -> None:
    track = await index.write(ALICE, "fm.plyr.track", rkey(9_000))
    # Made before and after those of the one who cannot stop.
    early = await index.write("did:plc:early", "fm.plyr.like", rkey(8_000), subject=ref(track))
    late = await index.write("did:plc:late", "fm.plyr.like", rkey(1), subject=ref(track))
    await index.write_all((BOB, "fm.plyr.like", rkey(2 + n), {"subject": ref(track)}) for n in range(2_500))
    first = f"at://{BOB}/fm.plyr.like/{rkey(2_501)}"
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(10):
        page = await client.ask("feed.getLikes", uri=track, limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [like["uri"] for like in page["likes"]]
        cursor = page.get("cursor")
        if cursor is None:
            break
    assert seen == [late, first, early]
