"""Following one upstream: where it goes on, what it does not take, and what it says of itself."""

import asyncio
from dataclasses import replace

from tests.ingester.world import SECONDS, create, world
from tests.writer.cbor import encode


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


async def test_a_message_that_is_no_frame_drops_the_connection_and_is_met_again(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        async with there.ingesting() as made:
            await there.followed(made)
            artist.write(create(artist, 1))
            await there.settled(made)
            there.pds.stream.append(there.pds.host.next_seq(), b"\xff\xff")
            artist.write(create(artist, 2))
            await there.until("select status #>> '{upstreams,0,error}' like '%DRISL%' from shards")
            assert len(await there.uris()) == 1
            # Nothing behind it is taken on trust; once the server is mended, all of it comes.
            there.pds.stream.frames[-2] = encode({"op": 1, "t": "#new"}) + encode({"seq": there.pds.stream.seqs[-2]})
            await there.settled(made)
        assert len(await there.uris()) == 2


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
