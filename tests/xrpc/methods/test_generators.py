"""`feed.*`: feeds that others answer for, as they are declared."""

from typing import Any, Final

from appview.reads.generators import OF_ONE_ACCOUNT
from tests.index_writer import IndexWriter, rkey
from tests.xrpc.client import Client, strict_client
from tests.xrpc.methods.world import PICTURE
from tests.xrpc.viewer import SERVICE_DID, Viewer

ALICE: Final = "did:plc:alice"
BOB: Final = "did:plc:bob"
SERVICE: Final = "did:web:feeds.test"


async def declare(index: IndexWriter, did: str, key: str, **fields: Any) -> str:
    record = {"did": SERVICE, "displayName": "Feed", **fields}
    return (await index.write_all([(did, "fm.plyr.feed.generator", key, record)]))[0]


async def test_a_feed_in_full(client: Client, index: IndexWriter) -> None:
    await index.account(ALICE, handle="alice.test", pds="https://pds.test")
    labels = {"$type": "com.atproto.label.defs#selfLabels", "values": [{"val": "loud"}]}
    uri = await declare(
        index,
        ALICE,
        "cool",
        displayName="Cool",
        description="Cold songs",
        avatar=PICTURE,
        acceptsInteractions=True,
        labels=labels,
        unknown={"a": 1},
    )
    answer = await client.ask("feed.getFeedGenerator", feed=uri)
    assert (answer["isOnline"], answer["isValid"]) == (True, True)
    view = answer["view"]
    assert (view["uri"], view["did"], view["displayName"]) == (uri, SERVICE, "Cool")
    assert view["author"] == {"did": ALICE, "handle": "alice.test"}
    assert (view["description"], view["acceptsInteractions"]) == ("Cold songs", True)
    cid = view["record"]["avatar"]["ref"]["$link"]
    assert view["avatar"] == f"https://pds.test/xrpc/com.atproto.sync.getBlob?did={ALICE}&cid={cid}"
    assert view["record"]["unknown"] == {"a": 1}
    (label,) = view["labels"]
    assert (label["val"], label["src"], label["uri"], label["cid"]) == ("loud", ALICE, uri, view["cid"])
    assert await client.ask("feed.getFeedGenerator", feed=uri.replace(ALICE, "alice.test")) == answer


async def test_a_feed_that_says_little(client: Client, index: IndexWriter) -> None:
    uri = await declare(index, ALICE, "cool", description="", avatar=7, acceptsInteractions="yes")
    (view,) = (await client.ask("feed.getFeedGenerators", feeds=[uri]))["feeds"]
    assert not {"description", "avatar", "acceptsInteractions", "labels", "viewer"} & view.keys()
    assert "viewer" not in view["author"]


async def test_what_the_caller_has_to_do_with_the_author(client: Client, index: IndexWriter) -> None:
    uri = await declare(index, ALICE, "cool")
    follow = await index.write(BOB, "app.bsky.graph.follow", rkey(1), subject=ALICE)
    signed_in = client.signed_in(await Viewer.of(index.connection, BOB))
    for method, parameters in (
        ("feed.getFeedGenerators", {"feeds": [uri]}),
        ("feed.getActorFeeds", {"actor": ALICE}),
        ("feed.getSuggestedFeeds", {}),
    ):
        (view,) = (await signed_in.ask(method, **parameters))["feeds"]
        assert view["author"]["viewer"] == {"following": follow}
    assert (await signed_in.ask("feed.getFeedGenerator", feed=uri))["view"] == view


async def test_feeds_by_their_addresses(client: Client, index: IndexWriter) -> None:
    await index.account(ALICE, handle="alice.test")
    uris = [await declare(index, ALICE, key) for key in ("a", "b", "c")]
    asked = [uris[2], uris[0].replace(ALICE, "alice.test"), uris[0], uris[1] + "x", uris[1]]
    found = (await client.ask("feed.getFeedGenerators", feeds=asked))["feeds"]
    assert [view["uri"] for view in found] == [uris[2], uris[0], uris[1]]
    await index.delete(uris[0])
    await index.write_all([(ALICE, "fm.plyr.feed.generator", "b", {"did": 7, "displayName": "No longer"})])
    found = (await client.ask("feed.getFeedGenerators", feeds=uris))["feeds"]
    assert [view["uri"] for view in found] == [uris[2]]
    assert await client.refused("feed.getFeedGenerator", feed=uris[0]) == (400, "UnknownFeed")
    assert await client.refused("feed.getFeedGenerator", feed="at://nobody.test/a.b.c/d") == (400, "UnknownFeed")


async def test_suggestions_are_the_newest_three_of_each(client: Client, index: IndexWriter) -> None:
    flood = [await declare(index, BOB, rkey(age)) for age in range(150)]
    hers = [await declare(index, ALICE, rkey(age)) for age in (60, 200)]
    answer = await client.ask("feed.getSuggestedFeeds", limit=50)
    assert [view["uri"] for view in answer["feeds"]] == [*flood[:OF_ONE_ACCOUNT], hers[0]]
    # So many were passed over that the page ended early; behind them there is one more.
    answer = await client.ask("feed.getSuggestedFeeds", limit=50, cursor=answer["cursor"])
    assert [view["uri"] for view in answer["feeds"]] == [hers[1]]
    assert "cursor" not in answer


async def test_suggestions_of_those_who_run_the_server_come_first(
    database_url: str, client: Client, index: IndexWriter
) -> None:
    newest = await declare(index, BOB, rkey(1))
    hers = [await declare(index, ALICE, rkey(age)) for age in range(2, 7)]
    of_the_service = await declare(index, SERVICE_DID, rkey(4))
    uris = [view["uri"] for view in (await client.ask("feed.getSuggestedFeeds"))["feeds"]]
    assert uris == [of_the_service, newest, *hers[:OF_ONE_ACCOUNT]]
    async with strict_client(database_url, PLYR_OPERATORS=ALICE) as ours:
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = await ours.ask("feed.getSuggestedFeeds", limit=2, **cursor)
            seen += [view["uri"] for view in page["feeds"]]
            if "cursor" not in page:
                break
            cursor = {"cursor": page["cursor"]}
        assert seen == [*hers[:2], of_the_service, *hers[2:], newest]
