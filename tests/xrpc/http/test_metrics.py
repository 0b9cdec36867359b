from datetime import UTC, datetime, timedelta

from prometheus_client.parser import text_string_to_metric_families

from appview.db import Connection
from appview.index.echoes import Echo, note
from tests.xrpc.client import Client, strict_client
from tests.xrpc.http.shards import healthy, says

FIRST = """
# HELP plyr_frames_total Frames by fate.
# TYPE plyr_frames_total counter
plyr_frames_total{type="commit",verdict="ok",reason=""} 5.0
# HELP plyr_frames_created Frames by fate.
# TYPE plyr_frames_created gauge
plyr_frames_created{type="commit",verdict="ok",reason=""} 1.7e+09
# HELP plyr_write_to_visible_seconds From receipt to commit.
# TYPE plyr_write_to_visible_seconds histogram
plyr_write_to_visible_seconds_bucket{le="0.1"} 2.0
plyr_write_to_visible_seconds_bucket{le="+Inf"} 3.0
plyr_write_to_visible_seconds_count 3.0
plyr_write_to_visible_seconds_sum 0.5
"""
SECOND = """
# HELP plyr_frames_total Frames by fate.
# TYPE plyr_frames_total counter
plyr_frames_total{type="commit",verdict="ok",reason="a \\"quoted\\" one"} 7.0
"""


async def scrape(client: Client) -> dict[str, float]:
    """Every sample, by its name and labels as they would be written; each family comes once."""
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    types = [line.split()[2] for line in answer.text.splitlines() if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
    return {
        f"{sample.name}{{{','.join(f'{name}={value}' for name, value in sorted(sample.labels.items()))}}}": sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_the_index(client: Client, connection: Connection) -> None:
    await connection.execute("insert into totals (name, n) values ('track', 3), ('like', 0)")
    await connection.execute(
        "insert into repos (did, status, reason, status_at)"
        " select 'did:web:' || n, case when n < 3 then 'synchronized' else 'in_progress' end, '', now()"
        " from generate_series(1, 3) as n"
    )
    found = await scrape(client)
    assert found["plyr_database_up{}"] == 1
    assert (found["plyr_records{collection=track}"], found["plyr_records{collection=like}"]) == (3, 0)
    assert found["plyr_repos{state=synchronized}"] == 2
    assert found["plyr_repos{state=in_progress}"] == 1
    assert found["plyr_repos{state=desynchronized}"] == 0


async def test_what_the_ingesters_count_is_told_by_shard(client: Client, connection: Connection) -> None:
    await says(connection, healthy(), shard="0/3", metrics=FIRST)
    await says(connection, healthy(), shard="1/3", metrics=SECOND)
    await says(connection, healthy(), shard="2/3", metrics=None, ago=30)
    found = await scrape(client)
    assert found["plyr_frames_total{reason=,shard=0/3,type=commit,verdict=ok}"] == 5
    assert found['plyr_frames_total{reason=a "quoted" one,shard=1/3,type=commit,verdict=ok}'] == 7
    assert found["plyr_write_to_visible_seconds_bucket{le=0.1,shard=0/3}"] == 2
    assert found["plyr_write_to_visible_seconds_count{shard=0/3}"] == 3
    assert found["plyr_ingester_silent_seconds{shard=0/3}"] < 20 <= found["plyr_ingester_silent_seconds{shard=2/3}"]


async def test_an_ingester_that_is_gone_counts_nothing(client: Client, connection: Connection) -> None:
    await says(connection, healthy(), metrics=FIRST, ago=3600)
    await connection.execute("insert into shards (shard, metrics) values ('1/2', 'never said')")
    found = await scrape(client)
    assert found["plyr_ingester_silent_seconds{shard=0/1}"] >= 3600
    assert not any(name.startswith("plyr_frames") for name in found)


async def test_the_database_is_asked_once_in_a_while(client: Client, connection: Connection) -> None:
    await scrape(client)
    await connection.execute("insert into totals (name, n) values ('track', 3)")
    assert "plyr_records{collection=track}" not in await scrape(client)


async def test_no_database() -> None:
    async with strict_client("postgresql://127.0.0.1:1/nowhere") as client:
        await client.get("/xrpc/a.b.c")
        found = await scrape(client)
    assert found["plyr_database_up{}"] == 0
    assert found["plyr_xrpc_errors_total{error=MethodNotImplemented,method=unknown}"] == 1


async def test_what_became_of_own_writes(client: Client, connection: Connection) -> None:
    now = datetime.now(UTC)
    await note(connection, [Echo("seen", 0.2, None), Echo("seen", 0.3, None), Echo("rolled_back", 40.0, None)], now)
    await connection.execute(
        "insert into records (uri, did, collection, rev, first_seen_at, indexed_at, proven_by)"
        " values ('at://a/b/c', 'a', 'b', '1', now(), now(), 'write')"
    )
    await connection.execute(
        "insert into pending (uri, did, rev, written_at, since) values ('at://a/b/c', 'a', '1', now(), $1)",
        now - timedelta(seconds=9),
    )
    found = await scrape(client)
    assert found["plyr_own_writes_pending{}"] == 1
    assert 9 <= found["plyr_own_writes_oldest_seconds{}"] < 60
    seen = "plyr_own_write_seconds_{}{{{}outcome=seen}}"
    assert [found[seen.format("bucket", f"le={le},")] for le in ("0.1", "0.25", "0.5", "+Inf")] == [0, 1, 2, 2]
    assert (found[seen.format("count", "")], found[seen.format("sum", "")]) == (2, 0.5)
    assert found["plyr_own_write_seconds_count{outcome=rolled_back}"] == 1
    assert found["plyr_own_write_seconds_count{outcome=fetched}"] == 0
