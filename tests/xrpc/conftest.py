"""The fixture of all tests that ask the application: `client`, see tests/xrpc/client.py."""

from collections.abc import AsyncIterator

import pytest

from tests.xrpc.client import Client, strict_client


@pytest.fixture
async def client(database_url: str) -> AsyncIterator[Client]:
    """A client of the application on this test's database, with `validate_output` on."""
    async with strict_client(database_url) as client:
        yield client
