"""`backfill` and `resync`: what they wait for, and what they say when nobody does the work any more."""

import asyncio

import pytest

from appview import db
from appview.commands import CommandError
from appview.jobs import rows as jobs
from ingester.commands import backfill
from ingester.leader import leaders
from tests.ingester.world import SECONDS, config, create, world

NOBODY = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"


async def test_all_that_is_there_is_fetched_and_the_command_ends(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with world(database_url) as there:
        for number in range(4):
            account = there.pds.create_account(f"someone{number}")
            account.write(create(account, 1))
        code = await asyncio.wait_for(
            backfill._backfill(config(there.directory, there.pds), there.url, [], []), SECONDS
        )
        assert code == 0
        assert len(await there.uris()) == 4
        assert not await leaders(there.connection)
    assert "4 repositories fetched" in capsys.readouterr().err


async def test_the_running_ingester_does_the_work(database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with world(database_url) as there:
        account = there.pds.create_account("artist")
        async with there.ingesting() as made:
            await there.settled(made)
            account.repo.commit([create(account, 1)])
            code = await asyncio.wait_for(
                backfill._resync(config(there.directory, there.pds), there.url, [account.did]), SECONDS
            )
        assert code == 0
        assert len(await there.uris()) == 1
    assert f"{account.did} fetched at" in capsys.readouterr().out


async def test_one_that_cannot_be_fetched_yet_is_not_waited_for(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with world(database_url) as there:
        account = there.pds.create_account("artist")
        there.pds.refuses.add("com.atproto.sync.getRepo")
        code = await asyncio.wait_for(
            backfill._resync(config(there.directory, there.pds), there.url, [account.did]), SECONDS
        )
        assert code == 1
    assert "503" in capsys.readouterr().out


async def test_when_its_ingester_ends_so_does_the_command_and_says_why(database_url: str) -> None:
    async with world(database_url) as there:
        pool = await db.create_pool(there.url, size=2)
        async with pool:
            await jobs.want(there.connection, "fetch", [NOBODY], delay=3600.0)
            fetching = asyncio.create_task(
                backfill._until_fetched(config(there.directory, there.pds), there.url, pool, [])
            )
            async with asyncio.timeout(SECONDS):
                while not await leaders(there.connection):
                    await asyncio.sleep(0.01)
            await there.until("select true from shards")
            await there.connection.execute("update shards set epoch = epoch + 1")
            with pytest.raises(CommandError, match="taken over"):
                await asyncio.wait_for(fetching, SECONDS)
        assert not await leaders(there.connection)


async def test_when_the_running_ingester_ends_so_does_the_command(database_url: str) -> None:
    async with world(database_url) as there:
        pool = await db.create_pool(there.url, size=2)
        async with pool:
            async with there.ingesting(live=False):
                await jobs.want(there.connection, "fetch", [NOBODY], delay=3600.0)
                fetching = asyncio.create_task(
                    backfill._until_fetched(config(there.directory, there.pds), there.url, pool, [NOBODY])
                )
                await asyncio.sleep(0.3)
                assert not fetching.done()
            with pytest.raises(CommandError, match="has ended"):
                await asyncio.wait_for(fetching, SECONDS)


async def test_a_source_that_cannot_be_asked_is_named_in_a_sentence(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with world(database_url) as there:
        there.pds.down = True
        source = there.pds.url
        with pytest.raises(CommandError, match="no source"):
            await asyncio.wait_for(backfill._backfill(config(there.directory, there.pds), there.url, [], []), SECONDS)
    assert f"{source} cannot be asked: " in capsys.readouterr().err
