"""Refreshing and revoking a grant, at servers that are upright, away, slow, or no longer the account's."""

import asyncio
from dataclasses import replace

import pytest
from aiohttp import web

from appview.accounts.oauth import Granted
from appview.accounts.oauth.errors import GrantEnded, ServerAway, ServerRefused
from tests.appview.accounts.oauth.server import ALICE, BOB, METADATA, RESOURCE, World


@pytest.fixture
async def granted(world: World) -> Granted:
    begun = await world.oauth.begin("alice.test")
    return await world.oauth.complete(begun.secret, world.callback(begun))


async def test_new_tokens(world: World, granted: Granted) -> None:
    world.server.tokens |= {"access_token": "access-2", "refresh_token": "refresh-2", "scope": "atproto"}
    world.now += 100
    new = await world.oauth.refresh(granted)
    assert new.expires_at is not None
    assert new.expires_at.timestamp() == world.now + 3600
    assert new == replace(
        granted, access_token="access-2", refresh_token="refresh-2", scope="atproto", expires_at=new.expires_at
    )
    form = world.server.forms["/token"][-1]
    assert (form["grant_type"], form["refresh_token"]) == ("refresh_token", "refresh-1")
    assert Granted.from_secret(new.as_secret()) == new


async def test_what_a_server_leaves_out_stays_as_it_was(world: World, granted: Granted) -> None:
    for name in ("refresh_token", "scope", "expires_in"):
        del world.server.tokens[name]
    new = await world.oauth.refresh(granted)
    assert (new.refresh_token, new.scope, new.expires_at) == ("refresh-1", granted.scope, None)


@pytest.mark.parametrize("life", [-1, 10**30, 1.5, True, "3600", None])
async def test_a_life_that_is_none(world: World, granted: Granted, life: object) -> None:
    world.server.tokens["expires_in"] = life
    assert (await world.oauth.refresh(granted)).expires_at is None


async def test_a_grant_that_cannot_be_refreshed(world: World, granted: Granted) -> None:
    with pytest.raises(GrantEnded):
        await world.oauth.refresh(replace(granted, refresh_token=None))
    assert len(world.server.forms["/token"]) == 1


async def test_what_the_server_says_of_the_grant(world: World, granted: Granted) -> None:
    world.server.said["/token"] = world.server.refuse("invalid_grant")
    with pytest.raises(GrantEnded):
        await world.oauth.refresh(granted)
    world.server.said["/token"] = world.server.refuse("invalid_client")
    with pytest.raises(ServerRefused, match="invalid_client"):
        await world.oauth.refresh(granted)
    world.server.said["/token"] = world.server.refuse("server_error", 500)
    with pytest.raises(ServerAway):
        await world.oauth.refresh(granted)


@pytest.mark.parametrize(
    "change",
    [{"sub": BOB}, {"token_type": "Bearer"}, {"scope": "openid"}, {"scope": f"atproto {'x ' * 4_093}"}],
    ids=lambda change: str(change)[:30],
)
async def test_new_tokens_that_are_not_taken(world: World, granted: Granted, change: dict[str, object]) -> None:
    """The old ones are used up by then: the grant is over, and nothing of it stays."""
    world.server.publish(BOB, "bob.test")
    world.server.tokens |= {"access_token": "access-2", "refresh_token": "refresh-2", **change}
    with pytest.raises(GrantEnded):
        await world.oauth.refresh(granted)
    assert world.server.revoked == ["refresh-2", "access-2"]


async def test_an_account_at_another_server(world: World, granted: Granted) -> None:
    """Another PDS of the same server is no matter; another server is the end (OA-56), and is told no token."""
    world.server.publish(ALICE, "alice.test", "https://evil.test")

    async def resource(request: web.Request) -> web.Response:
        return web.json_response({**world.server.resource, "resource": f"https://{request.host}"})

    world.server.said[RESOURCE] = resource
    world.now += 600
    oauth = world.client("http://localhost:8080")
    world.identities.purge(ALICE)
    assert (await oauth.refresh(granted)).pds == "https://evil.test"

    world.now += 600
    asked = len(world.server.forms["/token"])
    world.server.resource["authorization_servers"] = ["https://evil.test"]

    async def metadata(request: web.Request) -> web.Response:
        return web.json_response({**world.server.metadata, "issuer": f"https://{request.host}"})

    world.server.said[METADATA] = metadata
    with pytest.raises(GrantEnded, match="has moved"):
        await oauth.refresh(granted)
    assert len(world.server.forms["/token"]) == asked


async def test_a_directory_that_is_away_keeps_nobody_from_the_server(world: World, granted: Granted) -> None:
    world.server.identities.pages["plc.test", f"/{ALICE}"] = 503
    assert (await world.oauth.refresh(granted)).access_token == "access-1"


async def test_a_reply_that_is_waited_for(world: World, granted: Granted) -> None:
    """Longer than other answers, which are given up after a second here (OA-53)."""

    async def slowly(request: web.Request) -> web.Response:
        await asyncio.sleep(2.5)
        return world.server.give(world.server.tokens)

    world.server.said["/token"] = slowly
    assert (await world.oauth.refresh(granted)).access_token == "access-1"


async def test_a_caller_that_leaves_does_not_stop_a_refresh(world: World, granted: Granted) -> None:
    reached, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def wait(request: web.Request) -> web.Response:
        reached.set()
        await go_on.wait()
        done.set()
        return world.server.give({**world.server.tokens, "access_token": "access-2", "refresh_token": "refresh-2"})

    world.server.said["/token"] = wait
    refreshing = asyncio.create_task(world.oauth.refresh(granted))
    await reached.wait()
    refreshing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await refreshing
    go_on.set()
    await asyncio.wait_for(world.oauth.aclose(), 5)
    assert done.is_set()
    assert world.server.revoked == ["refresh-2", "access-2"]


# Revoking


async def test_both_tokens_are_revoked(world: World, granted: Granted) -> None:
    await world.oauth.revoke(granted)
    assert world.server.revoked == ["refresh-1", "access-1"]


async def test_a_server_that_cannot_revoke(world: World, granted: Granted) -> None:
    del world.server.metadata["revocation_endpoint"]
    oauth = world.client("http://localhost:8080")
    await oauth.revoke(granted)
    assert world.server.revoked == []


async def test_a_server_that_is_away_when_a_grant_ends(world: World, granted: Granted) -> None:
    world.server.said["/revoke"] = world.server.refuse("server_error", 503)
    with pytest.raises(ServerAway):
        await world.oauth.revoke(granted)
    assert world.server.asked.count(("auth.test", "/revoke")) == 2  # one token may get through where another does not


async def test_a_grant_that_began_as_a_confidential_client_and_its_key_is_gone(world: World, granted: Granted) -> None:
    other = replace(granted, key_id="gone", client_id="https://plyr.test/oauth/client-metadata.json")
    for use in (world.oauth.refresh, world.oauth.revoke):
        with pytest.raises(GrantEnded, match="key"):
            await use(other)
