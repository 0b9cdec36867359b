"""When everything that was sent is in the index, and nothing is left to be done."""

from collections.abc import Collection, Mapping

import asyncpg

from appview.db import Connection

KINDS = ("fetch", "drain", "status", "recheck", "shift", "gap")

_LEFT_TO_DO = """
    select 'frames kept of ' || did from held_frames where did not in (select did from actors where not visible)
    union all select kind || ' of ' || subject || coalesce(': ' || error, '') from jobs where kind = any($1)
        and (kind <> 'gap' or due_at < now() + interval '1 minute')
    union all select did || ' is ' || repos.status from repos join actors using (did)
        where repos.status <> 'synchronized' and visible
"""


async def left_to_do(connection: Connection, kinds: tuple[str, ...] = KINDS) -> list[str]:
    """What still waits, a line each: messages, jobs of these `kinds`, repositories that are not whole yet."""
    return [line for (line,) in await connection.fetch(_LEFT_TO_DO, kinds)]


async def is_settled(url: str, heads: Mapping[str, int], kinds: tuple[str, ...] = KINDS) -> bool:
    """Whether every shard of the index at `url` has everything up to these seqs, by upstream, and nothing waits."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("select url, min(coalesce(cursor, 0)) as cursor from upstreams group by url")
        cursors = {row["url"]: row["cursor"] for row in rows}
        return all((cursors.get(upstream) or 0) >= head for upstream, head in heads.items()) and not await left_to_do(
            connection, kinds
        )
    finally:
        await connection.close()


async def hurry(url: str) -> None:
    """Have what waits after a failure, or for a while to pass, done now."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("update jobs set due_at = now() where due_at > now() and not leased")
    finally:
        await connection.close()


async def is_discovered(url: str, sources: Collection[str]) -> bool:
    """Whether each of these hosts was asked for the repositories it has, to the end, and is not to be once more."""
    connection = await asyncpg.connect(url)
    try:
        count = await connection.fetchval(
            "select count(*) filter (where done)"
            " from (select bool_and(finished_at is not null and not again) as done from discoveries"
            " where source = any($1) group by source)",
            list(sources),
        )
        return bool(count == len(sources))
    finally:
        await connection.close()


async def is_found(url: str, repositories: int) -> bool:
    """Whether so many repositories were found, and all of them are here."""
    connection = await asyncpg.connect(url)
    try:
        count = await connection.fetchval("select count(*) from repos")
        return bool(count == repositories) and not await left_to_do(connection)
    finally:
        await connection.close()
