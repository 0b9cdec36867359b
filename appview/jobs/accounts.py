"""What is left to do for those who sign in: servers to be told that a grant is over, and what has expired to go."""

from typing import Final

from appview.accounts.grant_rows import REVOCATION
from appview.accounts.sweep import sweep
from appview.db import Connection
from appview.jobs.family import Family, Tools, TryLater
from appview.jobs.rows import Job, want

ATTEMPTS: Final = 10
"""How often a server is told that a grant is over, within some hours at most, before that is given up."""

_SUBJECT: Final = "accounts"


async def revoke(tools: Tools, job: Job) -> None:
    """Tell the server of the grant whose id is the subject of `job`, and forget its secrets. Raises TryLater."""
    if tools.grants is None:
        return  # Without a key nothing can be told; the sweep forgets it.
    if not await tools.grants.finish(int(job.subject), is_last=job.attempts >= ATTEMPTS):
        raise TryLater("its server could not be told, or somebody else is telling it")


async def sweep_all(tools: Tools, _job: Job) -> None:
    """Remove what is over."""
    async with tools.pool.acquire() as connection:
        while not await sweep(connection):
            pass


async def want_sweep(connection: Connection) -> None:
    """Want it each minute, unless it waits to be done."""
    is_wanted = await connection.fetchval(
        "select exists (select from jobs where kind = 'sweep' and subject = $1)", _SUBJECT
    )
    if not is_wanted:
        await want(connection, SWEEP.kind, [_SUBJECT])


REVOCATIONS: Final = Family(REVOCATION, "revoke_grant", revoke)
SWEEP: Final = Family("sweep", "sweep_accounts", sweep_all, want_sweep)
