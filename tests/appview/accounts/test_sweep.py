"""What is over goes, with the grants that it held; what is not stays."""

from datetime import UTC, datetime, timedelta

import pytest

from appview.accounts import developer_tokens, sessions
from appview.accounts.oauth import Begun
from appview.accounts.requests import keep
from appview.accounts.sweep import AT_ONCE, sweep
from appview.accounts.vault import Vault
from appview.db import Pool
from tests.appview.accounts.rows import ALICE, BOB, add_grant, age, revocations, state

VAULT = Vault(["a secret key for the tests of the sweep"])


async def swept(pool: Pool) -> bool:
    async with pool.acquire() as connection:
        return await sweep(connection)


async def count(pool: Pool, table: str) -> int:
    return int(await pool.fetchval(f"select count(*) from {table}"))


async def test_what_is_in_use_stays(pool: Pool) -> None:
    held = await add_grant(pool)
    cookie = await sessions.sign_in(pool, None, ALICE, held)
    spoken_for = await add_grant(pool, kind="token")
    text = await developer_tokens.create(pool, ALICE, spoken_for, "cron", datetime.now(UTC) + timedelta(days=1))
    await keep(pool, VAULT, Begun("", "s", {}), browser="b", purpose="session", return_to="/")
    new = await add_grant(pool)
    assert await swept(pool)
    assert await sessions.find(pool, cookie) is not None
    assert await developer_tokens.find(pool, text) is not None
    assert await count(pool, "oauth_requests") == 1
    assert [await state(pool, grant) for grant in (held, spoken_for, new)] == ["live", "live", "new"]


@pytest.mark.parametrize(("column", "interval"), [("seen_at", "91 days"), ("signed_in_at", "366 days")])
async def test_a_browser_that_expired_takes_its_grants_along(pool: Pool, column: str, interval: str) -> None:
    grants = [await add_grant(pool), await add_grant(pool, BOB)]
    cookie = await sessions.sign_in(pool, None, ALICE, grants[0])
    await sessions.sign_in(pool, cookie, BOB, grants[1])
    await age(pool, "browsers", column, interval)
    other = await add_grant(pool)
    await sessions.sign_in(pool, None, ALICE, other)
    assert await swept(pool)
    assert await count(pool, "browsers") == 1
    assert [await state(pool, grant) for grant in (*grants, other)] == ["ending", "ending", "live"]
    assert await revocations(pool) == set(grants)


async def test_a_token_that_expired_takes_its_grant_along(pool: Pool) -> None:
    grant = await add_grant(pool, kind="token")
    await developer_tokens.create(pool, ALICE, grant, "cron", datetime.now(UTC) + timedelta(days=1))
    await age(pool, "developer_tokens", "expires_at", "2 days")
    assert await swept(pool)
    assert await count(pool, "developer_tokens") == 0
    assert await state(pool, grant) == "ending"


async def test_a_sign_in_that_nobody_came_back_from_is_forgotten(pool: Pool) -> None:
    await keep(pool, VAULT, Begun("", "s", {}), browser="b", purpose="session", return_to="/")
    await age(pool, "oauth_requests", "expires_at", "11 minutes")
    assert await swept(pool)
    assert await count(pool, "oauth_requests") == 0


async def test_a_grant_that_nobody_took_is_over(pool: Pool) -> None:
    grant = await add_grant(pool)
    await age(pool, "grants", "created_at", "16 minutes")
    assert await swept(pool)
    assert await state(pool, grant) == "ending"
    assert await revocations(pool) == {grant}


async def test_secrets_of_a_grant_that_could_not_be_revoked_are_forgotten_after_a_day(pool: Pool) -> None:
    grant = await add_grant(pool)
    await pool.execute(
        "update grants set state = 'ending', reason = 'signed out', over_at = now() - interval '23 hours'"
    )
    assert await swept(pool)
    assert await state(pool, grant) == "ending"
    await age(pool, "grants", "over_at", "2 hours")
    assert await swept(pool)
    assert await state(pool, grant) == "ended"
    assert await pool.fetchval("select sealed is null and reason = 'signed out' from grants")


async def test_a_revocation_that_no_job_is_left_of_is_wanted_again(pool: Pool) -> None:
    grant = await add_grant(pool)
    await pool.execute("update grants set state = 'ending', reason = 'signed out', over_at = now()")
    assert await swept(pool)
    assert await revocations(pool) == set()
    await age(pool, "grants", "over_at", "11 minutes")
    assert await swept(pool)
    assert await revocations(pool) == {grant}


async def test_a_grant_that_ended_is_remembered_for_a_month_and_then_its_place_in_the_browser_goes(pool: Pool) -> None:
    grant = await add_grant(pool)
    cookie = await sessions.sign_in(pool, None, ALICE, grant)
    await pool.execute("update grants set state = 'ended', sealed = null, reason = 'refused', over_at = now()")
    await age(pool, "grants", "over_at", "29 days")
    assert await swept(pool)
    session = await sessions.find(pool, cookie)
    assert session is not None
    assert [account.is_live for account in session.accounts] == [False]
    await age(pool, "grants", "over_at", "2 days")
    assert await swept(pool)
    assert await state(pool, grant) is None
    assert await count(pool, "browsers") == 0


async def test_a_heap_of_it_goes_in_pieces(pool: Pool) -> None:
    await pool.execute(
        """
        insert into oauth_requests (state, browser, sealed, expires_at)
        select sha256(n::text::bytea), '', '', now() - interval '1 hour' from generate_series(1, $1) as n
        """,
        AT_ONCE + 1,
    )
    assert not await swept(pool)
    assert await count(pool, "oauth_requests") == 1
    assert await swept(pool)
    assert await count(pool, "oauth_requests") == 0


async def test_a_token_whose_grant_ended_long_ago_goes_too(pool: Pool) -> None:
    grant = await add_grant(pool, kind="token")
    await developer_tokens.create(pool, ALICE, grant, "cron", datetime.now(UTC) + timedelta(days=90))
    await pool.execute("update grants set state = 'ended', sealed = null, reason = 'refused', over_at = now()")
    await age(pool, "grants", "over_at", "29 days")
    assert await swept(pool)
    assert await count(pool, "developer_tokens") == 1
    await age(pool, "grants", "over_at", "2 days")
    assert await swept(pool)
    assert (await count(pool, "developer_tokens"), await state(pool, grant)) == (0, None)


@pytest.mark.parametrize(("asked", "held", "left"), [("25 h", "24 h", 0), ("23 h", "22 h", 1), ("25 h", "-1 h", 1)])
async def test_a_like_that_never_came_is_forgotten_after_a_day(pool: Pool, asked: str, held: str, left: int) -> None:
    await pool.execute(
        """
        insert into coming_likes (did, subject, rkey, subject_cid, asked_at, held_until)
        values ($1, 'at://x', '3jzfcijpj2z2a', 'bafy', now() - $2::text::interval, now() - $3::text::interval)
        """,
        ALICE,
        asked,
        held,
    )
    assert await swept(pool)
    assert await count(pool, "coming_likes") == left
