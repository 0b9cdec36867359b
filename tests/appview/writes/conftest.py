"""Somebody who signed in at a real PDS, for each test anew."""

from collections.abc import AsyncIterator

import pytest

from appview.db import Pool
from tests.appview.writes.stand import Stand, stand
from tests.network.network import Network


@pytest.fixture
async def here(network: Network, pool: Pool) -> AsyncIterator[Stand]:
    async with stand(network, pool) as here:
        yield here
