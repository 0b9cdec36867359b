"""The application beside a real network, and accounts there that signed in here, each with a developer token."""

from collections.abc import AsyncIterator

import pytest

from tests.network.network import Network
from tests.system.world import resolve_setting
from tests.xrpc.client import Client, strict_client
from tests.xrpc.methods.writes.writer import Writer, sign_in


@pytest.fixture
async def server(network: Network, database_url: str) -> AsyncIterator[Client]:
    """The application, strict, for whoever is on the network."""
    async with strict_client(
        database_url,
        PLYR_SECRET_KEY="of a server that is gone in a minute",
        PLYR_PLC_URL=network.addresses.plc,
        PLYR_RESOLVE=resolve_setting(network.addresses),
    ) as client:
        yield client


@pytest.fixture
async def alice(server: Client, network: Network) -> Writer:
    """Somebody who signed in."""
    return await sign_in(server, network, await network.create_account("alice"))


@pytest.fixture
async def bob(server: Client, network: Network) -> Writer:
    """Somebody else, whose PDS is another."""
    return await sign_in(server, network, await network.create_account("bob", pds=network.pds[1]))
