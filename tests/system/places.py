"""A running system as browsers come to it, in both ways that we are an OAuth client (OA-01, OA-05)."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from appview.embedded.folder import free_port
from tests.database import Server
from tests.network.launch import Addresses
from tests.network.network import Network
from tests.system.stage import DOMAIN, system_beside
from tests.system.tls import https
from tests.system.world import System, resolve_setting

SECRET_KEY: Final = "that nobody else has: kept for a test, then gone"


class Place(NamedTuple):
    """A system, and the host name under which the world knows it: None where it is known to its own machine alone."""

    system: System
    host: str | None

    @property
    def public_url(self) -> str:
        """Where people are told to go."""
        return f"https://{self.host}" if self.host else f"http://localhost:{self.port}"

    @property
    def origin(self) -> str:
        """Where they are once they have signed in."""
        return self.public_url if self.host else self.system.url

    @property
    def port(self) -> int:
        """The port of this machine on which it listens."""
        return urlsplit(self.system.url).port or 0

    @asynccontextmanager
    async def reached(self, network: Network) -> AsyncIterator[dict[str, int]]:
        """Let PDSes and browsers find it: where its host speaks https, by name; nothing for one of this machine."""
        if self.host is None:
            yield {}
            return
        await network.set_host(self.host, self.system.url)
        async with https(self.port, self.host) as port:
            yield {self.host: port}


@contextmanager
def place(addresses: Addresses, server: Server, host: str | None = None) -> Iterator[Place]:
    """A system on a database of its own: the public client of a machine or, with a `host`, a confidential one.

    A PDS remembers what it has read at a host, so each system has to have one of its own.
    """
    port = free_port()
    settings = {"bind": f"127.0.0.1:{port}", "secret_key": SECRET_KEY}
    if host:
        settings["public_url"] = f"https://{host}"
        settings["resolve"] = f"{resolve_setting(addresses, DOMAIN)},{host}=127.0.0.1:{port}"
    with server.database() as url, system_beside(addresses, url, **settings) as system:
        yield Place(system, host)
