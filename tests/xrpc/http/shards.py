"""Rows of `shards`, as a running ingester leaves them."""

from appview.db import Connection
from appview.status import Status, Upstream

URL = "wss://relay.test"


def upstream(**changes: object) -> Upstream:
    """One that is live."""
    live: dict[str, object] = {
        "url": URL,
        "state": "live",
        "since": "2026-01-01T00:00:00Z",
        "error": None,
        "last_frame_at": "2026-01-01T00:00:05Z",
        "last_seq": 7,
        "cursor": 6,
    }
    return {**live, **changes}  # type: ignore[typeddict-item]


def healthy(**changes: object) -> Status:
    """One ingester that is up to date."""
    status: dict[str, object] = {
        "version": 1,
        "upstreams": [upstream()],
        "queue": {"frames": 0, "oldest_seconds": 0.0},
        "catching_up": False,
        "held_frames": 0,
        "jobs": {},
        "tracked": 3,
    }
    return {**status, **changes}  # type: ignore[typeddict-item]


async def says(
    connection: Connection, status: Status | None, *, shard: str = "0/1", metrics: str | None = None, ago: float = 0.0
) -> None:
    """Let the ingester of `shard` have said this, `ago` seconds ago."""
    await connection.execute(
        """
        insert into shards (shard, status, metrics, status_at)
        values ($1, $2, $3, now() - make_interval(secs => $4))
        on conflict (shard) do update
        set status = excluded.status, metrics = excluded.metrics, status_at = excluded.status_at
        """,
        shard,
        status,
        metrics,
        ago,
    )
