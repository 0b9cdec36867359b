"""Writes to PDSes of which it is not known what came of them, or that the index lacks: looked after each minute."""

from typing import Final

from appview.db import Connection
from appview.jobs.family import Family, Tools, TryLater
from appview.jobs.rows import Job, want
from appview.writes.journal import forget_old, open_accounts, settle_shown
from appview.writes.settling import NotYet, settle

SETTLE_SECONDS: Final = 60.0
"""For one account: what is asked of its PDS (`settling.SECONDS`), and of the database."""


async def settle_writes(tools: Tools, job: Job) -> None:
    """Settle the writes of the account whose DID is the subject of `job`. Raises TryLater."""
    try:
        await settle(tools.pool, tools.http, tools.identities, tools.makers, job.subject)
    except NotYet as error:
        raise TryLater(str(error), retry_after=error.retry_after) from error


async def want_settled(connection: Connection) -> None:
    """Let go of what is settled, and want what is not; what waits after a failure goes on waiting."""
    await settle_shown(connection)
    await forget_old(connection)
    rows = await connection.fetch(
        """
        select did from unnest($1::text[]) as open (did)
        where not exists (select from jobs where jobs.kind = 'writes' and jobs.subject = open.did)
        """,
        await open_accounts(connection),
    )
    await want(connection, WRITES.kind, [row["did"] for row in rows])


WRITES: Final = Family("writes", "settle_writes", settle_writes, want_settled, SETTLE_SECONDS)
