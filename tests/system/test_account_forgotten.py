"""An account that has itself forgotten, with all that it wrote, while everything that has a part in it is killed."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from appview import db
from appview.db import Connection
from tests.database import Server
from tests.network import records
from tests.network.launch import Addresses
from tests.network.network import Network
from tests.network.pds import User
from tests.network.repo import Written, create
from tests.system.pages import visiting
from tests.system.places import Place, place
from tests.system.stage import Stage, staged

LIKES = 450
"""Of which a hundred are deleted at a time."""


@pytest.fixture(scope="module")
def here(network_addresses: Addresses, database_server: Server) -> Iterator[Place]:
    with place(network_addresses, database_server) as here:
        yield here


@pytest.fixture
async def stage(here: Place, network: Network) -> AsyncIterator[Stage]:
    async with staged(here.system, network) as stage:
        yield stage


@pytest.fixture
async def connection(here: Place) -> AsyncIterator[Connection]:
    connection = await db.connect(here.system.database_url)
    yield connection
    await connection.close()


async def a_fan(stage: Stage) -> tuple[User, Written]:
    """One with a profile and many likes of one track, which is somebody else's."""
    artist, fan = await stage.network.create_account("artist"), await stage.network.create_account("fan")
    track = await artist.create_record(records.TRACK, records.track())
    await fan.create_record(records.PROFILE, records.profile(), "self")
    for start in range(0, LIKES, 150):
        likes = [create(records.LIKE, records.like(track)) for _ in range(start, start + 150)]
        await fan.apply_writes(*likes)
    await stage.settle()
    return fan, track


async def collections_of(user: User) -> set[str]:
    described = await user.pds.query("com.atproto.repo.describeRepo", repo=user.did)
    return set(described["collections"])


async def state(connection: Connection, did: str) -> str | None:
    found: str | None = await connection.fetchval("select state from erasures where did = $1", did)
    return found


async def test_who_wants_to_be_forgotten_is_whatever_dies_meanwhile(
    here: Place, stage: Stage, connection: Connection
) -> None:
    fan, track = await a_fan(stage)
    system = here.system
    async with visiting(here.origin) as pages:
        await pages.sign_in(fan)
        assert await stage.likers(track.uri) == [fan.did]
        await pages.send("/account/delete", "/account/delete", confirmation=fan.handle, records="1")
        for child in (system.worker, system.ingester, system.worker):
            before = await connection.fetchval("select deleted from erasures where did = $1", fan.did)
            await _until_more(connection, fan, before)
            child.kill()
            child.start()
        # A grant whose worker was killed is somebody else's in a while; nobody here waits for that.
        await _hurry(connection)

        async def is_done() -> bool:
            await _hurry(connection)
            return await state(connection, fan.did) == "done"

        await system.until(is_done, "all of it is forgotten")
        assert await pages.who() == []
    assert await collections_of(fan) == set()
    assert await stage.likers(track.uri) == []
    assert await stage.refusal("actor.getProfile", actor=fan.did) == "NotFound"
    for table in (
        "records",
        "repos",
        "actors",
        "grants",
        "browser_accounts",
        "pending",
        "write_intents",
        "preferences",
    ):
        assert await connection.fetchval(f"select count(*) from {table} where did = $1", fan.did) == 0, table
    assert await connection.fetchval("select count(*) from jobs where subject = $1", fan.did) == 0


async def test_who_comes_back_is_welcome(here: Place, stage: Stage, connection: Connection) -> None:
    fan, track = await a_fan(stage)
    async with visiting(here.origin) as pages:
        await pages.sign_in(fan)
        await pages.send("/account/delete", "/account/delete", confirmation=fan.handle)

        async def is_done() -> bool:
            return await state(connection, fan.did) == "done"

        await here.system.until(is_done, "all of it is forgotten")
    assert await collections_of(fan) == {records.LIKE, records.PROFILE}
    assert await stage.likers(track.uri) == []
    async with visiting(here.origin) as pages:
        await pages.sign_in(fan)

        async def is_back() -> bool:
            return await stage.likers(track.uri) == [fan.did]

        await here.system.until(is_back, "all that it wrote is here again")
        assert await pages.who() == [fan.did]
    assert await state(connection, fan.did) is None


async def _until_more(connection: Connection, fan: User, deleted: int) -> None:
    """Wait until more was deleted, or all."""
    while (
        await state(connection, fan.did) == "deleting"
        and await connection.fetchval("select deleted from erasures where did = $1", fan.did) <= deleted
    ):
        await _hurry(connection)
        await asyncio.sleep(0.02)


async def _hurry(connection: Connection) -> None:
    """Have what a killed worker had in hand taken by the next at once, and not when its lease is over."""
    await connection.execute(
        "update jobs set due_at = now(), leased = false where kind in ('erasure', 'revocation') and error is null"
        " and due_at > now() + interval '5 s' and due_at < now() + interval '175 s'"
    )
