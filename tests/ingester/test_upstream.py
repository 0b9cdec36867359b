"""Following one upstream: where it goes on, what it does not take, and what it says of itself."""

import asyncio
from dataclasses import replace

import pytest

from ingester.upstream import MAX_REPLAYED, said
from tests.ingester.saying import message, saying, standing_at
from tests.ingester.world import SECONDS, create, world
from tests.writer.cbor import encode, nested


async def test_after_a_restart_it_goes_on_where_it_stopped(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        async with there.ingesting() as made:
            await there.followed(made)
            artist.write(create(artist, 1))
            await there.settled(made)
        artist.write(create(artist, 2))
        fetches = there.pds.asked.get("com.atproto.sync.getRepo", 0)
        async with there.ingesting() as made:
            await there.settled(made)
            assert ("#commit", "ok", "in_chain") in made.metrics.frames
        assert len(await there.uris()) == 2
        assert there.pds.asked.get("com.atproto.sync.getRepo", 0) == fetches
        assert await there.value("select cursor from upstreams") == there.pds.stream.head


async def test_a_malformed_message_is_kept_aside_and_the_stream_goes_on(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        async with there.ingesting() as made:
            await there.followed(made)
            event = artist.write(create(artist, 1))
            await there.settled(made)
            artist.emit(replace(event, seq=there.pds.host.next_seq(), rev="not a tid").frame())
            artist.write(create(artist, 2))
            await there.settled(made)
        assert len(await there.uris()) == 2
        letter = await there.connection.fetchrow("select * from dead_letters")
        assert letter is not None
        assert (letter["did"], letter["reason"]) == (artist.did, "bad_rev")
        assert letter["frame"]


async def test_a_forged_message_changes_nothing(database_url: str) -> None:
    async with world(database_url) as there:
        artist, thief = there.pds.create_account("artist"), there.pds.create_account("thief")
        artist.write(create(artist, 1))
        async with there.ingesting() as made:
            await there.settled(made)
            artist.repo.key, kept = thief.repo.key, artist.repo.key
            forged = artist.repo.commit([create(artist, 2)])
            artist.emit(forged.frame())
            await there.until("select count(*) = 1 from dead_letters where reason = 'bad_signature'")
            assert len(await there.uris()) == 1
            assert await there.value("select status from repos where did = $1", artist.did) == "synchronized"
            artist.repo.key = kept


async def test_the_same_messages_from_two_upstreams_count_once(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        mirror = there.pds.url.replace("127.0.0.1", "localhost")
        async with there.ingesting(PLYR_RELAY_URLS=f"{there.pds.url},{mirror}") as made:
            async with asyncio.timeout(SECONDS):
                while there.pds.stream.subscribers < 2:
                    await asyncio.sleep(0.01)
            for number in range(20):
                artist.write(create(artist, number))
            await there.settled(made)
            await there.until(f"select count(*) = 2 and min(cursor) = {there.pds.stream.head} from upstreams")
        assert await there.value("select tracks from actor_counts") == 20
        assert await there.value("select n from totals where name = 'track'") == 20


async def test_a_cursor_that_the_server_does_not_know_is_not_reset(database_url: str) -> None:
    async with world(database_url) as there:
        await there.connection.execute("insert into upstreams values ('0/1', $1, 1000)", there.pds.url)
        async with there.ingesting():
            await there.until("select status #>> '{upstreams,0,error}' like '%FutureCursor%' from shards")
        assert await there.value("select cursor from upstreams") == 1000


async def test_what_it_says_of_itself(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        async with there.ingesting() as made:
            await there.followed(made)
            artist.write(create(artist, 1))
            await there.settled(made)
            await there.until("select (status ->> 'tracked')::int = 1 from shards")
            status = await there.value("select status from shards")
        (upstream,) = status["upstreams"]
        assert (upstream["url"], upstream["state"], upstream["error"]) == (there.pds.url, "live", None)
        assert upstream["cursor"] == upstream["last_seq"] == there.pds.stream.head
        assert (status["version"], status["held_frames"], status["queue"]["frames"]) == (1, 0, 0)
        assert "plyr_frames_total" in await there.value("select metrics from shards")


@pytest.mark.parametrize(
    "frame",
    [
        message("#info", name="x\0y", message="a\0b"),
        message("#info", name="x" * 100_000),
        encode({"op": -1}) + encode({"error": "x\0y"}),
        encode({"op": -1}) + encode({"error": "x", "message": "a\0" * 100_000}),
        encode({"op": -1, "t": "#commit\0"}) + encode({"error": "x"}),
        encode({"op": -1}) + encode({"error": nested(100)}),
        encode({"op": 7, "t": "#commit\0"}) + encode({"seq": 1}),
        message("#x\0", seq=1),
        message("#x\0", seq=2**60),
        message("#x\0", seq="\0"),
        message("#new", time=nested(980)),
        message("#commit", repo="did:x\0y", seq=10_000, ops=[{"path": "fm.plyr.track/1"}]),
        message("#commit", repo=nested(100), seq=10_000, ops=[{"path": "fm.plyr.track/1"}]),
    ],
    ids=[
        "info",
        "long info",
        "error",
        "long error",
        "typed error",
        "nested error",
        "new op",
        "replayed type",
        "seq too high",
        "seq no number",
        "nested time",
        "malformed did",
        "nested did",
    ],
)
async def test_no_word_of_a_stream_ends_the_ingester_or_becomes_a_label(frame: bytes, database_url: str) -> None:
    async with world(database_url) as there, saying(frame) as other:
        artist = there.pds.create_account("artist")
        await standing_at(there, other, 9_999)
        async with there.ingesting(PLYR_RELAY_URLS=f"{there.pds.url},{other}") as made:
            await there.followed(made)
            await there.until("select status #>> '{upstreams,1,last_frame_at}' is not null from shards")
            artist.write(create(artist, 1))
            await there.settled(made)
            assert made.upstreams[1].is_behind is False
            # Whatever was to be written is: the words are in the status and among the metrics.
            await there.connection.execute("update shards set status_at = now() - interval '1 hour'")
            await there.until("select status_at > now() - interval '1 minute' from shards")
            status = await there.value("select status #> '{upstreams,1}' from shards")
            metrics = await there.value("select metrics from shards")
        assert len(await there.uris()) == 1
        assert len(status["error"] or "") < 300
        assert "\0" not in metrics
        assert "xxxx" not in metrics
        kinds = {kind for kind, _, _ in made.metrics.frames}
        assert kinds <= {"#commit", "#identity", "#account", "#sync", "#info", "error", "unknown"}
        assert not {"x", "x\0y"} & {reason for _, _, reason in made.metrics.frames}


def test_what_a_stranger_says_is_cut_and_cannot_steer_a_terminal() -> None:
    assert said("a\0b\x1b[2J\ud800ü") == "a\ufffdb\ufffd[2J\ufffdü"
    assert said("x" * 1_000) == "x" * 200


async def test_a_sequence_that_began_anew_is_not_passed_over_in_silence(database_url: str) -> None:
    async with world(database_url) as there, saying(message("#new", seq=5), message("#new", seq=6)) as url:
        await standing_at(there, url, 10**12)
        async with there.ingesting(PLYR_RELAY_URLS=url, PLYR_DISCOVERY_URL=there.pds.url) as made:
            await there.until("select status #>> '{upstreams,0,error}' like '%sequence is behind%' from shards")
            # The server may have sent again some of what it had sent: so far that would explain it.
            assert made.upstreams[0].state == "live"
        assert await there.value("select cursor from upstreams") == 10**12


async def test_a_sequence_that_stays_behind_drops_the_connection(database_url: str) -> None:
    frames = [message("#new", seq=seq) for seq in range(1, MAX_REPLAYED + 3)]
    async with world(database_url) as there, saying(*frames) as url:
        await standing_at(there, url, MAX_REPLAYED + 10)
        async with there.ingesting(PLYR_RELAY_URLS=url, PLYR_DISCOVERY_URL=there.pds.url) as made:
            await there.until("select status #>> '{upstreams,0,state}' = 'waiting' from shards")
            await there.until("select status #>> '{upstreams,0,error}' like '%sequence is behind%' from shards")
            assert made.metrics.behind[url] >= 1
        assert await there.value("select cursor from upstreams") == MAX_REPLAYED + 10


async def test_messages_that_are_sent_again_are_no_error(database_url: str) -> None:
    frames = [message("#new", seq=seq) for seq in range(1, MAX_REPLAYED)]
    async with world(database_url) as there, saying(*frames) as url:
        await standing_at(there, url, MAX_REPLAYED - 2)
        async with there.ingesting(PLYR_RELAY_URLS=url, PLYR_DISCOVERY_URL=there.pds.url):
            await there.until(f"select cursor = {MAX_REPLAYED - 1} from upstreams")
            await there.until("select (status #>> '{upstreams,0,last_seq}')::int > 900 from shards")
            assert await there.value("select status #> '{upstreams,0,error}' from shards") is None
