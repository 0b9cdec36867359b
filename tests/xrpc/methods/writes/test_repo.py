"""com.atproto.repo.*, as a client of the protocol asks it, and what it wrote at its own PDS."""

import asyncio
from typing import Any, Final

from appview.db import Connection
from appview.writes.uploads import MAX_BLOB
from lexicons.data import CID
from tests.network.xrpc import Json
from tests.xrpc.methods.writes.writer import TRACK, Writer

RKEY: Final = "3lx2wryxkduc2"
OTHER: Final = "3lx2wryxkduc3"
BARE: Final = {name: value for name, value in TRACK.items() if name != "$type"}
NO_VERSION: Final = str(CID.of(b"nothing has this one"))
COLLECTION: Final = "fm.plyr.track"
PREFIX: Final = "com.atproto.repo"


async def create(alice: Writer, **values: Any) -> Any:
    return await alice.do(f"{PREFIX}.createRecord", **({"repo": alice.did, "collection": COLLECTION} | values))


async def put(alice: Writer, **values: Any) -> Any:
    named = {"repo": alice.did, "collection": COLLECTION, "rkey": RKEY}
    return await alice.do(f"{PREFIX}.putRecord", **(named | values))


async def delete(alice: Writer, **values: Any) -> Any:
    named = {"repo": alice.did, "collection": COLLECTION, "rkey": RKEY}
    return await alice.do(f"{PREFIX}.deleteRecord", **(named | values))


def write(kind: str, rkey: str | None = RKEY, **more: Any) -> Json:
    named = {} if rkey is None else {"rkey": rkey}
    return {"$type": f"{PREFIX}.applyWrites#{kind}", "collection": COLLECTION, **named, **more}


async def head(alice: Writer) -> Json:
    """The last commit of a repository."""
    return await alice.user.query("com.atproto.sync.getLatestCommit", did=alice.did)


async def test_records_are_written_as_by_the_protocol(alice: Writer) -> None:
    created = await create(alice, record=BARE, validate=True)
    assert (created["validationStatus"], created["commit"]) == ("valid", await head(alice))
    assert await alice.record(created["uri"]) == TRACK
    rkey = created["uri"].rpartition("/")[2]
    changed = await put(alice, rkey=rkey, record=TRACK | {"title": "New"}, swapRecord=created["cid"])
    assert (changed["uri"], changed["commit"]) == (created["uri"], await head(alice))
    same = await put(alice, rkey=rkey, record=TRACK | {"title": "New"})
    assert same == {"uri": changed["uri"], "cid": changed["cid"], "validationStatus": "valid"}
    gone = await delete(alice, rkey=rkey, swapRecord=changed["cid"])
    assert gone == {"commit": await head(alice)}
    assert await delete(alice, rkey=rkey) == {}
    assert await alice.there("track") == []


async def test_a_record_is_where_it_was_asked_to_be_and_in_the_version_that_was_meant(alice: Writer) -> None:
    first = await put(alice, record=TRACK, swapRecord=None)
    named: Json = {"repo": alice.did, "collection": COLLECTION, "rkey": RKEY}
    new = TRACK | {"title": "New"}
    for swap in (None, NO_VERSION):
        assert await alice.refused(f"{PREFIX}.putRecord", **named, record=new, swapRecord=swap) == "InvalidSwap"
    assert await alice.refused(f"{PREFIX}.deleteRecord", **named, swapRecord=NO_VERSION) == "InvalidSwap"
    assert await alice.refused(f"{PREFIX}.createRecord", **named, record=new) == "RecordAlreadyExists"
    again = await create(alice, rkey=RKEY, record=TRACK)
    assert (again["uri"], again["cid"]) == (first["uri"], first["cid"])
    assert await alice.record(first["uri"]) == TRACK


async def test_writes_on_top_of_one_commit_alone(alice: Writer) -> None:
    base = (await create(alice, rkey=OTHER, record=TRACK))["commit"]["cid"]
    named: Json = {"repo": alice.did, "collection": COLLECTION, "rkey": RKEY}
    created = await create(alice, rkey=RKEY, record=TRACK, swapCommit=base)
    new = TRACK | {"title": "New"}
    for method, values in (
        ("createRecord", {"record": new, "rkey": "3lx2wryxkduc4"}),
        ("putRecord", {"record": new}),
        ("deleteRecord", {}),
        ("applyWrites", {"writes": [write("delete")]}),
    ):
        asked = named | values | {"swapCommit": base}
        assert await alice.refused(f"{PREFIX}.{method}", **asked) == "InvalidSwap", method
    for wrong in (None, NO_VERSION):
        asked = named | {"record": new, "swapCommit": created["commit"]["cid"], "swapRecord": wrong}
        assert await alice.refused(f"{PREFIX}.putRecord", **asked) == "InvalidSwap"
    changed = await put(alice, record=new, swapCommit=created["commit"]["cid"], swapRecord=created["cid"])
    assert changed["commit"] == await head(alice)
    third = await put(alice, rkey="3lx2wryxkduc4", record=new, swapCommit=changed["commit"]["cid"])
    gone = await delete(alice, swapCommit=third["commit"]["cid"], swapRecord=changed["cid"])
    assert gone == {"commit": await head(alice)}
    assert await delete(alice, swapCommit=gone["commit"]["cid"]) == {}


async def test_a_key_of_a_write_on_top_of_one_commit(alice: Writer) -> None:
    """Made again, it is the same call, though by then there is a record where none was, or none any more."""
    named: Json = {"repo": alice.did, "collection": COLLECTION, "rkey": RKEY}
    base = (await create(alice, rkey=OTHER, record=TRACK))["commit"]["cid"]
    for method, values in (("putRecord", {"record": TRACK}), ("deleteRecord", {})):
        asked = named | values | {"swapCommit": base}
        first = await alice.do(f"{PREFIX}.{method}", method, **asked)
        assert first["commit"] == await head(alice)
        assert await alice.do(f"{PREFIX}.{method}", method, **asked) == first
        assert await alice.refused(f"{PREFIX}.{method}", method, **named | values) == "IdempotencyMismatch"
        base = first["commit"]["cid"]


async def test_many_writes_in_one_commit(alice: Writer) -> None:
    await create(alice, rkey=RKEY, record=TRACK)
    await create(alice, rkey=OTHER, record=TRACK)
    writes = [
        write("create", None, value=BARE),
        write("update", value=TRACK | {"title": "New"}),
        write("delete", OTHER),
    ]
    answer = await alice.do(f"{PREFIX}.applyWrites", repo=alice.did, writes=writes)
    assert answer["commit"] == await head(alice)
    there = {one["uri"]: one for one in await alice.there("track")}
    made, changed, gone = answer["results"]
    assert made["$type"].endswith("#createResult")
    assert (gone, len(there)) == ({"$type": f"{PREFIX}.applyWrites#deleteResult"}, 2)
    assert there[made["uri"]]["cid"] == made["cid"]
    assert there[changed["uri"]]["value"]["title"] == "New"
    exists = [write("create", None, value=BARE), write("create", value=TRACK | {"title": "Third"})]
    assert await alice.refused(f"{PREFIX}.applyWrites", repo=alice.did, writes=exists) == "RecordAlreadyExists"
    for wrong in ([], [write("delete"), write("delete")], [write("delete")] * 201, [write("destroy")]):
        assert await alice.refused(f"{PREFIX}.applyWrites", repo=alice.did, writes=wrong) == "InvalidRequest"
    assert len(await alice.there("track")) == 2


async def test_what_breaks_its_lexicon_is_not_written(alice: Writer) -> None:
    named: Json = {"repo": alice.did, "collection": COLLECTION}
    for wrong in (
        BARE | {"title": ""},
        {"title": "x"},
        TRACK | {"$type": "fm.plyr.like"},
        TRACK | {"createdAt": "now"},
    ):
        for validate in (True, False):
            asked = named | {"record": wrong, "validate": validate}
            assert await alice.refused(f"{PREFIX}.createRecord", **asked) == "InvalidRecord"
        asked = named | {"record": wrong, "rkey": RKEY}
        assert await alice.refused(f"{PREFIX}.putRecord", **asked) == "InvalidRecord"
        writes = [write("create", OTHER, value=TRACK), write("create", value=wrong)]
        assert await alice.refused(f"{PREFIX}.applyWrites", repo=alice.did, writes=writes) == "InvalidRecord"
    assert await alice.there("track") == []


async def test_only_our_collections_and_only_ones_own_repository(alice: Writer, bob: Writer) -> None:
    post = {"$type": "app.bsky.feed.post", "text": "x", "createdAt": TRACK["createdAt"]}
    calls: list[tuple[str, Json]] = [
        ("createRecord", {"record": post}),
        ("putRecord", {"record": post, "rkey": RKEY}),
        ("deleteRecord", {"rkey": RKEY}),
    ]
    for method, values in calls:
        foreign = {"repo": alice.did, "collection": "app.bsky.feed.post", **values}
        assert await alice.refused(f"{PREFIX}.{method}", **foreign) == "InvalidRequest"
        others = {"repo": bob.did, "collection": COLLECTION, **values}
        assert await alice.refused(f"{PREFIX}.{method}", **others) == "NotYours"
    assert await alice.refused(f"{PREFIX}.applyWrites", repo="nobody.test", writes=[write("delete")]) == "NotYours"


async def test_a_handle_is_as_good_as_a_did(alice: Writer, connection: Connection) -> None:
    handle = alice.user.handle
    await connection.execute("update actors set handle = $2 where did = $1", alice.did, handle)
    created = await create(alice, repo=handle.upper(), record=TRACK)
    assert created["uri"].startswith(f"at://{alice.did}/")
    by_handle = created["uri"].replace(alice.did, handle)
    like = await alice.do("feed.likeTrack", subject=by_handle)
    assert (await alice.record(like["uri"]))["subject"] == {"uri": created["uri"], "cid": created["cid"]}
    await alice.do("feed.updateTrack", uri=by_handle, title="New")
    assert (await alice.record(created["uri"]))["title"] == "New"


async def test_an_idempotency_key_stands_for_one_call(alice: Writer) -> None:
    asked: Json = {"repo": alice.did, "collection": COLLECTION, "record": TRACK}
    answers = await asyncio.gather(*(alice.do(f"{PREFIX}.createRecord", "one", **asked) for _ in range(3)))
    assert len({answer["uri"] for answer in answers}) == 1
    other = asked | {"record": TRACK | {"title": "Other"}}
    assert await alice.refused(f"{PREFIX}.createRecord", "one", **other) == "IdempotencyMismatch"
    assert len(await alice.there("track")) == 1


async def test_bytes_are_uploaded_and_no_others_than_audio_and_images(alice: Writer) -> None:
    async def upload(mime: str, size: int = 8) -> Any:
        headers = {"Content-Type": mime, "Content-Length": str(size)}
        answer = await alice.client.post(
            "/xrpc/com.atproto.repo.uploadBlob", content=b"\x89PNG\r\n\x1a\n", headers=headers
        )
        return answer.json()

    blob = (await upload("image/png"))["blob"]
    assert (blob["$type"], blob["mimeType"], blob["size"]) == ("blob", "image/png", 8)
    assert (await upload("text/html"))["error"] == "InvalidMimeType"
    assert (await upload("audio/mpeg", MAX_BLOB + 1))["error"] == "BlobTooLarge"
