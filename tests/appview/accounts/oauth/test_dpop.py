"""Requests with proofs: what is in them, which nonce, and how often a server may ask for another."""

from collections.abc import AsyncIterator
from contextlib import nullcontext

import orjson
import pytest
from aiohttp import web

from appview.accounts.oauth import Granted
from appview.accounts.oauth.dpop import Nonces
from appview.accounts.oauth.errors import ServerRefused, TokenExpired
from appview.accounts.oauth.keys import ProofKey
from appview.net.bodies import WrongLength
from appview.net.errors import BadStatus, Refused
from tests.appview.accounts.oauth.server import PDS, World

METHOD = f"{PDS}/xrpc/fm.plyr.test.method"


@pytest.fixture
async def granted(world: World) -> Granted:
    begun = await world.oauth.begin("alice.test")
    granted = await world.oauth.complete(begun.secret, world.callback(begun))
    world.server.proofs.clear()
    return granted


async def test_a_request_and_its_proof(world: World, granted: Granted) -> None:
    """The server checks the rest: signature, method, URL without its query, and that the token is bound in."""
    answer = await world.oauth.request(granted, "GET", f"{METHOD}?a=b&c=%20d", headers={"atproto-accept-labelers": "x"})
    assert orjson.loads(answer.body) == {"size": 0, "query": "a=b&c=%20d"}
    assert [proof.get("nonce") for proof in world.server.proofs] == [None, world.server.nonce]
    assert {proof["iat"] for proof in world.server.proofs} == {int(world.now)}
    answer = await world.oauth.request(granted, "POST", METHOD, body=b"12345")
    assert orjson.loads(answer.body)["size"] == 5


async def test_nonces_are_taken_from_every_answer(world: World, granted: Granted) -> None:
    """So a second request needs no second try, whatever became of the first (OA-33)."""
    await world.oauth.request(granted, "GET", METHOD)

    async def rotate(request: web.Request) -> web.Response:
        world.server.rotate()
        return world.server.give({}, status=int(request.query["status"]))

    for status in (200, 400, 500):
        world.server.said["/xrpc/rotate"] = rotate
        with nullcontext() if status == 200 else pytest.raises(BadStatus, match=str(status)):
            await world.oauth.request(granted, "GET", f"{PDS}/xrpc/rotate?status={status}")
        asked = len(world.server.asked)
        await world.oauth.request(granted, "GET", METHOD)
        assert len(world.server.asked) == asked + 1


async def test_a_nonce_belongs_to_one_server_and_one_key(world: World, granted: Granted) -> None:
    await world.oauth.request(granted, "GET", METHOD)
    begun = await world.oauth.begin("alice.test")
    other = await world.oauth.complete(begun.secret, world.callback(begun))
    world.server.proofs.clear()
    await world.oauth.request(other, "GET", METHOD)
    assert [proof.get("nonce") for proof in world.server.proofs] == [None, world.server.nonce]


async def test_a_pds_that_never_has_enough_of_nonces(world: World, granted: Granted) -> None:
    async def again(request: web.Request) -> web.Response:
        world.server.rotate()
        return world.server.give({"error": "use_dpop_nonce"}, 401)

    world.server.said["/xrpc/again"] = again
    with pytest.raises(BadStatus):
        await world.oauth.request(granted, "GET", f"{PDS}/xrpc/again")
    assert world.server.asked.count(("pds.test", "/xrpc/again")) == 2


async def test_a_nonce_that_is_asked_for_and_was_sent(world: World, granted: Granted) -> None:
    await world.oauth.request(granted, "GET", METHOD)
    world.server.said["/xrpc/again"] = world.server.refuse("use_dpop_nonce", 401)
    with pytest.raises(BadStatus):
        await world.oauth.request(granted, "GET", f"{PDS}/xrpc/again")
    assert world.server.asked.count(("pds.test", "/xrpc/again")) == 1


async def test_an_authorization_server_that_never_has_enough_of_nonces(world: World) -> None:
    async def again(request: web.Request) -> web.Response:
        world.server.rotate()
        return world.server.give({"error": "use_dpop_nonce"}, 400)

    world.server.said["/par"] = again
    with pytest.raises(ServerRefused, match="use_dpop_nonce"):
        await world.oauth.begin("alice.test")
    assert world.server.asked.count(("auth.test", "/par")) == 2


@pytest.mark.parametrize("nonce", ["", "a b", "é", "x" * 513, None])
async def test_a_nonce_that_is_none(world: World, granted: Granted, nonce: str | None) -> None:
    async def say(request: web.Request) -> web.Response:
        headers = {"WWW-Authenticate": 'DPoP error="use_dpop_nonce"'}
        return web.json_response({}, status=401, headers=headers if nonce is None else {**headers, "DPoP-Nonce": nonce})

    world.server.said["/xrpc/again"] = say
    with pytest.raises(BadStatus):
        await world.oauth.request(granted, "GET", f"{PDS}/xrpc/again")
    assert world.server.asked.count(("pds.test", "/xrpc/again")) == 1


@pytest.mark.parametrize(
    ("status", "header", "error"),
    [
        (401, 'DPoP error="invalid_token", error_description="Token expired"', ""),
        (401, 'Bearer, DPoP algs="ES256", error="invalid_token"', ""),
        (401, "", "invalid_token"),
        (401, "", "InvalidToken"),
        (400, "", "ExpiredToken"),
    ],
)
async def test_a_token_that_is_not_taken_any_more(
    world: World, granted: Granted, status: int, header: str, error: str
) -> None:
    async def say(request: web.Request) -> web.Response:
        return world.server.give({"error": error}, status, **({"WWW-Authenticate": header} if header else {}))

    world.server.said["/xrpc/expired"] = say
    with pytest.raises(TokenExpired):
        await world.oauth.request(granted, "GET", f"{PDS}/xrpc/expired")


@pytest.mark.parametrize(
    ("status", "error"), [(401, "AccountTakedown"), (403, "ScopeMissingError"), (400, "InvalidToken")]
)
async def test_a_refusal_that_is_about_something_else(world: World, granted: Granted, status: int, error: str) -> None:
    async def say(request: web.Request) -> web.Response:
        return world.server.give({"error": error}, status)

    world.server.said["/xrpc/refused"] = say
    with pytest.raises(BadStatus):
        await world.oauth.request(granted, "POST", f"{PDS}/xrpc/refused", body=b"{}")


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.test/xrpc/a",
        "http://pds.test/xrpc/a",
        "https://pds.test:8443/xrpc/a",
        "https://pds.test.evil.test/",
    ],
)
async def test_a_token_goes_to_its_own_pds_alone(world: World, granted: Granted, url: str) -> None:
    with pytest.raises(ValueError, match="its PDS alone"):
        await world.oauth.request(granted, "GET", url)
    with pytest.raises(Refused):
        await world.oauth.request(granted, "GET", "https://pds.test/\r\nHost: evil.test")
    assert world.server.proofs == []


async def test_a_pds_that_redirects_gets_no_token_elsewhere(world: World, granted: Granted) -> None:
    async def away(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "https://evil.test/xrpc/a"})

    world.server.said["/xrpc/away"] = away
    for method in ("GET", "POST"):
        with pytest.raises((BadStatus, Refused)):
            await world.oauth.request(granted, method, f"{PDS}/xrpc/away")
    assert all(host != "evil.test" for host, _ in world.server.asked)


# Bodies in chunks


async def test_a_body_is_made_anew_for_another_try(world: World, granted: Granted) -> None:
    made = []

    async def chunks() -> AsyncIterator[bytes]:
        made.append(1)
        for _ in range(20):
            yield b"x" * 10_000

    answer = await world.oauth.request(granted, "POST", METHOD, body=chunks, length=200_000, wait=10.0)
    assert orjson.loads(answer.body)["size"] == 200_000
    assert len(made) == 2


async def test_a_body_of_another_length_is_not_sent_as_if_it_had_it(world: World, granted: Granted) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"x" * 10

    await world.oauth.request(granted, "GET", METHOD)
    for length in (9, 11):
        with pytest.raises(WrongLength):
            await world.oauth.request(granted, "POST", METHOD, body=chunks, length=length)


# Nonces in memory


def test_nonces_in_bounded_memory() -> None:
    nonces = Nonces(size=2)
    for n in range(3):
        nonces.learn(f"https://{n}.test", "key", {"DPoP-Nonce": str(n)})
    assert len(nonces) == 2
    assert [nonces.get(f"https://{n}.test", "key") for n in range(3)] == [None, "1", "2"]
    assert nonces.get("https://1.test", "other key") is None


def test_a_key_that_is_none_says_nothing_of_itself() -> None:
    for text in ("", "{}", '{"kty": "EC", "d": "secret"}', '{"kty": "oct", "k": "secret"}', "[1]"):
        with pytest.raises(ValueError, match="private JWK") as wrong:
            ProofKey.from_json(text)
        assert "secret" not in str(wrong.value)
        assert wrong.value.__cause__ is None
