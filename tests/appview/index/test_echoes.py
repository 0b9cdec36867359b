"""The canary: who tells us that we do not hear."""

from datetime import UTC, datetime, timedelta

import pytest

from appview.db import Connection, Pool
from appview.index.echoes import BUCKETS, Echo, note, past, unheard, waiting

HOSTS = ("https://one.test", "https://two.test", "https://three.test")


async def late(connection: Connection, host: str, seconds: float, *, proven_by: str = "write") -> None:
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
        "insert into pending (uri, did, rev, written_at, since) values ($1, $2, '1', $3, $3)", uri, did, at
    )


async def happened(connection: Connection, echo: Echo, ago: float) -> None:
    await note(connection, [echo], datetime.now(UTC) - timedelta(seconds=ago))


async def test_nothing_was_written(pool: Pool) -> None:
    assert await unheard(pool) == (0, 0, True)
    assert not (await unheard(pool)).is_blind
    assert await waiting(pool) == (0, 0)


async def test_what_was_written_just_now_may_be_on_its_way(pool: Pool, connection: Connection) -> None:
    for host in HOSTS:
        await late(connection, host, 50)
    assert (await unheard(pool)).hosts == 0
    count, oldest = await waiting(pool)
    assert count == 3
    assert oldest == pytest.approx(50, abs=5)


async def test_one_pds_speaks_for_itself(pool: Pool, connection: Connection) -> None:
    for seconds in (70, 80, 90):
        await late(connection, HOSTS[0], seconds)
    told = await unheard(pool)
    assert (told.hosts, told.is_alone, told.is_blind) == (1, True, False)
    assert told.seconds == pytest.approx(90, abs=5)


async def test_several_that_are_silent_say_that_we_do_not_hear(pool: Pool, connection: Connection) -> None:
    await late(connection, HOSTS[0], 100)
    await late(connection, HOSTS[1], 70)
    await happened(connection, Echo("seen", 1.0, HOSTS[2]), ago=120)
    assert (await unheard(pool)).is_blind
    await happened(connection, Echo("seen", 1.0, HOSTS[2]), ago=20)
    told = await unheard(pool)
    assert (told.hosts, told.is_alone, told.is_blind) == (2, False, False), "what another wrote has come back since"


async def test_what_had_to_be_fetched_was_not_heard(pool: Pool, connection: Connection) -> None:
    await happened(connection, Echo("fetched", 33.0, HOSTS[0], is_missed=True), ago=60)
    await happened(connection, Echo("rolled_back", 33.0, HOSTS[1], is_missed=True), ago=50)
    assert (await unheard(pool)).is_blind
    await happened(connection, Echo("seen", 1.0, HOSTS[1]), ago=40)
    assert (await unheard(pool)).hosts == 1
    await happened(connection, Echo("fetched", 3.0, HOSTS[2]), ago=10)
    assert (await unheard(pool)).hosts == 1, "a fetch that was under way anyway says nothing"


async def test_what_was_missed_long_ago_is_forgotten(pool: Pool, connection: Connection) -> None:
    for host in HOSTS:
        await happened(connection, Echo("fetched", 33.0, host, is_missed=True), ago=700)
    assert (await unheard(pool)).hosts == 0
    await happened(connection, Echo("seen", 1.0, HOSTS[0]), ago=8_000)
    assert await connection.fetchval("select count(*) from echo_hosts") == 3
    await happened(connection, Echo("seen", 1.0, HOSTS[0]), ago=-7_000)
    assert await connection.fetchval("select count(*) from echo_hosts") == 1


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
