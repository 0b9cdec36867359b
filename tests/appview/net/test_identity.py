"""Identities against a real directory, did:web hosts, name server and well-known files, all on loopback."""

import orjson
import pytest

from appview.keys import PublicKey
from appview.net.cache import ERROR_TTL
from appview.net.errors import (
    BadSyntax,
    CouldNotCheck,
    Gone,
    IdentityError,
    NotFound,
    Refused,
    Unsupported,
    Unusable,
)
from appview.net.http import HttpClient
from appview.net.identity import IdentityResolver
from appview.net.lookup import Dns
from appview.net.policy import HostMap, Policy
from tests.appview.net.servers import Page, Redirect
from tests.appview.net.world import ALICE, BOB, KEY, World, document

# DIDs


async def test_plc(world: World) -> None:
    world.publish(ALICE, document(ALICE))
    world.name("alice.test", ALICE)
    identity = await world.resolver.resolve(ALICE)
    assert (identity.did, identity.handle, identity.handle_check) == (ALICE, "alice.test", "verified")
    assert identity.signing_key == PublicKey.from_multikey(KEY)
    assert (identity.pds, identity.fetched_at) == ("https://pds.test", 1_000_000.0)


async def test_web(world: World) -> None:
    did = "did:web:music.test"
    world.hosts.pages["music.test", "/.well-known/did.json"] = document(did, handle="music.test")
    world.name("music.test", did)
    assert (await world.resolver.resolve(did)).handle == "music.test"


async def test_web_on_localhost(world: World) -> None:
    port = world.hosts.port
    did = f"did:web:localhost%3A{port}"
    world.hosts.pages[f"localhost:{port}", "/.well-known/did.json"] = document(did, pds=f"http://localhost:{port}")
    assert (await world.resolver.document(did)).pds == f"http://localhost:{port}"


@pytest.mark.parametrize(
    ("did", "error"),
    [
        ("", BadSyntax),
        ("alice.test", BadSyntax),
        ("did:plc:", BadSyntax),
        ("did:plc:short", BadSyntax),
        (ALICE.upper(), BadSyntax),
        ("did:plc:EWVI7NXZYOUN6ZHXRHS64OIZ", BadSyntax),
        ("did:plc:ewvi7nxzyoun6zhxrhs64oi1", BadSyntax),
        (ALICE + "\n", BadSyntax),
        (ALICE + "#atproto", BadSyntax),
        (ALICE + "/../x", BadSyntax),
        ("did:web:" + "a" * 3000, BadSyntax),
        ("did:key:" + KEY, Unsupported),
        ("did:example:x", Unsupported),
        ("did:web:music.test:alice", Unsupported),
        ("did:web:music.test%3A8443", Unsupported),
        ("did:web:music.test%2Fx", Unsupported),
        ("did:web:user%40music.test", Unsupported),
        ("did:web:music", Unsupported),
        ("did:web:127.0.0.1", Unsupported),
        ("did:web:127.0.0.1%3A2583", Unsupported),
        ("did:web:%5B::1%5D", Unsupported),
        ("did:web:a.localhost", Unsupported),
        ("did:web:a.local", Unsupported),
        ("did:web:a.onion", Unsupported),
        ("did:web:localhost%3A99999", Unusable),
        ("did:web:localhost%3Ax", Unsupported),
        ("did:web:localhost:x", Unsupported),
        ("did:web:none.music.net", NotFound),
    ],
)
async def test_dids_that_are_not_asked_about(world: World, did: str, error: type[IdentityError]) -> None:
    with pytest.raises(error) as caught:
        await world.resolver.document(did)
    assert type(caught.value) is error
    assert world.hosts.asked == []


async def test_localhost_and_test_are_for_development(world: World) -> None:
    dns = Dns(world.names.address)
    async with HttpClient(Policy(), lookup=dns.addresses) as http:
        resolver = IdentityResolver(http, dns, plc_url="https://plc.directory")
        for did in ("did:web:localhost", "did:web:localhost%3A2583", "did:web:music.test"):
            with pytest.raises(Unsupported):
                await resolver.document(did)
        with pytest.raises(Refused):
            IdentityResolver(http, dns, plc_url="http://localhost:2582")
    assert world.names.asked == []


@pytest.mark.parametrize(
    ("said", "of_plc", "of_web"),
    [
        (404, NotFound, NotFound),
        (410, Gone, Gone),
        (400, CouldNotCheck, CouldNotCheck),
        (429, CouldNotCheck, CouldNotCheck),
        (500, CouldNotCheck, CouldNotCheck),
        (b"<html>", CouldNotCheck, Unusable),
        (b"[" * 10_000, CouldNotCheck, Unusable),
        (b'{"id":"\xff"}', CouldNotCheck, Unusable),
        (b" " * 70_000 + b"{}", CouldNotCheck, Unusable),
        (b"{}", Unusable, Unusable),
        (b"null", Unusable, Unusable),
        (document(BOB), Unusable, Unusable),
        (Redirect("/elsewhere"), CouldNotCheck, Unusable),
    ],
)
async def test_what_may_be_answered(
    world: World, said: Page, of_plc: type[IdentityError], of_web: type[IdentityError]
) -> None:
    web = "did:web:music.test"
    world.hosts.pages["music.test", "/.well-known/did.json"] = said
    world.hosts.pages["music.test", "/elsewhere"] = document(web)
    world.hosts.pages["plc.test", "/elsewhere"] = document(ALICE)
    world.publish(ALICE, said)
    for did, error in ((ALICE, of_plc), (web, of_web)):
        with pytest.raises(error) as caught:
            await world.resolver.document(did)
        assert type(caught.value) is error


async def test_a_directory_that_is_down(world: World) -> None:
    dns = Dns(world.names.address)
    policy = Policy.development(HostMap.parse("down.test=127.0.0.1:1"))
    async with HttpClient(policy, lookup=dns.addresses) as http:
        for url in ("https://down.test", "https://none.music.net"):
            with pytest.raises(CouldNotCheck):
                await IdentityResolver(http, dns, plc_url=url).document(ALICE)


async def test_the_directory_has_its_own_client(world: World) -> None:
    dns = Dns(world.names.address)
    url = f"http://127.0.0.1:{world.hosts.port}"
    world.hosts.pages[f"127.0.0.1:{world.hosts.port}", f"/{ALICE}"] = document(ALICE)
    async with (
        HttpClient(Policy(), lookup=dns.addresses) as http,
        HttpClient(Policy.trusting(url), lookup=dns.addresses) as plc_http,
    ):
        resolver = IdentityResolver(http, dns, plc_url=url, plc_http=plc_http)
        assert (await resolver.document(ALICE)).did == ALICE


# Handles


@pytest.mark.parametrize(
    ("named", "check"),
    [(ALICE, "verified"), (BOB, "mismatch"), (None, "mismatch"), ("nonsense", "mismatch")],
)
async def test_handle_check(world: World, named: str | None, check: str) -> None:
    world.publish(ALICE, document(ALICE, handle="Alice.Test"))
    world.name("alice.test", named)
    identity = await world.resolver.resolve(ALICE)
    assert identity.handle_check == check
    assert identity.handle == ("alice.test" if check == "verified" else None)
    assert identity.signing_key is not None


@pytest.mark.parametrize(
    ("handle", "check"), [(None, "none_claimed"), ("handle.invalid", "mismatch"), ("down.test", "unchecked")]
)
async def test_handle_that_is_not_verified(world: World, handle: str | None, check: str) -> None:
    world.publish(ALICE, document(ALICE, handle=handle))
    world.hosts.pages["down.test", "/.well-known/atproto-did"] = 503
    identity = await world.resolver.resolve(ALICE)
    assert (identity.handle, identity.handle_check) == (None, check)


async def test_a_document_asks_no_handles_host(world: World) -> None:
    world.publish(ALICE, document(ALICE))
    await world.resolver.document(ALICE)
    assert world.hosts.asked == [("plc.test", f"/{ALICE}")]


async def test_only_the_first_claim_counts(world: World) -> None:
    said = orjson.loads(document(ALICE))
    said["alsoKnownAs"] = ["at://wrong.test", "at://alice.test"]
    world.publish(ALICE, orjson.dumps(said))
    world.name("alice.test", ALICE)
    assert (await world.resolver.resolve(ALICE)).handle is None


async def test_a_handle_that_passes_to_another(world: World) -> None:
    world.publish(ALICE, document(ALICE))
    world.publish(BOB, document(BOB))
    world.name("alice.test", ALICE)
    assert (await world.resolver.resolve(ALICE)).handle == "alice.test"
    world.name("alice.test", BOB)
    world.now += ERROR_TTL
    assert (await world.resolver.resolve(BOB)).handle == "alice.test"
    assert (await world.resolver.resolve(ALICE)).handle is None


async def test_resolve_handle(world: World) -> None:
    world.publish(ALICE, document(ALICE))
    world.publish(BOB, document(BOB))
    world.name("alice.test", ALICE)
    world.name("bob.test", BOB)
    assert (await world.resolver.resolve_handle("ALICE.test")).did == ALICE
    with pytest.raises(NotFound, match="does not claim it"):
        await world.resolver.resolve_handle("bob.test")
    for handle, error in (("none.test", NotFound), ("handle.invalid", Unsupported), ("x" * 5000, BadSyntax)):
        with pytest.raises(error):
            await world.resolver.resolve_handle(handle)
