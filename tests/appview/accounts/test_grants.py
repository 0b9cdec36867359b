"""Grants: tokens that are good when they are handed out, asked for once whoever wants them, and gone at the end."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from appview.accounts import grant_rows
from appview.accounts.grants import LEASE_SECONDS, LOST, Grants
from appview.accounts.oauth.errors import GrantEnded, ServerAway
from appview.accounts.vault import Vault
from appview.db import Connection, Pool, create_pool
from tests.appview.accounts.granting import SCOPE, SECRET, Authority, granted, listening
from tests.appview.accounts.rows import ALICE, BOB, age, revocations, state

ROOT = Path(__file__).parents[3]


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def grants(pool: Pool, authority: Authority) -> AsyncIterator[Grants]:
    made = another(pool, authority)
    yield made
    await made.aclose()


def another(pool: Pool, authority: Authority) -> Grants:
    """The grants as another process has them."""
    return Grants(pool, Vault([SECRET]), authority)


async def over_lease(pool: Pool) -> None:
    """As if the one who has the lease had said nothing for too long."""
    await pool.execute("update grants set leased_until = now() - interval '1 second'")


async def test_what_was_granted_comes_back(grants: Grants) -> None:
    given = granted()
    grant = await grants.save(given, "session")
    assert await grants.fresh(grant) == given
    assert await grants.scope(grant) == SCOPE


async def test_nothing_secret_is_to_be_read_in_the_row(grants: Grants, pool: Pool) -> None:
    grant = await grants.save(granted(), "session")
    row = await pool.fetchrow("select * from grants")
    assert row is not None
    for secret in (b"access-0", b"refresh-0", b"private-key"):
        assert secret not in row["sealed"]
        assert secret.decode() not in str([value for value in row.values() if not isinstance(value, bytes)])
    read = await grant_rows.read(pool, grant)
    assert str(row["sealed"]) not in repr(read)


async def test_a_row_copied_over_another_does_not_open(grants: Grants, pool: Pool) -> None:
    alices, bobs = await grants.save(granted(), "session"), await grants.save(granted(BOB), "session")
    await pool.execute(
        "update grants set sealed = (select sealed from grants where id = $1) where id = $2", bobs, alices
    )
    with pytest.raises(GrantEnded, match="sealed"):
        await grants.fresh(alices)
    assert (await grants.fresh(bobs)).did == BOB
    assert await state(pool, alices) == "new", "the row waits for its key"


async def test_one_of_a_key_that_is_gone_waits_for_it(grants: Grants, pool: Pool, authority: Authority) -> None:
    grant = await grants.save(granted(), "session")
    with pytest.raises(GrantEnded, match="sealed"):
        await Grants(pool, Vault(["n" * 32]), authority).fresh(grant)
    assert (await Grants(pool, Vault(["n" * 32, SECRET]), authority).fresh(grant)).did == ALICE


async def test_a_good_token_is_not_renewed(grants: Grants, authority: Authority) -> None:
    grant = await grants.save(granted(seconds=45), "session")
    for _ in range(5):
        assert (await grants.fresh(grant)).access_token == "access-0"
    assert authority.asked == 0


@pytest.mark.parametrize("seconds", [9.0, 0.0, -3600.0])
async def test_one_that_is_nearly_over_is(grants: Grants, authority: Authority, seconds: float) -> None:
    grant = await grants.save(granted(seconds=seconds), "session")
    assert (await grants.fresh(grant)).access_token == "access-1"
    assert (await grants.fresh(grant)).access_token == "access-1"
    assert authority.asked == 1


async def test_those_who_come_shortly_before_the_end_are_spread(pool: Pool, authority: Authority) -> None:
    grants = another(pool, authority)
    authority.delay = 0.0
    authority.seconds = 25.0
    grant = await grants.save(granted(seconds=25), "session")
    for _ in range(40):
        await grants.fresh(grant)
    assert 5 < authority.asked < 35, "about half of them find 25 s too short"


async def test_one_whose_end_is_not_known_is_used_until_it_is_refused(grants: Grants, authority: Authority) -> None:
    authority.seconds = None
    grant = await grants.save(granted(seconds=None), "session")
    assert (await grants.fresh(grant)).access_token == "access-0"
    assert (await grants.fresh(grant, refused="access-0")).access_token == "access-1"
    assert (await grants.fresh(grant, refused="access-0")).access_token == "access-1", "that was seen to already"
    assert authority.asked == 1


async def test_tokens_that_never_last_are_asked_for_once_each_time(grants: Grants, authority: Authority) -> None:
    authority.seconds = 3.0
    grant = await grants.save(granted(seconds=3), "session")
    assert (await grants.fresh(grant)).access_token == "access-1"
    assert (await grants.fresh(grant)).access_token == "access-2"
    assert authority.asked == 2


async def test_fifty_at_once_ask_once(grants: Grants, authority: Authority) -> None:
    grant = await grants.save(granted(seconds=-1), "session")
    got = await asyncio.gather(*(grants.fresh(grant) for _ in range(50)))
    assert {each.access_token for each in got} == {"access-1"}
    assert authority.asked == 1


async def test_fifty_who_were_refused_ask_once(grants: Grants, authority: Authority) -> None:
    grant = await grants.save(granted(), "session")
    got = await asyncio.gather(*(grants.fresh(grant, refused="access-0") for _ in range(50)))
    assert {each.access_token for each in got} == {"access-1"}
    assert authority.asked == 1


async def test_several_who_do_not_know_of_each_other_ask_once(pool: Pool, authority: Authority) -> None:
    authority.delay = 0.4
    all_grants = [another(pool, authority) for _ in range(5)]
    grant = await all_grants[0].save(granted(seconds=-1), "session")
    got = await asyncio.gather(*(each.fresh(grant) for each in all_grants for _ in range(10)))
    assert {each.access_token for each in got} == {"access-1"}
    assert authority.asked == 1


async def test_no_connection_is_held_while_the_server_is_asked(database_url: str, authority: Authority) -> None:
    authority.gate.clear()
    async with await create_pool(database_url, size=1) as pool:
        grants = another(pool, authority)
        grant = await grants.save(granted(seconds=-1), "session")
        refreshing = asyncio.gather(*(grants.fresh(grant) for _ in range(5)))
        await authority.is_asked()
        assert await asyncio.wait_for(pool.fetchval("select 1"), 5) == 1
        authority.gate.set()
        await refreshing


async def started(*arguments: str) -> Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.appview.accounts.refresher", *arguments, cwd=ROOT, stdin=PIPE, stdout=PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


async def test_two_processes_ask_once(grants: Grants, authority: Authority, database_url: str, pool: Pool) -> None:
    authority.delay = 0.5
    grant = await grants.save(granted(seconds=-1), "session")
    async with listening(authority) as url:
        processes = await asyncio.gather(*(started(database_url, url, str(grant), "25") for _ in range(2)))
        said = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    assert [json.loads(out) for out, _ in said] == [["access-1"] * 25] * 2
    assert authority.asked == 1
    assert (await grants.fresh(grant)).refresh_token == "refresh-1"
    assert await pool.fetchval("select version from grants") == 2


async def test_tokens_are_kept_before_anybody_has_them(grants: Grants, pool: Pool, authority: Authority) -> None:
    grant = await grants.save(granted(seconds=-1), "session")
    authority.scope = "atproto"
    got = await grants.fresh(grant)
    assert await another(pool, authority).fresh(grant) == got
    assert await grants.scope(grant) == "atproto", "a server may narrow what it grants"


async def test_whoever_wanted_them_may_leave(grants: Grants, pool: Pool, authority: Authority) -> None:
    authority.gate.clear()
    grant = await grants.save(granted(seconds=-1), "session")
    waiting = asyncio.create_task(grants.fresh(grant))
    await authority.is_asked()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    authority.gate.set()
    await grants.aclose()
    assert (await grants.fresh(grant)).access_token == "access-1"
    assert authority.asked == 1


async def test_a_server_that_is_away_keeps_the_grant_and_is_left_alone(
    grants: Grants, pool: Pool, authority: Authority
) -> None:
    authority.is_away = True
    grant = await grants.save(granted(seconds=-1), "session")
    for _ in range(3):
        with pytest.raises(ServerAway):
            await grants.fresh(grant)
        with pytest.raises(ServerAway):
            await another(pool, authority).fresh(grant)
    assert authority.asked == 1
    authority.is_away = False
    await age(pool, "grants", "away_until", "6 seconds")
    assert (await grants.fresh(grant)).access_token == "access-1"


async def test_what_is_left_of_a_token_will_do_while_its_server_is_away(grants: Grants, authority: Authority) -> None:
    authority.is_away = True
    grant = await grants.save(granted(seconds=8), "session")
    assert (await grants.fresh(grant)).access_token == "access-0"
    assert authority.asked == 1
    with pytest.raises(ServerAway):
        await grants.fresh(grant, refused="access-0")


async def test_a_server_that_ends_it_is_asked_no_more(grants: Grants, pool: Pool, authority: Authority) -> None:
    authority.is_over = True
    grant = await grants.save(granted(seconds=-1), "session")
    for _ in range(2):
        with pytest.raises(GrantEnded, match="invalid_grant"):
            await grants.fresh(grant)
    assert authority.asked == 1
    row = await pool.fetchrow("select state, sealed from grants")
    assert row is not None
    assert tuple(row) == ("ended", None)
    assert authority.revoked == []
    with pytest.raises(GrantEnded):
        await grants.scope(grant)


async def test_an_answer_that_was_lost_ends_it_with_that_reason(
    grants: Grants, pool: Pool, authority: Authority
) -> None:
    authority.loses_replies = True
    grant = await grants.save(granted(seconds=-1), "session")
    with pytest.raises(ServerAway):
        await grants.fresh(grant)
    await age(pool, "grants", "away_until", "6 seconds")
    with pytest.raises(GrantEnded, match=LOST):
        await grants.fresh(grant)
    with pytest.raises(GrantEnded, match=LOST):
        await grants.fresh(grant)
    assert authority.asked == 2


async def test_a_process_that_died_with_the_lease_is_waited_for_and_then_replaced(
    grants: Grants, pool: Pool, authority: Authority
) -> None:
    grant = await grants.save(granted(seconds=-1), "session")
    dead = await grant_rows.take(pool, grant, ("new",), 1, seconds=LEASE_SECONDS, is_asking=True)
    assert dead is not None
    waiting = asyncio.create_task(grants.fresh(grant))
    await asyncio.sleep(0.4)
    assert not waiting.done()
    assert authority.asked == 0
    await over_lease(pool)
    assert (await waiting).access_token == "access-1"


async def test_who_lost_the_lease_neither_ends_it_nor_gives_it_back(grants: Grants, pool: Pool) -> None:
    grant = await grants.save(granted(), "session")
    late = await grant_rows.take(pool, grant, ("new",), 1, seconds=0.0, is_asking=True)
    assert late is not None
    now = await grant_rows.take(pool, grant, ("new",), 1, seconds=60.0, is_asking=True)
    assert now is not None
    assert now.is_unanswered
    assert not await grant_rows.bury(pool, late, "refused")
    await grant_rows.give_back(pool, late, is_unanswered=False, away_seconds=60.0)
    await grant_rows.renew(pool, late, seconds=-60.0)
    assert await grant_rows.take(pool, grant, ("new",), 1, seconds=60.0, is_asking=True) is None
    assert await state(pool, grant) == "new"
    assert await pool.fetchval("select away_until is null and asked_at is not null from grants")


async def test_new_tokens_of_one_who_lost_the_lease_are_kept_all_the_same(pool: Pool, authority: Authority) -> None:
    authority.gate.clear()
    slow, quick = another(pool, authority), another(pool, authority)
    grant = await slow.save(granted(seconds=-1), "session")
    renewing = asyncio.create_task(slow.fresh(grant))
    await authority.is_asked()
    await over_lease(pool)
    taken = await grant_rows.take(pool, grant, ("new",), 1, seconds=60.0, is_asking=True)
    assert taken is not None, "somebody believes the slow one dead"
    authority.gate.set()
    assert (await renewing).access_token == "access-1"
    assert not await grant_rows.bury(pool, taken, "invalid_grant"), "the refusal is of tokens that were replaced"
    assert (await quick.fresh(grant)).access_token == "access-1"
    assert authority.asked == 1


async def test_new_tokens_of_a_grant_that_has_ended_meanwhile_are_revoked(
    grants: Grants, pool: Pool, authority: Authority
) -> None:
    authority.gate.clear()
    grant = await grants.save(granted(seconds=-1), "session")
    renewing = asyncio.create_task(grants.fresh(grant))
    await authority.is_asked()
    await pool.execute("delete from grants")
    authority.gate.set()
    with pytest.raises(GrantEnded):
        await renewing
    assert authority.revoked == ["refresh-1"]


async def test_new_tokens_outlive_a_database_that_breaks_off(
    grants: Grants, pool: Pool, authority: Authority, connection: Connection
) -> None:
    authority.gate.clear()
    grant = await grants.save(granted(seconds=-1), "session")
    renewing = asyncio.create_task(grants.fresh(grant))
    await authority.is_asked()
    await connection.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )
    authority.gate.set()
    assert (await renewing).access_token == "access-1"
    assert authority.revoked == []


async def test_new_tokens_that_cannot_be_kept_are_revoked(grants: Grants, pool: Pool, authority: Authority) -> None:
    authority.gate.clear()
    grant = await grants.save(granted(seconds=-1), "session")
    renewing = asyncio.create_task(grants.fresh(grant))
    await authority.is_asked()
    await pool.execute("alter table grants rename to elsewhere")
    authority.gate.set()
    with pytest.raises(asyncpg.UndefinedTableError):
        await renewing
    assert authority.revoked == ["refresh-1"]


async def test_a_slow_server_does_not_cost_the_lease(pool: Pool, authority: Authority) -> None:
    authority.delay = 1.0
    one, other = (Grants(pool, Vault([SECRET]), authority, lease_seconds=0.3) for _ in range(2))
    grant = await one.save(granted(seconds=-1), "session")
    got = await asyncio.gather(one.fresh(grant), other.fresh(grant))
    assert {each.access_token for each in got} == {"access-1"}
    assert authority.asked == 1


async def test_an_end_is_told_to_the_server_and_forgets_the_secrets(
    grants: Grants, pool: Pool, authority: Authority
) -> None:
    grant = await grants.save(granted(), "session")
    await grants.end(grant, "signed out")
    assert authority.revoked == ["refresh-0"]
    assert await state(pool, grant) == "ended"
    assert await pool.fetchval("select sealed is null and leased_until is null from grants")
    with pytest.raises(GrantEnded, match="signed out"):
        await grants.fresh(grant)
    await grants.end(grant, "again")
    await grants.end(grant + 1, "never was")
    assert authority.revoked == ["refresh-0"]
    assert await pool.fetchval("select reason from grants") == "signed out"


async def test_an_end_holds_at_once_although_its_server_is_away(
    grants: Grants, pool: Pool, authority: Authority
) -> None:
    grant = await grants.save(granted(), "session")
    authority.is_away = True
    await grants.end(grant, "signed out")
    assert await state(pool, grant) == "ending"
    assert await revocations(pool) == {grant}
    with pytest.raises(GrantEnded):
        await grants.fresh(grant)
    assert not await grants.finish(grant)
    authority.is_away = False
    assert await another(pool, authority).finish(grant)
    assert authority.revoked == ["refresh-0"]
    assert await state(pool, grant) == "ended"


async def test_a_server_that_will_not_have_it_is_not_asked_again(
    grants: Grants, pool: Pool, authority: Authority
) -> None:
    grant = await grants.save(granted(), "session")
    authority.refuses_revocation = True
    await grants.end(grant, "signed out")
    assert await state(pool, grant) == "ended"


async def test_in_the_end_it_is_forgotten_whatever_the_server_says(
    grants: Grants, pool: Pool, authority: Authority
) -> None:
    grant = await grants.save(granted(), "session")
    authority.is_away = True
    await grants.end(grant, "signed out")
    assert await grants.finish(grant, is_last=True)
    assert await state(pool, grant) == "ended"


async def test_whoever_ends_it_may_leave(grants: Grants, pool: Pool, authority: Authority) -> None:
    authority.gate.clear()
    grant = await grants.save(granted(), "session")
    ending = asyncio.create_task(grants.end(grant, "signed out"))
    await authority.is_asked()
    ending.cancel()
    await asyncio.gather(ending, return_exceptions=True)
    authority.gate.set()
    await grants.aclose()
    assert authority.revoked == ["refresh-0"]
    assert await state(pool, grant) == "ended"


async def test_an_end_in_the_midst_of_a_refresh_revokes_what_that_brings(
    grants: Grants, pool: Pool, authority: Authority
) -> None:
    authority.gate.clear()
    grant = await grants.save(granted(seconds=-1), "session")
    renewing = asyncio.create_task(grants.fresh(grant))
    await authority.is_asked()
    await another(pool, authority).end(grant, "signed out")
    authority.gate.set()
    with pytest.raises(GrantEnded, match="signed out"):
        await renewing
    assert await state(pool, grant) == "ending"
    assert await grants.finish(grant)
    assert authority.revoked == ["refresh-1"]


async def test_one_of_a_key_that_is_gone_can_be_ended(grants: Grants, pool: Pool, authority: Authority) -> None:
    grant = await grants.save(granted(), "session")
    await Grants(pool, Vault(["n" * 32]), authority).end(grant, "signed out")
    assert await state(pool, grant) == "ended"
    assert authority.revoked == []


async def test_all_of_an_account_end_together(grants: Grants, pool: Pool, authority: Authority) -> None:
    alices = [await grants.save(granted(), "session"), await grants.save(granted(), "token")]
    bobs = await grants.save(granted(BOB), "session")
    await grants.end_all(ALICE, "deleted")
    assert [await state(pool, grant) for grant in (*alices, bobs)] == ["ended", "ended", "new"]
    assert len(authority.revoked) == 2


async def test_the_latest_is_the_newest_that_somebody_has(grants: Grants, pool: Pool) -> None:
    assert await grants.latest(ALICE) is None
    first, second = await grants.save(granted(), "session"), await grants.save(granted(), "token")
    assert await grants.latest(ALICE) is None
    async with pool.acquire() as connection:
        await grant_rows.adopt(connection, first, ALICE, "session")
        assert await grants.latest(ALICE) == first
        await grant_rows.adopt(connection, second, ALICE, "token")
    assert await grants.latest(ALICE) == second
    await grants.end(second, "revoked")
    assert await grants.latest(ALICE) == first
    assert await grants.latest(BOB) is None
