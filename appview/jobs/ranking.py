"""Rankings made anew: every minute, or more rarely where that takes long."""

from datetime import UTC, datetime
from typing import Final

from appview.db import Connection
from appview.index.rankings import NAMES, SECONDS, drop_overtaken, make
from appview.jobs.family import Family, Tools
from appview.jobs.rows import Job, want

EVERY: Final = 50.0
"""Seconds after which a ranking is made again, a little less than the time between two looks at what is due."""
SHARE: Final = 100
"""It rests so many times as long as it took: whatever the size of the index, that is one hundredth of the time."""


async def make_ranking(tools: Tools, job: Job) -> None:
    """Make the ranking whose name is the subject of `job`, if there is one of that name."""
    if job.subject not in NAMES:
        return  # Wanted by another version.
    now = datetime.now(UTC)
    async with tools.pool.acquire() as connection:
        await make(connection, job.subject, now)
        await drop_overtaken(connection, job.subject, now)


async def want_rankings(connection: Connection) -> None:
    """Want the rankings that were never made, or long enough ago."""
    rows = await connection.fetch(
        """
        select name from unnest($1::text[]) as named (name)
        where not exists (select from jobs where jobs.kind = 'ranking' and jobs.subject = named.name)
            and not exists (
                select from rankings where rankings.name = named.name
                    and checked_at > now() - make_interval(secs => greatest($2, $3 * seconds))
            )
        """,
        NAMES,
        EVERY,
        float(SHARE),
    )
    await want(connection, RANKING.kind, [row["name"] for row in rows])


RANKING: Final = Family("ranking", "make_ranking", make_ranking, want_rankings, SECONDS + 10)
