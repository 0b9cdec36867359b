"""The way back from an authorization server: a lie gets nobody in, and no token stays behind."""

import asyncio

import pytest
from aiohttp import web

from appview.accounts.oauth.errors import BadCallback, OAuthError, ServerAway, ServerRefused, Untrusted
from tests.appview.accounts.oauth.server import ALICE, BOB, ISSUER, METADATA, PDS, RESOURCE, World, says

NO_ANSWERS: list[dict[str, str]] = [
    {"state": "other"},
    {"state": ""},
    {"state": "\udc80"},
    {"iss": "https://evil.test"},
    {"iss": f"{ISSUER}/"},
    {"iss": ""},
    {"code": ""},
    {"code": "a b"},
    {"code": "x" * 5000},
    {"error": "access_denied", "iss": "https://evil.test"},
    {"error": "access_denied", "state": "other"},
]


@pytest.mark.parametrize("change", NO_ANSWERS)
async def test_a_callback_that_is_no_answer(world: World, change: dict[str, str]) -> None:
    begun = await world.oauth.begin("alice.test")
    with pytest.raises(BadCallback):
        await world.oauth.complete(begun.secret, world.callback(begun, **change))
    assert "/token" not in world.server.forms


@pytest.mark.parametrize("name", ["state", "iss", "code"])
async def test_a_callback_that_lacks_something(world: World, name: str) -> None:
    begun = await world.oauth.begin("alice.test")
    params = world.callback(begun)
    del params[name]
    with pytest.raises(BadCallback):
        await world.oauth.complete(begun.secret, params)


async def test_an_error_that_is_told(world: World) -> None:
    begun = await world.oauth.begin("alice.test")
    params = world.callback(begun, error="access_denied", error_description="No.\r\n<script>\u202e" + "x" * 999)
    with pytest.raises(ServerRefused) as refused:
        await world.oauth.complete(begun.secret, params)
    assert refused.value.error == "access_denied"
    assert refused.value.description.startswith("No.  <script> xx")
    assert len(refused.value.description) == 300


# What the token endpoint answers


NOT_TAKEN: list[dict[str, object]] = [
    {"sub": BOB},
    {"sub": "did:plc:nobody"},
    {"sub": None},
    {"sub": ["did:plc:a"]},
    {"sub": "alice.test"},
    {"token_type": "Bearer"},
    {"token_type": None},
    {"scope": "openid"},
    {"scope": None},
    {"scope": "atprotox repo:*"},
    {"scope": ""},
]


@pytest.mark.parametrize("change", NOT_TAKEN, ids=str)
async def test_tokens_that_are_not_taken(world: World, change: dict[str, object]) -> None:
    """Bob has an account at the same server, which here says that he is there, though Alice was asked for."""
    world.server.publish(BOB, "bob.test")
    begun = await world.oauth.begin("alice.test")
    world.server.tokens |= change
    with pytest.raises(Untrusted):
        await world.oauth.complete(begun.secret, world.callback(begun))
    assert world.server.revoked == ["refresh-1", "access-1"]


@pytest.mark.parametrize("token", ["", "a\r\nb", "a b", "é", 7, "x" * 9000], ids=repr)
@pytest.mark.parametrize("name", ["access_token", "refresh_token"])
async def test_tokens_that_are_none(world: World, name: str, token: object) -> None:
    begun = await world.oauth.begin("alice.test")
    world.server.tokens[name] = token
    with pytest.raises(Untrusted):
        await world.oauth.complete(begun.secret, world.callback(begun))
    assert world.server.revoked == ["access-1" if name == "refresh_token" else "refresh-1"]


@pytest.mark.parametrize("sub", [BOB, "did:web:bob.test", "did:plc:zzzzzzzzzzzzzzzzzzzzzzzz"])
async def test_a_server_that_answers_for_accounts_of_others(world: World, sub: str) -> None:
    """Where only a server was named, whoever it says is there is asked whose account that is (OA-10, OA-11)."""
    world.server.publish(BOB, "bob.test", "https://evil.test")
    evil = {"resource": "https://evil.test", "authorization_servers": ["https://evil.test"]}

    async def of_host(request: web.Request) -> web.Response:
        return web.json_response(evil if request.host == "evil.test" else world.server.resource)

    async def metadata_of_host(request: web.Request) -> web.Response:
        issuer = f"https://{request.host}"
        return web.json_response({**world.server.metadata, "issuer": issuer})

    begun = await world.oauth.begin(None, server=PDS)
    world.server.said |= {RESOURCE: of_host, METADATA: metadata_of_host}
    world.server.tokens["sub"] = sub
    with pytest.raises(Untrusted, match="answers for"):
        await world.oauth.complete(begun.secret, world.callback(begun))
    assert world.server.revoked == ["refresh-1", "access-1"]


@pytest.mark.parametrize("moved", ["document", "resource"])
async def test_the_account_is_asked_anew(world: World, moved: str) -> None:
    """It moved while its owner was at the old server's page: nothing that is remembered counts."""
    begun = await world.oauth.begin("alice.test")
    if moved == "document":
        world.server.publish(ALICE, "alice.test", "https://evil.test")
    else:
        world.server.resource["authorization_servers"] = ["https://evil.test"]
    with pytest.raises(OAuthError):
        await world.oauth.complete(begun.secret, world.callback(begun))
    assert world.server.revoked == ["refresh-1", "access-1"]


async def test_a_directory_that_is_away_lets_nobody_in(world: World) -> None:
    begun = await world.oauth.begin("alice.test")
    world.server.identities.pages["plc.test", f"/{ALICE}"] = 503
    with pytest.raises(ServerAway):
        await world.oauth.complete(begun.secret, world.callback(begun))
    assert world.server.revoked == ["refresh-1", "access-1"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b" " * 70_000, b'{"token_type": "DPoP"}'], ids=len)
async def test_an_answer_that_is_none(world: World, body: bytes) -> None:
    begun = await world.oauth.begin("alice.test")
    says("/token", body)(world)
    with pytest.raises(Untrusted):
        await world.oauth.complete(begun.secret, world.callback(begun))


async def test_a_code_that_was_used(world: World) -> None:
    begun = await world.oauth.begin("alice.test")
    world.server.said["/token"] = world.server.refuse("invalid_grant")
    with pytest.raises(ServerRefused, match="invalid_grant"):
        await world.oauth.complete(begun.secret, world.callback(begun))


async def test_a_server_that_repeats_what_it_was_sent(world: World) -> None:
    """Its words go to logs and pages; what was sent does not."""
    begun = await world.oauth.begin("alice.test")

    async def repeat(request: web.Request) -> web.Response:
        form = await request.post()
        return world.server.give(
            {"error": "invalid_grant", "error_description": f"no code {form['code_verifier']!s}"}, 400
        )

    world.server.said["/token"] = repeat
    with pytest.raises(ServerRefused, match=r"refuses: status 400$") as refused:
        await world.oauth.complete(begun.secret, world.callback(begun))
    assert refused.value.description == ""


async def test_a_browser_that_leaves_does_not_leave_a_grant_behind(world: World) -> None:
    begun = await world.oauth.begin("alice.test")
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def wait(request: web.Request) -> web.Response:
        reached.set()
        await go_on.wait()
        return world.server.give(world.server.tokens)

    world.server.said["/token"] = wait
    completing = asyncio.create_task(world.oauth.complete(begun.secret, world.callback(begun)))
    await reached.wait()
    completing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await completing
    go_on.set()
    await world.oauth.aclose()
    assert world.server.revoked == ["refresh-1", "access-1"]
