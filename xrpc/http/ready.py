"""`/ready`: whether what is answered here is the present state of the network, and if not, every reason why.

What an operator should look at though it is, such as one of several upstreams that is gone, is a warning.
"""

from collections.abc import Iterator
from typing import Any, Final

import asyncpg
from starlette.requests import Request
from starlette.responses import Response

from appview import status
from appview.db import Pool
from appview.index.echoes import Unheard, unheard
from xrpc.availability import within
from xrpc.context import context_of
from xrpc.errors import JSONResponse, Unavailable

QUERY_SECONDS: Final = 3.0
SILENT_SECONDS: Final = 10.0
"""An ingester speaks every second; one that was silent for longer is not running."""
QUEUED_SECONDS: Final = 30.0
"""A frame that waited longer than this says that the index falls behind."""


async def ready(request: Request) -> Response:
    """200, or 503 with the reasons, and in both the warnings and what each ingester says."""
    pool = context_of(request).pool
    try:
        reasons, shards = await within(QUERY_SECONDS, freshness(pool))
        canary = await within(QUERY_SECONDS, unheard(pool))
    except Unavailable as error:
        return _answer([error.message], [], [])
    except asyncpg.UndefinedTableError:
        return _answer(["The database has no tables yet: `python -m appview migrate` makes them."], [], [])
    said = [_of_canary(canary)] if canary.hosts else []
    if canary.is_blind:
        return _answer([*reasons, *said], [], shards)
    return _answer(reasons, said, shards)


async def freshness(pool: Pool) -> tuple[list[str], list[dict[str, Any]]]:
    """Every reason why the index is not the present state of the network, and what each ingester says."""
    rows = await pool.fetch(
        "select shard, status, extract(epoch from clock_timestamp() - status_at)::float8 as silent_seconds"
        " from shards order by shard"
    )
    shards = [dict(row) for row in rows]
    if not shards:
        return ["No ingester has run yet."], []
    return [reason for shard in shards for reason in _reasons(shard)], shards


def _of_canary(canary: Unheard) -> str:
    hosts = "one PDS" if canary.hosts == 1 else f"{canary.hosts} PDSes"
    others = "nothing of what was written through us has since" if canary.is_alone else "what others wrote has since"
    return (
        f"Writes through us at {hosts} have not come back by the firehose for {canary.seconds:.0f} s or more; {others}."
    )


def _answer(reasons: list[str], warnings: list[str], shards: list[dict[str, Any]]) -> Response:
    warnings = [*warnings, *(warning for shard in shards for warning in _warnings(shard))]
    body = {"ready": not reasons, "reasons": reasons, "warnings": warnings, "shards": shards}
    return JSONResponse(body, 503 if reasons else 200, headers={"Cache-Control": "no-store"})


def _warnings(shard: dict[str, Any]) -> Iterator[str]:
    """What is wrong with some of its upstreams while others are live."""
    said = shard["status"]
    if said is None or said["version"] != status.VERSION or not any(map(_is_live, said["upstreams"])):
        return
    for upstream in said["upstreams"]:
        if upstream["error"] or not _is_live(upstream):
            yield _stands(shard["shard"], upstream)


def _is_live(upstream: status.Upstream) -> bool:
    return upstream["state"] == "live"


def _stands(name: str, upstream: status.Upstream) -> str:
    because = f": {upstream['error']}" if upstream["error"] else ""
    return f"The upstream {upstream['url']} of shard {name} is {upstream['state']} since {upstream['since']}{because}."


def _reasons(shard: dict[str, Any]) -> Iterator[str]:
    name, said, silent = shard["shard"], shard["status"], shard["silent_seconds"]
    if said is None or silent is None:
        yield f"The ingester of shard {name} has said nothing yet."
        return
    if silent > SILENT_SECONDS:
        yield f"The ingester of shard {name} has said nothing for {silent:.0f} s."
        return
    if said["version"] != status.VERSION:
        yield f"The ingester of shard {name} is of another version than this process."
        return
    yield from _lags(name, said)


def _lags(name: str, said: status.Status) -> Iterator[str]:
    upstreams = said["upstreams"]
    if not any(map(_is_live, upstreams)):
        # One that is live is enough: relays bring the same, and what one of several PDSes has waits there.
        if not upstreams:
            yield f"The ingester of shard {name} has no upstream to listen to."
        for upstream in upstreams:
            yield _stands(name, upstream)
    queue = said["queue"]
    if queue["oldest_seconds"] > QUEUED_SECONDS:
        yield f"The oldest of {queue['frames']} frames has waited in shard {name} for {queue['oldest_seconds']:.0f} s."
    if said["catching_up"]:
        yield f"The ingester of shard {name} is catching up."
