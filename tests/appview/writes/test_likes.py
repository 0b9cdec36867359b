"""Which record a like is to be, while it is written in several places at once."""

import asyncio
from contextlib import AsyncExitStack
from typing import Final

import pytest

from appview.db import Connection, Pool
from appview.writes import likes
from appview.writes.errors import Unsettled
from tests.appview.writes.proxy import deaf_after, fail_before, lose_reply
from tests.appview.writes.stand import Stand
from tests.index_writer import IndexWriter, ref
from tests.network import records

ALICE: Final = "did:plc:alice"
BOB: Final = "did:plc:bob"
LIKE: Final = "fm.plyr.like"
SUBJECT: Final = "at://did:plc:carol/fm.plyr.track/3lx2wryxkduc2"


async def waiting(pool: Pool) -> int:
    number: int = await pool.fetchval("select count(*) from coming_likes")
    return number


async def test_all_who_like_at_once_write_the_same_record(pool: Pool) -> None:
    async with AsyncExitStack() as at_once:
        coming = [
            await at_once.enter_async_context(likes.coming(pool, LIKE, ALICE, SUBJECT, f"version {number}"))
            for number in range(3)
        ]
        assert coming == [coming[0]] * 3
        records = [like.record(LIKE, SUBJECT) for like in coming]
        assert records == [records[0]] * 3
        assert records[0]["subject"] == {"uri": SUBJECT, "cid": "version 0"}
        async with likes.coming(pool, LIKE, BOB, SUBJECT, "x") as his:
            assert his.rkey != coming[0].rkey
    # Nobody knows whether it was written: who tries again does so by the same key.
    async with likes.coming(pool, LIKE, ALICE, SUBJECT, "another version") as again:
        assert again == coming[0]


async def test_a_like_that_came_is_waited_for_no_more(pool: Pool, connection: Connection) -> None:
    index = IndexWriter(connection)
    async with likes.coming(pool, LIKE, ALICE, SUBJECT, "x") as like:
        uri = await index.write(ALICE, LIKE, like.rkey, subject=ref(SUBJECT))
    assert await waiting(pool) == 0
    (first,) = await likes.there(pool, ALICE, SUBJECT)
    assert (first.uri, first.is_doubtful, await likes.all_of(pool, ALICE, SUBJECT)) == (uri, False, [uri])
    assert await likes.there(pool, BOB, SUBJECT) == []
    # And once it is gone again, by whomever, the next one is another.
    await index.delete(uri)
    async with likes.coming(pool, LIKE, ALICE, SUBJECT, "x") as after:
        assert after.rkey != like.rkey


async def test_a_like_that_failed_long_ago_is_not_tried_as_of_then(pool: Pool) -> None:
    async with likes.coming(pool, LIKE, ALICE, SUBJECT, "x") as like:
        pass
    await pool.execute("update coming_likes set asked_at = now() - interval '2 hours'")
    async with likes.coming(pool, LIKE, ALICE, SUBJECT, "x") as after:
        assert after.rkey > like.rkey


async def test_what_is_called_off_was_written_before_or_never_is(pool: Pool) -> None:
    async with likes.coming(pool, LIKE, ALICE, SUBJECT, "x") as like:
        calling = asyncio.create_task(likes.call_off(pool, LIKE, ALICE, SUBJECT))
        await asyncio.sleep(0.3)
        assert not calling.done()
        assert await likes.call_off(pool, LIKE, BOB, SUBJECT) is None
    assert await calling == like.rkey
    assert await likes.call_off(pool, LIKE, ALICE, SUBJECT) is None
    async with likes.coming(pool, LIKE, ALICE, SUBJECT, "x") as after:
        assert after.rkey != like.rkey


async def test_whoever_calls_it_off_does_not_wait_for_ever(pool: Pool) -> None:
    """And does not say that it is off, for then it would come after that."""
    async with likes.coming(pool, LIKE, ALICE, SUBJECT, "x") as like:
        with pytest.raises(Unsettled):
            await likes.call_off(pool, LIKE, ALICE, SUBJECT, patience=0.1)
    assert await likes.call_off(pool, LIKE, ALICE, SUBJECT) == like.rkey
    assert await waiting(pool) == 0


async def test_a_like_that_was_to_go_since_is_doubtful(pool: Pool, connection: Connection) -> None:
    index = IndexWriter(connection)
    uri = await index.write(ALICE, LIKE, "3l2wryxkduc2a", subject=ref(SUBJECT))
    rev = await connection.fetchval("select rev from records where uri = $1", uri)
    for state, gone, is_doubtful in (
        ("refused", None, False),
        ("written", rev, False),
        ("intended", None, True),
        ("settled", None, True),
        ("settled", "zzzzzzzzzzzzz", True),
        ("written", "zzzzzzzzzzzzz", True),
    ):
        await connection.execute("delete from write_intents")
        await connection.execute(
            """
            insert into write_intents (did, method, uris, cids, blocks, state, rev, held_until)
            values ($1, 'delete', array[$2], array[null::bytea], '{}', $3, $4, now())
            """,
            ALICE,
            uri,
            state,
            gone,
        )
        assert [like.is_doubtful for like in await likes.there(pool, ALICE, SUBJECT)] == [is_doubtful], (state, gone)


async def test_a_like_of_which_nobody_knows_keeps_its_key(here: Stand) -> None:
    """However long ago: its reply was lost, and its PDS has been away since."""
    track = await here.user.put_record(records.TRACK, here.tids.mint(), records.track())

    async def like() -> None:
        async with likes.coming(here.pool, LIKE, here.user.did, track.uri, track.cid) as one:
            await here.repo.create(LIKE, one.record(LIKE, track.uri), rkey=one.rkey)

    here.wire.faults = [deaf_after(here.wire, lose_reply, fail_before)]
    with pytest.raises(Unsettled):
        await like()
    await here.pool.execute("update coming_likes set asked_at = now() - interval '61 minutes'")
    await here.lapse()
    here.wire.deaf = None
    await like()
    assert len(await here.records(LIKE)) == 1
