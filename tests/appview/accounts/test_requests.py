"""Sign-ins under way: for the browser that began, once, and not for long."""

import asyncio

import pytest

from appview.accounts.oauth import Begun
from appview.accounts.requests import keep, take
from appview.accounts.vault import Vault
from appview.db import Pool
from tests.appview.accounts.rows import age

BROWSER, OTHER = "b" * 43, "o" * 43
STATE = "s" * 43
BEGUN = Begun("https://pds.test/oauth/authorize", STATE, {"verifier": "a-verifier", "dpop_key": "a-private-key"})


@pytest.fixture
def vault() -> Vault:
    return Vault(["a secret key for the tests of sign-ins"])


async def kept(pool: Pool, vault: Vault, begun: Begun = BEGUN) -> None:
    await keep(pool, vault, begun, browser=BROWSER, purpose="token", return_to="/account", details={"name": "cron"})


async def test_who_began_comes_back_to_all_of_it_once(pool: Pool, vault: Vault) -> None:
    await kept(pool, vault)
    request = await take(pool, vault, STATE, BROWSER)
    assert request is not None
    assert (request.secret, request.purpose, request.return_to) == (BEGUN.secret, "token", "/account")
    assert request.details == {"name": "cron"}
    assert "verifier" not in repr(request)
    assert await take(pool, vault, STATE, BROWSER) is None
    assert await pool.fetchval("select count(*) from oauth_requests") == 0


async def test_two_who_bring_it_at_once_are_one(pool: Pool, vault: Vault) -> None:
    await kept(pool, vault)
    taken = await asyncio.gather(*(take(pool, vault, STATE, BROWSER) for _ in range(8)))
    assert sum(request is not None for request in taken) == 1


async def test_another_browser_gets_nothing_and_spoils_it(pool: Pool, vault: Vault) -> None:
    await kept(pool, vault)
    assert await take(pool, vault, STATE, OTHER) is None
    assert await take(pool, vault, STATE, BROWSER) is None


async def test_a_state_that_was_never_given_is_nobodys(pool: Pool, vault: Vault) -> None:
    await kept(pool, vault)
    assert await take(pool, vault, "x" * 43, BROWSER) is None
    assert await take(pool, vault, "", BROWSER) is None
    assert await take(pool, vault, STATE, BROWSER) is not None


async def test_after_ten_minutes_it_is_too_late(pool: Pool, vault: Vault) -> None:
    for minutes, is_good in (("9 minutes", True), ("11 minutes", False)):
        await kept(pool, vault)
        await age(pool, "oauth_requests", "expires_at", minutes)
        assert (await take(pool, vault, STATE, BROWSER) is not None) is is_good


async def test_what_the_database_holds_says_nothing(pool: Pool, vault: Vault) -> None:
    await kept(pool, vault)
    row = await pool.fetchrow("select * from oauth_requests")
    assert row is not None
    for secret in (STATE, BROWSER, "a-verifier", "a-private-key", "cron"):
        assert all(secret.encode() not in value for value in row.values() if isinstance(value, bytes))
    for thief in (row["state"].hex(), row["state"].decode("latin-1")):
        assert await take(pool, vault, thief, BROWSER) is None


async def test_one_copied_to_another_state_does_not_open(pool: Pool, vault: Vault) -> None:
    await kept(pool, vault)
    await kept(pool, vault, BEGUN._replace(state="t" * 43, secret={"verifier": "another"}))
    await pool.execute("update oauth_requests set sealed = (select sealed from oauth_requests limit 1)")
    taken = [await take(pool, vault, state, BROWSER) for state in (STATE, "t" * 43)]
    assert sum(request is not None for request in taken) == 1


async def test_one_of_a_key_that_is_gone_has_to_begin_anew(pool: Pool, vault: Vault) -> None:
    await kept(pool, vault)
    assert await take(pool, Vault(["another key, without the former one"]), STATE, BROWSER) is None
