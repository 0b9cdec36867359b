"""The OAuth client at the real PDSes of the test network, on loopback and as a confidential client with a site."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web

from appview.accounts.oauth import OAuth
from appview.config import Config
from appview.net.http import HttpClient
from appview.net.identity import IdentityResolver
from appview.net.lookup import Dns
from appview.net.policy import HostMap, Policy
from tests.network.network import Network

SECRET: Final = "a secret of forty characters, for testing"
OLD_SECRET: Final = "another secret, from before, for testing"
SITE: Final = "appview.plyr-test.net"


def config(public_url: str) -> Config:
    given = {"PLYR_PUBLIC_URL": public_url, "PLYR_DEV": "1", "PLYR_RESOLVE": "*.plyr-test.net=127.0.0.1:9"}
    return Config.load(given, dotenv=None)


@asynccontextmanager
async def client(
    network: Network, public_url: str = "http://localhost:8080", secrets: Sequence[str] = (SECRET,)
) -> AsyncIterator[OAuth]:
    """Our client as `public_url` makes it, with the network's names."""
    host, _, port = network.addresses.dns.rpartition(":")
    dns = Dns((host, int(port)))
    hosts = HostMap()
    async with HttpClient(Policy.development(hosts), lookup=dns.addresses) as http:
        identities = IdentityResolver(http, dns, plc_url=network.addresses.plc)
        oauth = OAuth(config(public_url), http, identities, secrets=secrets)
        yield oauth
        await oauth.aclose()
        await identities.aclose()


@asynccontextmanager
async def site(network: Network, host: str, documents: Mapping[str, object]) -> AsyncIterator[None]:
    """Serves JSON `documents`, by path, as https://`host` to the PDSes."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(documents[request.path])

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await network.set_host(host, f"http://localhost:{runner.addresses[0][1]}")
    try:
        yield
    finally:
        await network.set_host(host, "")
        await runner.cleanup()


@asynccontextmanager
async def confidential(network: Network, secrets: Sequence[str] = (SECRET,), host: str = SITE) -> AsyncIterator[OAuth]:
    """The confidential client, with its documents where the PDSes look for them, who remember them for ten minutes."""
    async with client(network, f"https://{host}", secrets) as oauth:
        documents = {"/oauth/client-metadata.json": oauth.client_metadata(), "/oauth/jwks.json": oauth.jwks()}
        async with site(network, host, documents):
            yield oauth


def answered(callback: str) -> dict[str, str]:
    """The parameters that a browser brings to the callback."""
    return dict(parse_qsl(urlsplit(callback).query))
