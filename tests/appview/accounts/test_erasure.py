"""What an account asks for when it wants to be forgotten, and each step of it, as rows."""

import pytest

from appview.accounts import erasure, sessions
from appview.accounts.erasure import erasure_of, request_erasure
from appview.accounts.grant_rows import condemn
from appview.db import Connection, Pool
from appview.jobs.rows import find, want
from tests.appview.accounts.rows import ALICE, BOB, add_grant, revocations, state
from tests.index_writer import IndexWriter


async def jobs(pool: Pool, did: str = ALICE) -> set[str]:
    return {row["kind"] for row in await pool.fetch("select kind from jobs where subject = $1", did)}


async def signed_in(pool: Pool, did: str = ALICE) -> tuple[str, int]:
    grant = await add_grant(pool, did)
    return await sessions.sign_in(pool, None, did, grant), grant


async def test_who_keeps_their_records_is_signed_out_at_once_everywhere(pool: Pool) -> None:
    (cookie, here), (_, there), (others, bob) = await signed_in(pool), await signed_in(pool), await signed_in(pool, BOB)
    asked = await request_erasure(pool, ALICE, here, records=False)
    assert (asked.state, asked.records, asked.grant) == ("forgetting", False, None)
    assert await revocations(pool) == {here, there}
    session = await sessions.find(pool, cookie)
    assert session is not None
    assert session.current is None
    assert await state(pool, bob) == "live"
    assert await sessions.find(pool, others) is not None
    assert await jobs(pool) == {"erasure"}
    assert await erasure_of(pool, ALICE) == asked
    assert await erasure_of(pool, BOB) is None


async def test_the_grant_that_deletes_lives_until_the_records_are_gone_whoever_ends_it(pool: Pool) -> None:
    (cookie, here), (_, there) = await signed_in(pool), await signed_in(pool)
    asked = await request_erasure(pool, ALICE, here, records=True)
    assert (asked.state, asked.grant) == ("deleting", here)
    assert await revocations(pool) == {there}
    assert await sessions.sign_out(pool, cookie, None) == []
    async with pool.acquire() as connection:
        assert await condemn(connection, [here], "for another reason") == []
    assert await state(pool, here) == "live"
    await erasure.end_deleting(pool, asked, None)
    assert await state(pool, here) == "ending"
    assert await revocations(pool) == {here, there}


async def test_asking_again_changes_nothing_but_that_records_are_deleted_too(pool: Pool) -> None:
    _, here = await signed_in(pool)
    first = await request_erasure(pool, ALICE, here, records=True)
    await erasure.note_deleted(pool, first, 100, "3l")
    again = await request_erasure(pool, ALICE, here, records=False)
    assert (again.state, again.records, again.deleted, again.requested_at) == (
        "deleting",
        True,
        100,
        first.requested_at,
    )
    _, newer = await signed_in(pool)
    again = await request_erasure(pool, ALICE, newer, records=True)
    assert (again.grant, again.deleted) == (newer, 100)
    assert await state(pool, here) == "ending"
    await erasure.end_deleting(pool, again, None)
    await erasure.end_echo(pool, again)
    await erasure.end_forgetting(pool, again)
    assert (await request_erasure(pool, ALICE, newer, records=True)).state == "purging", "too late for that"
    async with pool.acquire() as connection:
        await erasure.end_purging(connection, ALICE)
    _, last = await signed_in(pool)
    assert (await request_erasure(pool, ALICE, last, records=True)).deleted == 0


async def test_each_step_is_taken_once(pool: Pool) -> None:
    cookie, here = await signed_in(pool)
    await pool.execute("insert into preferences (did, value) values ($1, '[]')", ALICE)
    asked = await request_erasure(pool, ALICE, here, records=True)
    assert await erasure.is_heard(pool, asked), "nothing was deleted"
    await erasure.end_deleting(pool, asked, "the grant is over")
    echo = await erasure_of(pool, ALICE)
    assert echo is not None
    assert (echo.state, echo.reason, echo.grant) == ("echo", "the grant is over", None)
    await erasure.end_deleting(pool, asked, None)
    await erasure.note_deleted(pool, asked, 7, "3l")
    assert await erasure_of(pool, ALICE) == echo
    await erasure.end_echo(pool, echo)
    assert await erasure.servers_to_tell(pool, ALICE) == 1
    await erasure.end_forgetting(pool, echo)
    assert await state(pool, here) is None
    assert await sessions.find(pool, cookie) is None
    assert await pool.fetchval("select count(*) from preferences") == 0
    assert await jobs(pool) == {"erasure", "erase"}
    await pool.execute("delete from jobs")
    _, newer = await signed_in(pool)
    await erasure.end_forgetting(pool, echo)
    assert (await state(pool, newer), await jobs(pool)) == ("live", set())


@pytest.mark.parametrize(("ours", "heard"), [(None, True), ("3kb", False), ("3kc", True), ("3kd", True)])
async def test_the_echo_is_the_commit_that_deleted_the_last(
    pool: Pool, connection: Connection, ours: str | None, heard: bool
) -> None:
    _, here = await signed_in(pool)
    if ours is not None:
        await IndexWriter(connection).account(ALICE)
        await connection.execute("update repos set rev = $1", ours)
    asked = await request_erasure(pool, ALICE, here, records=True)
    await erasure.note_deleted(pool, asked, 1, "3kc")
    await erasure.note_deleted(pool, asked, 1, "3ka")
    await erasure.note_deleted(pool, asked, 0, None)
    noted = await erasure_of(pool, ALICE)
    assert noted is not None
    assert (noted.deleted, noted.rev) == (2, "3kc")
    assert await erasure.is_heard(pool, noted) is heard
    await connection.execute("update repos set rev = null")
    assert await erasure.is_heard(pool, noted) is (ours is None), "while it is being fetched"


async def test_whoever_was_stopped_is_reminded(pool: Pool, connection: Connection) -> None:
    _, here = await signed_in(pool)
    asked = await request_erasure(pool, ALICE, here, records=False)
    await pool.execute("delete from jobs where kind = 'erasure'")
    await erasure.want_open(connection)
    assert "erasure" in await jobs(pool)
    await erasure.end_forgetting(pool, asked)
    await pool.execute("delete from jobs")
    await erasure.want_open(connection)
    assert await jobs(pool) == {"erase"}
    await want(connection, "erase", [ALICE], note="again")
    await erasure.want_open(connection)
    job = await find(connection, "erase", ALICE)
    assert job is not None
    assert job.wanted == 2, "one that waits goes on waiting"
    await erasure.end_purging(connection, ALICE)
    await pool.execute("delete from jobs")
    await erasure.want_open(connection)
    assert await jobs(pool) == set()


async def test_what_is_left_of_who_was_forgotten(pool: Pool, connection: Connection) -> None:
    writer = IndexWriter(connection)
    for did in (ALICE, BOB):
        await writer.account(did)
        await request_erasure(pool, did, 0, records=False)
        await connection.execute("update erasures set state = 'purging' where did = $1", did)
        await connection.execute("delete from repos where did = $1", did)
    await writer.set_taken_down(BOB, True)
    for did in (ALICE, BOB):
        await erasure.end_purging(connection, did)
    rows = await connection.fetch("select did, taken_down from actors")
    assert [tuple(row) for row in rows] == [(BOB, True)], "what operators did is no data of the account's"
    assert [row["state"] for row in await connection.fetch("select state from erasures")] == ["done", "done"]
    await writer.account(ALICE)
    assert await erasure_of(pool, ALICE) is None, "who is followed again has come back"
    assert await erasure_of(pool, BOB) is not None


async def test_what_a_grant_lacks_is_known_before(pool: Pool) -> None:
    grant = await add_grant(pool)
    ours = ["fm.plyr.like", "fm.plyr.track"]
    for scope, lacks in {
        "atproto": "repo:fm.plyr.like?action=delete",
        "atproto repo:fm.plyr.like repo:fm.plyr.track?action=create": "repo:fm.plyr.track?action=delete",
        "atproto repo?collection=fm.plyr.like&collection=fm.plyr.track&action=delete": None,
        "atproto transition:generic": None,
    }.items():
        await pool.execute("update grants set scope = $1", scope)
        assert await erasure.lacking(pool, grant, ours) == lacks
    assert await erasure.lacking(pool, grant + 1, ours) is not None
