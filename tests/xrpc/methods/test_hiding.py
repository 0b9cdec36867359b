"""Rule 6: whatever is asked, nothing of an account that is not visible is in the answer; and then all is back."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pytest

from tests.index_writer import IndexWriter
from tests.xrpc.client import Client, path
from tests.xrpc.methods.world import ALICE, BOB, SECRET, World, make_world
from tests.xrpc.viewer import SERVICE_DID
from xrpc.methods import QUERIES

HER_PROFILE = f"at://{ALICE}/app.bsky.actor.profile/self"


class Case(NamedTuple):
    """One question, and what becomes of it when Alice is hidden."""

    parameters: Mapping[str, Any]
    refused: bool = False
    """Whether there is then nothing to answer but an error."""
    shows: bool = True
    """Whether she is in the answer while she is visible."""


def about_accounts(**more: Any) -> Callable[[World], list[Case]]:
    return lambda _: [
        Case({"actor": ALICE, **more}, refused=True),
        Case({"actor": "alice.test", **more}, refused=True),
        Case({"actor": BOB, **more}),
    ]


def about_tracks(**more: Any) -> Callable[[World], list[Case]]:
    return lambda world: [Case({"uri": world.hers, **more}, refused=True), Case({"uri": world.his, **more})]


CASES: Mapping[str, Callable[[World], list[Case]]] = {
    "actor.getProfile": lambda _: [
        Case({"actor": ALICE}, refused=True),
        Case({"actor": "alice.test"}, refused=True),
        Case({"actor": BOB}, shows=False),
    ],
    "actor.getProfiles": lambda _: [
        Case({"actors": [ALICE]}),
        Case({"actors": ["alice.test", BOB]}),
        Case({"actors": [BOB]}, shows=False),
    ],
    "actor.searchActors": lambda _: [Case({"q": "alice"}), Case({"q": "was here"}), Case({"q": "ailce"})],
    "actor.searchActorsTypeahead": lambda _: [Case({"q": "al"}), Case({"q": "alice.test", "limit": 1})],
    "com.atproto.identity.resolveHandle": lambda _: [Case({"handle": "alice.test"})],
    "com.atproto.repo.getRecord": lambda world: [
        *(
            Case({"repo": repo, "collection": uri.split("/")[3], "rkey": uri.split("/")[4]}, refused=True)
            for repo in (ALICE, "alice.test")
            for uri in (world.hers, world.her_list, world.her_like, world.her_comment, HER_PROFILE)
        ),
        Case({"repo": BOB, "collection": "fm.plyr.list", "rkey": world.his_list.split("/")[4]}, shows=False),
    ],
    "com.atproto.repo.listRecords": lambda _: [
        *(
            Case({"repo": repo, "collection": collection}, refused=True)
            for repo in (ALICE, "alice.test")
            for collection in ("fm.plyr.track", "fm.plyr.like", "app.bsky.graph.follow")
        ),
        Case({"repo": BOB, "collection": "fm.plyr.list"}, shows=False),
    ],
    "feed.getActivity": lambda world: [Case({}), *about_accounts()(world)],
    "feed.getActorFeeds": lambda _: [
        Case({"actor": ALICE}, refused=True),
        Case({"actor": "alice.test"}, refused=True),
        Case({"actor": BOB}, shows=False),
    ],
    "feed.getActorLikes": about_accounts(),
    "feed.getActorTracks": about_accounts(),
    "feed.getComments": lambda world: [
        case for sort in ("position", "newest") for case in about_tracks(sort=sort)(world)
    ],
    "feed.describeFeedGenerator": lambda _: [Case({}, shows=False)],
    "feed.getFeed": lambda _: [
        Case({"feed": name, "limit": limit}) for name in ("latest", "trending", "top") for limit in (1, 50)
    ],
    "feed.getFeedGenerator": lambda world: [
        Case({"feed": world.her_feed}, refused=True),
        Case({"feed": world.his_feed}, shows=False),
    ],
    "feed.getFeedGenerators": lambda world: [
        Case({"feeds": [world.her_feed]}),
        Case({"feeds": [world.his_feed, world.her_feed]}),
    ],
    "feed.getFeedSkeleton": lambda _: [
        Case({"feed": f"at://{SERVICE_DID}/fm.plyr.feed.generator/{name}"})
        for name in ("latest", "trending", "top-all")
    ],
    "feed.getLikes": about_tracks(),
    "feed.getSuggestedFeeds": lambda _: [Case({}), Case({"limit": 1})],
    "feed.getTracks": lambda world: [Case({"uris": [world.hers]}), Case({"uris": [world.hers, world.his]})],
    "feed.searchTracks": lambda _: [
        Case({"q": "alice"}),
        Case({"q": "alice was here", "limit": 1}),
        Case({"q": "wsa heer"}),
        Case({"q": "his", "author": BOB}),
        Case({"q": "alice", "author": ALICE}, refused=True),
        Case({"q": "alice", "author": "alice.test"}, refused=True),
    ],
    "graph.getActorLists": about_accounts(),
    "graph.getList": lambda world: [Case({"list": world.her_list}, refused=True), Case({"list": world.his_list})],
    "graph.getLists": lambda world: [
        Case({"uris": [world.her_list]}),
        Case({"uris": [world.her_list, world.his_list]}),
        Case({"uris": [world.his_list]}),
    ],
    "graph.getListsContaining": lambda world: [
        Case({"subject": world.hers}, refused=True),
        Case({"subject": world.his}),
    ],
    "graph.searchLists": lambda _: [
        Case({"q": "alice"}),
        Case({"q": "here", "listType": "playlist"}),
        Case({"q": "picks"}, shows=False),
    ],
    "search.searchAll": lambda _: [
        Case({"q": q, "limit": limit}) for q in ("alice", "alice was here", "here", "ailce") for limit in (1, 50)
    ],
    "server.explain": lambda world: [
        Case({"uri": uri}, shows=False)
        for uri in (
            ALICE,
            world.hers,
            world.her_list,
            world.her_like,
            world.her_comment,
            world.his,
            world.his_list,
            BOB,
        )
    ],
    "server.getStats": lambda _: [Case({}, shows=False)],
}

ASKED: Mapping[str, Callable[[Case], tuple[Any, ...]]] = {
    "com.atproto.identity.resolveHandle": lambda _: (ALICE,),
    "server.explain": lambda case: tuple(case.parameters.values()),
}
"""Who asks by what name an account goes, or why it is hidden, is told of whom the answer is."""

WAYS: Mapping[str, Callable[[IndexWriter, bool], Any]] = {
    "deactivated": lambda index, shown: index.set_status(ALICE, active=shown, status=None if shown else "deactivated"),
    "takendown": lambda index, shown: index.set_status(ALICE, active=shown, status=None if shown else "takendown"),
    "deleted": lambda index, shown: index.set_status(ALICE, active=shown, status=None if shown else "deleted"),
    "without a reason": lambda index, shown: index.set_status(ALICE, active=shown),
    "taken down here": lambda index, shown: index.set_taken_down(ALICE, not shown),
}


def test_every_method_has_its_cases() -> None:
    # What the caller chose for themselves says nothing of anybody else.
    assert CASES.keys() == QUERIES.keys() - {"server.getPreferences"}


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_of_hers_and_then_all_of_it(client: Client, index: IndexWriter, way: str) -> None:
    world = await make_world(index)
    questions = [(method, case) for method, cases in CASES.items() for case in cases(world)]
    before = [await ask(client, method, case) for method, case in questions]
    for (method, case), (status, answer) in zip(questions, before, strict=True):
        assert status == 200, (method, case, answer)
        assert bool(list(traces(answer, asked=()))) or not case.shows, (method, case)

    await WAYS[way](index, False)
    for method, case in questions:
        status, answer = await ask(client, method, case)
        assert status == (400 if case.refused else 200), (method, case, answer)
        asked = ASKED[method](case) if method in ASKED else ()
        assert list(traces(answer, asked)) == [], (method, case, answer)

    await WAYS[way](index, True)
    assert [await ask(client, method, case) for method, case in questions] == before


async def test_counts_and_positions_go_with_her(client: Client, index: IndexWriter) -> None:
    world = await make_world(index)
    (his,) = (await client.ask("feed.getTracks", uris=[world.his]))["tracks"]
    assert (his["likeCount"], his["commentCount"], his["listCount"]) == (3, 3, 2)
    stats = await client.ask("server.getStats")
    await index.set_status(ALICE, active=False)

    (his,) = (await client.ask("feed.getTracks", uris=[world.his]))["tracks"]
    assert (his["likeCount"], his["commentCount"], his["listCount"]) == (2, 2, 1)
    assert (await client.ask("actor.getProfile", actor=BOB))["followersCount"] == 0
    found = await client.ask("graph.getList", list=world.his_list)
    assert [item["position"] for item in found["items"]] == [0, 1]
    assert found["items"][0]["track"] == {
        "$type": "fm.plyr.feed.defs#notFoundTrack",
        "uri": world.hers,
        "notFound": True,
    }
    assert (found["list"]["itemCount"], found["list"]["duration"], found["list"]["images"]) == (2, 100, [])
    hidden = await client.ask("server.getStats")
    assert hidden["totals"]["tracks"] == stats["totals"]["tracks"] - 1
    assert hidden["newestTrackAt"] < stats["newestTrackAt"]


async def test_a_page_is_full_though_what_comes_first_is_hidden(client: Client, index: IndexWriter) -> None:
    world = await make_world(index)
    pages: list[tuple[str, str, dict[str, Any]]] = [
        ("feed.getFeed", "feed", {"feed": "latest"}),
        ("feed.getLikes", "likes", {"uri": world.his}),
        ("feed.getComments", "comments", {"uri": world.his, "sort": "position"}),
        ("feed.getComments", "comments", {"uri": world.his, "sort": "newest"}),
    ]
    for hidden in (False, True):
        await index.set_status(ALICE, active=not hidden)
        for method, field, parameters in pages:
            (first,) = (await client.ask(method, limit=1, **parameters))[field]
            assert (ALICE in str(first["track"]["author"] if "track" in first else first["author"])) is not hidden


async def test_why_is_told(client: Client, index: IndexWriter) -> None:
    world = await make_world(index)
    await index.set_status(ALICE, active=False, status="deactivated")
    for uri in (ALICE, world.hers, world.her_list, world.her_like, world.her_comment):
        answer = await client.ask("server.explain", uri=uri)
        assert answer["state"] == "hidden"
        assert "not active on its host (deactivated)" in answer["explanation"]
        assert answer["account"]["shown"] is False
        assert "cid" not in answer.get("record", {})


@pytest.mark.parametrize(
    ("active", "status", "taken_down", "name"),
    [
        (False, "deactivated", False, "AccountDeactivated"),
        (False, None, False, "AccountDeactivated"),
        (False, "something new", False, "AccountDeactivated"),
        (False, "takendown", False, "AccountTakedown"),
        (False, "suspended", False, "AccountTakedown"),
        (False, "deleted", False, "NotFound"),
        (True, None, True, "AccountTakedown"),
        (False, "deactivated", True, "AccountTakedown"),
    ],
)
async def test_an_error_says_why_and_no_more(
    client: Client, index: IndexWriter, active: bool, status: str | None, taken_down: bool, name: str
) -> None:
    await make_world(index)
    await index.set_status(ALICE, active=active, status=status)
    await index.set_taken_down(ALICE, taken_down)
    for method in ("actor.getProfile", "feed.getActorTracks", "graph.getActorLists"):
        for actor in (ALICE, "alice.test"):
            assert await client.refused(method, actor=actor) == (400, name)


@pytest.mark.parametrize("status", ["desynchronized", "throttled", "deleted", "takendown"])
async def test_active_decides_and_status_explains(client: Client, index: IndexWriter, status: str) -> None:
    world = await make_world(index)
    await index.set_status(ALICE, active=True, status=status)
    assert (await client.ask("actor.getProfile", actor=ALICE))["displayName"] == SECRET
    assert len((await client.ask("feed.getTracks", uris=[world.hers]))["tracks"]) == 1


async def ask(client: Client, method: str, case: Case) -> tuple[int, Any]:
    answer = await client.get(path(method), params=dict(case.parameters))
    return answer.status_code, answer.json()


def traces(answer: Any, asked: tuple[Any, ...]) -> Iterator[str]:
    """The texts in an answer that are of Alice's, but for what somebody else's record says and what was `asked`."""
    if isinstance(answer, list):
        for item in answer:
            yield from traces(item, asked)
    elif isinstance(answer, dict):
        if answer.get("notFound") is True:
            return
        for name, value in answer.items():
            if name == "did" and any(ALICE in uri for uri in asked):
                continue
            # What Bob wrote about her is his, and he is visible: his record, and the place on his list.
            if name not in {"record", "subject", "value"} or not isinstance(value, dict) or SECRET in str(value):
                yield from traces(value, asked)
    elif isinstance(answer, str) and answer not in asked and any(mark in answer for mark in (SECRET, "alice")):
        yield answer
