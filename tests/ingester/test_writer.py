"""The one writer: what is durable together, who is fenced off, and what a lost connection may not do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from appview.db import Connection, Pool
from appview.index.apply import Change
from appview.index.records import record_types
from appview.index.repos import Chain
from appview.index.tolerance import Judge
from ingester.batch import DeadLetter
from ingester.leader import Fenced, leaders
from ingester.metrics import Metrics
from ingester.shard import Shard
from ingester.stream import Stream
from ingester.writer import LETTERS, UNWRITABLE, Writer
from tests.ingester.world import SECONDS, track
from tests.writer.cbor import cid_of, encode

DID = "did:web:artist.test"
SHARD = Shard(0, 1)
TYPES = record_types("fm.plyr")
JUDGE = Judge("fm.plyr")


@asynccontextmanager
async def writing(url: str, streams: dict[str, Stream] | None = None) -> AsyncIterator[Writer]:
    writer = Writer(url, SHARD, TYPES, streams or {}, Metrics())
    await writer.open()
    running = asyncio.create_task(writer.run())
    try:
        async with asyncio.timeout(SECONDS):
            yield writer
    finally:
        if running.done():
            running.result()
        running.cancel()
        await asyncio.wait({running})
        await writer.close()


def change(number: int, title: str | None = "Song", rev: str = "3kaaaaaaaaaa2") -> Change:
    rkey = f"3kaaaaaaaa{number:03d}".replace("0", "2").replace("1", "3").replace("8", "z").replace("9", "y")
    uri = f"at://{DID}/fm.plyr.track/{rkey}"
    if title is None:
        return Change(uri, DID, "fm.plyr.track", rkey, rev, None, None, None, "live")
    block = encode(track(title))
    judgement = JUDGE.judge("fm.plyr.track", rkey, block)
    return Change(uri, DID, "fm.plyr.track", rkey, rev, bytes(cid_of(block)), block, judgement, "live")


async def test_all_of_a_batch_is_there_once_it_is_durable(database_url: str, connection: Connection) -> None:
    stream = Stream("wss://relay.test", None)
    async with writing(database_url, {stream.url: stream}) as writer:
        stream.begin(5)
        writer.batch.seen.add(DID)
        writer.batch.change(change(2))
        writer.batch.chain(Chain(DID, "synchronized", "3kaaaaaaaaaa2", b"d", b"c", None, "first_commit", "live"))
        writer.batch.hold(DID, b"frame", "identity_unresolved")
        writer.batch.bury(DeadLetter(stream.url, 4, None, "bad_rev", "rev is not a TID", b"x"))
        writer.batch.want("identity", DID, "first_seen")
        stream.finish(5)
        await writer.durable()
        counts = [
            await connection.fetchval(f"select count(*) from {table}")
            for table in ("actors", "records", "tracks", "repos", "held_frames", "dead_letters", "jobs")
        ]
        assert counts == [1] * 7
        assert await connection.fetchval("select cursor from upstreams") == 5
        assert await connection.fetchval("select n from totals where name = 'track'") == 1


async def test_messages_are_kept_in_the_order_they_came(database_url: str, connection: Connection) -> None:
    async with writing(database_url) as writer:
        for number in range(100):
            writer.batch.hold(DID, b"%d" % number, "behind_held")
        await writer.durable()
    kept = await connection.fetch("select frame from held_frames order by id")
    assert [int(row["frame"]) for row in kept] == list(range(100))


async def test_a_cursor_stays_below_what_is_under_way(database_url: str, connection: Connection) -> None:
    stream = Stream("wss://relay.test", None)
    async with writing(database_url, {stream.url: stream}) as writer:
        stream.begin(5)
        stream.begin(9)
        stream.finish(9)
        await writer.durable()
        assert await connection.fetchval("select cursor from upstreams") == 4
        stream.finish(5)
        await writer.durable()
        assert await connection.fetchval("select cursor from upstreams") == 9


async def test_a_cursor_waits_for_the_batch_that_finishes_it(database_url: str, connection: Connection) -> None:
    """What is finished after a batch was sealed goes with the next one, and so does the cursor that covers it."""
    stream = Stream("wss://relay.test", None)
    seen: list[int | None] = []

    async def look(inside: Connection, _now: datetime) -> None:
        await asyncio.sleep(0.05)  # the message below is finished meanwhile
        seen.append(await inside.fetchval("select cursor from upstreams"))

    async with writing(database_url, {stream.url: stream}) as writer:
        stream.begin(5)
        stream.finish(5)
        writer.act(look)
        await asyncio.sleep(0.01)
        stream.begin(6)
        stream.finish(6)
        writer.batch.change(change(2))
        writer.act(look)
        await writer.durable()
    assert await connection.fetchval("select cursor from upstreams") == 6
    assert seen == [None, 5]


async def test_versions_of_one_record_in_one_batch_end_in_the_last(database_url: str, connection: Connection) -> None:
    async with writing(database_url) as writer:
        writer.batch.seen.add(DID)
        for title in ("One", None, "Three"):
            writer.batch.change(change(2, title))
        writer.batch.change(change(3, "Gone"))
        writer.batch.change(change(3, None))
        await writer.durable()
    assert [row["title"] for row in await connection.fetch("select title from tracks")] == ["Three"]
    assert await connection.fetchval("select tracks from actor_counts") == 1
    assert await connection.fetchval("select count(*) from records where cid is null") == 1


async def test_an_older_version_does_nothing(database_url: str, connection: Connection) -> None:
    async with writing(database_url) as writer:
        writer.batch.seen.add(DID)
        writer.batch.change(change(2, None, rev="3kaaaaaaaaab2"))
        await writer.durable()
        writer.batch.change(change(2, "Old", rev="3kaaaaaaaaaa2"))
        await writer.durable()
        assert await connection.fetchval("select count(*) from tracks") == 0
        writer.batch.change(change(2, "New", rev="3kaaaaaaaaac2"))
        await writer.durable()
        assert await connection.fetchval("select title from tracks") == "New"


async def test_a_writer_whose_shard_was_taken_over_writes_no_more(database_url: str, connection: Connection) -> None:
    stream = Stream("wss://relay.test", 5)
    writer = Writer(database_url, SHARD, TYPES, {stream.url: stream}, Metrics())
    await writer.open()
    await connection.execute("update shards set epoch = epoch + 1")
    writer.batch.change(change(2))
    writer.wake()
    with pytest.raises(Fenced, match="taken over"):
        await asyncio.wait_for(writer.run(), SECONDS)
    assert await connection.fetchval("select count(*) from records") == 0
    assert await connection.fetchval("select count(*) from upstreams") == 0
    await writer.close()


async def test_a_second_writer_stands_by_until_the_first_is_gone(database_url: str, pool: Pool) -> None:
    first = Writer(database_url, SHARD, TYPES, {}, Metrics())
    await first.open()
    second = Writer(database_url, SHARD, TYPES, {}, Metrics())
    taking = asyncio.create_task(second.open())
    await asyncio.sleep(0.3)
    assert not taking.done()
    async with pool.acquire() as connection:
        assert await leaders(connection) == [SHARD]
    await first.close()
    await asyncio.wait_for(taking, SECONDS)
    assert await pool.fetchval("select epoch from shards") == 2
    await second.close()


async def test_a_batch_outlives_its_connection(database_url: str, connection: Connection) -> None:
    async with writing(database_url) as writer:
        writer.batch.seen.add(DID)
        writer.batch.change(change(2))
        await writer.durable()
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'plyr-ingester-writer'"
        )
        writer.batch.change(change(3))
        await writer.durable()
    assert await connection.fetchval("select count(*) from tracks") == 2
    assert await connection.fetchval("select n from totals where name = 'track'") == 2


async def test_writing_a_batch_twice_changes_nothing(database_url: str, connection: Connection) -> None:
    """A connection lost in the middle of a commit leaves open whether it happened."""
    async with writing(database_url) as writer:
        for _ in range(2):
            writer.batch.seen.add(DID)
            writer.batch.change(change(2))
            writer.batch.change(change(3))
            writer.batch.change(change(3, None, rev="3kaaaaaaaaab2"))
            await writer.durable()
    assert await connection.fetchval("select count(*) from tracks") == 1
    assert await connection.fetchval("select n from totals where name = 'track'") == 1
    assert await connection.fetchval("select tracks from actor_counts") == 1


async def test_status_is_written_beside_everything_else(database_url: str, connection: Connection) -> None:
    async with writing(database_url) as writer:
        writer.status = {"version": 1}, "plyr_batches_total 1\n"
        await writer.durable()
    row = await connection.fetchrow("select status, metrics, status_at from shards")
    assert row is not None
    assert (row["status"], row["metrics"]) == ({"version": 1}, "plyr_batches_total 1\n")
    assert (datetime.now(UTC) - row["status_at"]).total_seconds() < SECONDS


async def test_a_flood_of_one_kind_of_letters_drives_out_no_other(database_url: str, connection: Connection) -> None:
    def letter(reason: str, number: int) -> DeadLetter:
        return DeadLetter("wss://relay.test", number, DID, reason, "", b"frame")

    async with writing(database_url) as writer:
        for reason in ("bad_mst_node", UNWRITABLE):
            writer.batch.bury(letter(reason, 1))
        await writer.durable()
        for start in range(0, LETTERS + 50, 100):
            for number in range(start, start + 100):
                writer.batch.bury(letter("bad_signature", number))
                writer.batch.bury(letter(UNWRITABLE, number))
            await writer.durable()
    rows = await connection.fetch("select reason, count(*), max(seq) from dead_letters group by reason order by reason")
    assert [tuple(row) for row in rows] == [
        ("bad_mst_node", 1, 1),
        ("bad_signature", LETTERS, LETTERS + 99),
        (UNWRITABLE, LETTERS + 101, LETTERS + 99),
    ]
