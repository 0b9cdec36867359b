"""Lists at a real PDS: edits of several tabs all survive, and so does what is odd about a list."""

import asyncio
from typing import Any, Final

import pytest

from tests.network.xrpc import Json
from tests.xrpc.methods.writes.writer import Writer

RKEY: Final = "3lx2wryxkduc2"
CID: Final = "bafyreig2aotx4pgpwqxotzm7i3vgyalrdfemsqr6ukdpmqrhfdvh2mcq5i"


def somewhere(name: str) -> Json:
    """A track that is not here."""
    return {"uri": f"at://did:plc:nobody/fm.plyr.track/{name}", "cid": CID}


ABC: Final = [somewhere(name) for name in "abc"]


async def playlist(alice: Writer, items: list[Json] | None = None) -> str:
    """A new list of hers."""
    answer = await alice.do("graph.createList", name="Mix", listType="playlist", items=items or [])
    return str(answer["uri"])


async def names(alice: Writer, uri: str) -> str:
    """The last letters of what is on a list, as its PDS has it."""
    return "".join(item["subject"]["uri"][-1] for item in (await alice.record(uri))["items"])


async def test_a_list_is_made_and_seen_at_once(alice: Writer, bob: Writer) -> None:
    track = await bob.publish(duration=60)
    items = [{"uri": track["uri"]}, somewhere("a"), track]
    answer = await alice.do("graph.createList", name="Mix", listType="playlist", items=items, rkey=RKEY)
    record = await alice.record(answer["uri"])
    assert record["items"] == [{"subject": one} for one in (track, somewhere("a"), track)]
    assert (record["name"], record["listType"]) == ("Mix", "playlist")
    view = answer["list"]
    assert (view["cid"], view["itemCount"], view["duration"], view["record"]) == (answer["cid"], 3, 120, record)
    again = await alice.do("graph.createList", name="Mix", listType="playlist", items=items, rkey=RKEY)
    assert (again["uri"], again["cid"]) == (answer["uri"], answer["cid"])
    wrong = {"name": "Other", "listType": "playlist", "rkey": RKEY}
    assert await alice.refused("graph.createList", **wrong) == "RecordAlreadyExists"
    assert len(await alice.there("list")) == 1


async def test_what_is_called_and_what_kind_it_is(alice: Writer) -> None:
    uri = await playlist(alice, ABC)
    before = await alice.record(uri)
    await alice.do("graph.updateList", list=uri, name="Better", clear=["listType"])
    after = await alice.record(uri)
    assert after == {n: v for n, v in before.items() if n != "listType"} | {
        "name": "Better",
        "updatedAt": after["updatedAt"],
    }
    assert await alice.refused("graph.updateList", list=uri, name="x", clear=["name"]) == "InvalidRequest"
    assert await alice.refused("graph.updateList", list=uri, name="") == "InvalidRequest"


async def test_items_are_added_moved_and_taken_off(alice: Writer) -> None:
    uri = await playlist(alice)
    answer = await alice.do("graph.addItems", list=uri, items=ABC)
    assert answer["list"]["itemCount"] == 3
    await alice.do("graph.addItems", list=uri, items=[somewhere("d"), *ABC], position=1)
    assert await names(alice, uri) == "adbc"
    await alice.do("graph.addItems", list=uri, items=[somewhere("a")], allowDuplicates=True)
    move: Json = {"list": uri, "subject": somewhere("a")["uri"], "from": 4, "position": 1}
    await alice.do("graph.moveItem", **move)
    assert await names(alice, uri) == "aadbc"
    await alice.do("graph.removeItems", list=uri, items=[{"subject": somewhere("a")["uri"], "position": 1}])
    moved = await alice.do("graph.moveItem", list=uri, subject=somewhere("c")["uri"], position=0)
    assert await names(alice, uri) == "cadb"
    # What is so already is not written.
    for method, values in (
        ("graph.addItems", {"items": ABC}),
        ("graph.moveItem", {"subject": somewhere("b")["uri"], "position": 99}),
        ("graph.removeItems", {"items": [{"subject": somewhere("x")["uri"]}]}),
    ):
        answer = await alice.do(method, list=uri, **values)
        assert (answer["cid"], "rev" in answer) == (moved["cid"], False)
    await alice.do("graph.removeItems", list=uri, items=[{"subject": one["uri"]} for one in ABC])
    assert await names(alice, uri) == "d"


async def test_the_edits_of_many_tabs_all_survive(alice: Writer) -> None:
    uri = await playlist(alice, ABC)
    edits: list[tuple[str, Json]] = [
        ("graph.addItems", {"items": [somewhere("d")]}),
        ("graph.addItems", {"items": [somewhere("e")], "position": 0}),
        ("graph.removeItems", {"items": [{"subject": somewhere("b")["uri"]}]}),
        ("graph.updateList", {"name": "Better"}),
    ]
    await asyncio.gather(*(alice.do(method, list=uri, **values) for method, values in edits))
    record = await alice.record(uri)
    assert (sorted(await names(alice, uri)), record["name"]) == (list("acde"), "Better")
    assert (await names(alice, uri))[0] == "e"
    (view,) = (await alice.client.ask("graph.getLists", uris=[uri]))["lists"]
    assert view["record"] == record


async def test_an_edit_that_is_sent_again_by_its_key_is_made_once(alice: Writer) -> None:
    uri = await playlist(alice, ABC)
    edit: Json = {"list": uri, "items": [somewhere("a")], "allowDuplicates": True}
    answers = [await alice.do("graph.addItems", "one", **edit) for _ in range(2)]
    assert answers[0]["cid"] == answers[1]["cid"]
    assert await names(alice, uri) == "abca"
    edit["items"] = [somewhere("b")]
    assert await alice.refused("graph.addItems", "one", **edit) == "IdempotencyMismatch"


async def test_a_broken_list_survives_its_edits(alice: Writer) -> None:
    odd: list[Any] = [
        {"note": "no subject"},
        {"subject": {"uri": "x"}},
        "text",
        {"subject": ABC[0], "org.example.x": 1},
    ]
    broken = {"$type": "fm.plyr.list", "items": [*odd, {"subject": ABC[1]}], "org.example.y": {"$bytes": "AAEC"}}
    written = await alice.user.put_record("fm.plyr.list", RKEY, broken)
    await alice.do("graph.addItems", list=written.uri, items=[somewhere("d")])
    await alice.do("graph.removeItems", list=written.uri, items=[{"subject": ABC[1]["uri"]}])
    await alice.do("graph.moveItem", list=written.uri, subject=ABC[0]["uri"], position=0)
    after = await alice.record(written.uri)
    items = [odd[3], *odd[:3], {"subject": somewhere("d")}]
    assert after == broken | {"items": items, "updatedAt": after["updatedAt"]}
    none = await alice.user.put_record("fm.plyr.list", "3lx2wryxkduc3", {"$type": "fm.plyr.list", "items": "text"})
    for method, values in (
        ("graph.addItems", {"items": ABC}),
        ("graph.removeItems", {"items": [{"subject": ABC[0]["uri"]}]}),
        ("graph.moveItem", {"subject": ABC[0]["uri"], "position": 1}),
    ):
        assert await alice.refused(method, list=none.uri, **values) == "InvalidRecord"


async def test_a_list_is_full_at_500_items_and_a_longer_one_can_be_shortened(alice: Writer) -> None:
    uri = await playlist(alice, [somewhere(f"n{number}") for number in range(499)])
    assert await alice.refused("graph.addItems", list=uri, items=ABC[:2]) == "TooManyItems"
    await alice.do("graph.addItems", list=uri, items=ABC[:1])
    assert len((await alice.record(uri))["items"]) == 500
    assert await alice.refused("graph.addItems", list=uri, items=ABC[1:2]) == "TooManyItems"
    long = [{"subject": somewhere(f"n{number}")} for number in range(600)]
    record = {"$type": "fm.plyr.list", "name": "Long", "items": long, "createdAt": "2026-03-01T12:00:00Z"}
    written = await alice.user.put_record("fm.plyr.list", RKEY, record)
    await alice.do("graph.removeItems", list=written.uri, items=[{"subject": long[0]["subject"]["uri"]}])
    await alice.do("graph.updateList", list=written.uri, name="Longest")
    after = await alice.record(written.uri)
    assert (after["items"], after["name"]) == (long[1:], "Longest")
    assert await alice.refused("graph.addItems", list=written.uri, items=ABC[:1]) == "TooManyItems"
    too_many = [somewhere(f"n{number}") for number in range(501)]
    assert await alice.refused("graph.createList", name="x", listType="x", items=too_many) == "InvalidRequest"


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("graph.updateList", {"name": "Mine"}),
        ("graph.addItems", {"items": ABC}),
        ("graph.removeItems", {"items": [{"subject": ABC[0]["uri"]}]}),
        ("graph.moveItem", {"subject": ABC[0]["uri"], "position": 2}),
        ("graph.deleteList", {}),
    ],
)
async def test_others_lists_are_theirs(alice: Writer, bob: Writer, method: str, values: Json) -> None:
    uri = await playlist(alice, ABC)
    assert await bob.refused(method, list=uri, **values) == "NotYours"
    nowhere = f"at://{alice.did}/fm.plyr.list/{RKEY}"
    if method == "graph.deleteList":
        assert await alice.do(method, list=nowhere) == {"uri": nowhere}
    else:
        assert await alice.refused(method, list=nowhere, **values) == "RecordNotFound"
    assert await names(alice, uri) == "abc"


async def test_what_is_not_on_it_and_what_is_nowhere(alice: Writer) -> None:
    uri = await playlist(alice, ABC)
    unknown = {"uri": somewhere("z")["uri"]}
    by_handle = {"uri": "at://nobody.test/fm.plyr.track/z", "cid": CID}
    assert await alice.refused("graph.moveItem", list=uri, subject=unknown["uri"], position=0) == "ItemNotFound"
    assert await alice.refused("graph.moveItem", list=uri, subject=by_handle["uri"], position=0) == "SubjectNotFound"
    assert await alice.refused("graph.addItems", list=uri, items=[unknown]) == "SubjectNotFound"
    assert await alice.refused("graph.createList", name="x", listType="x", items=[by_handle]) == "SubjectNotFound"
    off = [{"subject": by_handle["uri"]}]
    assert await alice.refused("graph.removeItems", list=uri, items=off) == "SubjectNotFound"
    assert await alice.refused("graph.addItems", list=uri, items=[{"uri": "at://did:plc:a"}]) == "InvalidRequest"
    gone = await alice.do("graph.deleteList", list=uri)
    assert gone["rev"]
    assert await alice.there("list") == []
