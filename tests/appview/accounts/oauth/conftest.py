"""An authorization server that can lie."""

from collections.abc import AsyncIterator

import pytest

from tests.appview.accounts.oauth.server import World, auth_world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with auth_world() as here:
        yield here
