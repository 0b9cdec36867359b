"""Handles to DIDs: a real name server and a real host, agreeing, disagreeing and failing."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from appview.net.errors import BadSyntax, CouldNotCheck, IdentityError, NotFound, Unsupported, Unusable
from appview.net.handles import HandleResolver
from appview.net.http import HttpClient, Limits
from appview.net.lookup import Dns
from appview.net.policy import HostMap, Policy
from tests.appview.net.servers import NameServer, Page, Redirect, Site, name_server, site

DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
OTHER = "did:plc:44ybard66vv44zksje25o7dz"
WELL_KNOWN = ("alice.test", "/.well-known/atproto-did")


@dataclass
class World:
    dns: NameServer
    hosts: Site
    resolver: HandleResolver


@asynccontextmanager
async def world(txt: list[str] | None = None, page: Page = 404, *, silent: bool = False) -> AsyncIterator[World]:
    zone: Mapping[tuple[str, str], list[str] | None] = {("_atproto.alice.test", "TXT"): None if silent else txt or []}
    async with name_server(zone) as names, site() as hosts:
        hosts.pages[WELL_KNOWN] = page
        dns = Dns(names.address, lifetime=0.2)
        policy = Policy.development(HostMap.parse(f"alice.test=127.0.0.1:{hosts.port},*.below.test=127.0.0.1:1"))
        async with HttpClient(policy, lookup=dns.addresses, limits=Limits(connect=1, read=1)) as http:
            yield World(names, hosts, HandleResolver(http, dns))


def did(value: str) -> str:
    return f'"did={value}"'


@pytest.mark.parametrize(
    ("txt", "page", "outcome"),
    [
        ([did(DID)], 404, DID),
        ([did(DID), '"v=spf1 -all"', '"DID=x"', '" did=x"'], 404, DID),
        ([did(DID), did(DID)], 404, DID),
        (['"did=" "did:plc:" "ewvi7nxzyoun6zhxrhs64oiz"'], 404, DID),
        ([did("did:web:alice.test")], 404, "did:web:alice.test"),
        ([did(DID)], OTHER.encode(), DID),
        ([did(DID), did(OTHER)], DID.encode(), Unusable),
        ([did(DID), did("nonsense")], DID.encode(), Unusable),
        ([did("nonsense")], DID.encode(), Unusable),
        ([did("")], DID.encode(), Unusable),
        (['"v=spf1 -all"'], DID.encode(), DID),
        ([], DID.encode(), DID),
        ([], b" \r\n\t" + DID.encode() + b"\n\n", DID),
        ([], DID.encode() + b"\n" + OTHER.encode(), NotFound),
        ([], b"", NotFound),
        ([], b"did=" + DID.encode(), NotFound),
        ([], b"<html>" + b"x" * 5000, NotFound),
        ([], b" " * (2048 - len(DID)) + DID.encode(), DID),
        ([], b" " * (2049 - len(DID)) + DID.encode(), NotFound),
        ([], b"\xff\xfe", NotFound),
        ([], 404, NotFound),
        ([], 403, NotFound),
        ([], 410, NotFound),
        ([], 429, CouldNotCheck),
        ([], 500, CouldNotCheck),
        ([], 503, CouldNotCheck),
    ],
)
async def test_outcome(txt: list[str], page: Page, outcome: str | type[IdentityError]) -> None:
    async with world(txt, page) as here:
        if isinstance(outcome, str):
            assert await here.resolver.resolve("Alice.TEST") == outcome
        else:
            with pytest.raises(outcome) as caught:
                await here.resolver.resolve("alice.test")
            assert type(caught.value) is outcome


async def test_dns_spares_the_host() -> None:
    async with world([did(DID)], DID.encode()) as here:
        await here.resolver.resolve("alice.test")
        assert here.hosts.asked == []


@pytest.mark.parametrize(("page", "outcome"), [(DID.encode(), DID), (404, CouldNotCheck), (500, CouldNotCheck)])
async def test_silent_dns(page: Page, outcome: str | type[IdentityError]) -> None:
    async with world(page=page, silent=True) as here:
        if isinstance(outcome, str):
            assert await here.resolver.resolve("alice.test") == outcome
        else:
            with pytest.raises(outcome):
                await here.resolver.resolve("alice.test")


async def test_a_handle_of_no_host() -> None:
    async with world() as here:
        with pytest.raises(NotFound):
            await here.resolver.resolve("none.music.net")


async def test_a_host_that_does_not_listen() -> None:
    async with world() as here:
        with pytest.raises(CouldNotCheck):
            await here.resolver.resolve("x.below.test")


async def test_a_host_on_a_private_address() -> None:
    async with world() as here:
        here.dns.zone = {("inside.music.net", "A"): ["10.0.0.1"]}
        with pytest.raises(NotFound):
            await here.resolver.resolve("inside.music.net")


@pytest.mark.parametrize(
    "handle", ["", "alice", "a b.test", "alice.test/x", "alice.test:80", "-.test", DID, "a" * 300 + ".test"]
)
async def test_no_handle(handle: str) -> None:
    async with world() as here:
        with pytest.raises(BadSyntax):
            await here.resolver.resolve(handle)
        assert here.dns.asked == []


@pytest.mark.parametrize(
    "tld", ["alt", "arpa", "example", "internal", "invalid", "local", "localhost", "onion", "Onion"]
)
async def test_names_that_are_never_resolved(tld: str) -> None:
    async with world() as here:
        with pytest.raises(Unsupported):
            await here.resolver.resolve(f"handle.{tld}")
        assert here.dns.asked == []


async def test_test_is_for_development() -> None:
    async with name_server({}) as names:
        dns = Dns(names.address)
        async with HttpClient(Policy(), lookup=dns.addresses) as http:
            with pytest.raises(Unsupported):
                await HandleResolver(http, dns).resolve("alice.test")
        assert names.asked == []


async def test_redirects_are_followed_to_a_limit() -> None:
    async with world() as here:
        for hop in range(5):
            here.hosts.pages["alice.test", f"/{hop}"] = Redirect(f"/{hop + 1}")
        here.hosts.pages["alice.test", "/5"] = DID.encode()
        here.hosts.pages[WELL_KNOWN] = Redirect("https://alice.test/1")
        assert await here.resolver.resolve("alice.test") == DID
        here.hosts.pages[WELL_KNOWN] = Redirect("/0")
        with pytest.raises(NotFound):
            await here.resolver.resolve("alice.test")


async def test_the_machines_name_servers_know_no_mapped_host() -> None:
    async with world([did(OTHER)], DID.encode()) as here:
        here.resolver._dns.of_machine = True
        assert await here.resolver.resolve("alice.test") == DID
        assert here.dns.asked == []
