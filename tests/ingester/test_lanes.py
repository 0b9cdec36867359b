"""Order within a repository, none between them, and bounds when something does not answer."""

import asyncio
from datetime import UTC, datetime

from aiohttp import web

import ingester.room
from appview.index.lock import index_lock
from appview.keys import PublicKey
from ingester.lanes import MAX_WAITING
from ingester.sync import Signer
from ingester.writer import MAX_CHANGES
from tests.ingester.world import SECONDS, create, world
from tests.system.synthetic import Server
from tests.writer.keys import P256, SigningKey
from tests.writer.repo import Repo, did_document


async def test_with_a_writer_that_stands_still_reading_stops_and_nothing_is_lost(database_url: str) -> None:
    count = 3_000
    async with world(database_url) as there:
        artists = [there.pds.create_account(f"artist{number}") for number in range(20)]
        async with there.ingesting() as made:
            await there.followed(made)
            async with there.connection.transaction():
                await index_lock(there.connection)
                for number in range(count):
                    artist = artists[number % len(artists)]
                    artist.write(create(artist, number))
                async with asyncio.timeout(SECONDS * 3):
                    while not made.lanes.are_full:
                        await asyncio.sleep(0.01)
                await asyncio.sleep(0.3)
                assert len(made.writer.batch.changes) <= MAX_CHANGES
                assert made.lanes.waiting <= MAX_WAITING + 500
            async with asyncio.timeout(SECONDS * 3):
                while await there.value("select count(*) from tracks") < count:
                    await asyncio.sleep(0.05)
            await there.settled(made)
            assert not {verdict for _, verdict, _ in made.metrics.frames} & {"resync", "invalid"}
        assert await there.value("select sum(tracks) from actor_counts") == count


async def test_while_the_directory_is_down_messages_are_kept_and_others_go_on(database_url: str) -> None:
    async with world(database_url) as there:
        known, new = there.pds.create_account("known"), there.pds.create_account("new")
        async with there.ingesting() as made:
            await there.followed(made)
            known.write(create(known, 1))
            await there.settled(made)
            there.directory.down = True
            for number in range(3):
                new.write(create(new, number))
            known.write(create(known, 2))
            await there.until("select count(*) = 3 from held_frames")
            assert len(await there.uris()) == 2
            there.directory.down = False
            made.signers.purge(new.did)
            await there.connection.execute("update jobs set due_at = now()")
            await there.settled(made)
        assert len(await there.uris()) == 5
        assert await there.value("select count(*) from repos where status = 'synchronized'") == 2


async def test_behind_what_is_kept_all_is_kept_and_judged_in_its_order(database_url: str) -> None:
    async with world(database_url) as there:
        new = there.pds.create_account("new")
        async with there.ingesting() as made:
            await there.followed(made)
            there.directory.down = True
            new.write(create(new, 0))
            await there.until("select error is not null and not leased from jobs where kind = 'drain'")
            await there.connection.execute("update jobs set due_at = now() + interval '1 hour'")
            # From here on nothing is lacking to judge by, and still nothing may overtake the first.
            there.directory.down = False
            assert new.repo.key is not None
            made.signers.preset([(new.did, Signer(PublicKey.from_multikey(new.repo.key.multikey)))])
            new.write(create(new, 1))
            new.write(create(new, 2))
            async with asyncio.timeout(SECONDS):
                while made.streams[there.pds.url].cursor != there.pds.stream.head:
                    await asyncio.sleep(0.01)
            await made.writer.durable()
            assert await there.value("select count(*) from held_frames") == 3
            assert await there.uris() == set()
            await there.connection.execute("update jobs set due_at = now()")
            await there.settled(made)
            counted = made.metrics.frames
            assert (counted["#commit", "ok", "first_commit"], counted["#commit", "ok", "in_chain"]) == (1, 2)
        assert len(await there.uris()) == 3


async def test_strangers_take_their_share_of_the_room_and_leave_the_rest(database_url: str) -> None:
    async with world(database_url) as there:
        known, new = there.pds.create_account("known"), there.pds.create_account("new")
        async with there.ingesting() as made:
            await there.followed(made)
            known.write(create(known, 1))
            await there.settled(made)
            for number in range(ingester.room.MAX_HELD_DIDS // ingester.room.SHARE):
                made.effects.keep(f"did:web:{number}.test", 1, 100)
            there.directory.down = True
            new.write(create(new, 1))
            await there.until("select exists (select from dead_letters where reason = 'no_room')")
            assert await there.value("select count(*) from jobs where kind in ('fetch', 'drain')") == 0
            made.signers.purge(known.did)
            known.write(create(known, 2))
            await there.until("select count(*) = 1 from held_frames")
            there.directory.down = False
            for account in (known, new):
                made.signers.purge(account.did)
            await there.connection.execute("update jobs set due_at = now()")
            # There are more than what was set aside: the next message brings it all.
            new.write(create(new, 2))
            await there.settled(made)
        assert len(await there.uris()) == 4


async def test_a_host_that_is_slow_to_say_who_somebody_is_holds_up_nobody(database_url: str) -> None:
    async with world(database_url) as there, Server() as slow:
        may_answer = asyncio.Event()
        did = f"did:web:localhost%3A{slow.port}"
        stranger = there.pds.create_account("stranger", did=did)
        assert stranger.repo.key is not None
        document = did_document(did, stranger.repo.key.multikey, there.pds.url, stranger.repo.handle)

        async def wait(_: web.Request) -> web.Response:
            await may_answer.wait()
            return web.json_response(document)

        slow.route("/.well-known/did.json", wait)
        await slow.stop()
        await slow.start()
        async with there.ingesting() as made:
            await there.followed(made)
            stranger.write(create(stranger, 1))
            async with asyncio.timeout(5):
                while not made.effects.held[did]:
                    await asyncio.sleep(0.01)
            assert made.lanes.waiting == 0
            may_answer.set()
            await there.settled(made)
        assert len(await there.uris()) == 1


async def test_what_is_kept_of_one_that_cannot_be_fetched_for_long_is_let_go(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        artist.write(create(artist, 0))
        async with there.ingesting() as made:
            await there.settled(made)
            there.pds.refuses = {"com.atproto.sync.getRepo"}
            artist.repo.commit([create(artist, 1)])  # never sent
            for number in range(2, 5):
                artist.write(create(artist, number))
            await there.until("select count(*) = 2 from held_frames")
            place, since = made.effects.room._at[artist.did]
            assert place == there.pds.url
            made.effects.room._at[artist.did] = place, since - ingester.room.HELD_SECONDS
            await there.connection.execute("update jobs set due_at = now()")
            await there.until("select count(*) = 0 from held_frames")
            there.pds.refuses = set()
            await there.connection.execute("update jobs set due_at = now()")
            await there.settled(made)
        assert len(await there.uris()) == 5


async def test_a_commit_between_two_new_keys_is_true(database_url: str) -> None:
    """The log that is in memory ends before it."""
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        async with there.ingesting() as made:
            await there.followed(made)
            artist.write(create(artist, 1))
            await there.settled(made)
            await made.signers._identities.at(artist.did, datetime.now(UTC))
            for name in ("second", "third"):
                there.pds.host.advance()
                artist.repo.key = SigningKey.from_seed(name, P256)
                there.directory.register(artist.repo)
                if name == "second":
                    there.pds.host.advance()
                    event = artist.repo.commit([create(artist, 2)])
            artist.emit(event.frame())
            await there.settled(made)
            assert made.metrics.frames["#commit", "resync", "former_key"] == 1
        assert len(await there.uris()) == 2


async def test_what_was_kept_is_judged_after_a_restart(database_url: str) -> None:
    async with world(database_url) as there:
        new = there.pds.create_account("new")
        async with there.ingesting() as made:
            await there.followed(made)
            there.directory.down = True
            for number in range(3):
                new.write(create(new, number))
            await there.until("select count(*) = 3 from held_frames")
        there.directory.down = False
        async with there.ingesting() as made:
            await there.settled(made)
        assert len(await there.uris()) == 3
        assert await there.value("select count(*) from held_frames") == 0


async def test_a_new_key_is_looked_up_when_the_old_one_fails(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        async with there.ingesting() as made:
            await there.followed(made)
            artist.write(create(artist, 1))
            await there.settled(made)
            # The word of it (#identity) does not reach us.
            artist.repo.key = SigningKey.from_seed("a new key", P256)
            there.directory.register(artist.repo)
            artist.write(create(artist, 2))
            await there.settled(made)
            assert not made.metrics.frames["#commit", "resync", "former_key"]
        assert len(await there.uris()) == 2
        assert await there.value("select count(*) from dead_letters") == 0


async def test_what_comes_behind_a_refused_first_message_makes_nobody_tracked(database_url: str) -> None:
    async with world(database_url) as there:
        stranger = there.pds.create_account("stranger")
        async with there.ingesting() as made:
            await there.followed(made)
            waits = asyncio.Event()

            async def wait() -> None:
                await waits.wait()

            # As long as something is going on with it, each of its messages is looked at.
            waiting = asyncio.create_task(made.lanes.run(stranger.did, wait))
            await asyncio.sleep(0)
            forged = Repo(stranger.did, SigningKey.from_seed("a thief", P256), there.pds.host)
            stranger.emit(forged.commit([create(stranger, 1)]).frame())
            stranger.write(create(stranger, 2, "app.bsky.feed.like"))
            async with asyncio.timeout(SECONDS):
                while made.lanes.waiting < 2:
                    await asyncio.sleep(0.01)
            waits.set()
            await waiting
            await there.settled(made)
            assert made.metrics.frames["#commit", "invalid", "bad_signature"] == 1
            assert made.metrics.frames["#commit", "ok", "first_commit"] == 1
            assert stranger.did not in made.states.tracked
        assert await there.value("select count(*) from repos") == 0


async def test_a_chain_that_broke_is_fetched(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        async with there.ingesting() as made:
            await there.followed(made)
            artist.write(create(artist, 1))
            await there.settled(made)
            artist.repo.commit([create(artist, 2)])  # never sent
            artist.write(create(artist, 3))
            await there.settled(made)
            assert made.metrics.frames["#commit", "resync", "prev_data_breaks_chain"] == 1
        assert len(await there.uris()) == 3
        assert await there.value("select proven_by from repos") == "fetch"


async def test_too_much_kept_is_let_go_and_fetched_once_more(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        artist.write(create(artist, 0))
        async with there.ingesting() as made:
            await there.settled(made)
            there.pds.refuses = {"com.atproto.sync.getRepo"}
            artist.repo.commit([create(artist, 1)])  # never sent
            count = ingester.room.MAX_HELD + 20
            for number in range(count):
                artist.write(create(artist, number + 10))
            await there.until("select reason = 'held_overflow' from repos")
            await there.until("select count(*) < 100 from held_frames")
            there.pds.refuses = set()
            await there.connection.execute("update jobs set due_at = now()")
            await there.settled(made)
        assert len(await there.uris()) == count + 2
        assert await there.value("select tracks from actor_counts") == count + 2
