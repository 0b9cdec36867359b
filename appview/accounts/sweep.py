"""What is over goes: sign-ins that nobody came back from, browsers and tokens that have expired, and their grants."""

from datetime import timedelta
from typing import Final

from appview.accounts.grant_rows import REVOCATION, condemn
from appview.accounts.sessions import IDLE, LONGEST, drop_empty
from appview.db import Connection
from appview.jobs.rows import want

AT_ONCE: Final = 500
"""Rows of each kind in one transaction."""
UNADOPTED: Final = timedelta(minutes=15)
"""After which a grant that nobody has is over: longer than a request takes that makes it somebody's."""
UNREVOKED: Final = timedelta(days=1)
"""After which the secrets of a grant are forgotten although its server could not be told."""
KEPT: Final = timedelta(days=30)
"""For which a grant that has ended is remembered, so that its account can be told why it must sign in again."""

_EXPIRED: Final = "it was not used for too long, or has expired"
_UNADOPTED: Final = "the sign-in was not completed"


async def sweep(connection: Connection) -> bool:
    """Remove what is over, some of it in each call; False when there may be more. Others may do so at the same time."""
    async with connection.transaction():
        found = [await sweep_some(connection) for sweep_some in _SWEEPS]
        await _remind(connection)
    return max(found) < AT_ONCE


async def _requests(connection: Connection) -> int:
    gone = await connection.fetch(
        """
        delete from oauth_requests where state = any(array(
            select state from oauth_requests where expires_at <= now() limit $1 for update skip locked
        )) returning 1
        """,
        AT_ONCE,
    )
    return len(gone)


async def _browsers(connection: Connection) -> int:
    """Those that were not seen for too long, or not signed in with."""
    rows = await connection.fetch(
        """
        select id from browsers where seen_at <= now() - $1::interval or signed_in_at <= now() - $2::interval
        limit $3 for update skip locked
        """,
        IDLE,
        LONGEST,
        AT_ONCE,
    )
    browsers = [row["id"] for row in rows]
    grants = await connection.fetch("select grant_id from browser_accounts where browser = any($1::bigint[])", browsers)
    await connection.execute("delete from browsers where id = any($1::bigint[])", browsers)
    await condemn(connection, [row["grant_id"] for row in grants], _EXPIRED)
    return len(rows)


async def _tokens(connection: Connection) -> int:
    rows = await connection.fetch(
        """
        delete from developer_tokens where id = any(array(
            select id from developer_tokens where expires_at <= now() limit $1 for update skip locked
        )) returning grant_id
        """,
        AT_ONCE,
    )
    await condemn(connection, [row["grant_id"] for row in rows], _EXPIRED)
    return len(rows)


async def _unadopted(connection: Connection) -> int:
    rows = await connection.fetch(
        """
        select id from grants where state = 'new' and created_at <= now() - $1::interval
        limit $2 for update skip locked
        """,
        UNADOPTED,
        AT_ONCE,
    )
    await condemn(connection, [row["id"] for row in rows], _UNADOPTED)
    return len(rows)


async def _unrevoked(connection: Connection) -> int:
    rows = await connection.fetch(
        """
        update grants set state = 'ended', sealed = null where id = any(array(
            select id from grants where state = 'ending' and over_at <= now() - $1::interval
                and coalesce(leased_until < now(), true) limit $2 for update skip locked
        )) returning 1
        """,
        UNREVOKED,
        AT_ONCE,
    )
    return len(rows)


async def _ended(connection: Connection) -> int:
    rows = await connection.fetch(
        """
        select id from grants where state = 'ended' and over_at <= now() - $1::interval limit $2 for update skip locked
        """,
        KEPT,
        AT_ONCE,
    )
    grants = [row["id"] for row in rows]
    browsers = await connection.fetch("select browser from browser_accounts where grant_id = any($1::bigint[])", grants)
    await connection.execute("delete from grants where id = any($1::bigint[])", grants)
    await drop_empty(connection, {row["browser"] for row in browsers})
    return len(rows)


async def _remind(connection: Connection) -> None:
    """Want the revocations again that no job is left of."""
    rows = await connection.fetch(
        """
        select id::text from grants where state = 'ending' and over_at <= now() - interval '10 minutes'
            and not exists (select from jobs where kind = $1 and subject = id::text)
        limit $2
        """,
        REVOCATION,
        AT_ONCE,
    )
    await want(connection, REVOCATION, [row["id"] for row in rows], note="reminded")


_SWEEPS: Final = (_requests, _browsers, _tokens, _unadopted, _unrevoked, _ended)
