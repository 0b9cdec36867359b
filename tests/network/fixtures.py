"""The test network for tests: import these fixtures where tests want them."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.network.arroba_pds import Arroba, start_arroba
from tests.network.launch import Addresses, start_network
from tests.network.network import Network
from tests.network.setup import arroba_installed


@pytest.fixture(scope="session")
def network_addresses() -> Iterator[Addresses]:
    """A network with two PDSes for all tests of this process (each worker of xdist has its own)."""
    with start_network() as addresses:
        yield addresses


@pytest.fixture
async def network(network_addresses: Addresses) -> AsyncIterator[Network]:
    """The network, spoken to from this test's event loop. Accounts of other tests are on it too."""
    async with Network.connect(network_addresses) as network:
        yield network


@pytest.fixture(scope="session")
def arroba_url(network_addresses: Addresses) -> Iterator[str]:
    """The URL of an Arroba beside the network; the test skips where Arroba could not be installed."""
    if not arroba_installed():
        pytest.skip("Arroba is not installed here: python -m tests.network.setup says why")
    with start_arroba(network_addresses.plc) as url:
        yield url


@pytest.fixture
def arroba(network: Network, arroba_url: str) -> Arroba:
    """Arroba beside the network, spoken to from this test's event loop."""
    return Arroba(network.session, arroba_url)
