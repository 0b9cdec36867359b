"""The ingester sees to it that counts arrive behind who was hidden, or shown again, whoever did that."""

from appview.index import actors
from appview.index.lock import index_lock
from appview.index.recount import differences
from tests.ingester.test_account import likes_of, pair
from tests.ingester.world import World, create, like, world
from tests.system.synthetic import Account

DONE = "select not exists (select from shifts) and not exists (select from jobs where kind = 'shift')"


async def take_down(there: World, account: Account, taken_down: bool) -> None:
    """As a command does it, beside the ingester; of the counts, one row at once."""
    async with there.connection.transaction():
        await index_lock(there.connection)
        assert await actors.set_taken_down(there.connection, account.did, taken_down, at_once=1)


async def like_more(there: World, fan: Account, count: int) -> None:
    """So many records of likes, each of a track that is not here."""
    uris = [f"at://did:plc:elsewhere/fm.plyr.track/{n}" for n in range(count)]
    for start in range(0, count, 100):
        fan.write(
            *(create(fan, 100 + start + n, "fm.plyr.like", **like(uri)) for n, uri in enumerate(uris[start:][:100]))
        )


async def test_what_a_command_began_is_done(database_url: str) -> None:
    async with world(database_url) as there:
        _, fan, track = pair(there)
        async with there.ingesting() as made:
            await there.settled(made)
            await take_down(there, fan, True)
            made.workers["shift"].wake.set()
            assert not await there.value("select visible from actors where did = $1", fan.did)
            await there.until(DONE)
            assert await likes_of(there, track) == 0
            await take_down(there, fan, False)
            await there.until(DONE)
            assert await likes_of(there, track) == 1
            assert await differences(there.connection) == []


async def test_what_was_broken_off_goes_on(database_url: str) -> None:
    async with world(database_url) as there:
        artist, fan, track = pair(there)
        await like_more(there, fan, 3000)
        async with there.ingesting() as made:
            await there.settled(made)
            assert await there.value("select n from totals where name = 'like'") == 3001
            await take_down(there, fan, True)
            made.workers["shift"].wake.set()
            await there.until("select count(*) filter (where place > 'like at') = 1 from shifts")
            assert await differences(there.connection) == []
        async with there.ingesting() as made:
            artist.write(create(artist, 2))
            await there.until(DONE)
            await there.settled(made)
        assert await likes_of(there, track) == 0
        assert await there.value("select n from totals where name = 'like'") == 0
        assert await there.value("select n from totals where name = 'track'") == 2
        assert await differences(there.connection) == []
