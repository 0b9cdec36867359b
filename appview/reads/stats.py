"""How much is indexed, and how fresh that is."""

from collections.abc import Mapping
from typing import Any, Final

import asyncpg

from appview import status
from appview.db import Connection
from appview.reads.times import instant
from appview.reads.views import View
from appview.reads.visibility import visible

_TOTALS: Final[Mapping[str, str]] = {
    "track": "tracks",
    "like": "likes",
    "comment": "comments",
    "list": "lists",
    "profile": "profiles",
    "generator": "generators",
    "follow": "follows",
    "play": "plays",
}
_STATES: Final = {"synchronized": "synchronized", "desynchronized": "desynchronized", "in_progress": "inProgress"}
_UPSTREAM: Final = {
    "url": "url",
    "state": "state",
    "since": "since",
    "last_frame_at": "lastFrameAt",
    "last_seq": "lastSeq",
    "cursor": "cursor",
}


async def stats(connection: Connection) -> View:
    """The answer of `server.getStats`, in four statements."""
    totals = dict.fromkeys(_TOTALS.values(), 0)
    for row in await connection.fetch("select name, n from totals where name = any($1)", list(_TOTALS)):
        totals[_TOTALS[row["name"]]] = row["n"]
    repos = dict.fromkeys(_STATES.values(), 0)
    for row in await connection.fetch("select status, n from repo_counts"):
        repos[_STATES[row["status"]]] = row["n"]
    newest = await connection.fetchval(
        f"select sort_at from tracks where {visible('tracks.did')} order by sort_at desc, uri desc limit 1"  # noqa: S608 - a condition of our own
    )
    shards = await connection.fetch("select shard, status, status_at from shards order by shard")
    answer: View = {
        "totals": totals,
        "repos": repos,
        "ingesters": [_ingester(row) for row in shards],
    }
    return answer if newest is None else {**answer, "newestTrackAt": instant(newest)}


def _ingester(row: asyncpg.Record) -> View:
    said: status.Status | None = row["status"]
    view: View = {"shard": row["shard"], "upstreams": []}
    if said is None or said["version"] != status.VERSION:
        return view
    return view | {
        "statusAt": instant(row["status_at"]),
        "catchingUp": said["catching_up"],
        "queuedFrames": said["queue"]["frames"],
        "queuedMs": round(said["queue"]["oldest_seconds"] * 1000),
        "upstreams": [_upstream(upstream) for upstream in said["upstreams"]],
    }


def _upstream(said: Mapping[str, Any]) -> View:
    return {name: said[key] for key, name in _UPSTREAM.items() if said[key] is not None}
