"""Own writes that are shown before they are proven: looked at each second while they are young, and each minute."""

from datetime import UTC, datetime
from typing import Final

from appview.db import Connection
from appview.index.pending import ALL, JOB
from appview.index.settling import settle
from appview.jobs.family import Again, Family, Tools
from appview.jobs.rows import Job, want


async def settle_all(tools: Tools, job: Job) -> None:
    """Settle what can be. Raises Again while that may be soon."""
    if job.subject != ALL:
        return  # Wanted by another version.
    seconds = await settle(tools.pool, tools.makers.types, datetime.now(UTC))
    if seconds is not None:
        raise Again(seconds)


async def want_settling(connection: Connection) -> None:
    """Want that what is pending is looked at, if anything is."""
    if await connection.fetchval("select exists (select from pending)"):
        await want(connection, JOB, [ALL])


PENDING: Final = Family(JOB, "settle_pending", settle_all, want_settling)
