"""A client of development, a certificate authority, a network of identities."""

from collections.abc import AsyncIterator

import pytest

from appview.net.http import HttpClient
from tests.appview.net.clients import DEVELOPMENT, PRIVATE, client, dns
from tests.appview.net.servers import Authority
from tests.appview.net.world import World, identity_world


@pytest.fixture
async def dev() -> AsyncIterator[HttpClient]:
    async with client(DEVELOPMENT, lookup=dns([PRIVATE])) as http:
        yield http


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with identity_world() as here:
        yield here
