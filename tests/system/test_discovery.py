"""What was there before us, and a network that cannot be reached."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.network import records
from tests.system.oracle import audit
from tests.system.relay import Relay
from tests.system.settled import is_found, is_settled
from tests.system.synthetic import Account, Directory, Pds
from tests.system.world import Client, running
from tests.writer.repo import Write, tid

ACCOUNTS = 30
WITH_MUSIC = 10


@pytest.fixture
async def directory() -> AsyncIterator[Directory]:
    async with Directory() as directory:
        yield directory


def song(number: int) -> str:
    return f"{records.TRACK}/{tid(1_750_000_000_000_000 + number)}"


def populate(*pdses: Pds) -> list[Account]:
    """Accounts of which every third has music, the more the later it came; those, in order."""
    accounts = []
    for number in range(ACCOUNTS):
        account = pdses[number % len(pdses)].create_account(f"user{number}")
        named = {"$type": "app.bsky.actor.profile", "displayName": f"User {number}"}
        account.write(Write("create", "app.bsky.actor.profile/self", named))
        if number % 3 == 0:
            account.write(*(Write("create", song(n), records.track(f"Song {n}")) for n in range(number + 1)))
            accounts.append(account)
    return accounts


async def test_what_was_there_is_found_by_collection_through_a_relay(
    directory: Directory, database_url: str, tmp_path: Path
) -> None:
    async with Pds(directory, "pds1") as one, Pds(directory, "pds2") as two:
        populate(one, two)
        async with (
            Relay(one.url, two.url) as relay,
            running(tmp_path, database_url, plc_url=directory.url, relay_urls=relay.url) as system,
        ):
            before = dict(one.asked)
            system.ingester.start()
            await system.until(lambda: is_found(database_url, WITH_MUSIC), "what was there is here")
            assert relay.asked["com.atproto.sync.listReposByCollection"] >= 6
            assert one.asked["com.atproto.sync.getRepo"] + two.asked["com.atproto.sync.getRepo"] == WITH_MUSIC
            assert one.asked["com.atproto.sync.listRepos"] == before["com.atproto.sync.listRepos"]
            assert await audit(directory.url, [one.url, two.url], database_url) == []


async def test_what_was_there_is_found_repository_by_repository_on_a_pds(
    directory: Directory, database_url: str, tmp_path: Path
) -> None:
    async with Pds(directory, "pds1") as pds:
        accounts = populate(pds)
        async with running(tmp_path, database_url, plc_url=directory.url, relay_urls=pds.url) as system:
            system.ingester.start()
            await system.until(lambda: is_found(database_url, WITH_MUSIC), "what was there is here")
            assert pds.asked["com.atproto.repo.describeRepo"] == ACCOUNTS
            assert pds.asked["com.atproto.sync.getRepo"] == WITH_MUSIC
            assert await audit(directory.url, [pds.url], database_url) == []

            # What comes later comes live, of those found and of those that had none.
            before = pds.asked["com.atproto.sync.getRepo"]
            accounts[0].write(Write("delete", song(0)), Write("create", song(100), records.track("New")))
            pds.create_account("late").write(Write("create", song(0), records.track("Late")))
            await system.until(lambda: is_settled(database_url, {pds.url: pds.stream.head}), "what is new is here")
            assert pds.asked["com.atproto.sync.getRepo"] == before
            assert await audit(directory.url, [pds.url], database_url) == []


async def test_without_a_relay_it_serves_what_it_has_and_says_what_it_waits_for(
    directory: Directory, database_url: str, tmp_path: Path
) -> None:
    async with Pds(directory, "pds1") as pds:
        account, upstream = populate(pds)[0], pds.url
        async with running(tmp_path, database_url, plc_url=directory.url, relay_urls=pds.url) as system:
            system.ingester.start()
            await system.until(lambda: is_found(database_url, WITH_MUSIC), "what was there is here")
            assert await system.ingester.stop() == 0
    async with (
        aiohttp.ClientSession() as session,
        running(tmp_path, database_url, plc_url=directory.url, relay_urls=upstream) as system,
    ):
        client = Client(session, system.url)
        system.ingester.start()
        system.web.start()

        async def waits() -> bool:
            status, body = await client.get("/ready")
            return status == 503 and any(upstream in reason for reason in body["reasons"])

        await system.until(waits, "/ready names the upstream that is waited for")
        (track,) = (await client.ask("feed.getActorTracks", actor=account.did))["tracks"]
        assert track["uri"] == account.uri(song(0))
        assert (await client.get("/xrpc/_health"))[0] == 200
        assert (await client.get("/"))[0] == 200
        assert system.ingester.is_running
