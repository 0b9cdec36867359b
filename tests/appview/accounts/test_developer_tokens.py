"""Developer tokens: shown once, good for one account until they expire or are revoked."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from appview.accounts.developer_tokens import (
    LONGEST_LIFE,
    MAX_NAME,
    MAX_TOKENS,
    PREFIX,
    Token,
    TokenRefused,
    create,
    find,
    of,
    revoke,
)
from appview.accounts.grant_rows import NotToBeHad
from appview.db import Pool
from tests.appview.accounts.rows import ALICE, BOB, add_grant, age, revocations, state


def within(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


async def made(pool: Pool, did: str = ALICE, name: str = "a script") -> str:
    return await create(pool, did, await add_grant(pool, did, "token"), name, within(90))


async def test_a_token_speaks_for_its_account(pool: Pool) -> None:
    grant = await add_grant(pool, kind="token")
    text = await create(pool, ALICE, grant, "a script", within(90))
    assert text.startswith("plyr_")
    assert len(text) == len(PREFIX) + 43
    assert await find(pool, text) == Token(ALICE, grant)
    assert await state(pool, grant) == "live"


async def test_what_the_database_holds_opens_nothing(pool: Pool) -> None:
    text = await made(pool)
    kept = await pool.fetchrow("select * from developer_tokens")
    assert kept is not None
    assert text[5:] not in str(dict(kept))
    for thief in (kept["digest"].hex(), PREFIX + kept["digest"].hex()[:43], PREFIX + "x" * 43, text[:-1], text[5:], ""):
        assert await find(pool, thief) is None


async def test_its_owner_sees_a_name_and_times_and_nobody_else_does(pool: Pool) -> None:
    first, second = await made(pool, name=" a \n script "), await made(pool, name="another")
    await made(pool, BOB)
    await find(pool, first)
    listed = await of(pool, ALICE)
    assert [(token.name, token.used_at is not None, token.is_live) for token in listed] == [
        ("another", False, True),
        ("a script", True, True),
    ]
    assert not any(text[5:] in str(listed) for text in (first, second))


async def test_a_revoked_token_is_good_for_nothing_and_its_grant_is_over(pool: Pool) -> None:
    text = await made(pool)
    found = await find(pool, text)
    [token] = await of(pool, ALICE)
    assert found is not None
    assert await revoke(pool, BOB, token.id) is None, "nobody revokes another's"
    assert await find(pool, text) == found
    assert await revoke(pool, ALICE, token.id) == found.grant
    assert await find(pool, text) is None
    assert await of(pool, ALICE) == []
    assert await state(pool, found.grant) == "ending"
    assert await revocations(pool) == {found.grant}
    assert await revoke(pool, ALICE, token.id) is None


async def test_a_token_whose_grant_is_over_is_listed_and_good_for_nothing(pool: Pool) -> None:
    text = await made(pool)
    await pool.execute("update grants set state = 'ended', sealed = null, reason = 'refused', over_at = now()")
    assert await find(pool, text) is None
    assert [token.is_live for token in await of(pool, ALICE)] == [False]


async def test_a_token_expires(pool: Pool) -> None:
    text = await made(pool)
    await age(pool, "developer_tokens", "expires_at", "89 days")
    assert await find(pool, text) is not None
    await age(pool, "developer_tokens", "expires_at", "1 day")
    assert await find(pool, text) is None
    assert await of(pool, ALICE) == []


async def test_use_is_noted_once_a_minute(pool: Pool) -> None:
    text = await made(pool)
    await find(pool, text)
    await age(pool, "developer_tokens", "used_at", "50 seconds")
    before = await pool.fetchval("select used_at from developer_tokens")
    await find(pool, text)
    assert await pool.fetchval("select used_at from developer_tokens") == before
    await age(pool, "developer_tokens", "used_at", "20 seconds")
    await find(pool, text)
    assert await pool.fetchval("select used_at > now() - interval '5 seconds' from developer_tokens")


@pytest.mark.parametrize(
    ("name", "days"),
    [
        ("", 90),
        (" \t ", 90),
        ("x" * (MAX_NAME + 1), 90),
        ("a\x00b", 90),
        ("a\u202eb", 90),
        ("fine", 0),
        ("fine", -1),
        ("fine", LONGEST_LIFE.days + 1),
    ],
)
async def test_what_cannot_be_a_token_is_refused(pool: Pool, name: str, days: float) -> None:
    grant = await add_grant(pool, kind="token")
    with pytest.raises(TokenRefused):
        await create(pool, ALICE, grant, name, within(days))
    assert await of(pool, ALICE) == []
    assert await state(pool, grant) == "new"


async def test_each_token_has_a_grant_of_its_own_account_and_kind(pool: Pool) -> None:
    grant = await add_grant(pool, kind="token")
    with pytest.raises(NotToBeHad):
        await create(pool, BOB, grant, "stolen", within(1))
    await create(pool, ALICE, grant, "mine", within(1))
    with pytest.raises(NotToBeHad):
        await create(pool, ALICE, grant, "again", within(1))
    with pytest.raises(NotToBeHad):
        await create(pool, ALICE, await add_grant(pool), "of a browser", within(1))


async def test_an_account_has_so_many_even_when_they_are_made_at_once(pool: Pool) -> None:
    for _ in range(MAX_TOKENS - 1):
        await made(pool)
    grants = [await add_grant(pool, kind="token") for _ in range(4)]
    # So many connections are open then, and nobody waits for one.
    await asyncio.gather(*(pool.execute("select pg_sleep(0.1)") for _ in grants))
    outcomes = await asyncio.gather(
        *(create(pool, ALICE, grant, "a script", within(90)) for grant in grants), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes].count(TokenRefused) == 3
    assert len(await of(pool, ALICE)) == MAX_TOKENS
    assert await made(pool, BOB)
