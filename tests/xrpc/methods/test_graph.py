from typing import Any, Final

from tests.index_writer import IndexWriter, ref, rkey
from tests.xrpc.client import Client

ALICE: Final = "did:plc:alice"
BOB: Final = "did:plc:bob"
STUB: Final = {"$type": "fm.plyr.feed.defs#notFoundTrack", "notFound": True}


async def one(client: Client, uri: str, **parameters: Any) -> Any:
    """The answer about one list; and getActorLists has the same view of it."""
    answer = await client.ask("graph.getList", list=uri, **parameters)
    lists = (await client.ask("graph.getActorLists", actor=uri.split("/")[2]))["lists"]
    assert answer["list"] in lists
    return answer


async def test_a_list_with_dead_items(client: Client, index: IndexWriter) -> None:
    await index.account(ALICE, handle="alice.test")
    tracks = await index.write_all((BOB, "fm.plyr.track", rkey(age), {"duration": 10 + age}) for age in range(3))
    post = f"at://{BOB}/app.bsky.feed.post/{rkey(1)}"
    foreign = f"at://{BOB}/fm.plyr.dev.track/{rkey(1)}"
    items: list[Any] = [
        {"subject": ref(tracks[0])},
        {"subject": {"uri": tracks[1], "cid": ""}},
        {"subject": ref(post)},
        {"note": "no subject"},
        {"subject": {"uri": tracks[2]}},
        {"subject": ref(tracks[0])},
        {"subject": ref(foreign)},
    ]
    uri = await index.write(ALICE, "fm.plyr.list", rkey(1), name="Mix", listType="playlist", items=items)
    await index.delete(tracks[2])
    answer = await one(client, uri)
    view = answer["list"]
    assert (view["name"], view["listType"], view["itemCount"], view["duration"]) == ("Mix", "playlist", 6, 31)
    assert view["author"] == {"did": ALICE, "handle": "alice.test"}
    assert view["record"]["items"] == items
    assert "inherited" not in view
    shown = [(item["subject"]["uri"], item["track"].get("title")) for item in answer["items"]]
    assert shown == [
        (tracks[0], "Song"),
        (tracks[1], "Song"),
        (post, None),
        (tracks[2], None),
        (tracks[0], "Song"),
        (foreign, None),
    ]
    assert [item["track"] for item in answer["items"] if "title" not in item["track"]] == [
        {**STUB, "uri": post},
        {**STUB, "uri": tracks[2]},
        {**STUB, "uri": foreign},
    ]
    assert answer["items"][0]["subject"] == ref(tracks[0])
    assert answer["items"][1]["subject"] == {"uri": tracks[1]}
    positions = [item["position"] for item in answer["items"]]
    assert positions == sorted(set(positions))


async def test_covers_are_the_first_four_that_differ(client: Client, index: IndexWriter) -> None:
    images = ["a", "a", "javascript:alert(1)", "b", None, "http://10.0.0.1/x", "c", "a", "d", "e"]
    fields = ({"imageUrl": f"https://i.test/{name}" if name and len(name) == 1 else name} for name in images)
    tracks = await index.write_all(
        (ALICE, "fm.plyr.track", rkey(age), {key: url for key, url in field.items() if url is not None})
        for age, field in enumerate(fields)
    )
    uri = await index.write(ALICE, "fm.plyr.list", rkey(1), items=[{"subject": ref(track)} for track in tracks])
    assert (await one(client, uri))["list"]["images"] == [
        {"url": "https://i.test/a", "track": tracks[0]},
        {"url": "https://i.test/b", "track": tracks[3]},
        {"url": "https://i.test/c", "track": tracks[6]},
        {"url": "https://i.test/d", "track": tracks[8]},
    ]


async def test_what_a_reorder_dropped_is_marked_as_inherited(client: Client, index: IndexWriter) -> None:
    uri = await index.write(ALICE, "fm.plyr.list", rkey(1), name="2026", listType="album")
    await index.write(ALICE, "fm.plyr.list", rkey(1))
    view = (await one(client, uri))["list"]
    assert (view["name"], view["listType"], sorted(view["inherited"])) == ("2026", "album", ["listType", "name"])
    assert "name" not in view["record"]
    albums = await client.ask("graph.getActorLists", actor=ALICE, listType="album")
    assert [album["uri"] for album in albums["lists"]] == [uri]


async def test_lists_by_type_newest_first(client: Client, index: IndexWriter) -> None:
    types = ["album", "playlist", None, "liked", "album", "mixtape"]
    uris = await index.write_all(
        (ALICE, "fm.plyr.list", rkey(age), {"listType": kind} if kind else {}) for age, kind in enumerate(types)
    )
    await index.write(BOB, "fm.plyr.list", rkey(1), listType="album")
    for asked, expected in (("album", [uris[0], uris[4]]), ("mixtape", [uris[5]]), ("Album", [])):
        found = (await client.ask("graph.getActorLists", actor=ALICE, listType=asked))["lists"]
        assert [view["uri"] for view in found] == expected
    assert [view["uri"] for view in (await client.ask("graph.getActorLists", actor=ALICE))["lists"]] == uris


async def test_long_and_empty_lists(client: Client, index: IndexWriter) -> None:
    track = await index.write(BOB, "fm.plyr.track", rkey(1), duration=60)
    long = await index.write(ALICE, "fm.plyr.list", rkey(1), items=[{"subject": ref(track)}] * 1200)
    answer = await one(client, long, limit=100)
    assert (answer["list"]["itemCount"], answer["list"]["duration"], len(answer["items"])) == (1200, 72_000, 100)
    empty = await index.write(ALICE, "fm.plyr.list", rkey(2))
    answer = await one(client, empty)
    assert (answer["items"], answer["list"]["itemCount"], answer["list"]["images"]) == ([], 0, [])
    assert "cursor" not in answer


async def test_no_list(client: Client, index: IndexWriter) -> None:
    track = await index.write(ALICE, "fm.plyr.track", rkey(1))
    gone = await index.write(ALICE, "fm.plyr.list", rkey(1))
    await index.delete(gone)
    for uri in (track, gone, f"at://{ALICE}", "at://nobody.test/fm.plyr.list/x"):
        assert await client.refused("graph.getList", list=uri) == (400, "NotFound")
    assert await client.refused("graph.getList", list="x") == (400, "InvalidRequest")


async def test_lists_by_their_addresses(client: Client, index: IndexWriter) -> None:
    await index.account(ALICE, handle="alice.test")
    track = await index.write(BOB, "fm.plyr.track", rkey(1), duration=60)
    uris = await index.write_all(
        (ALICE, "fm.plyr.list", rkey(age), {"name": f"{age}", "items": [{"subject": ref(track)}] * age})
        for age in range(3)
    )
    by_handle = uris[1].replace(ALICE, "Alice.test")
    asked = [uris[2], track, by_handle, f"at://{ALICE}/fm.plyr.list/{rkey(9)}", uris[0], uris[1], "at://x.test/a.b.c/d"]
    lists = (await client.ask("graph.getLists", uris=asked))["lists"]
    assert [view["uri"] for view in lists] == [uris[2], uris[1], uris[0]]
    assert lists == [(await client.ask("graph.getList", list=view["uri"]))["list"] for view in lists]
    for wrong in ([], [uris[0]] * 26, ["x"]):
        assert await client.refused("graph.getLists", uris=wrong) == (400, "InvalidRequest")


async def test_the_lists_that_a_track_is_on(client: Client, index: IndexWriter) -> None:
    await index.account(BOB, handle="bob.test")
    track, other = await index.write_all((BOB, "fm.plyr.track", rkey(age), {}) for age in (1, 2))
    items = [{"subject": ref(track)}] * 3
    uris = [
        await index.write(did, "fm.plyr.list", rkey(age), items=on_it)
        for did, age, on_it in (
            (ALICE, 1, items),
            (BOB, 2, items),
            (ALICE, 3, [{"subject": ref(other)}]),
            (BOB, 4, items),
        )
    ]
    for subject in (track, track.replace(BOB, "bob.test")):
        answer = await client.ask("graph.getListsContaining", subject=subject)
        assert answer == {
            "subject": track,
            "lists": (await client.ask("graph.getLists", uris=uris))["lists"][:2]
            + (await client.ask("graph.getLists", uris=uris[3:]))["lists"],
        }
    (view,) = (await client.ask("feed.getTracks", uris=[track]))["tracks"]
    assert view["listCount"] == 3
    # An edit does not make a list newer, and what is taken from it is not on it.
    await index.write(BOB, "fm.plyr.list", rkey(4), items=items[:1], createdAt="2026-05-31T00:00:00Z")
    await index.write(BOB, "fm.plyr.list", rkey(2))
    answer = await client.ask("graph.getListsContaining", subject=track)
    assert [view["uri"] for view in answer["lists"]] == [uris[0], uris[3]]
    await index.delete(track)
    assert await client.refused("graph.getListsContaining", subject=track) == (400, "NotFound")


async def test_a_track_many_times_on_each_list(client: Client, index: IndexWriter) -> None:
    track = await index.write(BOB, "fm.plyr.track", rkey(1))
    uris = await index.write_all(
        (ALICE, "fm.plyr.list", rkey(age), {"items": [{"subject": ref(track)}] * 700}) for age in range(4)
    )
    seen, pages, cursor = [], 0, None
    while True:
        answer = await client.ask("graph.getListsContaining", subject=track, **({"cursor": cursor} if cursor else {}))
        seen += [view["uri"] for view in answer["lists"]]
        pages, cursor = pages + 1, answer.get("cursor")
        if cursor is None:
            break
    assert (seen, pages > 1) == (uris, True)
