"""Browsers: their cookies, the accounts in them, and how both end."""

import asyncio

import pytest

from appview.accounts.grant_rows import NotToBeHad
from appview.accounts.sessions import MAX_ACCOUNTS, MAX_BROWSERS, Session, find, sign_in, sign_out, switch
from appview.accounts.vault import digest
from appview.db import Pool
from tests.appview.accounts.rows import ALICE, BOB, add_grant, age, revocations, state


async def signed_in(pool: Pool, did: str = ALICE, cookie: str | None = None) -> str:
    return await sign_in(pool, cookie, did, await add_grant(pool, did))


async def known(pool: Pool, cookie: str) -> Session:
    session = await find(pool, cookie)
    assert session is not None
    return session


async def test_a_browser_is_known_by_its_cookie_as_who_signed_in(pool: Pool) -> None:
    grant = await add_grant(pool)
    cookie = await sign_in(pool, None, ALICE, grant)
    session = await known(pool, cookie)
    assert session.current is not None
    assert (session.current.did, session.current.grant) == (ALICE, grant)
    assert session.id == digest(cookie)
    assert await state(pool, grant) == "live"
    assert len(cookie) == 43


async def test_what_the_database_holds_opens_nothing(pool: Pool) -> None:
    cookie = await signed_in(pool)
    kept = await pool.fetchval("select cookie from browsers")
    assert cookie.encode() not in kept
    for thief in (kept.hex(), kept.hex()[:43], kept.decode("latin-1"), "", "x" * 43, cookie[:-1], cookie + "A"):
        assert await find(pool, thief) is None
    assert cookie not in repr(await find(pool, cookie))


async def test_a_form_needs_what_follows_from_the_cookie_alone(pool: Pool) -> None:
    one, other = await known(pool, await signed_in(pool)), await known(pool, await signed_in(pool, BOB))
    assert one.csrf != other.csrf
    assert len(one.csrf) == 43
    assert one.csrf not in repr(one)


async def test_each_sign_in_makes_a_new_cookie_and_the_old_one_is_dead(pool: Pool) -> None:
    first = await signed_in(pool)
    second = await signed_in(pool, BOB, first)
    assert second != first
    assert await find(pool, first) is None
    session = await known(pool, second)
    assert [account.did for account in session.accounts] == [BOB, ALICE]
    assert await pool.fetchval("select count(*) from browsers") == 1


@pytest.mark.parametrize("planted", ["p" * 43, "short", "é" * 43, "a'; drop table browsers; --"])
async def test_a_cookie_that_is_not_ours_is_never_taken_over(pool: Pool, planted: str) -> None:
    cookie = await signed_in(pool, ALICE, planted)
    assert cookie != planted
    assert await find(pool, planted) is None
    assert await find(pool, cookie) is not None


async def test_who_signs_in_again_leaves_the_former_grant_behind(pool: Pool) -> None:
    first = await add_grant(pool)
    cookie = await sign_in(pool, None, ALICE, first)
    second = await add_grant(pool)
    cookie = await sign_in(pool, cookie, ALICE, second)
    assert [account.grant for account in (await known(pool, cookie)).accounts] == [second]
    assert (await state(pool, first), await state(pool, second)) == ("ending", "live")
    assert await revocations(pool) == {first}


async def test_two_browsers_of_one_account_know_nothing_of_each_other(pool: Pool) -> None:
    one, two = await signed_in(pool), await signed_in(pool)
    await sign_out(pool, one, None)
    assert await find(pool, one) is None
    assert (await known(pool, two)).current is not None


async def test_nobody_signs_in_with_a_grant_of_somebody_else(pool: Pool) -> None:
    grant = await add_grant(pool)
    with pytest.raises(NotToBeHad):
        await sign_in(pool, None, BOB, grant)
    cookie = await sign_in(pool, None, ALICE, grant)
    with pytest.raises(NotToBeHad):
        await sign_in(pool, cookie, ALICE, grant)
    assert await find(pool, cookie) is not None, "what failed changed nothing"
    with pytest.raises(NotToBeHad):
        await sign_in(pool, None, ALICE, await add_grant(pool, kind="token"))
    assert await pool.fetchval("select count(*) from browsers") == 1


async def test_switching_changes_who_the_browser_acts_as(pool: Pool) -> None:
    cookie = await signed_in(pool, BOB, await signed_in(pool))
    assert await switch(pool, cookie, ALICE)
    current = (await known(pool, cookie)).current
    assert current is not None
    assert current.did == ALICE
    assert not await switch(pool, cookie, "did:plc:stranger")
    assert not await switch(pool, "x" * 43, BOB)
    assert (await known(pool, cookie)).current == current


async def test_an_account_whose_grant_is_over_is_not_acted_for_and_nobody_takes_its_place(pool: Pool) -> None:
    cookie = await signed_in(pool)
    grant = await add_grant(pool, BOB)
    cookie = await sign_in(pool, cookie, BOB, grant)
    await pool.execute(
        "update grants set state = 'ended', sealed = null, reason = 'refused', over_at = now() where id = $1", grant
    )
    session = await known(pool, cookie)
    assert [(account.did, account.is_live) for account in session.accounts] == [(BOB, False), (ALICE, True)]
    assert session.current is None, "else whoever believes to be Bob would write as Alice"
    assert not await switch(pool, cookie, BOB)
    assert await switch(pool, cookie, ALICE)


async def test_signing_one_out_leaves_the_others_and_ends_its_grant(pool: Pool) -> None:
    cookie = await signed_in(pool)
    grant = await add_grant(pool, BOB)
    cookie = await sign_in(pool, cookie, BOB, grant)
    assert await sign_out(pool, cookie, BOB) == [grant]
    assert await state(pool, grant) == "ending"
    assert await revocations(pool) == {grant}
    current = (await known(pool, cookie)).current
    assert current is not None
    assert current.did == ALICE
    assert await sign_out(pool, cookie, BOB) == []


async def test_signing_all_out_forgets_the_browser(pool: Pool) -> None:
    cookie = await signed_in(pool, BOB, await signed_in(pool))
    assert len(await sign_out(pool, cookie, None)) == 2
    assert await find(pool, cookie) is None
    assert await pool.fetchval("select count(*) from browsers") == 0
    assert await sign_out(pool, cookie, None) == []


@pytest.mark.parametrize(
    ("column", "interval", "is_known"),
    [
        ("seen_at", "89 days", True),
        ("seen_at", "91 days", False),
        ("signed_in_at", "364 days", True),
        ("signed_in_at", "366 days", False),
    ],
)
async def test_a_browser_expires(pool: Pool, column: str, interval: str, is_known: bool) -> None:
    cookie = await signed_in(pool)
    await age(pool, "browsers", column, interval)
    assert (await find(pool, cookie) is not None) is is_known
    assert await switch(pool, cookie, ALICE) is is_known
    again = await signed_in(pool, BOB, cookie)
    assert len((await known(pool, again)).accounts) == (2 if is_known else 1), "one that expired is not taken over"


async def test_being_seen_is_noted_once_an_hour(pool: Pool) -> None:
    cookie = await signed_in(pool)
    await age(pool, "browsers", "seen_at", "59 minutes")
    before = await pool.fetchval("select seen_at from browsers")
    await find(pool, cookie)
    assert await pool.fetchval("select seen_at from browsers") == before
    await age(pool, "browsers", "seen_at", "2 minutes")
    await find(pool, cookie)
    assert await pool.fetchval("select seen_at > now() - interval '1 minute' from browsers")


async def test_one_cookie_that_signs_in_twice_at_once_is_followed_by_one(pool: Pool) -> None:
    cookie = await signed_in(pool)
    grants = [await add_grant(pool, BOB) for _ in range(2)]
    new = await asyncio.gather(*(sign_in(pool, cookie, BOB, grant) for grant in grants))
    assert await find(pool, cookie) is None
    dids = [[account.did for account in (await known(pool, each)).accounts] for each in new]
    assert sorted(map(len, dids)) == [1, 2]


async def test_a_browser_holds_so_many_accounts(pool: Pool) -> None:
    cookie: str | None = None
    grants = []
    for number in range(MAX_ACCOUNTS + 1):
        grants.append(await add_grant(pool, f"did:plc:{number}"))
        cookie = await sign_in(pool, cookie, f"did:plc:{number}", grants[-1])
    session = await known(pool, cookie or "")
    assert [account.did for account in session.accounts] == [f"did:plc:{n}" for n in range(MAX_ACCOUNTS, 0, -1)]
    assert await state(pool, grants[0]) == "ending"


async def test_an_account_is_in_so_many_browsers(pool: Pool) -> None:
    cookies = [await signed_in(pool) for _ in range(MAX_BROWSERS + 1)]
    assert await find(pool, cookies[0]) is None
    assert await find(pool, cookies[1]) is not None
    assert await pool.fetchval("select count(*) from browsers") == MAX_BROWSERS
    assert await pool.fetchval("select count(*) from grants where state = 'ending'") == 1
