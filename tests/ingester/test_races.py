"""What may cross a fetch: the end of the account, another fetch, a refusal, the end of the database's connections."""

import asyncio
import time

from aiohttp import web

from appview.db import connect
from appview.index.recount import differences
from appview.jobs import rows as jobs
from ingester.engine import Engine
from tests.ingester.world import SECONDS, World, create, key, world
from tests.system.synthetic import Account
from tests.writer.repo import Write, tid


async def want_fetch(there: World, made: Engine, account: Account) -> None:
    await jobs.want(there.connection, "fetch", [account.did])
    made.workers["fetch"].wake.set()


async def asked(there: World, times: int) -> None:
    async with asyncio.timeout(SECONDS):
        while there.pds.asked.get("com.atproto.sync.getRepo", 0) < times:
            await asyncio.sleep(0.01)


async def test_a_purge_ends_a_fetch_under_way(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        artist.write(*(create(artist, number) for number in range(20)))
        async with there.ingesting() as made:
            await there.settled(made)
            artist.repo.commit([create(artist, number) for number in range(20, 200)])
            times = there.pds.asked["com.atproto.sync.getRepo"]
            there.pds.gate = asyncio.Event()
            await want_fetch(there, made, artist)
            await asked(there, times + 1)
            artist.set_status("deleted")
            await there.until("select count(*) = 0 from records")
            there.pds.gate.set()
            async with asyncio.timeout(SECONDS):
                while made.workers["fetch"].busy:
                    await asyncio.sleep(0.01)
            assert await there.value("select count(*) from records") == 0
            assert await there.value("select count(*) from repos") == 0


async def test_one_repository_is_fetched_once_at_a_time(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        artist.write(*(create(artist, number) for number in range(5)))
        async with there.ingesting() as made:
            await there.settled(made)
            times = there.pds.asked["com.atproto.sync.getRepo"]
            artist.repo.commit([create(artist, 60)])  # never sent
            there.pds.gate = asyncio.Event()
            await want_fetch(there, made, artist)
            await asked(there, times + 1)
            artist.repo.commit([Write("delete", f"fm.plyr.track/{key(artist, 60)}")])
            # Wanted again while it lasts, it is done again afterwards, and not beside it.
            await want_fetch(there, made, artist)
            await asyncio.sleep(0.3)
            assert there.pds.asked["com.atproto.sync.getRepo"] == times + 1
            there.pds.gate.set()
            await asked(there, times + 2)
            await there.settled(made)
            assert await there.uris() == {artist.uri(path.decode()) for path in artist.repo.leaves}


async def test_one_that_was_refused_by_mistake_is_fetched_later(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        artist.write(create(artist, 1))
        async with there.ingesting() as made:
            await there.settled(made)
            there.pds.answers_with = _refuse
            await want_fetch(there, made, artist)
            await there.until("select error is not null from jobs where kind = 'fetch'")
            there.pds.answers_with = bytes
            artist.repo.commit([create(artist, 2)])  # never sent
            await there.connection.execute("update jobs set due_at = now()")
            await there.settled(made)
        assert len(await there.uris()) == 2


async def test_a_rev_of_the_future_is_not_taken_from_an_export(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        artist.write(create(artist, 1))
        async with there.ingesting() as made:
            await there.settled(made)
            rev = await there.value("select rev from repos")
            artist.repo.commit([create(artist, 2)], rev=tid(time.time_ns() // 1_000 + 10**15))
            await want_fetch(there, made, artist)
            await there.until("select error like '%ahead%' from jobs where kind = 'fetch'")
            assert await there.value("select rev from repos") == rev


async def test_one_who_was_never_seen_and_says_too_much_is_counted_right(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        async with there.ingesting() as made:
            await there.followed(made)
            there.directory.down = True
            for number in range(1_005):
                artist.write(create(artist, number))
            await there.until("select note = 'held_overflow' from jobs where kind = 'fetch'")
            there.directory.down = False
            async with asyncio.timeout(SECONDS):
                while not await there.value("select exists (select from repos where status = 'synchronized')"):
                    # What was found out while it was down is remembered for a while.
                    made.signers.purge(artist.did)
                    await there.connection.execute("update jobs set due_at = now()")
                    made.workers["fetch"].wake.set()
                    await asyncio.sleep(0.1)
            await there.settled(made)
            artist.write(create(artist, 2_000))
            await there.settled(made)
        assert await differences(there.connection) == []
        assert await there.value("select tracks from actor_counts") == 1_006


async def test_a_did_that_nobody_has_is_not_asked_for_ever(database_url: str) -> None:
    async with world(database_url) as there:
        async with there.ingesting() as made:
            await there.followed(made)
            await jobs.want(there.connection, "fetch", ["did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"])
            made.workers["fetch"].wake.set()
            await there.until("select count(*) = 0 from jobs where kind = 'fetch'")
        assert await there.value("select count(*) from repos") == 0
        assert await there.value("select count(*) from actors") == 0


async def test_sessions_that_are_cut_again_and_again_lose_nothing(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        artist.write(create(artist, 1))
        async with there.ingesting() as made:
            await there.settled(made)
            for number in range(5):
                other = there.pds.create_account(f"other{number}")
                other.write(create(other, 1))
                await want_fetch(there, made, artist)
                await there.connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and pid <> pg_backend_pid()"
                )
                await asyncio.sleep(0.1)
            await there.settled(made)
        assert len(await there.uris()) == 6
        assert await differences(there.connection) == []


async def test_a_session_that_the_server_believes_in_still_is_no_other_ingester(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        async with there.ingesting() as made:
            await there.followed(made)
            artist.write(create(artist, 1))
            await there.settled(made)
            # What a cut cable leaves behind: the old session, which nobody talks to.
            leadership = made.writer.leadership
            ghost, leadership._connection = leadership._connection, await connect(there.url)
            await leadership.connection.close()
            artist.write(create(artist, 2))
            await there.settled(made)
            assert ghost is not None
            ghost.terminate()
        assert len(await there.uris()) == 2


def _refuse(_car: bytes) -> bytes:
    raise web.HTTPBadRequest(text='{"error": "RepoDeactivated"}', content_type="application/json")
