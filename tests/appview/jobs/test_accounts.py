"""Servers are told that a grant is over, whoever was stopped in doing so; and what has expired goes."""

from dataclasses import replace

import pytest

from appview.accounts.grants import Grants
from appview.accounts.vault import Vault
from appview.db import Connection, Pool
from appview.jobs.accounts import ATTEMPTS, REVOCATIONS, SWEEP, want_sweep
from appview.jobs.family import Tools, perform
from appview.jobs.rows import take
from tests.appview.accounts.granting import SECRET, Authority, granted
from tests.appview.accounts.rows import ALICE, add_grant, age, revocations, state


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def granting(tools: Tools, pool: Pool, authority: Authority) -> Tools:
    """The tools of a worker that was given a key."""
    return replace(tools, grants=Grants(pool, Vault([SECRET]), authority))


async def ended(tools: Tools, authority: Authority) -> int:
    """A grant that was ended while its server was away."""
    assert tools.grants is not None
    grant = await tools.grants.save(granted(), "session")
    authority.is_away = True
    await tools.grants.end(grant, "signed out")
    authority.is_away = False
    return grant


async def do(tools: Tools, grant: int) -> None:
    await tools.pool.execute("update jobs set due_at = now()")
    async with tools.pool.acquire() as connection:
        await take(connection, REVOCATIONS.kind, 1)
    await perform(tools, REVOCATIONS, str(grant))


async def test_what_was_interrupted_is_finished(granting: Tools, authority: Authority) -> None:
    grant = await ended(granting, authority)
    assert await revocations(granting.pool) == {grant}
    await do(granting, grant)
    assert authority.revoked == ["refresh-0"]
    assert await state(granting.pool, grant) == "ended"
    assert await revocations(granting.pool) == set()


async def test_a_server_that_is_away_is_told_later(granting: Tools, authority: Authority) -> None:
    grant = await ended(granting, authority)
    authority.is_away = True
    await do(granting, grant)
    assert await state(granting.pool, grant) == "ending"
    assert await revocations(granting.pool) == {grant}
    authority.is_away = False
    await do(granting, grant)
    assert authority.revoked == ["refresh-0"]


async def test_one_that_stays_away_is_given_up(granting: Tools, authority: Authority) -> None:
    grant = await ended(granting, authority)
    authority.is_away = True
    for _ in range(ATTEMPTS):
        assert await state(granting.pool, grant) == "ending"
        await do(granting, grant)
    assert await state(granting.pool, grant) == "ended"
    assert await revocations(granting.pool) == set()


async def test_a_worker_without_a_key_leaves_it(tools: Tools, granting: Tools, authority: Authority) -> None:
    grant = await ended(granting, authority)
    await do(tools, grant)
    assert await state(tools.pool, grant) == "ending"


async def test_a_sweep_is_wanted_each_minute_and_once(connection: Connection) -> None:
    await want_sweep(connection)
    await want_sweep(connection)
    assert await connection.fetchval("select wanted from jobs where kind = 'sweep'") == 1


async def test_the_sweep_sweeps(tools: Tools, connection: Connection, pool: Pool) -> None:
    grant = await add_grant(pool, ALICE)
    await age(pool, "grants", "created_at", "1 hour")
    await want_sweep(connection)
    await take(connection, SWEEP.kind, 1)
    await perform(tools, SWEEP, "accounts")
    assert await state(pool, grant) == "ending"
