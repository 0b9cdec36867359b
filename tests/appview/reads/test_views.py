"""Views are what the index holds now, though much of them is remembered; and say what the caller has to do with it."""

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appview.net.policy import Policy
from appview.reads.views import Views
from appview.reads.views.memory import Memory
from tests.index_writer import NAMESPACE, IndexWriter, ref, rkey

ALICE: Final = "did:plc:alice"
BOB: Final = "did:plc:bob"
CAROL: Final = "did:plc:carol"
BLOB: Final = "bafkreifnvhfnyy7p3ara2gdyv6krztsd26luv2mi45j7hw3sreq7xjpd24"


@pytest.fixture
def views() -> Views:
    return Views(NAMESPACE, Policy())


async def test_each_version_is_shown_as_soon_as_it_is_there(views: Views, index: IndexWriter) -> None:
    async def shown() -> list[tuple[str, str]]:
        return [(view["title"], view["cid"]) for view in await views.tracks(index.connection, [uri])]

    uri = await index.write(ALICE, "fm.plyr.track", rkey(1), title="One")
    ((first, one),) = await shown()
    await index.write(ALICE, "fm.plyr.track", rkey(1), title="Two")
    ((second, two),) = await shown()
    assert (first, second) == ("One", "Two")
    assert one != two
    await index.delete(uri)
    assert await shown() == []
    await index.write(ALICE, "fm.plyr.track", rkey(1), title="One")
    assert await shown() == [("One", one)]


async def test_what_is_remembered_follows_the_account(views: Views, index: IndexWriter) -> None:
    audio = {"$type": "blob", "ref": {"$link": BLOB}, "mimeType": "audio/mpeg", "size": 1}
    await index.account(ALICE, handle="alice.test", pds="https://one.example.com")
    uri = await index.write(ALICE, "fm.plyr.track", rkey(1), audioBlob=audio)
    for handle, host in (("alice.test", "one"), ("alice.test", "two"), ("alicia.test", "two")):
        await index.account(ALICE, handle=handle, pds=f"https://{host}.example.com")
        (view,) = await views.tracks(index.connection, [uri])
        assert view["author"]["handle"] == handle
        assert view["audio"]["url"].startswith(f"https://{host}.example.com/")


async def test_labels_of_a_profile_come_and_go(views: Views, index: IndexWriter) -> None:
    labels = {"$type": "com.atproto.label.defs#selfLabels", "values": [{"val": "!no-unauthenticated"}]}
    for fields in ({}, {"labels": labels}, {}):
        await index.write(ALICE, "app.bsky.actor.profile", "self", displayName="Alice", **fields)
        (view,) = await views.profiles(index.connection, [ALICE])
        assert [label["val"] for label in view.get("labels", [])] == ["!no-unauthenticated"] * bool(fields)
        # A row from before it was noted is looked at, and comes to the same.
        await index.connection.execute("update bsky_profiles set labelled = true")
        assert (await views.profiles(index.connection, [ALICE]))[0] == view


async def test_a_caller_sees_the_own_likes_and_follows(views: Views, index: IndexWriter) -> None:
    song = await index.write(ALICE, "fm.plyr.track", rkey(9), features=[{"did": CAROL}])
    other = await index.write(ALICE, "fm.plyr.track", rkey(8))
    later = await index.write(BOB, "fm.plyr.like", rkey(1), subject=ref(song))
    first = await index.write(BOB, "fm.plyr.like", rkey(2), subject=ref(song))
    await index.write(CAROL, "fm.plyr.like", rkey(3), subject=ref(other))
    follow = await index.write(BOB, "app.bsky.graph.follow", rkey(1), subject=ALICE)
    one, two = await views.tracks(index.connection, [song, other], BOB)
    assert (one["viewer"], two["viewer"]) == ({"like": first}, {})
    assert one["author"]["viewer"] == {"following": follow}
    assert one["features"][0]["viewer"] == {}
    # Nobody sees another's, nor an anonymous caller any.
    (one,) = await views.tracks(index.connection, [song], CAROL)
    assert (one["viewer"], one["author"]["viewer"]) == ({}, {})
    (one,) = await views.tracks(index.connection, [song])
    assert "viewer" not in one
    assert "viewer" not in one["author"]
    await index.delete(first)
    (one,) = await views.tracks(index.connection, [song], BOB)
    assert one["viewer"] == {"like": later}
    for found in (
        await views.profiles(index.connection, [ALICE], BOB),
        await views.details(index.connection, [ALICE], BOB),
        await views.basics(index.connection, [ALICE], BOB),
    ):
        assert [view["viewer"] for view in found] == [{"following": follow}]
    (like,) = await views.likes(index.connection, [later], BOB)
    assert like["author"]["viewer"] == {}


async def test_accounts_keep_the_order_in_which_they_are_asked_for(views: Views, index: IndexWriter) -> None:
    for did in (ALICE, BOB, CAROL):
        await index.write(did, "fm.plyr.actor.profile", "self", bio=did)
    await index.set_status(BOB, active=False)
    for asked in ([CAROL, ALICE], [ALICE, BOB, CAROL], [BOB], ["did:plc:nobody", ALICE, ALICE]):
        found: list[dict[str, Any]] = await views.profiles(index.connection, asked)
        assert [view["did"] for view in found] == [did for did in asked if did in (ALICE, CAROL)]
        assert all(view["bio"] == view["did"] for view in found)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 60))))
def test_a_memory_is_bounded_and_never_wrong(puts: list[tuple[int, int]]) -> None:
    memory: Memory[int] = Memory(5_000)
    for key, weight in puts:
        memory.put(key, 10 * key, weight)
        assert memory._bytes == sum(weight for _, weight in memory._held.values()) <= 5_000
        assert memory.get(key) in ((10 * key,) if weight <= 50 else (None, 10 * key))


def test_a_memory_forgets_what_is_longest_unused() -> None:
    memory: Memory[int] = Memory(1_000)
    for key in range(100):
        memory.put(key, key, 10)
    memory.get(0)
    memory.put("new", 1, 10)
    assert (memory.get(0), memory.get(1), memory.get("new")) == (0, None, 1)
