"""A small network of identities: a directory at plc.test, hosts of `*.test`, a name server, a clock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson

from appview.net.http import HttpClient, Limits
from appview.net.identity import IdentityResolver
from appview.net.lookup import Dns
from appview.net.policy import HostMap, Policy
from appview.net.store import DocumentStore
from tests.appview.net.servers import NameServer, Page, Site, name_server, site

ALICE = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
BOB = "did:plc:44ybard66vv44zksje25o7dz"
KEY = "zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc"
NEW_KEY = "zDnaembgSGUhZULN2Caob4HLJPaxBh92N7rtH21TErzqf8HQo"


def document(did: str, *, handle: str | None = "alice.test", key: str = KEY, pds: str = "https://pds.test") -> bytes:
    return orjson.dumps(
        {
            "id": did,
            "alsoKnownAs": [f"at://{handle}"] if handle else [],
            "verificationMethod": [
                {"id": f"{did}#atproto", "type": "Multikey", "controller": did, "publicKeyMultibase": key}
            ],
            "service": [{"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": pds}],
        }
    )


class World:
    """A directory at plc.test, hosts of `*.test`, a name server, and a clock that stands still."""

    def __init__(self, hosts: Site, names: NameServer, http: HttpClient, dns: Dns) -> None:
        self.hosts = hosts
        self.names = names
        self.now = 1_000_000.0
        self.http = http
        self._dns = dns
        self.resolver = self.another_resolver()

    def another_resolver(self, store: DocumentStore | None = None) -> IdentityResolver:
        return IdentityResolver(
            self.http, self._dns, plc_url="https://plc.test/", clock=lambda: self.now, size=50, store=store
        )

    def publish(self, did: str, said: Page) -> None:
        self.hosts.pages["plc.test", f"/{did}"] = said

    def name(self, handle: str, did: str | None) -> None:
        self.hosts.pages[handle, "/.well-known/atproto-did"] = did.encode() if did else 404

    def asked(self, did: str) -> int:
        return self.hosts.asked.count(("plc.test", f"/{did}"))


@asynccontextmanager
async def identity_world() -> AsyncIterator[World]:
    async with name_server({}) as names, site() as hosts:
        dns = Dns(names.address, lifetime=1.0)
        policy = Policy.development(HostMap.parse(f"*.test=127.0.0.1:{hosts.port}"))
        async with HttpClient(policy, lookup=dns.addresses, limits=Limits(connect=1, read=1)) as http:
            here = World(hosts, names, http, dns)
            yield here
            await here.resolver.aclose()
