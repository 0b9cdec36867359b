from typing import Any, Final

import pytest

from tests.index_writer import BLOB, IndexWriter, ref, rkey
from tests.xrpc.client import Client, strict_client

ALICE: Final = "did:plc:alice"
BOB: Final = "did:plc:bob"
RAW: Final = "bafkreifnvhfnyy7p3ara2gdyv6krztsd26luv2mi45j7hw3sreq7xjpd24"
PICTURE: Final = {**BLOB, "mimeType": "image/png", "size": 1000}
AT_PDS: Final = f"https://pds.test/xrpc/com.atproto.sync.getBlob?did={ALICE}&cid={RAW}"


async def test_an_account_with_everything(client: Client, index: IndexWriter) -> None:
    await index.account(ALICE, handle="alice.test", pds="https://pds.test")
    bsky: dict[str, Any] = {"displayName": "Alice", "description": "On Bluesky", "avatar": PICTURE}
    bsky["labels"] = {"$type": "com.atproto.label.defs#selfLabels", "values": [{"val": "!no-unauthenticated"}]}
    bsky_uri = await index.write(ALICE, "app.bsky.actor.profile", "self", **bsky)
    uri = await index.write(ALICE, "fm.plyr.actor.profile", "self", bio="Here", avatar="https://i.test/a.png", more=1)
    track = await index.write(ALICE, "fm.plyr.track", rkey(1))
    await index.write(ALICE, "fm.plyr.list", rkey(1))
    for age in (1, 2):
        await index.write(ALICE, "fm.plyr.like", rkey(age), subject=ref(track))
        await index.write(BOB, "app.bsky.graph.follow", rkey(age), subject=ALICE)
    view = await client.ask("actor.getProfile", actor=ALICE)
    (label,) = view.pop("labels")
    assert (label["src"], label["uri"], label["val"]) == (ALICE, bsky_uri, "!no-unauthenticated")
    assert view == {
        "did": ALICE,
        "handle": "alice.test",
        "displayName": "Alice",
        "avatar": "https://i.test/a.png",
        "bio": "Here",
        "tracksCount": 1,
        "listsCount": 1,
        "likesCount": 1,
        "followersCount": 1,
        "uri": uri,
        "cid": view["cid"],
        "record": {
            "$type": "fm.plyr.actor.profile",
            "bio": "Here",
            "avatar": "https://i.test/a.png",
            "more": 1,
            "createdAt": "2026-03-01T12:00:00.000Z",
        },
        "indexedAt": "2026-06-01T00:00:00.000Z",
    }
    assert await client.ask("actor.getProfile", actor="ALICE.test") == {**view, "labels": [label]}


async def test_what_is_missing_here_comes_from_bluesky(client: Client, index: IndexWriter) -> None:
    await index.account(ALICE, pds="https://pds.test")
    await index.write(ALICE, "app.bsky.actor.profile", "self", description="On Bluesky", avatar=PICTURE)
    await index.write(ALICE, "fm.plyr.actor.profile", "self", bio="", avatar="javascript:alert(1)")
    view = await client.ask("actor.getProfile", actor=ALICE)
    assert (view["bio"], view["avatar"], view["handle"]) == ("On Bluesky", AT_PDS, "handle.invalid")
    assert "displayName" not in view


async def test_an_account_of_which_only_a_like_is_known(client: Client, index: IndexWriter) -> None:
    await index.write(ALICE, "fm.plyr.like", rkey(1), subject=ref(f"at://{BOB}/fm.plyr.track/{rkey(1)}"))
    assert await client.ask("actor.getProfile", actor=ALICE) == {
        "did": ALICE,
        "handle": "handle.invalid",
        "tracksCount": 0,
        "listsCount": 0,
        "likesCount": 1,
        "followersCount": 0,
    }


@pytest.mark.parametrize("method", ["actor.getProfile", "feed.getActorTracks", "graph.getActorLists"])
async def test_nobody(client: Client, method: str) -> None:
    for actor in (ALICE, "nobody.test"):
        assert await client.refused(method, actor=actor) == (400, "NotFound")
    for actor in ("nobody", "@nobody.test", "did:", "at://nobody.test"):
        assert await client.refused(method, actor=actor) == (400, "InvalidRequest")


async def test_several_accounts_in_the_order_asked(client: Client, index: IndexWriter) -> None:
    await index.account(ALICE, handle="alice.test")
    await index.account(BOB, handle="bob.test")
    await index.write(ALICE, "fm.plyr.actor.profile", "self", bio="Here")
    await index.write(BOB, "fm.plyr.track", rkey(1))
    asked = [BOB, "nobody.test", "Alice.TEST", "bob.test", "did:plc:nobody", ALICE]
    profiles = (await client.ask("actor.getProfiles", actors=asked))["profiles"]
    assert profiles == [await client.ask("actor.getProfile", actor=did) for did in (BOB, ALICE)]
    await index.set_status(BOB, active=False)
    assert (await client.ask("actor.getProfiles", actors=asked))["profiles"] == profiles[1:]
    assert await client.ask("actor.getProfiles", actors=["nobody.test"]) == {"profiles": []}
    for wrong in ([], [ALICE] * 26, ["x"]):
        assert await client.refused("actor.getProfiles", actors=wrong) == (400, "InvalidRequest")


async def test_an_avatar_of_bluesky_comes_from_where_the_setting_says(database_url: str, index: IndexWriter) -> None:
    await index.account(ALICE, pds="https://pds.test")
    await index.write(ALICE, "app.bsky.actor.profile", "self", avatar=PICTURE)
    for setting, shown in (("https://cdn.fm/{did}/{cid}", f"https://cdn.fm/{ALICE}/{RAW}"), ("pds", AT_PDS)):
        async with strict_client(database_url, PLYR_AVATAR_URL=setting) as client:
            assert (await client.ask("actor.getProfile", actor=ALICE))["avatar"] == shown
