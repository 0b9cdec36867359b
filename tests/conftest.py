"""For all tests: nothing runs against compiled modules that are older than their source."""

from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from tests.database import connection, database_server, database_url, pool
from tests.network.fixtures import arroba, arroba_url, network, network_addresses

__all__ = [
    "arroba",
    "arroba_url",
    "connection",
    "database_server",
    "database_url",
    "network",
    "network_addresses",
    "pool",
]

ROOT = Path(__file__).parents[1]


def pytest_configure() -> None:
    """Stop before the first test when what would be imported is not what is written."""
    for package in ("appview", "ingester", "lexicons", "xrpc"):
        for source in (ROOT / package).rglob("*.py"):
            compiled = source.with_suffix(EXTENSION_SUFFIXES[0])
            if compiled.exists() and compiled.stat().st_mtime < source.stat().st_mtime:
                pytest.exit(f"{compiled.name} is older than its source: run `make setup`", returncode=2)
