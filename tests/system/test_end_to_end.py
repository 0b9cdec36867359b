"""What users do on their PDSes, seen through the API: real servers, our real processes, and the oracle in the end."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.database import Server
from tests.network import records
from tests.network.launch import Addresses
from tests.network.network import Network
from tests.network.pds import User
from tests.network.repo import Written, create
from tests.network.xrpc import Json
from tests.system.odd import GHOST, SOME_CID, elsewhere, odd_records
from tests.system.stage import DOMAIN, Stage, staged, system_beside
from tests.system.world import System
from tests.writer.repo import tid

WAV = b"RIFF" + (36).to_bytes(4, "little") + b"WAVEfmt " + bytes(28)
LATER = tid(1_750_000_000_000_000)


@pytest.fixture(scope="module")
def system(network_addresses: Addresses, database_server: Server) -> Iterator[System]:
    """One system for all tests here."""
    with database_server.database() as url, system_beside(network_addresses, url) as system:
        yield system


@pytest.fixture
async def stage(system: System, network: Network) -> AsyncIterator[Stage]:
    async with staged(system, network) as stage:
        yield stage


def ref(uri: str) -> Written:
    return Written(uri, SOME_CID, None)


async def test_what_is_written_is_answered(stage: Stage) -> None:
    network = stage.network
    artist = await network.create_account("artist")
    fan = await network.create_account("fan", pds=network.pds[1])
    song = f"at://{artist.did}/{records.TRACK}/{LATER}"

    # A like comes before its track.
    liked = await fan.create_record(records.LIKE, records.like(ref(song)))
    await fan.create_record(records.LIKE, records.like(ref(song)))
    await stage.settle()
    assert await stage.track(song) is None
    assert await stage.refusal("feed.getLikes", uri=song) == "NotFound"
    assert await stage.verdict(liked.uri) == ("shown", "ok")

    # And the track, with one record of every other type.
    blob = await artist.upload_blob(WAV, "audio/wav")
    value = records.track("One", audioBlob=blob, album="First", description="Loud", duration=9, fileType="wav")
    await artist.create_record(records.TRACK, value, LATER)
    await artist.put_record(records.PROFILE, "self", records.profile())
    await artist.put_record("app.bsky.actor.profile", "self", {"displayName": "The Artist"})
    comment = await fan.create_record(records.COMMENT, records.comment(ref(song), timestamp_ms=7))
    mix = await fan.create_record(
        records.LIST, records.playlist(ref(song), ref(GHOST["uri"]), ref(liked.uri), ref(song))
    )
    await fan.create_record("app.bsky.graph.follow", {"subject": artist.did, "createdAt": records.CREATED_AT})
    await fan.create_record("fm.teal.alpha.feed.play", {"trackName": "One", "originUrl": song})
    generator = {"did": "did:web:feeds.example", "displayName": "Fresh", "createdAt": records.CREATED_AT}
    await artist.create_record("fm.plyr.feed.generator", generator, "fresh")
    await stage.settle()
    await _all_is_shown(stage, artist, fan, song, comment, mix)

    # Updates clear what they leave out; a list without a name keeps the one it had.
    await _updates_clear(stage, artist, fan, song, mix)

    # Deletes; the track goes and comes back with its likes.
    await fan.delete_record(records.COMMENT, comment.rkey)
    await artist.delete_record(records.TRACK, LATER)
    await stage.settle()
    assert await stage.track(song) is None
    assert (await stage.verdict(song))[0] == "deleted"
    (stub,) = (await stage.ask("graph.getList", list=mix.uri))["items"]
    assert _is_stub(stub)
    await artist.create_record(records.TRACK, records.track("Three"), LATER)
    await fan.delete_record(records.LIKE, liked.rkey)
    await stage.settle()
    track = await stage.track(song)
    assert track is not None
    assert (track["title"], track["likeCount"], track["commentCount"], track["listCount"]) == ("Three", 1, 0, 1)
    assert await stage.likers(song) == [fan.did]
    assert await stage.audited() == []


async def _updates_clear(stage: Stage, artist: User, fan: User, song: str, mix: Written) -> None:
    await artist.put_record(records.TRACK, LATER, records.track("Two"))
    await artist.put_record(records.PROFILE, "self", {"createdAt": records.CREATED_AT})
    await fan.put_record(
        records.LIST, mix.rkey, {"items": [{"subject": ref(song).ref}], "createdAt": records.CREATED_AT}
    )
    await stage.settle()
    track = await stage.track(song)
    assert track is not None
    assert (track["title"], track["record"]["title"], track["likeCount"]) == ("Two", "Two", 1)
    assert not {"album", "duration"} & track.keys()
    assert "description" not in track["record"]
    assert "bio" not in await stage.ask("actor.getProfile", actor=artist.did)
    listed = (await stage.ask("graph.getList", list=mix.uri))["list"]
    assert (listed["name"], listed["itemCount"]) == ("Mix", 1)
    assert "name" not in listed["record"]


async def _all_is_shown(stage: Stage, artist: User, fan: User, song: str, comment: Written, mix: Written) -> None:
    await stage.until_handle(artist.did, artist.handle)
    track = await stage.track(song)
    assert track is not None
    assert (track["title"], track["artist"], track["duration"], track["album"]["name"]) == ("One", "Artist", 9, "First")
    assert (track["likeCount"], track["commentCount"], track["listCount"]) == (1, 1, 1)
    assert track["author"] == {"did": artist.did, "handle": artist.handle, "displayName": "The Artist"}
    assert track["audio"]["source"] == "blob"
    async with stage.network.session.get(track["audio"]["url"]) as response:
        assert await response.read() == WAV
    assert (await stage.ask("feed.getActorTracks", actor=artist.handle))["tracks"] == [track]
    assert song in await stage.latest()
    assert await stage.likers(song) == [fan.did]  # once, who likes it twice
    comments = (await stage.ask("feed.getComments", uri=song))["comments"]
    assert [(view["uri"], view["timestampMs"]) for view in comments] == [(comment.uri, 7)]
    answer = await stage.ask("graph.getList", list=mix.uri)
    assert [item["position"] for item in answer["items"]] == [0, 1, 2, 3]
    assert [_is_stub(item) for item in answer["items"]] == [False, True, True, False]
    lists = (await stage.ask("graph.getActorLists", actor=fan.did))["lists"]
    assert [view["uri"] for view in lists] == [mix.uri]
    profile = await stage.ask("actor.getProfile", actor=artist.handle)
    counts = ("tracksCount", "listsCount", "likesCount", "followersCount")
    assert [profile[count] for count in counts] == [1, 0, 0, 1]
    assert (profile["bio"], profile["displayName"]) == ("I make songs", "The Artist")
    assert (await stage.ask("server.getStats"))["totals"]["plays"] >= 1


def _is_stub(item: Json) -> bool:
    return bool(item["track"]["$type"] == "fm.plyr.feed.defs#notFoundTrack")


async def test_odd_records_are_shown_or_set_aside_as_the_table_says(stage: Stage) -> None:
    writer = await stage.network.create_account("odd")
    blob = await writer.upload_blob(WAV, "audio/wav")
    song = await writer.create_record(records.TRACK, records.track())
    listed = await writer.create_record(records.LIST, records.playlist(song))
    odd_ones = odd_records(song.ref, listed.ref, blob)
    written = [(odd, await writer.create_record(odd.collection, odd.value, odd.rkey)) for odd in odd_ones]
    foreign = [await writer.create_record(odd.collection, odd.value) for odd in elsewhere(song.ref)]
    await stage.settle()

    found = {odd.name: (await stage.verdict(record.uri))[1] for odd, record in written}
    assert found == {odd.name: odd.verdict for odd, _ in written}
    tracks = [(odd, record.uri) for odd, record in written if odd.collection == records.TRACK]
    shown: set[str] = set()
    for start in range(0, len(tracks), 25):
        answer = await stage.ask("feed.getTracks", uris=[uri for _, uri in tracks[start : start + 25]])
        shown |= {track["uri"] for track in answer["tracks"]}
    assert shown == {uri for odd, uri in tracks if odd.verdict != "rejected"}
    assert {(await stage.verdict(record.uri))[0] for record in foreign} == {"out-of-scope"}
    await _updates_to_what_is_rejected(stage, writer, song)
    assert await stage.audited() == []


async def _updates_to_what_is_rejected(stage: Stage, writer: User, song: Written) -> None:
    """The view goes with an update that means nothing, and is back with the next one."""
    await writer.put_record(records.TRACK, song.rkey, {"title": 7})
    await stage.settle()
    assert await stage.track(song.uri) is None
    assert await stage.verdict(song.uri) == ("rejected", "rejected")
    await writer.put_record(records.TRACK, song.rkey, records.track("Whole again"))
    await stage.settle()
    track = await stage.track(song.uri)
    assert track is not None
    assert track["title"] == "Whole again"


async def test_accounts_hide_come_back_and_go(stage: Stage) -> None:
    network = stage.network
    artist, fan = await network.create_account("hides"), await network.create_account("fan", pds=network.pds[1])
    song = await artist.create_record(records.TRACK, records.track())
    await fan.create_record(records.LIKE, records.like(song))
    await fan.create_record(records.TRACK, records.track("Mine"))
    await stage.settle()
    assert await stage.likers(song.uri) == [fan.did]

    for hide, show, error in (
        (fan.deactivate, fan.activate, "AccountDeactivated"),
        (lambda: fan.pds.take_down(fan.did), lambda: fan.pds.take_down(fan.did, undo=True), "AccountTakedown"),
    ):
        await hide()
        await stage.settle()
        assert await stage.refusal("actor.getProfile", actor=fan.did) == error
        assert await stage.refusal("feed.getActorTracks", actor=fan.did) == error
        assert await stage.likers(song.uri) == []
        track = await stage.track(song.uri)
        assert track is not None
        assert track["likeCount"] == 0
        assert await stage.audited() == []
        await show()
        await stage.settle()
        assert await stage.likers(song.uri) == [fan.did]
        assert len((await stage.ask("feed.getActorTracks", actor=fan.did))["tracks"]) == 1
        assert await stage.audited() == []

    handle = f"carol-{fan.did[-6:]}.{DOMAIN}"
    await network.set_handle(handle, fan.did)
    await fan.update_handle(handle)
    await stage.settle()
    await stage.until_handle(fan.did, handle)
    assert (await stage.ask("actor.getProfile", actor=handle))["did"] == fan.did

    await fan.delete_account()
    await stage.settle()
    assert await stage.refusal("actor.getProfile", actor=fan.did) == "NotFound"
    assert await stage.likers(song.uri) == []
    assert await stage.audited() == []


async def test_an_account_moves_to_another_pds(stage: Stage) -> None:
    old, new = stage.network.pds
    user = await stage.network.create_account("eve", pds=old)
    fan = await stage.network.create_account("fan", pds=new)
    blob = await user.upload_blob(WAV, "audio/wav")
    song = await user.create_record(records.TRACK, records.track(audioBlob=blob))
    await fan.create_record(records.LIKE, records.like(song))
    await stage.settle()

    moved = await user.migrate(new)
    await stage.settle()
    await stage.until_handle(user.did, moved.handle)
    track = await stage.track(song.uri)
    assert track is not None
    assert (track["likeCount"], track["author"]["handle"]) == (1, moved.handle)
    assert track["audio"]["url"].startswith(new.url)
    assert await stage.audited() == []

    # Its next write there chains on what the old one signed.
    await moved.apply_writes(*(create(records.TRACK, records.track(f"At home {n}")) for n in range(3)))
    await stage.settle()
    assert len((await stage.ask("feed.getActorTracks", actor=user.did))["tracks"]) == 4
    repo = (await stage.ask("server.explain", uri=user.did))["repo"]
    assert (repo["status"], repo["provenBy"]) == ("synchronized", "live")
    assert await stage.audited() == []
