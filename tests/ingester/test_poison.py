"""What cannot be read: it drops the connection once, and ends neither the stream nor what follows in it."""

import asyncio
from collections.abc import Callable

import pytest

from ingester.patience import Patience
from ingester.poison import MAX_DROPS, MAX_MET, Poison
from lexicons.frames import MAX_FRAME_BYTES
from tests.ingester.saying import in_turn, message, saying, standing_at
from tests.ingester.world import SECONDS, create, world
from tests.writer.cbor import encode

QUICK = Patience(first_wait=0.005, most_wait=0.04, large_gap=3_600.0)
UNREADABLE = ("unknown", "invalid", "unreadable")
PASSED = ("unknown", "skip", "unreadable")


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


async def test_it_drops_the_connection_once_and_is_then_passed_over(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        async with there.ingesting(patience=QUICK) as made:
            await there.followed(made)
            artist.write(create(artist, 1))
            await there.settled(made)
            there.pds.stream.append(there.pds.host.next_seq(), b"\xff\xff")
            artist.write(create(artist, 2))
            await there.settled(made)
            url, place = there.pds.url, there.pds.stream.seqs[-3]
            assert made.metrics.connects[url] == 2
            assert (made.metrics.frames[UNREADABLE], made.metrics.frames[PASSED]) == (1, 1)
            # What it may have said is asked for, whatever it was.
            assert made.metrics.gaps[url, "found"] == 1
            assert await there.value("select cursor from upstreams") == place + 2
        assert len(await there.uris()) == 2
        letter = await there.connection.fetchrow("select * from dead_letters")
        assert letter is not None
        assert (letter["upstream"], letter["seq"], letter["reason"]) == (url, None, "unreadable")
        assert letter["frame"] == b"\xff\xff"
        assert "DRISL" in letter["detail"]


async def test_where_it_stands_is_said_while_it_is_away(database_url: str) -> None:
    async with world(database_url) as there, saying(message("#new", seq=7), b"\xff") as url:
        await standing_at(there, url, 6)
        async with there.ingesting(PLYR_RELAY_URLS=url, PLYR_DISCOVERY_URL=there.pds.url) as made:
            await until(lambda: made.metrics.frames[UNREADABLE])
            await until(lambda: made.upstreams[0].state == "waiting")
            assert "DRISL" in str(made.upstreams[0].status()["error"])
            assert "we stand at seq 7 since 20" in str(made.upstreams[0].status()["error"])


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\x00" * 10_000,
        "text",
        message("#new", seq=9).decode(errors="ignore"),
        bytes(MAX_FRAME_BYTES + 1),
        message("#new", seq=9) + b"\x00",
        # A cheap look takes it, a strict one does not: an #info is looked at closely.
        encode({"op": 1, "t": "#info"}) + b"\xa1\x64name\x78\x01x",
    ],
    ids=["empty", "zeros", "text", "text frame", "too long", "trailing byte", "not canonical"],
)
async def test_whatever_it_is_what_follows_is_taken(garbage: bytes | str, database_url: str) -> None:
    messages = [message("#new", seq=8), garbage, b"\xff", message("#new", seq=10)]
    async with world(database_url) as there, in_turn(messages) as url:
        await standing_at(there, url, 7)
        async with there.ingesting(patience=QUICK, PLYR_RELAY_URLS=url, PLYR_DISCOVERY_URL=there.pds.url) as made:
            await until(lambda: made.streams[url].last == 10)
            assert made.metrics.connects[url] == 3
            assert made.metrics.frames[UNREADABLE] == 2
            assert made.metrics.frames[PASSED] == 3
            assert made.metrics.gaps[url, "found"] == 2
            await made.writer.durable()
        assert await there.value("select count(*) from dead_letters where reason = 'unreadable'") == 2
        assert await there.value("select max(octet_length(frame)) from dead_letters") <= 65_536


async def test_a_frame_with_a_seq_that_no_strict_look_takes_is_behind_us_afterwards(database_url: str) -> None:
    odd = encode({"op": 1, "t": "#commit"}) + b"\xa3\x63ops\x81\xa1\x64path\x6dfm.plyr.track" + b"\x63seq\x18\x09"
    odd += b"\x64repo\x6cdid:web:x.yz"
    longer = odd.replace(b"\x6dfm.plyr.track", b"\x78\x0dfm.plyr.track")
    async with world(database_url) as there, in_turn([message("#new", seq=8), longer]) as url:
        await standing_at(there, url, 7)
        async with there.ingesting(patience=QUICK, PLYR_RELAY_URLS=url, PLYR_DISCOVERY_URL=there.pds.url) as made:
            await until(lambda: made.streams[url].cursor == 9)
            assert made.metrics.frames[PASSED] == 1
            await made.writer.durable()
        # What is known of it by a cheap look is kept with it: a purge finds it.
        letter = await there.connection.fetchrow("select seq, did from dead_letters")
        assert tuple(letter or ()) == (9, "did:web:x.yz")


async def test_ever_new_garbage_is_passed_over_at_the_same_place_the_third_time(database_url: str) -> None:
    connections = [[message("#new", seq=8), b"\xff%d" % number] for number in range(3)]
    async with world(database_url) as there, in_turn(*connections, [message("#new", seq=9)]) as url:
        await standing_at(there, url, 7)
        async with there.ingesting(patience=QUICK, PLYR_RELAY_URLS=url, PLYR_DISCOVERY_URL=there.pds.url) as made:
            (upstream,) = made.upstreams
            waits = set()
            async with asyncio.timeout(SECONDS):
                while made.streams[url].last != 9:
                    waits.add(upstream.longest_wait)
                    await asyncio.sleep(0)
            assert waits == {0.005, 0.01, 0.02, 0.04}
            # Two connections were dropped for it; the third ended by itself.
            assert made.metrics.frames[UNREADABLE] == 3
            assert made.metrics.frames[PASSED] == 1
            assert made.metrics.connects[url] == 4


async def test_garbage_between_good_messages_does_not_stop_the_stream(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        async with there.ingesting(patience=QUICK) as made:
            await there.followed(made)
            for number in range(4 * MAX_DROPS):
                artist.write(create(artist, number))
                there.pds.stream.append(there.pds.host.next_seq(), b"\xff%d" % number)
            artist.write(create(artist, 100))
            await there.settled(made)
            assert made.metrics.frames[UNREADABLE] == made.metrics.frames[PASSED] == 4 * MAX_DROPS
            assert made.metrics.connects[there.pds.url] == 1 + MAX_DROPS
        assert len(await there.uris()) == 4 * MAX_DROPS + 1


def test_what_is_remembered_is_bounded_and_of_one_place() -> None:
    poison = Poison(lambda: 0.0)
    assert not poison.is_known(b"x", 7)
    assert poison.is_known(b"x", 7)
    assert not poison.is_known(b"x", 8)
    assert not poison.is_known(b"x", 7)
    for number in range(2 * MAX_MET):
        poison.is_known(b"%d" % number, 7)
    assert len(poison._met) == MAX_MET


async def test_waits_grow_while_connections_are_refused_and_are_short_again_after_a_good_one(
    database_url: str,
) -> None:
    async with world(database_url) as there:
        there.pds.create_account("artist")
        there.pds.refuses = {"com.atproto.sync.subscribeRepos"}
        async with there.ingesting(patience=QUICK) as made:
            (upstream,) = made.upstreams
            await until(lambda: upstream.failures > 4)
            assert upstream.longest_wait == QUICK.most_wait
            there.pds.refuses = set()
            await there.followed(made)
            there.pds.create_account("another")
            await until(lambda: made.streams[there.pds.url].last == there.pds.stream.head)
            there.pds.refuses = {"com.atproto.sync.subscribeRepos"}
            upstream.drop("for this test")
            while upstream.state != "waiting":
                await asyncio.sleep(0)
            assert upstream.failures == 1
            assert upstream.longest_wait == 2 * QUICK.first_wait
