from appview.accounts import developer_tokens
from appview.accounts.overview import Permission, permission
from appview.accounts.sessions import find, sign_in, sign_out
from appview.db import Pool
from tests.appview.accounts.rows import ALICE, BOB, add_grant


async def test_what_an_account_allowed_and_to_how_many_others(pool: Pool) -> None:
    grant, elsewhere = await add_grant(pool), await add_grant(pool)
    cookie, other = await sign_in(pool, None, ALICE, grant), await sign_in(pool, None, ALICE, elsewhere)
    await sign_in(pool, None, BOB, await add_grant(pool, BOB))
    found = await permission(pool, ALICE, grant)
    assert found is not None
    (kept,) = await pool.fetch("select created_at, issuer, scope from grants where id = $1", grant)
    assert found == Permission(kept["created_at"], kept["issuer"], kept["scope"], browsers=1, tokens=0)
    token = await add_grant(pool, kind="token")
    expires_at = await pool.fetchval("select now() + interval '1 day'")
    await developer_tokens.create(pool, ALICE, token, "a program", expires_at)
    await sign_out(pool, other, ALICE)
    assert await permission(pool, ALICE, grant) == Permission(*found[:3], browsers=0, tokens=1)
    assert await find(pool, cookie) is not None


async def test_what_is_over_or_somebody_elses_is_none(pool: Pool) -> None:
    grant = await add_grant(pool)
    assert await permission(pool, ALICE, grant) is None  # nobody has it yet
    cookie = await sign_in(pool, None, ALICE, grant)
    assert await permission(pool, BOB, grant) is None
    await sign_out(pool, cookie, ALICE)
    assert await permission(pool, ALICE, grant) is None
