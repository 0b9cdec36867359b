from typing import Any

import pytest

from tests.index_writer import BLOB, IndexWriter, ref, rkey
from tests.xrpc.client import Client, strict_client

ALICE = "did:plc:alice"
BOB = "did:web:bob.test%3A8443"
RAW = BLOB["ref"]["$link"]  # type: ignore[index]
DEFS = "fm.plyr.feed.defs"


async def track(client: Client, index: IndexWriter, **fields: Any) -> Any:
    """The view of a track of Alice's with these fields."""
    uri = await index.write(ALICE, "fm.plyr.track", rkey(1), **fields)
    (view,) = (await client.ask("feed.getTracks", uris=[uri]))["tracks"]
    return view


async def test_a_track_with_everything(client: Client, index: IndexWriter) -> None:
    await index.account(ALICE, handle="alice.test", pds="https://pds.test")
    await index.account(BOB, handle="bob.test")
    uri = f"at://{ALICE}/fm.plyr.track/{rkey(1)}"
    await index.write(BOB, "fm.plyr.like", rkey(1), subject=ref(uri))
    await index.write(BOB, "fm.plyr.like", rkey(2), subject=ref(uri))
    await index.write(BOB, "fm.plyr.comment", rkey(1), subject=ref(uri))
    await index.write(BOB, "fm.plyr.list", rkey(1), items=[{"subject": ref(uri)}, {"subject": ref(uri)}])
    record = {
        "title": "T",
        "artist": "A",
        "album": "2026",
        "audioUrl": "https://audio.plyr.fm/audio/1.wav",
        "audioBlob": BLOB,
        "duration": 265,
        "imageUrl": "https://images.plyr.fm/1.jpg",
        "features": [{"did": BOB}],
        "labels": {"$type": "com.atproto.label.defs#selfLabels", "values": [{"val": "porn"}]},
        "unknown": {"link": {"$link": RAW}, "bytes": {"$bytes": "AAE"}},
    }
    view = await track(client, index, **record)
    cid = view["cid"]
    assert view == {
        "uri": uri,
        "cid": cid,
        "author": {"did": ALICE, "handle": "alice.test"},
        "record": {**record, "$type": "fm.plyr.track", "fileType": "mp3", "createdAt": "2026-03-01T12:00:00.000Z"},
        "title": "T",
        "artist": "A",
        "album": {"name": "2026"},
        "duration": 265,
        "image": "https://images.plyr.fm/1.jpg",
        "features": [{"did": BOB, "handle": "bob.test"}],
        "audio": {
            "$type": f"{DEFS}#audioStream",
            "url": f"https://pds.test/xrpc/com.atproto.sync.getBlob?did={ALICE}&cid={RAW}",
            "mimeType": "audio/vnd.wave",
            "source": "blob",
        },
        "likeCount": 1,
        "commentCount": 1,
        "listCount": 1,
        "indexedAt": "2026-06-01T00:00:00.000Z",
        "labels": [{"src": ALICE, "uri": uri, "cid": cid, "val": "porn", "cts": "2026-05-31T23:59:59.000Z"}],
    }


async def test_an_update_clears_what_it_lacks(client: Client, index: IndexWriter) -> None:
    await track(client, index, album="x", duration=1, imageUrl="https://i.test/1", audioUrl="https://a.test/1")
    bare = await track(client, index)
    assert not {"album", "duration", "image", "audio", "features", "labels", "playCount"} & bare.keys()


@pytest.mark.parametrize(
    ("fields", "audio"),
    [
        ({}, None),
        ({"audioUrl": "https://a.test/1"}, ("https://a.test/1", "audio/mpeg", "url")),
        ({"audioUrl": "http://a.plyr.fm/1", "fileType": "FLAC"}, ("http://a.plyr.fm/1", "audio/flac", "url")),
        ({"audioUrl": "https://a.test/1", "fileType": "xm"}, ("https://a.test/1", None, "url")),
        ({"audioUrl": "javascript:alert(1)"}, None),
        ({"audioUrl": "data:audio/mpeg;base64,AAAA"}, None),
        ({"audioUrl": "http://169.254.169.254/latest/meta-data"}, None),
        ({"audioUrl": "http://[::ffff:10.0.0.1]/"}, None),
        ({"audioUrl": "http://2130706433/"}, None),
        ({"audioUrl": "https://user:password@a.test/"}, None),
        ({"audioUrl": "https://printer.local/"}, None),
        ({"audioUrl": "http://169.254.169.254/", "audioBlob": BLOB}, ("blob", "audio/vnd.wave", "blob")),
        ({"audioBlob": {"ref": {"$link": RAW}, "mimeType": "audio/mpeg"}}, ("blob", "audio/mpeg", "blob")),
        ({"audioBlob": {"ref": {"$link": RAW}}, "audioUrl": "https://a.test/1"}, ("blob", "audio/mpeg", "blob")),
        ({"audioBlob": {"cid": RAW}, "audioUrl": "https://a.test/1"}, ("https://a.test/1", "audio/mpeg", "url")),
    ],
)
async def test_audio(
    client: Client, index: IndexWriter, fields: dict[str, Any], audio: tuple[str, str | None, str] | None
) -> None:
    await index.account(ALICE, pds="https://pds.test")
    view = await track(client, index, **fields)
    if audio is None:
        assert "audio" not in view
        return
    url, mime_type, source = audio
    if url == "blob":
        url = f"https://pds.test/xrpc/com.atproto.sync.getBlob?did={ALICE}&cid={RAW}"
    stream = {"$type": f"{DEFS}#audioStream", "url": url, "source": source}
    assert view["audio"] == (stream if mime_type is None else {**stream, "mimeType": mime_type})


@pytest.mark.parametrize(
    "pds", [None, "https://10.0.0.1", "https://[::1]", "ftp://pds.test", "https://metadata.internal"]
)
async def test_a_blob_is_not_offered_where_no_pds_can_be_named(
    database_url: str, index: IndexWriter, pds: str | None
) -> None:
    await index.account(ALICE, pds=pds)
    async with strict_client(database_url, PLYR_DEV="0", PLYR_PUBLIC_URL="https://plyr.fm") as client:
        assert "audio" not in await track(client, index, audioBlob=BLOB)
        url = "https://audio.plyr.fm/1.mp3"
        assert (await track(client, index, audioBlob=BLOB, audioUrl=url))["audio"]["url"] == url


async def test_the_blob_moves_with_the_account(client: Client, index: IndexWriter) -> None:
    await index.account(BOB, pds="https://old.test")
    uri = await index.write(BOB, "fm.plyr.track", rkey(1), audioBlob=BLOB)
    await index.account(BOB, pds="https://new.test")
    (view,) = (await client.ask("feed.getTracks", uris=[uri]))["tracks"]
    assert view["audio"]["url"] == (
        f"https://new.test/xrpc/com.atproto.sync.getBlob?did=did:web:bob.test%253A8443&cid={RAW}"
    )


@pytest.mark.parametrize(
    ("gate", "kind"),
    [
        ({"type": "any"}, "any"),
        ({"type": "copyright"}, "copyright"),
        ({"type": "moon-phase", "phase": "full"}, "moon-phase"),
        ({}, "locked"),
        ({"and": [1, 2]}, "locked"),
        ("any", "locked"),
        (False, "locked"),
        (None, None),
    ],
)
async def test_a_gate_hides_every_address_of_the_audio(
    client: Client, index: IndexWriter, gate: Any, kind: str | None
) -> None:
    await index.account(ALICE, pds="https://pds.test")
    url = "https://api.plyr.fm/audio/1"
    view = await track(client, index, audioBlob=BLOB, audioUrl=url, supportGate=gate)
    assert view["record"]["supportGate"] == gate
    if kind is None:
        assert view["audio"]["source"] == "blob"
        return
    assert view["audio"] == {"$type": f"{DEFS}#audioGated", "type": kind}
    del view["record"]
    assert "getBlob" not in str(view)
    assert url not in str(view)


@pytest.mark.parametrize(
    "image", ["javascript:alert(1)", "data:image/png;base64,AA", "http://192.168.0.1/x.png", "//x.test/"]
)
async def test_an_image_is_a_public_address(client: Client, index: IndexWriter, image: str) -> None:
    assert "image" not in await track(client, index, imageUrl=image)


async def test_features_in_every_form(client: Client, index: IndexWriter) -> None:
    await index.account(BOB, handle="bob.test")
    await index.account("did:plc:gone")
    await index.set_status("did:plc:gone", active=False)
    features = [
        {"did": BOB, "handle": "old.example", "displayName": "Old"},
        {"did": BOB},
        "did:plc:stranger",
        {"did": "did:plc:gone"},
        {"handle": "handle-only.example"},
        {"did": ""},
        None,
    ]
    view = await track(client, index, features=features)
    assert view["record"]["features"] == features
    assert view["features"] == [
        {"did": BOB, "handle": "bob.test"},
        {"did": "did:plc:stranger", "handle": "handle.invalid"},
    ]


@pytest.mark.parametrize(
    ("labels", "values"),
    [
        (
            {"$type": "com.atproto.label.defs#selfLabels", "values": [{"val": "a"}, {"val": "b"}, {"val": "a"}]},
            ["a", "b"],
        ),
        ({"values": [{"val": "a"}]}, ["a"]),
        ({"$type": "com.example.labels", "values": [{"val": "a"}]}, []),
        ({"$type": "com.atproto.label.defs#selfLabels", "values": []}, []),
        (["a"], []),
    ],
)
async def test_labels_in_every_form(client: Client, index: IndexWriter, labels: Any, values: list[str]) -> None:
    view = await track(client, index, labels=labels)
    assert [label["val"] for label in view.get("labels", [])] == values


async def test_tracks_come_in_the_order_asked_and_once(client: Client, index: IndexWriter) -> None:
    await index.account(ALICE, handle="alice.test")
    uris = await index.write_all((ALICE, "fm.plyr.track", rkey(age), {}) for age in range(3))
    rejected = await index.write(ALICE, "fm.plyr.track", rkey(9), title=1)
    await index.delete(uris[2])
    by_handle = uris[0].replace(ALICE, "Alice.test")
    asked = [
        uris[1],
        by_handle,
        uris[0],
        uris[1],
        uris[2],
        rejected,
        f"at://{ALICE}/fm.plyr.track/{rkey(7)}",
        f"at://nobody.test/fm.plyr.track/{rkey(0)}",
        f"at://{ALICE}",
        f"at://{ALICE}/fm.plyr.like/{rkey(0)}",
    ]
    answer = await client.ask("feed.getTracks", uris=asked)
    assert [view["uri"] for view in answer["tracks"]] == [uris[1], uris[0]]
    assert await client.refused("feed.getTracks", uris=[uris[0]] * 26) == (400, "InvalidRequest")
    assert await client.refused("feed.getTracks") == (400, "InvalidRequest")


async def test_the_newest_come_first_and_edits_move_nothing(client: Client, index: IndexWriter) -> None:
    uris = await index.write_all(
        (did, "fm.plyr.track", rkey(age), {}) for age, did in enumerate((ALICE, BOB, ALICE, BOB))
    )
    await index.write(ALICE, "fm.plyr.track", rkey(2), title="Edited", createdAt="2026-12-01T00:00:00Z")
    feed = (await client.ask("feed.getFeed", feed="latest"))["feed"]
    assert [entry["track"]["uri"] for entry in feed] == uris
    tracks = (await client.ask("feed.getActorTracks", actor=ALICE))["tracks"]
    assert [view["uri"] for view in tracks] == [uris[0], uris[2]]
    assert tracks[1]["title"] == "Edited"


@pytest.mark.parametrize(
    "feed", ["Trending", "LATEST", "latest ", f"at://{ALICE}/fm.plyr.feed.generator/x", "x" * 8192]
)
async def test_a_feed_that_is_not_answered(client: Client, feed: str) -> None:
    assert await client.refused("feed.getFeed", feed=feed) == (400, "UnknownFeed")


async def test_likes_are_one_of_each_account_the_earliest(client: Client, index: IndexWriter) -> None:
    uri = await index.write(ALICE, "fm.plyr.track", rkey(0))
    first, again, other = await index.write_all(
        (did, "fm.plyr.like", rkey(age), {"subject": ref(uri)}) for did, age in ((BOB, 30), (BOB, 10), (ALICE, 20))
    )
    answer = await client.ask("feed.getLikes", uri=uri)
    assert [like["uri"] for like in answer["likes"]] == [other, first]
    assert answer["uri"] == uri
    await index.delete(first)
    assert [like["uri"] for like in (await client.ask("feed.getLikes", uri=uri))["likes"]] == [again, other]
    assert (await client.ask("feed.getTracks", uris=[uri]))["tracks"][0]["likeCount"] == 2


async def test_likes_of_one_moment_are_told_apart(client: Client, index: IndexWriter) -> None:
    uri = await index.write(ALICE, "fm.plyr.track", rkey(0))
    # Keys in the future: all are ordered by their createdAt.
    likes = await index.write_all((BOB, "fm.plyr.like", rkey(-age), {"subject": ref(uri)}) for age in (1, 2, 3))
    answer = await client.ask("feed.getLikes", uri=uri)
    assert [like["uri"] for like in answer["likes"]] == [min(likes)]


async def test_comments_by_position_and_by_age(client: Client, index: IndexWriter) -> None:
    uri = await index.write(ALICE, "fm.plyr.track", rkey(0))
    comments = await index.write_all(
        (BOB, "fm.plyr.comment", rkey(age), {"subject": ref(uri), "timestampMs": at, "text": f"{at} ms"})
        for age, at in ((3, 2000), (2, 0), (1, 1000))
    )
    by_position = (await client.ask("feed.getComments", uri=uri))["comments"]
    assert [(view["timestampMs"], view["text"]) for view in by_position] == [
        (0, "0 ms"),
        (1000, "1000 ms"),
        (2000, "2000 ms"),
    ]
    by_age = (await client.ask("feed.getComments", uri=uri, sort="newest"))["comments"]
    assert [view["uri"] for view in by_age] == comments[::-1]
    assert await client.refused("feed.getComments", uri=uri, sort="oldest") == (400, "InvalidRequest")


@pytest.mark.parametrize("method", ["feed.getLikes", "feed.getComments"])
async def test_what_waits_for_its_track_is_not_answered(client: Client, index: IndexWriter, method: str) -> None:
    uri = f"at://{ALICE}/fm.plyr.track/{rkey(0)}"
    await index.account(ALICE, handle="alice.test")
    await index.write(BOB, "fm.plyr.like", rkey(1), subject=ref(uri))
    await index.write(BOB, "fm.plyr.comment", rkey(1), subject=ref(uri))
    field = method.removeprefix("feed.get").lower()
    for _ in range(2):
        assert await client.refused(method, uri=uri) == (400, "NotFound")
        await index.write(ALICE, "fm.plyr.track", rkey(0))
        assert len((await client.ask(method, uri=uri))[field]) == 1
        assert len((await client.ask(method, uri=uri.replace(ALICE, "alice.test")))[field]) == 1
        await index.delete(uri)
    for other in (f"at://{ALICE}", "at://nobody.test/fm.plyr.track/x", f"at://{BOB}/fm.plyr.like/{rkey(1)}"):
        assert await client.refused(method, uri=other) == (400, "NotFound")


async def test_another_namespace(database_url: str, index: IndexWriter) -> None:
    async with strict_client(database_url, PLYR_NAMESPACE="fm.plyr.stg") as client:
        assert (await client.get("/xrpc/fm.plyr.feed.getFeed", params={"feed": "latest"})).status_code == 501
        staged = IndexWriter(index.connection, "fm.plyr.stg")
        uri = await staged.write(ALICE, "fm.plyr.stg.track", rkey(1), supportGate={"type": "any"})
        answer = (await client.get("/xrpc/fm.plyr.stg.feed.getFeed", params={"feed": "latest"})).json()
        assert answer["feed"][0]["track"]["uri"] == uri
        assert answer["feed"][0]["track"]["audio"] == {"$type": "fm.plyr.stg.feed.defs#audioGated", "type": "any"}
