"""What is over goes: sign-ins that nobody came back from, browsers and tokens that have expired, and their grants; and
likes that never came.
"""

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
UNLIKED: Final = timedelta(days=1)
"""After which a like is forgotten that was asked for and never came: until then, taking it back deletes it."""

_EXPIRED: Final = "it was not used for too long, or has expired"
_UNADOPTED: Final = "the sign-in was not completed"


async def sweep(connection: Connection) -> bool:
    """Remove what is over, some of it in each call; False when there may be more. Others may do so at the same time."""
    found = []
    for sweep_some in _SWEEPS:
        # Each lets go of its rows before the next takes others, which would be out of order (grant_rows).
        async with connection.transaction():
            found.append(await sweep_some(connection))
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
    grants = await connection.fetch(
        "delete from browser_accounts where browser = any($1::bigint[]) returning grant_id", browsers
    )
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


async def _places(connection: Connection) -> int:
    """The places in browsers of grants that ended long ago."""
    rows = await connection.fetch(
        """
        select id from browsers where id in (
            select browser from browser_accounts join grants on grants.id = grant_id
            where state = 'ended' and over_at <= now() - $1::interval
        )
        limit $2 for update skip locked
        """,
        KEPT,
        AT_ONCE,
    )
    browsers = [row["id"] for row in rows]
    await connection.execute(
        """
        delete from browser_accounts using grants
        where browser = any($2::bigint[]) and grants.id = grant_id
            and state = 'ended' and over_at <= now() - $1::interval
        """,
        KEPT,
        browsers,
    )
    await drop_empty(connection, browsers)
    return len(rows)


async def _useless(connection: Connection) -> int:
    """The developer tokens whose grants ended long ago."""
    rows = await connection.fetch(
        """
        delete from developer_tokens where id = any(array(
            select developer_tokens.id from developer_tokens join grants on grants.id = grant_id
            where state = 'ended' and over_at <= now() - $1::interval
            limit $2 for update of developer_tokens skip locked
        )) returning 1
        """,
        KEPT,
        AT_ONCE,
    )
    return len(rows)


async def _ended(connection: Connection) -> int:
    """Grants that ended long ago, and that neither a browser nor a token has any more."""
    rows = await connection.fetch(
        """
        delete from grants where id = any(array(
            select id from grants where state = 'ended' and over_at <= now() - $1::interval
                and not exists (select from browser_accounts where grant_id = grants.id)
                and not exists (select from developer_tokens where grant_id = grants.id)
            limit $2 for update skip locked
        )) returning 1
        """,
        KEPT,
        AT_ONCE,
    )
    return len(rows)


async def _likes(connection: Connection) -> int:
    """Likes that were asked for and never came; one that is asked for again has a new key."""
    rows = await connection.fetch(
        """
        delete from coming_likes where (did, subject) in (
            select did, subject from coming_likes
            where asked_at <= now() - $1::interval and held_until <= now() limit $2 for update skip locked
        ) returning 1
        """,
        UNLIKED,
        AT_ONCE,
    )
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


_SWEEPS: Final = (_requests, _browsers, _tokens, _unadopted, _unrevoked, _places, _useless, _ended, _likes)
