from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from appview.db import Connection
from appview.index.echoes import Echo, note
from appview.status import Upstream
from tests.xrpc.client import Client, strict_client
from tests.xrpc.http.shards import URL, healthy, says, upstream


async def ready(client: Client) -> tuple[int, list[str]]:
    answer = await client.get("/ready")
    body = answer.json()
    assert body["ready"] is (answer.status_code == 200) is (not body["reasons"])
    return answer.status_code, body["reasons"]


async def test_all_is_well(client: Client, connection: Connection) -> None:
    await says(connection, healthy())
    assert await ready(client) == (200, [])
    (shard,) = (await client.get("/ready")).json()["shards"]
    assert (shard["shard"], shard["status"]) == ("0/1", healthy())
    assert 0 <= shard["silent_seconds"] < 60


async def test_no_ingester_yet(client: Client, connection: Connection) -> None:
    assert await ready(client) == (503, ["No ingester has run yet."])
    await connection.execute("insert into shards (shard) values ('0/1')")
    assert await ready(client) == (503, ["The ingester of shard 0/1 has said nothing yet."])


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({"upstreams": []}, ["The ingester of shard 0/1 has no upstream to listen to."]),
        (
            {"upstreams": [upstream(state="connecting")]},
            [f"The upstream {URL} of shard 0/1 is connecting since 2026-01-01T00:00:00Z."],
        ),
        (
            {"upstreams": [upstream(state="waiting", error="no such host"), upstream(state="connecting")]},
            [
                f"The upstream {URL} of shard 0/1 is waiting since 2026-01-01T00:00:00Z: no such host.",
                f"The upstream {URL} of shard 0/1 is connecting since 2026-01-01T00:00:00Z.",
            ],
        ),
        ({"upstreams": [upstream(state="waiting"), upstream()]}, []),
        (
            {"queue": {"frames": 12, "oldest_seconds": 31.4}},
            ["The oldest of 12 frames has waited in shard 0/1 for 31 s."],
        ),
        ({"queue": {"frames": 12000, "oldest_seconds": 2.0}}, []),
        ({"catching_up": True}, ["The ingester of shard 0/1 is catching up."]),
        ({"held_frames": 9, "jobs": {"fetch": 2}}, []),
        ({"version": 2, "upstreams": "else"}, ["The ingester of shard 0/1 is of another version than this process."]),
    ],
)
async def test_what_the_ingester_says(
    client: Client, connection: Connection, changes: dict[str, Any], reasons: list[str]
) -> None:
    await says(connection, healthy(**changes))
    assert await ready(client) == (503 if reasons else 200, reasons)


BLIND = "it is blind: others brought 20 commits of 3 accounts in 180 s, and it none"


@pytest.mark.parametrize(
    ("upstreams", "warnings"),
    [
        ([upstream()], []),
        ([upstream(), upstream(url="wss://two.test")], []),
        (
            [upstream(), upstream(url="wss://two.test", state="waiting", error="no such host")],
            ["The upstream wss://two.test of shard 0/1 is waiting since 2026-01-01T00:00:00Z: no such host."],
        ),
        (
            [upstream(url="wss://two.test", state="blind", error=BLIND), upstream()],
            [f"The upstream wss://two.test of shard 0/1 is blind since 2026-01-01T00:00:00Z: {BLIND}."],
        ),
        (
            [upstream(error=BLIND)],
            [f"The upstream {URL} of shard 0/1 is live since 2026-01-01T00:00:00Z: {BLIND}."],
        ),
    ],
    ids=["one", "two", "one of them away", "one of them blind", "the last one blind"],
)
async def test_what_is_wrong_beside_one_that_is_live_is_a_warning(
    client: Client, connection: Connection, upstreams: list[Upstream], warnings: list[str]
) -> None:
    await says(connection, healthy(upstreams=upstreams))
    assert await ready(client) == (200, [])
    assert (await client.get("/ready")).json()["warnings"] == warnings


async def test_a_blind_one_alone_is_a_reason_and_no_warning(client: Client, connection: Connection) -> None:
    await says(connection, healthy(upstreams=[upstream(state="blind", error=BLIND)]))
    status, (reason,) = await ready(client)
    assert (status, BLIND in reason) == (503, True)
    assert (await client.get("/ready")).json()["warnings"] == []


async def test_silence_counts_before_what_was_said(client: Client, connection: Connection) -> None:
    await says(connection, healthy(catching_up=True), ago=3600)
    assert await ready(client) == (503, ["The ingester of shard 0/1 has said nothing for 3600 s."])


async def test_one_shard_behind_is_enough(client: Client, connection: Connection) -> None:
    await says(connection, healthy(), shard="0/2")
    await says(connection, healthy(catching_up=True), shard="1/2")
    assert await ready(client) == (503, ["The ingester of shard 1/2 is catching up."])


async def test_no_database() -> None:
    async with strict_client("postgresql://127.0.0.1:1/nowhere") as client:
        assert await ready(client) == (503, ["The database does not answer at present."])


async def test_a_database_without_tables(client: Client, connection: Connection) -> None:
    await connection.execute("drop table shards")
    status, (reason,) = await ready(client)
    assert (status, "migrate" in reason) == (503, True)


async def test_the_canary(client: Client, connection: Connection) -> None:
    """What was written through us and does not come back: a warning, until it is that of most who were heard before."""
    await says(connection, healthy())
    now = datetime.now(UTC)
    hosts = ("https://one.test", "https://two.test", "https://three.test")
    for host in hosts:
        await note(connection, [Echo("seen", 0.1, host)], now - timedelta(hours=1))
    for n, host in enumerate(hosts, 1):
        await note(connection, [Echo("fetched", 33.0, host, is_missed=True)], now - timedelta(seconds=30))
        body = (await client.get("/ready")).json()
        told = body["warnings"] if n < len(hosts) else body["reasons"]
        assert len(told) == len(body["reasons"]) + len(body["warnings"]) == 1
        assert told[0].startswith(f"Writes through us at {'one PDS' if n == 1 else f'{n} PDSes'} have not come back")
        assert "one.test" not in told[0], "who signs in here is nobody's business"
    assert (await client.get("/ready")).status_code == 503
    await note(connection, [Echo("seen", 0.1, "https://four.test")], now)
    answer = await client.get("/ready")
    assert answer.status_code == 200
    assert answer.json()["warnings"][0].endswith("what others wrote has since.")
