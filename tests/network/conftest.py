"""The test network's own tests use its fixtures."""

from tests.network.fixtures import arroba, arroba_url, network, network_addresses

__all__ = ["arroba", "arroba_url", "network", "network_addresses"]
