"""Comments at a real PDS: posted once, edited with all that is in them, deleted."""

import asyncio
from typing import Any

from tests.xrpc.methods.writes.writer import Writer

RKEY = "3lx2wryxkduc2"


async def post(alice: Writer, track: dict[str, Any], **values: Any) -> Any:
    return await alice.do("feed.postComment", subject=track["uri"], text="Good", timestampMs=1500, **values)


async def test_a_comment_is_in_the_repository_and_seen_at_once(alice: Writer, bob: Writer) -> None:
    track = await bob.publish()
    answer = await post(alice, track)
    record = await alice.record(answer["uri"])
    assert (record["subject"], record["text"], record["timestampMs"]) == (track, "Good", 1500)
    view = answer["comment"]
    assert (view["uri"], view["cid"], view["text"]) == (answer["uri"], answer["cid"], "Good")
    assert view["author"]["did"] == alice.did


async def test_a_comment_that_is_posted_again_by_its_key_is_posted_once(alice: Writer, bob: Writer) -> None:
    track = await bob.publish()
    first, *others = await asyncio.gather(*(post(alice, track, rkey=RKEY) for _ in range(3)))
    # The second call stamps another time, and finds that the track is of another version: it is the same comment.
    await bob.do("feed.updateTrack", uri=track["uri"], title="Another")
    others.append(await post(alice, track, rkey=RKEY))
    assert {(one["uri"], one["cid"]) for one in others} == {(first["uri"], first["cid"])}
    assert len(await alice.there("comment")) == 1
    wrong = {"subject": track["uri"], "text": "Bad", "timestampMs": 1500, "rkey": RKEY}
    assert await alice.refused("feed.postComment", **wrong) == "RecordAlreadyExists"
    assert await alice.refused("feed.postComment", **{**wrong, "rkey": "self"}) == "InvalidRequest"


async def test_a_comment_that_is_posted_again_by_an_idempotency_key(alice: Writer, bob: Writer) -> None:
    track = await bob.publish()
    answers = await asyncio.gather(*(post(alice, track, key="one") for _ in range(3)))
    # It is the same call, though the track is of another version now.
    await bob.do("feed.updateTrack", uri=track["uri"], title="Another")
    answers.append(await post(alice, track, key="one"))
    assert len({answer["uri"] for answer in answers}) == 1
    wrong = {"subject": track["uri"], "text": "Bad", "timestampMs": 1500}
    assert await alice.refused("feed.postComment", "one", **wrong) == "IdempotencyMismatch"
    assert len(await alice.there("comment")) == 1


async def test_an_edit_carries_what_it_is_not_about(alice: Writer, bob: Writer) -> None:
    track = await bob.publish()
    record = {
        "$type": "fm.plyr.comment",
        "subject": track | {"org.example.of": "the subject"},
        "text": "Good",
        "timestampMs": 1500,
        "createdAt": "2026-03-01T12:00:00Z",
        "org.example.mood": {"$bytes": "AAEC"},
    }
    written = await alice.user.put_record("fm.plyr.comment", RKEY, record)
    answer = await alice.do("feed.editComment", uri=written.uri, text="Better")
    after = await alice.record(written.uri)
    assert after == record | {"text": "Better", "updatedAt": after["updatedAt"]}
    assert (answer["comment"]["text"], answer["comment"]["timestampMs"]) == ("Better", 1500)
    # What it is already is not written again.
    again = await alice.do("feed.editComment", uri=written.uri, text="Better")
    assert (again["cid"], "rev" in again) == (answer["cid"], False)


async def test_a_comment_is_deleted_once_or_more(alice: Writer, bob: Writer) -> None:
    written = await post(alice, await bob.publish())
    gone = await alice.do("feed.deleteComment", uri=written["uri"])
    assert (gone["uri"], gone["rev"] > written["rev"]) == (written["uri"], True)
    assert await alice.there("comment") == []
    assert await alice.do("feed.deleteComment", uri=written["uri"]) == {"uri": written["uri"]}
    assert await alice.refused("feed.editComment", uri=written["uri"], text="x") == "RecordNotFound"


async def test_others_comments_are_theirs(alice: Writer, bob: Writer) -> None:
    written = await post(alice, await bob.publish())
    assert await bob.refused("feed.editComment", uri=written["uri"], text="Mine") == "NotYours"
    assert await bob.refused("feed.deleteComment", uri=written["uri"]) == "NotYours"
    assert await bob.refused("feed.deleteComment", uri=f"at://{bob.did}/fm.plyr.like/{RKEY}") == "InvalidRequest"
    nowhere = f"at://{bob.did}/fm.plyr.track/{RKEY}"
    assert await alice.refused("feed.postComment", subject=nowhere, text="x", timestampMs=1) == "SubjectNotFound"
    assert (await alice.record(written["uri"]))["text"] == "Good"
