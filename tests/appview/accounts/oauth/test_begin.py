"""Where a sign-in begins: servers that are upright, that lie, and that are none."""

import base64
import hashlib
import json
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from aiohttp import web

from appview.accounts.oauth.discovery import Discovery
from appview.accounts.oauth.errors import NotAnAccount, ServerAway, ServerRefused, Untrusted
from appview.net.http import HttpClient
from appview.net.policy import Policy
from tests.appview.accounts.oauth.server import (
    ALICE,
    BOB,
    ISSUER,
    METADATA,
    PDS,
    RESOURCE,
    SCOPE,
    SECRET,
    Change,
    World,
    says,
    server_metadata,
)
from tests.appview.net.clients import dns
from tests.appview.net.servers import words


async def test_what_the_server_is_asked(world: World) -> None:
    begun = await world.oauth.begin("alice.test")
    (pushed,) = world.server.forms["/par"]
    assert pushed["login_hint"] == "alice.test"
    assert pushed["redirect_uri"] == "http://127.0.0.1:8080/oauth/callback"
    assert pushed["response_type"] == "code"
    assert pushed["state"] == begun.state
    page = urlsplit(begun.url)
    assert page.geturl().startswith(f"{ISSUER}/authorize?")
    assert parse_qs(page.query) == {"client_id": [pushed["client_id"]], "request_uri": ["urn:request:1"]}

    granted = await world.oauth.complete(json.loads(json.dumps(begun.secret)), world.callback(begun))
    (exchanged,) = world.server.forms["/token"]
    digest = hashlib.sha256(exchanged["code_verifier"].encode()).digest()
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == pushed["code_challenge"]
    assert pushed["code_challenge_method"] == "S256"
    assert (exchanged["grant_type"], exchanged["code"]) == ("authorization_code", "code-1")
    assert exchanged["redirect_uri"] == pushed["redirect_uri"]
    assert (granted.did, granted.pds, granted.issuer, granted.scope) == (ALICE, PDS, ISSUER, SCOPE)
    assert (granted.access_token, granted.refresh_token) == ("access-1", "refresh-1")
    assert granted.expires_at is not None
    assert granted.expires_at.timestamp() == world.now + 3600
    assert world.server.revoked == []


async def test_a_confidential_client_proves_itself_each_time(world: World) -> None:
    oauth = world.client("https://plyr.test")
    world.server.jwks = oauth.jwks()  # the server checks each assertion, and that none comes twice
    begun = await oauth.begin("alice.test")
    granted = await oauth.complete(begun.secret, world.callback(begun))
    assert granted.client_id == "https://plyr.test/oauth/client-metadata.json"
    assert granted.key_id == world.server.jwks["keys"][0]["kid"]
    await oauth.refresh(granted)
    await oauth.revoke(granted)
    assert set(world.server.forms) == {"/par", "/token", "/revoke"}


async def test_a_server_that_does_not_know_our_newest_key_yet(world: World) -> None:
    """It keeps our keys for ten minutes: until then, grants begin with the one of before (OA-04)."""
    new, old = "a secret of forty characters, brand new..", SECRET
    oauth = world.client("https://plyr.test", [new, old])
    world.server.jwks = world.client("https://plyr.test", [old]).jwks()
    begun = await oauth.begin("alice.test")
    granted = await oauth.complete(begun.secret, world.callback(begun))
    assert granted.key_id == world.server.jwks["keys"][0]["kid"]
    world.server.jwks = oauth.jwks()
    assert (await oauth.begin("alice.test")).secret["key_id"] == oauth.jwks()["keys"][0]["kid"]

    world.server.jwks = {"keys": []}
    with pytest.raises(ServerRefused, match="invalid_client"):
        await oauth.begin("alice.test")
    world.server.asked.clear()
    world.server.said["/par"] = world.server.refuse("unauthorized_client")
    with pytest.raises(ServerRefused, match="unauthorized_client"):
        await oauth.begin("alice.test")
    assert world.server.asked == [("auth.test", "/par")]


async def test_each_sign_in_has_a_key_a_state_and_a_verifier_of_its_own(world: World) -> None:
    begun = [await world.oauth.begin("alice.test") for _ in range(2)]
    for name in ("state", "verifier", "dpop_key"):
        assert begun[0].secret[name] != begun[1].secret[name]
        assert len(str(begun[0].secret[name])) >= 43


async def test_nothing_secret_is_shown(world: World) -> None:
    begun = await world.oauth.begin("alice.test")
    granted = await world.oauth.complete(begun.secret, world.callback(begun))
    shown = f"{begun!r}{granted!r}{granted.party!r}"
    for secret in (
        begun.state,
        "access-1",
        "refresh-1",
        *map(str, (begun.secret["verifier"], begun.secret["dpop_key"])),
    ):
        assert secret not in shown
    for secret in ("verifier", "dpop_key"):
        assert str(begun.secret[secret]) not in begun.url
    assert begun.state not in begun.url


# What does not begin


NO_ACCOUNTS = words("""
    - alice alice@example.com @ did:plc:short did:key:zQ3 ftp://pds.test https://pds.test/path https://user@pds.test
    https:// javascript://pds.test nobody.test bob.test
""")


@pytest.mark.parametrize("typed", [*NO_ACCOUNTS, pytest.param("x" * 100_000, id="long"), pytest.param("", id="none")])
async def test_what_names_no_account(world: World, typed: str) -> None:
    world.server.identities.pages["bob.test", "/.well-known/atproto-did"] = ALICE.encode()  # she does not claim it
    with pytest.raises(NotAnAccount):
        await world.oauth.begin(typed)


def resource(**changes: object) -> Change:
    return lambda world: world.server.resource.update(changes)


def metadata(**changes: object) -> Change:
    return lambda world: world.server.metadata.update(changes)


LIES: dict[str, Change] = {
    "another resource": resource(resource="https://evil.test"),
    "a resource with a slash": resource(resource=f"{PDS}/"),
    "no server": resource(authorization_servers=[]),
    "two servers": resource(authorization_servers=[ISSUER, "https://evil.test"]),
    "servers that are no list": resource(authorization_servers=ISSUER),
    "a server that is no URL": resource(authorization_servers=[7]),
    "a server on a private address": resource(authorization_servers=["https://10.0.0.1"]),
    "a server on the metadata address": resource(authorization_servers=["http://169.254.169.254"]),
    "redirecting resource": says(RESOURCE, b"{}", 302, Location="https://evil.test/"),
    "redirecting metadata": says(METADATA, b"{}", 307, Location="https://evil.test/"),
    "no such document": says(RESOURCE, b"{}", 404),
    "created, not there": says(METADATA, orjson.dumps(server_metadata()), 201),
    "right, but as a web page": says(METADATA, orjson.dumps(server_metadata()), mime="text/html"),
    "no JSON": says(METADATA, b"{"),
    "JSON that is no object": says(METADATA, b"[]"),
    "a huge resource": says(RESOURCE, b" " * 70_000),
    "huge metadata": says(METADATA, b" " * 70_000),
    "another issuer": metadata(issuer="https://evil.test"),
    "no issuer": metadata(issuer=None),
    "an issuer with a slash": metadata(issuer=f"{ISSUER}/"),
    "no PKCE": metadata(code_challenge_methods_supported=["plain"]),
    "no code": metadata(response_types_supported=["token"]),
    "no refresh": metadata(grant_types_supported=["authorization_code"]),
    "no keys for clients": metadata(token_endpoint_auth_methods_supported=["none"]),
    "no ES256 for clients": metadata(token_endpoint_auth_signing_alg_values_supported=["RS256"]),
    "no ES256 for proofs": metadata(dpop_signing_alg_values_supported=None),
    "another protocol": metadata(scopes_supported=["openid"]),
    "no iss": metadata(authorization_response_iss_parameter_supported=False),
    "no PAR": metadata(require_pushed_authorization_requests=1),
    "no client documents": metadata(client_id_metadata_document_supported="true"),
    "serves others only": metadata(protected_resources=["https://other.test"]),
    "PAR on a private address": metadata(pushed_authorization_request_endpoint="https://192.168.0.1/par"),
    "PAR by another scheme": metadata(pushed_authorization_request_endpoint="gopher://auth.test/par"),
    "a page by another scheme": metadata(authorization_endpoint="javascript:alert(1)//auth.test"),
    "a page on a private address": metadata(authorization_endpoint="https://[fd00::1]/authorize"),
    "a page with a password": metadata(authorization_endpoint="https://a:b@auth.test/authorize"),
    "a page with a fragment": metadata(authorization_endpoint=f"{ISSUER}/authorize#x"),
    "tokens on a private address": metadata(token_endpoint="https://100.64.0.1/token"),
    "tokens nowhere": metadata(token_endpoint=None),
    "revocation by file": metadata(revocation_endpoint="file:///etc/passwd"),
    "PAR answers in HTML": says("/par", b"<html>", 201, "text/html", **{"DPoP-Nonce": "x"}),
    "PAR without an address": says("/par", b"{}", 201, **{"DPoP-Nonce": "x"}),
    "PAR with a line break": says("/par", b'{"request_uri": "a\\nb"}', 201, **{"DPoP-Nonce": "x"}),
    "PAR without a nonce": says("/par", b'{"request_uri": "urn:x"}', 201),
    "PAR redirects": says("/par", b"", 307, Location="https://evil.test/par"),
    "a huge PAR": says("/par", b" " * 70_000, 201, **{"DPoP-Nonce": "x"}),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
async def test_a_server_that_lies_or_is_none(world: World, lie: Change) -> None:
    lie(world)
    with pytest.raises((Untrusted, ServerRefused)):
        await world.oauth.begin("alice.test")
    assert all(host != "evil.test" for host, _ in world.server.asked)
    assert "/token" not in world.server.forms


@pytest.mark.parametrize("named", [f"{ISSUER}/x", f"{ISSUER}/", f"{ISSUER}:443", "HTTPS://AUTH.TEST", "auth.test"])
async def test_a_server_is_named_by_its_plain_origin(world: World, named: str) -> None:
    world.server.resource["authorization_servers"] = [named]
    with pytest.raises(Untrusted, match="no https origin"):
        await world.oauth.begin("alice.test")


async def test_the_server_of_one_pds_is_not_that_of_another(world: World) -> None:
    """Two origins that name each other are two servers, and each has its own word."""
    world.server.publish(BOB, "bob.test", "https://evil.test")
    with pytest.raises(Untrusted, match="has no"):
        await world.oauth.begin("bob.test")


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_a_server_that_is_away(world: World, status: int) -> None:
    says(METADATA, b"", status, **{"Retry-After": "7"})(world)
    with pytest.raises(ServerAway) as away:
        await world.oauth.begin("alice.test")
    assert away.value.retry_after == 7
    del world.server.said[METADATA]
    assert (await world.oauth.begin("alice.test")).state


async def test_what_was_found_is_remembered_for_less_than_ten_minutes(world: World) -> None:
    for _ in range(2):
        await world.oauth.begin("alice.test")
    assert world.server.asked.count(("auth.test", METADATA)) == 1
    world.now += 599
    await world.oauth.begin("alice.test")
    assert world.server.asked.count(("auth.test", METADATA)) == 2


async def test_a_start_at_the_authorization_server_itself(world: World) -> None:
    begun = await world.oauth.begin(None, server=ISSUER)
    assert "login_hint" not in world.server.forms["/par"][0]
    assert (await world.oauth.complete(begun.secret, world.callback(begun))).did == ALICE


async def test_a_start_is_at_one_thing(world: World) -> None:
    with pytest.raises(ValueError, match="an account or at a server"):
        await world.oauth.begin(None)
    with pytest.raises(ValueError, match="an account or at a server"):
        await world.oauth.begin("alice.test", server=ISSUER)


# Scopes


@pytest.mark.parametrize("rungs", [1, 2, 3])
async def test_what_is_asked_for_by_what_a_server_knows(world: World, rungs: int) -> None:
    asked = []

    async def push(request: web.Request) -> web.Response:
        asked.append(dict(await request.post())["scope"])
        if len(asked) < rungs:
            return world.server.give({"error": "invalid_scope"}, 400)
        return world.server.give({"request_uri": "urn:request:1"}, 201)

    world.server.said["/par"] = push
    begun = await world.oauth.begin("alice.test")
    asking = world.oauth.asking
    assert asked == [asking.everything, asking.one_by_one, "atproto transition:generic"][:rungs]
    assert begun.secret["scope"] == asked[-1]


async def test_a_server_that_knows_no_transition_is_not_asked_for_it(world: World) -> None:
    world.server.metadata["scopes_supported"] = ["atproto"]
    world.server.said["/par"] = world.server.refuse("invalid_scope")
    with pytest.raises(ServerRefused, match="invalid_scope: the server says invalid_scope"):
        await world.oauth.begin("alice.test")
    assert world.server.asked.count(("auth.test", "/par")) == 2


async def test_a_server_that_drops_what_it_cannot_read(world: World) -> None:
    world.server.tokens["scope"] = "atproto"
    begun = await world.oauth.begin("alice.test")
    granted = await world.oauth.complete(begun.secret, world.callback(begun))
    again = world.oauth.again(granted)
    assert again == "atproto transition:generic"
    begun = await world.oauth.begin("alice.test", scope=again)
    granted = await world.oauth.complete(begun.secret, world.callback(begun))
    assert world.oauth.again(granted) is None


# Production


async def test_production_speaks_https_to_the_world_and_to_nobody_else(world: World) -> None:
    issuer = "https://auth.example.com"
    text = orjson.dumps({**server_metadata(), "protected_resources": [issuer]}).decode().replace(ISSUER, issuer)
    document = orjson.loads(text)
    async with HttpClient(Policy(), lookup=dns(["127.0.0.1"])) as http:
        discovery = Discovery(http, world.identities, lambda: world.now)
        assert discovery._read_server(issuer, document).token_endpoint == f"{issuer}/token"
        for name in ("authorization_endpoint", "pushed_authorization_request_endpoint", "token_endpoint"):
            for url in (
                "http://auth.example.com/x",
                "https://localhost/x",
                "https://auth.test/x",
                "https://a.com:81/x",
            ):
                with pytest.raises(Untrusted, match=name):
                    discovery._read_server(issuer, {**document, name: url})
        for typed in ("http://pds.example.com", "http://localhost:2583"):
            with pytest.raises(NotAnAccount):
                await discovery.start(typed)
        for typed in (
            "https://localhost",
            "https://127.0.0.1",
            "https://10.0.0.1",
            "https://a.example.com",
            "https://a.com",
        ):
            with pytest.raises(Untrusted):  # the last one by name alone: its address is on this machine
                await discovery.start(typed)
