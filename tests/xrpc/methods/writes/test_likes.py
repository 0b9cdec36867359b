"""Likes at a real PDS: one for a track, whatever the retries, and none after the last is taken back."""

import asyncio

from appview.db import Connection
from appview.index.lock import index_lock
from tests.index_writer import ref
from tests.xrpc.client import Client
from tests.xrpc.methods.writes.writer import Writer

NOWHERE = "at://did:plc:nobody/fm.plyr.track/3lx2wryxkduc2"


async def test_a_like_is_in_the_repository_and_seen_at_once(alice: Writer, bob: Writer, server: Client) -> None:
    track = await bob.publish()
    answer = await alice.do("feed.likeTrack", subject=track["uri"])
    (there,) = await alice.there("like")
    assert (there["uri"], there["cid"]) == (answer["uri"], answer["cid"])
    assert there["value"]["subject"] == track
    assert (answer["track"]["likeCount"], answer["track"]["viewer"]) == (1, {"like": answer["uri"]})
    (view,) = (await server.ask("feed.getTracks", uris=[track["uri"]]))["tracks"]
    assert view["likeCount"] == 1
    # What is liked already is not liked again, and nothing was written, so that there is no rev.
    again = await alice.do("feed.likeTrack", subject=track["uri"])
    assert again == {name: value for name, value in answer.items() if name != "rev"}
    assert len(await alice.there("like")) == 1


async def test_many_who_like_at_once_make_one_record(alice: Writer, bob: Writer, connection: Connection) -> None:
    track = await bob.publish()
    answers = await asyncio.gather(*(alice.do("feed.likeTrack", subject=track["uri"]) for _ in range(5)))
    (there,) = await alice.there("like")
    assert {(answer["uri"], answer["cid"]) for answer in answers} == {(there["uri"], there["cid"])}
    assert not await connection.fetch("select from coming_likes")


async def test_a_like_comes_and_goes(alice: Writer, bob: Writer) -> None:
    track = await bob.publish()
    seen = []
    for _ in range(2):
        like = await alice.do("feed.likeTrack", subject=track["uri"])
        gone = await alice.do("feed.unlikeTrack", subject=track["uri"])
        assert gone["uris"] == [like["uri"]]
        assert gone["rev"] > like["rev"]
        assert (gone["track"]["likeCount"], gone["track"]["viewer"]) == (0, {})
        assert await alice.there("like") == []
        seen.append(like["uri"])
    assert len(set(seen)) == 2
    nothing = await alice.do("feed.unlikeTrack", subject=track["uri"])
    assert (nothing["uris"], "rev" in nothing) == ([], False)


async def test_every_like_goes_when_one_is_taken_back(alice: Writer, bob: Writer) -> None:
    track, other = await bob.publish(), await bob.publish()
    record = {"$type": "fm.plyr.like", "subject": track, "createdAt": "2026-03-01T12:00:00Z"}
    for _ in range(3):
        await alice.do("com.atproto.repo.createRecord", repo=alice.did, collection="fm.plyr.like", record=record)
    kept = await alice.do("feed.likeTrack", subject=other["uri"])
    # The earliest of them counts for the one that there is.
    like = await alice.do("feed.likeTrack", subject=track["uri"])
    likes = [there["uri"] for there in await alice.there("like")]
    assert (like["uri"], len(likes)) == (likes[0], 4)
    gone = await alice.do("feed.unlikeTrack", subject=track["uri"])
    assert sorted([*gone["uris"], kept["uri"]]) == sorted(likes)
    assert [there["uri"] for there in await alice.there("like")] == [kept["uri"]]


async def test_liking_and_unliking_at_once_leaves_one_or_none(alice: Writer, bob: Writer) -> None:
    track = await bob.publish()
    for _ in range(3):
        like, gone = await asyncio.gather(
            alice.do("feed.likeTrack", subject=track["uri"]), alice.do("feed.unlikeTrack", subject=track["uri"])
        )
        left = [there["uri"] for there in await alice.there("like")]
        assert left == [] if like["uri"] in gone["uris"] else left == [like["uri"]]
        await alice.do("feed.unlikeTrack", subject=track["uri"])
        assert await alice.there("like") == []


async def test_a_like_that_was_taken_back_unseen_is_made_anew(
    alice: Writer, bob: Writer, connection: Connection
) -> None:
    """While others hold the index it shows what is gone: whoever likes again then is not told that it is liked."""
    track = await bob.publish()
    first = await alice.do("feed.likeTrack", subject=track["uri"])
    async with connection.transaction():
        await index_lock(connection)
        gone = await alice.do("feed.unlikeTrack", subject=track["uri"])
    assert gone["uris"] == [first["uri"]]
    again = await alice.do("feed.likeTrack", subject=track["uri"])
    assert [there["uri"] for there in await alice.there("like")] == [again["uri"]] != [first["uri"]]


async def test_what_a_pds_that_was_away_did_not_take_is_liked_later_by_the_same_key(
    alice: Writer, bob: Writer, connection: Connection
) -> None:
    track = await bob.publish()
    await alice.user.pds.stop()
    try:
        refused = await alice.client.refused_to_do("feed.likeTrack", subject=track["uri"])
    finally:
        await alice.user.pds.start()
    assert refused == (502, "UpstreamFailure")
    rkey = await connection.fetchval("select rkey from coming_likes where did = $1", alice.did)
    like = await alice.do("feed.likeTrack", subject=track["uri"])
    assert like["uri"] == f"at://{alice.did}/fm.plyr.like/{rkey}"
    assert [there["uri"] for there in await alice.there("like")] == [like["uri"]]


async def test_what_is_not_here_can_be_liked_by_who_knows_its_version(alice: Writer) -> None:
    assert await alice.refused("feed.likeTrack", subject=NOWHERE) == "SubjectNotFound"
    strong = ref(NOWHERE)
    answer = await alice.do("feed.likeTrack", subject=NOWHERE, cid=strong["cid"])
    assert "track" not in answer
    assert (await alice.record(answer["uri"]))["subject"] == strong
    gone = await alice.do("feed.unlikeTrack", subject=NOWHERE)
    assert gone["uris"] == [answer["uri"]]


async def test_only_tracks_are_liked(alice: Writer) -> None:
    for method in ("feed.likeTrack", "feed.unlikeTrack"):
        for wrong in ("at://did:plc:nobody/fm.plyr.list/3lx2wryxkduc2", "at://did:plc:nobody", "x"):
            assert await alice.refused(method, subject=wrong) == "InvalidRequest"
        assert (
            await alice.refused(method, subject=NOWHERE.replace("did:plc:nobody", "nobody.test")) == "SubjectNotFound"
        )
    assert await alice.there("like") == []
