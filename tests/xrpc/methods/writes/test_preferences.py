"""Preferences: private, whole, of bounded size, and no record, so that no PDS is asked."""

from collections.abc import AsyncIterator
from typing import Final

import pytest

from appview.accounts.forget import forget
from appview.accounts.preferences import MAX_BYTES
from appview.db import Connection
from tests.network.xrpc import Json
from tests.xrpc.client import Client, strict_client
from tests.xrpc.viewer import Viewer

ALICE: Final = "did:plc:alice"
BOB: Final = "did:plc:bob"
SCROBBLING: Final[Json] = {"$type": "fm.plyr.server.defs#scrobblingPref", "enabled": True}
FOREIGN: Final[Json] = {"$type": "org.example.theme", "colour": "blue", "deep": [{"a": {"$bytes": "AAEC"}}, None, 1]}


@pytest.fixture
async def client(database_url: str) -> AsyncIterator[Client]:
    """The application, where people can sign in; those who ask here did at their PDS alone."""
    async with strict_client(database_url, PLYR_SECRET_KEY="of a server that is gone in a minute") as client:
        yield client


async def test_what_somebody_chose_is_theirs_alone(client: Client, connection: Connection) -> None:
    alice = client.signed_in(await Viewer.of(connection, ALICE))
    bob = client.signed_in(await Viewer.of(connection, BOB))
    assert await alice.ask("server.getPreferences") == {"preferences": []}
    for chosen in ([SCROBBLING, FOREIGN], [FOREIGN, FOREIGN], []):
        assert await alice.do("server.putPreferences", preferences=chosen) is None
        assert await alice.ask("server.getPreferences") == {"preferences": chosen}
        assert await bob.ask("server.getPreferences") == {"preferences": []}


async def test_a_preference_says_what_it_is_and_is_that(client: Client, connection: Connection) -> None:
    alice = client.signed_in(await Viewer.of(connection, ALICE))
    for wrong in ([{"enabled": True}], [SCROBBLING | {"enabled": 1}], ["text"], [FOREIGN] * 101, {"a": 1}):
        assert await alice.refused_to_do("server.putPreferences", preferences=wrong) == (400, "InvalidRequest")
    assert await alice.ask("server.getPreferences") == {"preferences": []}


async def test_preferences_are_bounded_and_hold_no_nul(client: Client, connection: Connection) -> None:
    alice = client.signed_in(await Viewer.of(connection, ALICE))
    room = MAX_BYTES - len('[{"$type":"org.example.x","x":""}]')
    fits = [{"$type": "org.example.x", "x": "x" * room}]
    await alice.do("server.putPreferences", preferences=fits)
    for wrong in ("x" * (room + 1), "\0"):
        chosen = [{"$type": "org.example.x", "x": wrong}]
        assert await alice.refused_to_do("server.putPreferences", preferences=chosen) == (400, "InvalidRequest")
    assert await alice.ask("server.getPreferences") == {"preferences": fits}


async def test_nobody_has_none(client: Client) -> None:
    assert await client.refused("server.getPreferences") == (401, "AuthMissing")
    assert await client.refused_to_do("server.putPreferences", preferences=[]) == (401, "AuthMissing")


async def test_preferences_go_with_their_account(client: Client, connection: Connection) -> None:
    for did in (ALICE, BOB):
        caller = client.signed_in(await Viewer.of(connection, did))
        await caller.do("server.putPreferences", preferences=[SCROBBLING])
    await forget(connection, ALICE)
    assert [row["did"] for row in await connection.fetch("select did from preferences")] == [BOB]
