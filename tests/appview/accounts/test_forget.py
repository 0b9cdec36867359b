"""Forgetting an account: nothing private of it is left in any table, and nothing of others goes with it."""

from datetime import UTC, datetime, timedelta

from appview.accounts import developer_tokens, sessions
from appview.accounts.forget import forget
from appview.accounts.grants import Grants
from appview.accounts.vault import Vault
from appview.db import Pool
from appview.index.actors import purge
from appview.index.lock import index_lock
from tests.appview.accounts.granting import SECRET, Authority, granted
from tests.appview.accounts.rows import ALICE, BOB

SOON = timedelta(days=1)


async def mentions(pool: Pool, text: str) -> set[str]:
    """The tables that hold `text` anywhere."""
    tables = await pool.fetch("select tablename from pg_tables where schemaname = 'public'")
    return {
        table
        for (table,) in tables
        if await pool.fetchval(f"select exists (select from {table} as t where position($1 in t::text) > 0)", text)
    }


async def lived(pool: Pool, did: str, cookie: str | None = None) -> str:
    """An account that uses everything; the cookie of its browser."""
    authority = Authority()
    grants = Grants(pool, Vault([SECRET]), authority)
    cookie = await sessions.sign_in(pool, cookie, did, await grants.save(granted(did), "session"))
    token = await grants.save(granted(did), "token")
    await developer_tokens.create(pool, did, token, "a script", datetime.now(UTC) + SOON)
    await grants.save(granted(did), "session")
    authority.is_away = True
    await grants.end(token, "revoked")
    return cookie


async def test_nothing_of_it_is_left_and_everything_of_others(pool: Pool) -> None:
    alone, shared = await lived(pool, ALICE), await lived(pool, BOB, await lived(pool, ALICE))
    async with pool.acquire() as connection:
        await forget(connection, ALICE)
    assert await mentions(pool, ALICE) == set()
    assert await sessions.find(pool, alone) is None
    session = await sessions.find(pool, shared)
    assert session is not None
    assert [account.did for account in session.accounts] == [BOB]
    assert len(await developer_tokens.of(pool, BOB)) == 1
    assert await pool.fetchval("select count(*) from browsers") == 1
    assert await pool.fetchval("select count(*) from jobs") == 1


async def test_a_purge_forgets_it_too(pool: Pool) -> None:
    cookie = await lived(pool, ALICE)
    async with pool.acquire() as connection, connection.transaction():
        await index_lock(connection)
        assert await purge(connection, ALICE)
    assert await mentions(pool, ALICE) <= {"actors"}
    assert await sessions.find(pool, cookie) is None


async def test_forgetting_nobody_is_nothing(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await forget(connection, ALICE)
        await forget(connection, ALICE)
    assert await pool.fetchval("select count(*) from forgotten") == 0
