"""What was kept is judged later, whoever kept it, and whatever it is."""

from appview.jobs import rows as jobs
from ingester.room import HELD_SECONDS, STRANGERS
from tests.ingester.world import create, world


async def test_what_cannot_be_read_any_more_is_set_aside_and_the_rest_is_judged(database_url: str) -> None:
    async with world(database_url) as there:
        await there.from_the_start()
        artist = there.pds.create_account("artist")
        artist.write(create(artist, 1))
        async with there.ingesting() as made:
            await there.settled(made)
            for frame in (b"\xff\x00", artist.repo.commit([create(artist, 2)]).frame()):
                await there.connection.execute(
                    "insert into held_frames (did, frame, reason, received_at) values ($1, $2, 'planted', now())",
                    artist.did,
                    frame,
                )
            await jobs.want(there.connection, "drain", [artist.did])
            made.workers["drain"].wake.set()
            await there.settled(made)
        assert len(await there.uris()) == 2
        letter = await there.connection.fetchrow("select upstream, did, reason, frame from dead_letters")
        assert tuple(letter or ()) == ("held", artist.did, "unreadable", b"\xff\x00")


async def test_a_stranger_whose_host_has_been_silent_for_long_is_let_go(database_url: str) -> None:
    did = "did:web:silent.test"
    async with world(database_url) as there, there.ingesting(live=False) as made:
        await there.connection.execute(
            "insert into held_frames (did, frame, reason, received_at) values ($1, '', 'planted', now())", did
        )
        made.effects.keep(did, 1, 1)
        place, since = made.effects.room._at[did]
        assert place == STRANGERS
        made.effects.room._at[did] = place, since - HELD_SECONDS
        await jobs.want(there.connection, "drain", [did])
        made.workers["drain"].wake.set()
        await there.until("select not exists (select from jobs where kind = 'drain')")
        assert await there.value("select count(*) from held_frames") == 0
        assert await there.value("select count(*) from dead_letters") == 0
        assert not made.effects.held
