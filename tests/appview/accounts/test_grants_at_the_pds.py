"""Grants at the real PDS, which ends a grant when one of its refresh tokens is used twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from appview.accounts import sessions
from appview.accounts.grants import Grants
from appview.accounts.oauth import Granted, OAuth
from appview.accounts.oauth.errors import GrantEnded
from appview.accounts.vault import Vault
from appview.db import Pool
from tests.appview.accounts.oauth.homes import SECRET, answered, client
from tests.appview.accounts.rows import state
from tests.network.network import Network
from tests.network.sign_in import consent

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def sign_in(network: Network, oauth: OAuth, name: str) -> Granted:
    user = await network.create_account(name)
    begun = await oauth.begin(user.handle)
    return await oauth.complete(begun.secret, answered(await consent(network.session, begun.url, user)))


@asynccontextmanager
async def process(network: Network, pool: Pool) -> AsyncIterator[tuple[OAuth, Grants]]:
    """What a process has: its own client, and its own view of the grants."""
    async with client(network) as oauth:
        grants = Grants(pool, Vault([SECRET]), oauth)
        yield oauth, grants
        await grants.aclose()


async def test_fifty_in_two_processes_with_a_token_that_is_over(network: Network, pool: Pool) -> None:
    async with process(network, pool) as (oauth, one), process(network, pool) as (_, other):
        first = await sign_in(network, oauth, "busy")
        grant = await one.save(replace(first, expires_at=LONG_AGO), "session")
        got = await asyncio.gather(*(grants.fresh(grant) for grants in (one, other) for _ in range(25)))
        [token] = {each.access_token for each in got}
        assert token != first.access_token
        got = await asyncio.gather(*(grants.fresh(grant, refused=token) for grants in (one, other) for _ in range(25)))
        [again] = {each.access_token for each in got}
        assert again != token
        assert await pool.fetchval("select version from grants where id = $1", grant) == 3


async def test_a_sign_out_is_known_at_the_pds(network: Network, pool: Pool) -> None:
    async with process(network, pool) as (oauth, grants):
        granted = await sign_in(network, oauth, "leaver")
        grant = await grants.save(granted, "session")
        cookie = await sessions.sign_in(pool, None, granted.did, grant)
        for over in await sessions.sign_out(pool, cookie, None):
            await grants.end(over, sessions.SIGNED_OUT)
        assert await state(pool, grant) == "ended"
        with pytest.raises(GrantEnded):
            await oauth.refresh(granted)


async def test_a_grant_that_was_ended_at_the_pds_is_over_here(network: Network, pool: Pool) -> None:
    async with process(network, pool) as (oauth, grants):
        granted = await sign_in(network, oauth, "revoker")
        grant = await grants.save(granted, "session")
        await oauth.revoke(granted)
        for _ in range(2):
            with pytest.raises(GrantEnded):
                await grants.fresh(grant, refused=granted.access_token)
        assert await state(pool, grant) == "ended"
