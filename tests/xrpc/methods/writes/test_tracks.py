"""Tracks at a real PDS: an edit never touches the audio, nor what it does not know."""

from typing import Any, Final

from tests.network.xrpc import Json
from tests.xrpc.methods.writes.writer import TRACK, Writer

RKEY: Final = "3lx2wryxkduc2"
WAVE: Final = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(28)


async def upload(alice: Writer, data: bytes = WAVE) -> Json:
    answer = await alice.client.post(
        "/xrpc/com.atproto.repo.uploadBlob", content=data, headers={"Content-Type": "audio/wav"}
    )
    assert answer.status_code == 200, answer.text
    blob: Json = answer.json()["blob"]
    return blob


async def has_blob(alice: Writer, blob: Json) -> bool:
    """Whether their PDS serves it."""
    url = f"{alice.user.pds.url}/xrpc/com.atproto.sync.getBlob"
    async with alice.user.pds.session.get(url, params={"did": alice.did, "cid": blob["ref"]["$link"]}) as answer:
        return answer.status == 200


async def test_an_edit_carries_the_audio_and_all_that_nobody_here_knows(alice: Writer) -> None:
    blob = await upload(alice)
    record: dict[str, Any] = TRACK | {
        "album": "Ours",
        "audioBlob": blob,
        "features": [{"did": "did:plc:b", "org.example.role": "drums"}],
        "supportGate": {"type": "any", "org.example.tier": 3},
        "org.example.stems": [{"$type": "org.example.stem", "file": {"$bytes": "AAEC"}}],
    }
    written = await alice.user.put_record("fm.plyr.track", RKEY, record)
    edit: Json = {
        "title": "New",
        "features": [{"did": "did:plc:c"}, {"did": "did:plc:b"}],
        "clear": ["album", "imageUrl"],
    }
    answer = await alice.do("feed.updateTrack", uri=written.uri, **edit)
    expected = record | {"title": "New", "features": [{"did": "did:plc:c"}, *record["features"]]}
    del expected["album"]
    assert await alice.record(written.uri) == expected
    assert answer["track"]["title"] == "New"
    assert answer["track"]["audio"] == {"$type": "fm.plyr.feed.defs#audioGated", "type": "any"}
    assert await has_blob(alice, blob)
    again = await alice.do("feed.updateTrack", uri=written.uri, **edit)
    assert (again["cid"], "rev" in again) == (answer["cid"], False)


async def test_audio_is_replaced_where_that_is_asked_for(alice: Writer) -> None:
    old, new = await upload(alice), await upload(alice, WAVE + b"\0\0")
    track = await alice.publish(audioBlob=old, duration=1)
    await alice.do("feed.updateTrack", uri=track["uri"], audioBlob=new, duration=2, fileType="wav")
    after = await alice.record(track["uri"])
    assert (after["audioBlob"], after["duration"], after["fileType"], after["title"]) == (new, 2, "wav", "Song")
    assert await has_blob(alice, new)


async def test_a_track_that_breaks_its_lexicon_can_be_edited(alice: Writer) -> None:
    record = {"$type": "fm.plyr.track", "title": "x" * 300, "artist": "A", "features": ["did:plc:b"], "duration": -1}
    written = await alice.user.put_record("fm.plyr.track", RKEY, record)
    await alice.do("feed.updateTrack", uri=written.uri, album="Ours")
    assert await alice.record(written.uri) == record | {"album": "Ours"}


async def test_what_is_no_edit(alice: Writer, bob: Writer) -> None:
    track = await alice.publish(album="Ours")
    nobody = f"at://{alice.did}/fm.plyr.track/{RKEY}"
    assert await bob.refused("feed.updateTrack", uri=track["uri"], title="Mine") == "NotYours"
    assert await bob.refused("feed.deleteTrack", uri=track["uri"]) == "NotYours"
    assert await alice.refused("feed.updateTrack", uri=nobody, title="x") == "RecordNotFound"
    for wrong in ({"album": "x", "clear": ["album"]}, {"clear": ["audioBlob"]}, {"clear": ["title"]}, {"title": ""}):
        assert await alice.refused("feed.updateTrack", uri=track["uri"], **wrong) == "InvalidRequest"
    assert await alice.record(track["uri"]) == TRACK | {"album": "Ours"}


async def test_a_track_is_deleted(alice: Writer) -> None:
    track = await alice.publish()
    gone = await alice.do("feed.deleteTrack", uri=track["uri"])
    assert gone["rev"]
    assert await alice.there("track") == []
    assert (await alice.client.ask("feed.getTracks", uris=[track["uri"]]))["tracks"] == []
    assert await alice.do("feed.deleteTrack", uri=track["uri"]) == {"uri": track["uri"]}
