"""Finding the repositories that were there before us."""

import asyncio

from tests.ingester.world import SECONDS, World, create, world
from tests.system.synthetic import Account, Pds


def people(there: World, count: int) -> list[Account]:
    """Accounts of which every second one has a track."""
    accounts = [there.pds.create_account(f"someone{number}") for number in range(count)]
    for account in accounts[::2]:
        account.write(create(account, 1))
    return accounts


async def test_each_with_records_of_ours_is_found_by_describing_all(database_url: str) -> None:
    async with world(database_url) as there:
        accounts = people(there, 30)
        async with there.ingesting() as made:
            await there.settled(made)
        assert {row["did"] for row in await there.connection.fetch("select did from repos")} == {
            account.did for account in accounts[::2]
        }
        assert len(await there.uris()) == 15
        assert await there.value("select count(*) from discoveries") == 1


async def test_a_host_that_lists_by_collection_is_asked_nothing_else(database_url: str) -> None:
    async with world(database_url) as there, Pds(there.directory, "pds2", by_collection=True) as other:
        there.pds = other
        people(there, 10)
        async with there.ingesting() as made:
            await there.settled(made)
        assert len(await there.uris()) == 5
        assert "describeRepo" not in " ".join(other.asked)
        assert await there.value("select sum(found) from discoveries") == 5


async def test_one_that_is_known_is_not_fetched_again(database_url: str) -> None:
    async with world(database_url) as there:
        people(there, 6)
        async with there.ingesting() as made:
            await there.settled(made)
        before = there.pds.asked["com.atproto.sync.getRepo"]
        await there.connection.execute("update discoveries set finished_at = null")
        async with there.ingesting() as made:
            await there.settled(made)
            await there.until("select bool_and(finished_at is not null) from discoveries")
        assert there.pds.asked["com.atproto.sync.getRepo"] == before


async def test_it_goes_on_where_it_was_broken_off(database_url: str) -> None:
    async with world(database_url) as there:
        accounts = sorted(people(there, 12), key=lambda account: account.did)
        await there.connection.execute(
            "insert into discoveries (source, collection, cursor, found) values ($1, '', $2, 0)",
            there.pds.url,
            accounts[5].did,
        )
        await there.connection.execute(
            "insert into upstreams values ('0/1', $1, $2)", there.pds.url, there.pds.stream.head
        )
        async with there.ingesting() as made:
            await made.discovery._all_pages(there.pds.url, "")
            await there.settled(made)
        found = {row["did"] for row in await there.connection.fetch("select did from repos")}
        assert found == {account.did for account in accounts[6:] if account.repo.leaves}


async def test_a_host_that_is_down_is_asked_again_later(database_url: str) -> None:
    async with world(database_url) as there:
        people(there, 4)
        there.pds.down = True
        async with there.ingesting(live=False) as made:
            asking = asyncio.create_task(made.discovery.run(there.pds.url))
            async with asyncio.timeout(SECONDS):
                while not there.pds.asked:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            assert not asking.done()
            asking.cancel()
        assert await there.value("select count(*) from repos") == 0
