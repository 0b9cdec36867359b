"""What an account allowed us, as its owner sees it."""

from datetime import datetime
from typing import NamedTuple

from appview.db import Pool


class Permission(NamedTuple):
    """One grant that holds, without its secrets."""

    since: datetime
    server: str
    """The issuer: an origin."""
    scope: str
    """As granted (OA-12)."""
    browsers: int
    """Other browsers that the account is signed in with, each with a grant of its own."""
    tokens: int
    """Developer tokens of the account."""


async def permission(pool: Pool, did: str, grant: int) -> Permission | None:
    """The grant of `did`; None where it has none such, or it is over."""
    row = await pool.fetchrow(
        """
        select created_at, issuer, scope,
            (select count(*) from grants where did = $1 and kind = 'session' and state = 'live' and id <> $2),
            (select count(*) from grants where did = $1 and kind = 'token' and state = 'live')
        from grants where id = $2 and did = $1 and state = 'live'
        """,
        did,
        grant,
    )
    return Permission(*row) if row else None


async def is_over(pool: Pool, did: str) -> bool:
    """Whether all that the account ever allowed is over, but for what deletes its records and is over with that."""
    over: bool = await pool.fetchval(
        """
        select not exists (
            select from grants where did = $1 and state in ('new', 'live')
                and not exists (select from erasures where grant_id = grants.id)
        )
        """,
        did,
    )
    return over
