"""The canary: who tells us that we do not hear."""

from datetime import UTC, datetime, timedelta

import pytest

from appview.db import Connection, Pool
from appview.index.echoes import BUCKETS, Echo, note, past, unheard, waiting

HOSTS = ("https://one.test", "https://two.test", "https://three.test")


async def late(
    connection: Connection, host: str, seconds: float, *, proven_by: str = "write", status: str = "synchronized"
) -> None:
    """Something was written through us at `host`, so long ago, and has not come back."""
    did = f"did:web:{host.removeprefix('https://')}"
    uri = f"at://{did}/fm.plyr.track/{seconds:.0f}"
    at = datetime.now(UTC) - timedelta(seconds=seconds)
    await connection.execute("insert into actors (did, pds) values ($1, $2) on conflict do nothing", did, host)
    await connection.execute(
        "insert into records (uri, did, collection, rev, first_seen_at, indexed_at, proven_by)"
        " values ($1, $2, 'fm.plyr.track', '1', $3, $3, $4)",
        uri,
        did,
        at,
        proven_by,
    )
    await connection.execute(
        "insert into repos (did, status, reason, status_at) values ($1, $2, 'test', $3) on conflict do nothing",
        did,
        status,
        at,
    )
    await connection.execute(
        "insert into pending (uri, did, rev, written_at, since) values ($1, $2, '1', $3, $3)", uri, did, at
    )


async def happened(connection: Connection, echo: Echo, ago: float) -> None:
    await note(connection, [echo], datetime.now(UTC) - timedelta(seconds=ago))


async def were_heard(connection: Connection, *hosts: str, ago: float = 3_600) -> None:
    """What was written at each of these came back then."""
    for host in hosts:
        await happened(connection, Echo("seen", 1.0, host), ago=ago)


async def is_blind(pool: Pool) -> bool:
    return (await unheard(pool)).is_blind


async def test_nothing_was_written(pool: Pool) -> None:
    assert await unheard(pool) == (0, 0, True, 0, 0)
    assert not await is_blind(pool)
    assert await waiting(pool) == (0, 0)


async def test_what_was_written_just_now_may_be_on_its_way(pool: Pool, connection: Connection) -> None:
    for host in HOSTS:
        await late(connection, host, 50)
    assert (await unheard(pool)).hosts == 0
    count, oldest = await waiting(pool)
    assert count == 3
    assert oldest == pytest.approx(50, abs=5)


async def test_one_pds_speaks_for_itself(pool: Pool, connection: Connection) -> None:
    await were_heard(connection, HOSTS[0])
    for seconds in (70, 80, 90):
        await late(connection, HOSTS[0], seconds)
    told = await unheard(pool)
    assert (told.hosts, told.is_alone, told.is_blind) == (1, True, False)
    assert told.seconds == pytest.approx(90, abs=5)


async def test_several_that_are_silent_say_that_we_do_not_hear(pool: Pool, connection: Connection) -> None:
    await were_heard(connection, *HOSTS)
    for n, host in enumerate(HOSTS):
        assert not await is_blind(pool)
        await late(connection, host, 100 - n)
    told = await unheard(pool)
    assert (told.hosts, told.is_alone, told.sites, told.heard) == (3, True, 3, 3)
    assert await is_blind(pool)
    await happened(connection, Echo("seen", 1.0, "https://four.test"), ago=20)
    told = await unheard(pool)
    assert (told.hosts, told.is_alone, told.is_blind) == (3, False, False), "what another wrote has come back since"


async def test_strangers_cannot_say_so(pool: Pool, connection: Connection) -> None:
    """However many they are: nobody was ever heard there."""
    await were_heard(connection, HOSTS[0])
    for n in range(9):
        await late(connection, f"https://stranger{n}.test", 70 + n)
    assert not await is_blind(pool)


async def test_one_stranger_with_many_names_cannot_say_so(pool: Pool, connection: Connection) -> None:
    names = [f"https://pds{n}.stranger.test" for n in range(9)]
    await were_heard(connection, *names, HOSTS[0])
    for n, name in enumerate(names):
        await late(connection, name, 70 + n)
    told = await unheard(pool)
    assert (told.hosts, told.sites, told.heard, told.is_blind) == (9, 1, 2, False)


async def test_few_of_many_cannot_say_so(pool: Pool, connection: Connection) -> None:
    await were_heard(connection, *HOSTS, *(f"https://quiet{n}.test" for n in range(3)), ago=50_000)
    for n, host in enumerate(HOSTS):
        await late(connection, host, 70 + n)
    assert not await is_blind(pool), "most who write here have not said anything today"
    await late(connection, "https://quiet0.test", 69)
    assert await is_blind(pool)


async def test_one_that_is_dead_does_not_keep_it_from_being_seen(pool: Pool, connection: Connection) -> None:
    await were_heard(connection, *HOSTS)
    await late(connection, "https://dead.test", 80_000)
    for n, host in enumerate(HOSTS):
        await late(connection, host, 70 + n)
    told = await unheard(pool)
    assert (told.hosts, told.is_alone, told.is_blind) == (4, True, True)


async def test_it_stays_so_until_something_is_heard(pool: Pool, connection: Connection) -> None:
    await were_heard(connection, *HOSTS, ago=100_000)
    for host in HOSTS:
        await happened(connection, Echo("fetched", 33.0, host, is_missed=True), ago=90_000)
    assert (await unheard(pool)).hosts == 0, "what was fetched for long is no more news"
    assert await is_blind(pool)
    await happened(connection, Echo("seen", 1.0, HOSTS[0]), ago=10)
    assert not await is_blind(pool)


async def test_what_had_to_be_fetched_was_not_heard(pool: Pool, connection: Connection) -> None:
    await were_heard(connection, *HOSTS)
    await happened(connection, Echo("fetched", 33.0, HOSTS[0], is_missed=True), ago=60)
    await happened(connection, Echo("rolled_back", 33.0, HOSTS[1], is_missed=True), ago=50)
    assert (await unheard(pool)).hosts == 2
    await happened(connection, Echo("fetched", 3.0, HOSTS[2]), ago=45)
    assert (await unheard(pool)).hosts == 2, "a fetch that was under way anyway says nothing"
    await happened(connection, Echo("fetched", 33.0, HOSTS[2], is_missed=True), ago=42)
    assert await is_blind(pool)
    await happened(connection, Echo("seen", 1.0, HOSTS[1]), ago=40)
    assert (await unheard(pool)).hosts == 2
    assert await is_blind(pool) is False


async def test_what_was_missed_long_ago_is_forgotten(pool: Pool, connection: Connection) -> None:
    week = 7 * 86_400
    for host in HOSTS:
        await happened(connection, Echo("fetched", 33.0, host, is_missed=True), ago=700)
    assert (await unheard(pool)).hosts == 0
    await happened(connection, Echo("seen", 1.0, HOSTS[0]), ago=week + 1_000)
    assert await connection.fetchval("select count(*) from echo_hosts") == 3
    await happened(connection, Echo("seen", 1.0, HOSTS[0]), ago=-week)
    assert await connection.fetchval("select count(*) from echo_hosts") == 1


@pytest.mark.parametrize(
    ("first", "second", "count"),
    [
        ("https://a.pds.test", "https://b.pds.test", 1),
        ("https://a.test", "https://b.test", 2),
        ("http://localhost:1", "http://localhost:2", 2),
        ("http://127.0.0.1:1", "http://127.0.0.1:2", 2),
        ("did:web:a.test", "https://a.test/", 2),
    ],
)
async def test_sites(pool: Pool, connection: Connection, first: str, second: str, count: int) -> None:
    await were_heard(connection, first, second)
    assert (await unheard(pool)).heard == count


@pytest.mark.parametrize("status", ["desynchronized", "in_progress"])
async def test_what_waits_for_its_repository_is_not_late(pool: Pool, connection: Connection, status: str) -> None:
    for host in HOSTS:
        await late(connection, host, 90, status=status)
    assert (await unheard(pool)).hosts == 0


async def test_what_is_proven_and_only_not_settled_is_not_late(pool: Pool, connection: Connection) -> None:
    for host in HOSTS:
        await late(connection, host, 90, proven_by="live")
    assert (await unheard(pool)).hosts == 0
    assert await waiting(pool) == (0, 0)


async def test_a_histogram(pool: Pool, connection: Connection) -> None:
    now = datetime.now(UTC)
    for _ in range(2):
        await note(
            connection, [Echo("seen", 0.1, None), Echo("seen", 0.2, None), Echo("rolled_back", 99.0, HOSTS[0])], now
        )
    seen, fetched, rolled_back = await past(pool)
    assert (seen.outcome, seen.buckets[:3], sum(seen.buckets)) == ("seen", (2, 2, 0), 4)
    assert seen.seconds == pytest.approx(0.6)
    assert (fetched.seconds, sum(fetched.buckets)) == (0, 0)
    assert rolled_back.buckets == (*[0] * (len(BUCKETS) - 1), 2)
