"""What was kept is judged later, whoever kept it, and whatever it is."""

from appview.jobs import rows as jobs
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
