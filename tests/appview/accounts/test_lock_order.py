"""Whoever changes the rows of an account waits for the others who do, and never in a circle."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest

from appview.accounts import developer_tokens, sessions
from appview.accounts.erasure import request_erasure
from appview.accounts.grant_rows import NotToBeHad, condemn
from appview.accounts.sweep import sweep
from appview.db import Connection, Pool
from appview.index.actors import purge
from appview.index.lock import index_lock
from tests.appview.accounts.rows import ALICE, BOB, add_grant
from tests.index_writer import IndexWriter


class Held(NamedTuple):
    """Alice's browser and token, and a grant that nobody has yet."""

    pool: Pool
    cookie: str
    token: int
    new: int

    async def forget(self) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            await index_lock(connection)
            assert await purge(connection, ALICE)

    async def sign_out(self) -> None:
        await sessions.sign_out(self.pool, self.cookie, None)

    async def sign_in(self) -> None:
        await sessions.sign_in(self.pool, self.cookie, ALICE, self.new)

    async def sign_in_elsewhere(self) -> None:
        await sessions.sign_in(self.pool, None, ALICE, self.new)

    async def revoke(self) -> None:
        await developer_tokens.revoke(self.pool, ALICE, self.token)

    async def end_all(self) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            await condemn(connection, [row["id"] for row in await connection.fetch("select id from grants")], "it is")

    async def erase(self) -> None:
        await request_erasure(self.pool, ALICE, 0, records=False)

    async def sweep(self) -> None:
        async with self.pool.acquire() as connection:
            await sweep(connection)


@pytest.fixture
async def held(pool: Pool, connection: Connection) -> Held:
    await IndexWriter(connection).account(ALICE)
    cookie = await sessions.sign_in(pool, None, ALICE, await add_grant(pool))
    cookie = await sessions.sign_in(pool, cookie, BOB, await add_grant(pool, BOB))
    grant = await add_grant(pool, kind="token")
    await developer_tokens.create(pool, ALICE, grant, "cron", datetime.now(UTC) + timedelta(days=1))
    return Held(pool, cookie, (await developer_tokens.of(pool, ALICE))[0].id, await add_grant(pool))


EXPIRED = "update browsers set seen_at = now() - interval '1 year'"
ENDED = "update grants set state = 'ended', sealed = null, reason = 'x', over_at = now() - interval '1 year'"
ASKED = "insert into erasures (did, state, records) select did, 'done', false from actors"


@pytest.mark.parametrize("goes_first", [True, False], ids=["forgetting goes first", "forgetting comes second"])
@pytest.mark.parametrize(
    ("change", "before"),
    [
        (Held.sign_out, ""),
        (Held.sign_in, ""),
        (Held.sign_in_elsewhere, ""),
        (Held.revoke, ""),
        (Held.end_all, ""),
        (Held.erase, ASKED),
        (Held.sweep, EXPIRED),
        (Held.sweep, "update developer_tokens set expires_at = now()"),
        (Held.sweep, ENDED),
    ],
)
async def test_forgetting_and_what_an_account_does_meanwhile(
    held: Held, connection: Connection, change: Callable[[Held], Awaitable[None]], before: str, goes_first: bool
) -> None:
    if before:
        await held.pool.execute(before)
    first, second = (Held.forget, change) if goes_first else (change, Held.forget)
    async with held.pool.acquire() as third:
        # Both have come as far as a grant, or to each other, before either goes on.
        async with third.transaction():
            await third.execute("select from grants for update")
            tasks = [asyncio.ensure_future(first(held))]
            await waiting(connection, 1, tasks)
            tasks.append(asyncio.ensure_future(second(held)))
            await waiting(connection, 2, tasks)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [error for error in outcomes if not isinstance(error, NotToBeHad | None)] == []
    assert await held.pool.fetchval("select count(*) from grants where did = $1", ALICE) == 0
    assert await held.pool.fetchval("select count(*) from browser_accounts where did = $1", ALICE) == 0


async def waiting(connection: Connection, number: int, tasks: Sequence[asyncio.Future[None]]) -> None:
    """Until so many wait for a lock, or all are done that need not wait."""
    async with asyncio.timeout(10):
        while not all(task.done() for task in tasks):
            count = await connection.fetchval(
                "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
            )
            if count >= number - sum(task.done() for task in tasks):
                return
            await asyncio.sleep(0.005)
