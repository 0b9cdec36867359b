"""Browsers and who is signed in with them: one cookie each, several accounts, of which it acts as one.

A cookie is 256 random bits that only the browser has; here is their digest, which nobody can send in its place. Each
sign-in makes a new one, and one that is not known here is never taken over. A browser is forgotten when it was not seen
for three months, which is how long the grants of most servers last unused, or a year after its last sign-in.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from appview.accounts.grant_rows import adopt, condemn, hold, lock
from appview.accounts.vault import digest
from appview.db import Connection, Pool

IDLE: Final = timedelta(days=90)
"""After which a browser that was not seen is signed out."""
LONGEST: Final = timedelta(days=365)
"""After which it is so whatever it does, unless somebody signed in with it meanwhile."""
MAX_ACCOUNTS: Final = 10
"""In one browser; the one chosen longest ago makes room for another."""
MAX_BROWSERS: Final = 100
"""Of one account; the one that it signed in with longest ago makes room for another."""

SIGNED_OUT: Final = "it was signed out"
_REPLACED: Final = "the account signed in again"
_CROWDED: Final = "the account signed in with too many browsers, or the browser to too many accounts"

_is_cookie = re.compile(r"[A-Za-z0-9_-]{43}").fullmatch
_KNOWN: Final = "cookie = $1 and seen_at > now() - $2::interval and signed_in_at > now() - $3::interval"


@dataclass(frozen=True, slots=True)
class Account:
    """An account that is signed in with a browser."""

    did: str
    grant: int
    is_live: bool
    """False once the grant is over: nobody acts as the account until it signs in again."""


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is known by its cookie."""

    id: bytes
    """The digest of the cookie."""
    accounts: tuple[Account, ...]
    """The one chosen last first."""
    csrf: str = field(repr=False)
    """What a form must send along: it follows from the cookie, which other sites cannot read, and is kept nowhere."""

    @property
    def current(self) -> Account | None:
        """As whom the browser acts: the account chosen last, if its grant is not over."""
        return self.accounts[0] if self.accounts and self.accounts[0].is_live else None


async def find(pool: Pool, cookie: str) -> Session | None:
    """The browser with this cookie; None where none has it, or not any more."""
    if not _is_cookie(cookie):
        return None
    rows = await pool.fetch(
        f"""
        select held.did, grant_id, state = 'live' as is_live, seen_at < now() - interval '1 hour' as is_stale
        from browsers join browser_accounts as held on browser = browsers.id join grants on grants.id = grant_id
        where {_KNOWN} order by chosen_at desc, grant_id desc
        """,  # noqa: S608 - a constant
        digest(cookie),
        IDLE,
        LONGEST,
    )
    if not rows:
        return None
    if rows[0]["is_stale"]:
        await pool.execute("update browsers set seen_at = now() where cookie = $1", digest(cookie))
    accounts = tuple(Account(row["did"], row["grant_id"], row["is_live"]) for row in rows)
    return Session(digest(cookie), accounts, _csrf(cookie))


async def sign_in(pool: Pool, cookie: str | None, did: str, grant: int) -> str:
    """Sign `did`, whose new grant of kind session this is, in with the browser that has `cookie`; it acts as `did`.

    Returns the browser's new cookie; the old one is good no more. Grants that the new one replaces are over, and their
    servers are told. Raises NotToBeHad.
    """
    new = secrets.token_urlsafe(32)
    async with pool.acquire() as connection, connection.transaction():
        await hold(connection, did)
        crowded = await _crowded(connection, did)
        await connection.execute(
            f"select from browsers where {_KNOWN} or id = any($4::bigint[]) order by id for update",
            digest(cookie or ""),
            IDLE,
            LONGEST,
            crowded,
        )
        browser = await _renewed(connection, cookie, new) if cookie is not None else None
        if browser is None:
            browser = await connection.fetchval("insert into browsers (cookie) values ($1) returning id", digest(new))
        replaced = await connection.fetch(
            "delete from browser_accounts where browser = $1 and did = $2 returning grant_id", browser, did
        )
        too_many = await _make_room(connection, browser, did, crowded)
        former = [row["grant_id"] for row in replaced]
        await lock(connection, [grant, *former, *too_many])
        await adopt(connection, grant, did, "session")
        await connection.execute(
            "insert into browser_accounts (browser, did, grant_id, chosen_at) values ($1, $2, $3, clock_timestamp())",
            browser,
            did,
            grant,
        )
        await condemn(connection, former, _REPLACED)
        await condemn(connection, too_many, _CROWDED)
    return new


async def switch(pool: Pool, cookie: str, did: str) -> bool:
    """Have the browser act as `did`; False where it is not signed in with it, or its grant is over."""
    chosen = await pool.fetchval(
        f"""
        update browser_accounts set chosen_at = clock_timestamp()
        where browser = (select id from browsers where {_KNOWN}) and did = $4
            and exists (select from grants where id = grant_id and state = 'live')
        returning browser
        """,  # noqa: S608 - a constant
        digest(cookie),
        IDLE,
        LONGEST,
        did,
    )
    return chosen is not None


async def sign_out(pool: Pool, cookie: str, did: str | None) -> list[int]:
    """Sign `did` out of the browser, or with None all accounts, and forget the browser once it has none.

    Returns the grants that are over by this. Their servers are told by a job; `Grants.end` does so at once.
    """
    async with pool.acquire() as connection, connection.transaction():
        rows = await connection.fetch(
            """
            delete from browser_accounts where browser = (select id from browsers where cookie = $1 for update)
                and ($2::text is null or did = $2)
            returning browser, grant_id
            """,
            digest(cookie),
            did,
        )
        await drop_empty(connection, {row["browser"] for row in rows})
        return await condemn(connection, [row["grant_id"] for row in rows], SIGNED_OUT)


async def drop_empty(connection: Connection, browsers: Collection[int]) -> None:
    """Forget those of these browsers, by their numbers, that no account is signed in with any more."""
    await connection.execute(
        """
        delete from browsers where id = any($1::bigint[])
            and not exists (select from browser_accounts where browser = browsers.id)
        """,
        list(browsers),
    )


async def _renewed(connection: Connection, cookie: str, new: str) -> int | None:
    """The browser that had `cookie` and has `new` now; None where there is none."""
    known: int | None = await connection.fetchval(
        f"update browsers set cookie = $4, signed_in_at = now(), seen_at = now() where {_KNOWN} returning id",  # noqa: S608 - a constant
        digest(cookie),
        IDLE,
        LONGEST,
        digest(new),
    )
    return known


async def _crowded(connection: Connection, did: str) -> list[int]:
    """The browsers of the account that are too many once it signs in with another."""
    rows = await connection.fetch(
        """
        select browser from browser_accounts join grants on grants.id = grant_id
        where browser_accounts.did = $1 and state = 'live' order by grant_id desc offset $2
        """,
        did,
        MAX_BROWSERS - 1,
    )
    return [row["browser"] for row in rows]


async def _make_room(connection: Connection, browser: int, did: str, crowded: Collection[int]) -> list[int]:
    """Sign the account out of `crowded`, and of `browser` whom it has no room for; the grants that they had."""
    rows = await connection.fetch(
        """
        delete from browser_accounts where grant_id = any(array(
            select grant_id from browser_accounts where browser = $1 order by chosen_at desc offset $2
        ) || array(
            select grant_id from browser_accounts where did = $3 and browser = any($4::bigint[])
        )) returning browser, grant_id
        """,
        browser,
        MAX_ACCOUNTS - 1,
        did,
        list(crowded),
    )
    await drop_empty(connection, {row["browser"] for row in rows} - {browser})
    return [row["grant_id"] for row in rows]


def _csrf(cookie: str) -> str:
    made = hmac.digest(cookie.encode(), b"plyr-appview: csrf", hashlib.sha256)
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode("ascii")
