"""Pages neither skip nor repeat what did not move, whatever comes and goes between them."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import pytest

from tests.index_writer import IndexWriter, ref, rkey
from tests.xrpc.client import Client
from tests.xrpc.viewer import SERVICE_DID

ALICE: Final = "did:plc:alice"
TRACK: Final = f"at://{ALICE}/fm.plyr.track/{rkey(0)}"
COUNT: Final = 40
ROUNDS: Final = 6


Record: TypeAlias = tuple[str, str, str, Mapping[str, Any]]


class Paged(NamedTuple):
    """A method that answers pages of records, and how to make one of these, the older the larger its age in seconds.

    `ground` is what must be there before.
    """

    parameters: Mapping[str, Any]
    field: str
    record: Callable[[int], Record]
    uri: Callable[[Any], str] = lambda view: str(view["uri"])
    ground: Sequence[Record] = ()


def liker(age: int) -> str:
    """Each like is of an account of its own."""
    return f"did:plc:liker{age:04}"


def comment(age: int) -> tuple[str, str, str, Mapping[str, Any]]:
    # Three at a moment, so that ties are broken too.
    fields = {"subject": ref(TRACK), "timestampMs": age // 3}
    return f"did:plc:fan{age % 7}", "fm.plyr.comment", rkey(age), fields


OLD_TRACKS: Final[list[Record]] = [(ALICE, "fm.plyr.track", rkey(500 + age), {}) for age in range(2 * COUNT + 2)]
LIKES: Final = {"/".join(("at:/", *OLD_TRACKS[age][:3])): age for age in range(2 * COUNT + 2)}
"""Of each old track, how old the like of it is."""


def like(age: int) -> Record:
    return ALICE, "fm.plyr.like", rkey(age), {"subject": ref(list(LIKES)[age])}


def deed(age: int) -> Record:
    """A record of some kind; a like or a comment of some old track."""
    kind = ("track", "like", "comment", "list")[age // 2 % 4]
    fields = {"subject": ref(list(LIKES)[age])} if kind in {"like", "comment"} else {}
    return ALICE, f"fm.plyr.{kind}", rkey(age), fields


def deed_uri(view: Any) -> str:
    kind = view["$type"].removeprefix("fm.plyr.feed.defs#").removesuffix("Activity")
    return str(view[kind]["uri"])


def list_of_it(age: int) -> Record:
    # On some of them more than once.
    fields = {"items": [{"subject": ref(TRACK)}] * (1 + age % 3)}
    return f"did:plc:maker{age % 5}", "fm.plyr.list", rkey(age), fields


def found(age: int) -> tuple[str, str, str, Mapping[str, Any]]:
    """Tracks of every tier in which `blue` finds them, but for the misspelt."""
    titles = ("Blue", "Blue Train", "Kind of Blue", "Blues", "Bluebird blue", "Skyblue", "Deep, deep skyblue", "BLUE!")
    return f"did:plc:artist{age % 5}", "fm.plyr.track", rkey(age), {"title": titles[age // 2 % len(titles)]}


def feed(age: int) -> Record:
    """Each of an account of its own."""
    fields = {"did": "did:web:feeds.test", "displayName": "Feed"}
    return f"did:plc:maker{age:04}", "fm.plyr.feed.generator", rkey(age), fields


PAGED: Final = {
    "actor.searchActors": Paged(
        {"q": "fan"},
        "actors",
        lambda age: (
            f"did:plc:fan{age}",
            "app.bsky.actor.profile",
            "self",
            {"displayName": ("Fan", "Fan Club", "A Fan")[age % 3]},
        ),
        lambda view: f"at://{view['did']}/app.bsky.actor.profile/self",
    ),
    "com.atproto.repo.listRecords": Paged(
        {"repo": ALICE, "collection": "fm.plyr.list"}, "records", lambda age: (ALICE, "fm.plyr.list", rkey(age), {})
    ),
    "com.atproto.repo.listRecords reverse": Paged(
        {"repo": ALICE, "collection": "fm.plyr.list", "reverse": "true"},
        "records",
        lambda age: (ALICE, "fm.plyr.list", rkey(age), {}),
    ),
    "feed.getActivity": Paged(
        {}, "activity", lambda age: (f"did:plc:artist{age % 5}", *deed(age)[1:]), deed_uri, OLD_TRACKS
    ),
    "feed.getActivity actor": Paged({"actor": ALICE}, "activity", deed, deed_uri, OLD_TRACKS),
    "feed.getActorLikes": Paged(
        {"actor": ALICE},
        "tracks",
        like,
        lambda track: f"at://{ALICE}/fm.plyr.like/{rkey(LIKES[track['uri']])}",
        OLD_TRACKS,
    ),
    "feed.getFeed": Paged(
        {"feed": "latest"},
        "feed",
        lambda age: (f"did:plc:artist{age % 5}", "fm.plyr.track", rkey(age), {}),
        lambda view: str(view["track"]["uri"]),
    ),
    "feed.getActorFeeds": Paged({"actor": ALICE}, "feeds", lambda age: (ALICE, *feed(age)[1:])),
    "feed.getSuggestedFeeds": Paged({}, "feeds", feed),
    "feed.getFeedSkeleton": Paged(
        {"feed": f"at://{SERVICE_DID}/fm.plyr.feed.generator/latest"},
        "feed",
        lambda age: (f"did:plc:artist{age % 5}", "fm.plyr.track", rkey(age), {}),
        lambda entry: str(entry["track"]),
    ),
    "feed.getActorTracks": Paged({"actor": ALICE}, "tracks", lambda age: (ALICE, "fm.plyr.track", rkey(age), {})),
    "feed.getLikes": Paged(
        {"uri": TRACK}, "likes", lambda age: (liker(age), "fm.plyr.like", rkey(age), {"subject": ref(TRACK)})
    ),
    "feed.getComments position": Paged({"uri": TRACK}, "comments", comment),
    "feed.getComments newest": Paged({"uri": TRACK, "sort": "newest"}, "comments", comment),
    "feed.searchTracks": Paged({"q": "blue"}, "tracks", found),
    "feed.searchTracks misspelt": Paged(
        {"q": "bleu skyblue"}, "tracks", lambda age: (*found(age)[:3], {"title": "Skyblue blue"})
    ),
    "feed.searchTracks author": Paged({"q": "blue", "author": ALICE}, "tracks", lambda age: (ALICE, *found(age)[1:])),
    "graph.getActorLists": Paged({"actor": ALICE}, "lists", lambda age: (ALICE, "fm.plyr.list", rkey(age), {})),
    "graph.getActorLists album": Paged(
        {"actor": ALICE, "listType": "album"},
        "lists",
        lambda age: (ALICE, "fm.plyr.list", rkey(age), {"listType": "album"}),
    ),
    "graph.searchLists": Paged(
        {"q": "mix", "listType": "album"},
        "lists",
        lambda age: (ALICE, "fm.plyr.list", rkey(age), {"name": f"Mix {age % 3}", "listType": "album"}),
    ),
    "graph.getListsContaining": Paged({"subject": TRACK}, "lists", list_of_it),
}


@pytest.mark.parametrize("name", PAGED)
async def test_what_stays_is_seen_once_and_in_order(client: Client, index: IndexWriter, name: str) -> None:
    paged = PAGED[name]
    method = name.split(maxsplit=1)[0]
    await index.write(ALICE, "fm.plyr.track", rkey(0))
    await index.write(ALICE, "fm.plyr.list", rkey(0), listType="mixtape")
    await index.write_all(paged.ground)
    for round_ in range(ROUNDS):
        chance = random.Random(round_)
        there = {age: f"at://{'/'.join(paged.record(age)[:3])}" for age in range(2, 2 + 2 * COUNT, 2)}
        await index.write_all(paged.record(age) for age in there)
        whole = [paged.uri(view) for view in (await client.ask(method, **paged.parameters, limit=100))[paged.field]]
        assert set(there.values()) <= set(whole)

        stayed, seen, cursor = set(there), [], None
        while True:
            page = await client.ask(
                method, **paged.parameters, limit=chance.randint(1, 9), **({"cursor": cursor} if cursor else {})
            )
            seen += [paged.uri(view) for view in page[paged.field]]
            cursor = page.get("cursor")
            if cursor is None:
                break
            gone = chance.choice(sorted(stayed))
            stayed.discard(gone)
            await index.delete(there[gone])
            await index.write_all([paged.record(chance.randrange(1, 2 * COUNT, 2))])
        assert len(seen) == len(set(seen))
        remaining = {there[age] for age in stayed}
        assert [uri for uri in seen if uri in remaining] == [uri for uri in whole if uri in remaining]
        assert remaining <= set(seen)


async def test_items_keep_their_places(client: Client, index: IndexWriter) -> None:
    tracks = await index.write_all((ALICE, "fm.plyr.track", rkey(age), {}) for age in range(30))
    items = [{"subject": ref(uri)} for uri in tracks]
    uri = await index.write(ALICE, "fm.plyr.list", rkey(1), items=items)
    seen, cursor = [], None
    while True:
        page = await client.ask("graph.getList", list=uri, limit=7, **({"cursor": cursor} if cursor else {}))
        seen += [(item["position"], item["subject"]["uri"]) for item in page["items"]]
        cursor = page.get("cursor")
        if cursor is None:
            break
        # Tracks may go, and what is put at the end is still to come.
        await index.delete(tracks[len(seen) - 1])
        items.append({"subject": ref(f"{tracks[0]}{len(items)}"[:-2])})
        await index.write(ALICE, "fm.plyr.list", rkey(1), items=items)
    assert seen == [(place, item["subject"]["uri"]) for place, item in enumerate(items)]


@pytest.mark.parametrize("name", PAGED)
async def test_the_last_page_has_no_cursor(client: Client, index: IndexWriter, name: str) -> None:
    paged = PAGED[name]
    method = name.split(maxsplit=1)[0]
    if name not in {"feed.getFeed", "feed.getActorTracks"}:
        await index.write(ALICE, "fm.plyr.track", rkey(0))
    await index.account(ALICE)
    await index.write_all(paged.ground)
    before = await client.ask(method, **paged.parameters, limit=100)
    assert "cursor" not in before
    count = len(before[paged.field]) + 3
    await index.write_all(paged.record(age) for age in (2, 4, 6))
    for limit, there_is_more in ((count - 1, True), (count, False), (count + 1, False)):
        page = await client.ask(method, **paged.parameters, limit=limit)
        assert ("cursor" in page) is there_is_more
        assert len(page[paged.field]) == min(limit, count)


@pytest.mark.parametrize("name", [*PAGED, "graph.getList"])
async def test_a_cursor_of_another_method_is_malformed(client: Client, index: IndexWriter, name: str) -> None:
    await index.write(ALICE, "fm.plyr.track", rkey(0))
    await index.write(ALICE, "fm.plyr.track", rkey(1))
    cursor = (await client.ask("feed.getFeed", feed="latest", limit=1))["cursor"]
    if name.startswith("feed.getFeed"):
        cursor = (await client.ask("feed.getActorTracks", actor=ALICE, limit=1))["cursor"]
    parameters = PAGED[name].parameters if name in PAGED else {"list": f"at://{ALICE}/fm.plyr.list/{rkey(1)}"}
    for wrong in (cursor, "x", "AAAA"):
        assert await client.refused(name.split(maxsplit=1)[0], **parameters, cursor=wrong) == (400, "InvalidRequest")


async def test_a_page_of_heavy_records_ends_early(client: Client, index: IndexWriter) -> None:
    heavy = {"padding": "x" * 900_000}
    uris = await index.write_all((ALICE, "fm.plyr.track", rkey(age), heavy) for age in range(10))
    seen, cursor = [], None
    while True:
        answer = await client.ask("feed.getActorTracks", actor=ALICE, **({"cursor": cursor} if cursor else {}))
        assert 1 <= len(answer["tracks"]) <= 4
        seen += [track["uri"] for track in answer["tracks"]]
        cursor = answer.get("cursor")
        if cursor is None:
            break
    assert seen == uris
