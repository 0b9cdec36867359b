"""Jobs as rows: one of a kind for a subject, one taker at a time, none lost."""

import asyncio

import pytest

from appview.db import Connection, Pool
from appview.jobs import rows
from appview.jobs.rows import (
    CHANNEL,
    Claim,
    Job,
    back_off,
    done,
    due,
    failed,
    find,
    next_due,
    postpone,
    release,
    take,
    want,
)

ALICE, BOB = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb"


async def seconds_left(connection: Connection, subject: str) -> float:
    left: float = await connection.fetchval(
        "select extract(epoch from due_at - now())::float8 from jobs where subject = $1", subject
    )
    return left


async def test_a_job_is_taken_once_and_gone_when_done(connection: Connection) -> None:
    await want(connection, "identity", [ALICE], note="first seen")
    assert await due(connection, "identity", 10) == [Job("identity", ALICE, 1, 0, "first seen")]
    taken = await take(connection, "identity", 10)
    assert taken == [Job("identity", ALICE, 1, 1, "first seen")]
    assert await take(connection, "identity", 10) == []
    assert await done(connection, taken[0])
    assert await find(connection, "identity", ALICE) is None


async def test_what_is_wanted_while_it_is_done_is_done_again(connection: Connection) -> None:
    await want(connection, "identity", [ALICE])
    [taken] = await take(connection, "identity", 1)
    await want(connection, "identity", [ALICE], note="changed again")
    assert await take(connection, "identity", 1) == []  # still being done
    assert not await done(connection, taken)
    assert await take(connection, "identity", 1) == [Job("identity", ALICE, 2, 1, "changed again")]


async def test_kinds_are_apart(connection: Connection) -> None:
    await want(connection, "fetch", [ALICE])
    assert await take(connection, "identity", 10) == []
    assert [job.kind for job in await take(connection, "fetch", 10)] == ["fetch"]


async def test_the_earlier_time_holds(connection: Connection) -> None:
    await want(connection, "status", [ALICE], delay=600)
    await want(connection, "status", [ALICE], delay=60)
    assert 50 < await seconds_left(connection, ALICE) <= 60
    await want(connection, "status", [ALICE], delay=600)
    assert 50 < await seconds_left(connection, ALICE) <= 60
    job = await find(connection, "status", ALICE)
    assert job is not None
    assert job.wanted == 3
    assert await due(connection, "status", 1) == []


async def test_the_last_note_holds_but_that_it_was_deleted(connection: Connection) -> None:
    for said, holds in (("inactive", "inactive"), (None, "inactive"), ("deleted", "deleted"), ("active", "deleted")):
        await want(connection, "status", [ALICE], note=said)
        job = await find(connection, "status", ALICE)
        assert job is not None
        assert job.note == holds


async def test_a_taker_that_dies_loses_nothing(connection: Connection) -> None:
    await want(connection, "fetch", [ALICE])
    [first] = await take(connection, "fetch", 1, lease=0)
    [second] = await take(connection, "fetch", 1)
    assert (first.attempts, second.attempts) == (1, 2)
    # The first was slow rather than dead: its failure is no longer of interest, and its success still is one.
    await failed(connection, first, "too late", retry_in=0)
    assert await take(connection, "fetch", 1) == []
    assert await done(connection, first)
    await failed(connection, second, "there is no row", retry_in=0)
    assert not await done(connection, second)
    assert await find(connection, "fetch", ALICE) is None


async def test_a_failure_waits_and_says_why(connection: Connection) -> None:
    await want(connection, "fetch", [ALICE])
    [job] = await take(connection, "fetch", 1)
    await failed(connection, job, "its host\0 is down" + "!" * 1000, retry_in=90)
    assert 80 < await seconds_left(connection, ALICE) <= 90
    error = await connection.fetchval("select error from jobs")
    assert error.startswith("its host is down!")
    assert len(error) == rows.MAX_ERROR
    await want(connection, "fetch", [ALICE])
    [again] = await take(connection, "fetch", 1)
    assert (again.wanted, again.attempts) == (2, 2)


async def test_the_longest_overdue_come_first(connection: Connection) -> None:
    await want(connection, "fetch", [BOB], delay=-10)
    await want(connection, "fetch", [ALICE], delay=-5)
    assert [job.subject for job in await due(connection, "fetch", 2)] == [BOB, ALICE]
    assert [job.subject for job in await take(connection, "fetch", 1)] == [BOB]


async def test_next_due(connection: Connection) -> None:
    assert await next_due(connection, ["fetch", "status"]) is None
    await want(connection, "status", [ALICE], delay=100)
    await want(connection, "identity", [ALICE])
    left = await next_due(connection, ["fetch", "status"])
    assert left is not None
    assert 90 < left <= 100
    assert await next_due(connection, ["identity", "status"]) == 0


async def test_those_who_wait_are_woken_when_the_transaction_is_committed(pool: Pool) -> None:
    heard: asyncio.Queue[object] = asyncio.Queue()
    async with pool.acquire() as listener, pool.acquire() as writer:
        await listener.add_listener(CHANNEL, lambda _connection, _pid, _channel, kind: heard.put_nowait(kind))
        async with writer.transaction():
            await want(writer, "fetch", [ALICE])
            await want(writer, "fetch", [])
            assert heard.empty()
        assert await asyncio.wait_for(heard.get(), 10) == "fetch"
        [job] = await take(writer, "fetch", 1)
        await want(writer, "fetch", [ALICE])
        assert await asyncio.wait_for(heard.get(), 10) == "fetch"
        await done(writer, job)
        assert await asyncio.wait_for(heard.get(), 10) == "fetch"
        await listener.reset()
        assert heard.empty()


async def test_many_wants_at_once_neither_deadlock_nor_lose_one(pool: Pool) -> None:
    dids = [f"did:plc:{n:024}" for n in range(2000)]

    async def ask(subjects: list[str]) -> None:
        async with pool.acquire() as connection:
            await want(connection, "fetch", subjects)

    await asyncio.gather(*(ask(dids if n % 2 else dids[::-1]) for n in range(8)), ask(dids + dids))
    async with pool.acquire() as connection:
        assert await connection.fetchval("select array[count(*), min(wanted), max(wanted)] from jobs") == [2000, 9, 9]


async def test_takers_share_the_work(pool: Pool) -> None:
    dids = [f"did:plc:{n:024}" for n in range(300)]
    taken: list[str] = []

    async def work() -> None:
        async with pool.acquire() as connection:
            while jobs := await take(connection, "fetch", 7):
                assert len(jobs) <= 7
                for job in jobs:
                    taken.append(job.subject)
                    assert await done(connection, job)

    async with pool.acquire() as connection:
        await want(connection, "fetch", dids)
    await asyncio.gather(*(work() for _ in range(4)))
    assert sorted(taken) == dids


@pytest.mark.parametrize(("attempts", "ceiling"), [(1, 5), (2, 10), (4, 40), (20, 3600), (10**6, 3600)])
def test_back_off(attempts: int, ceiling: float) -> None:
    drawn = [back_off(attempts) for _ in range(200)]
    assert 0 <= min(drawn) < ceiling / 4
    assert ceiling * 3 / 4 < max(drawn) <= ceiling


async def test_who_led_before_takes_nothing_and_gives_nothing_back(connection: Connection) -> None:
    """A leader that was paused looks for work once more before it notices that another has taken over."""
    await connection.execute("insert into shards (shard, epoch) values ('0/1', 2)")
    await want(connection, "fetch", [ALICE, BOB])
    former, present = Claim(0, 1, 1), Claim(0, 1, 2)
    assert await take(connection, "fetch", 10, claim=former) == []
    [taken] = await take(connection, "fetch", 1, claim=present)
    await release(connection, ["fetch"], claim=former)
    assert [job.subject for job in await take(connection, "fetch", 10, claim=present)] == [
        did for did in (ALICE, BOB) if did != taken.subject
    ]
    await release(connection, ["fetch"], but=[taken.subject], claim=present)
    assert len(await take(connection, "fetch", 10, claim=present)) == 1
    await failed(connection, taken, "too late", retry_in=0, claim=former)
    await postpone(connection, taken, due_in=0, claim=former)
    assert not await done(connection, taken, claim=former)
    assert await connection.fetchval("select count(*) from jobs where leased and error is null") == 2
    assert await done(connection, taken, claim=present)


async def test_each_shard_takes_its_own(connection: Connection) -> None:
    await connection.execute("insert into shards (shard, epoch) values ('0/2', 1), ('1/2', 1)")
    dids = [f"did:plc:{number:024}" for number in range(40)]
    await want(connection, "fetch", dids)
    taken = [{job.subject for job in await take(connection, "fetch", 99, claim=Claim(n, 2, 1))} for n in (0, 1)]
    assert taken[0] | taken[1] == set(dids)
    assert not taken[0] & taken[1]
    assert all(taken)


@pytest.mark.parametrize(("kind", "paced"), [("status", True), ("identity", True), ("fetch", False), ("drain", False)])
async def test_what_strangers_want_without_end_is_done_now_and_then(
    connection: Connection, kind: str, *, paced: bool
) -> None:
    waits = []
    for _ in range(6):
        await want(connection, kind, [ALICE])
        await connection.execute("update jobs set due_at = now()")
        [job] = await take(connection, kind, 1)
        await want(connection, kind, [ALICE])
        assert not await done(connection, job)
        waits.append(await connection.fetchval("select extract(epoch from due_at - now())::int from jobs"))
    assert waits == ([0, 0, 10, 10, 10, 10] if paced else [0] * 6)
    # Once it is done, and nobody has asked meanwhile, it is as if nobody ever had.
    await connection.execute("update jobs set due_at = now()")
    [job] = await take(connection, kind, 1)
    assert await done(connection, job)


async def test_what_is_postponed_has_not_failed(connection: Connection) -> None:
    await want(connection, "fetch", [ALICE])
    [job] = await take(connection, "fetch", 1)
    await postpone(connection, job, due_in=30)
    row = await connection.fetchrow("select attempts, leased, error, due_at > now() + interval '25 s' from jobs")
    assert row is not None
    assert tuple(row) == (0, False, None, True)
    # Taken by another meanwhile, it is that one's.
    await connection.execute("update jobs set due_at = now()")
    [again] = await take(connection, "fetch", 1)
    await connection.execute("update jobs set attempts = attempts + 1")
    await postpone(connection, again, due_in=30)
    assert await connection.fetchval("select leased from jobs")
