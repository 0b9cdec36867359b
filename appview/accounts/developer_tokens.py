"""Developer tokens: by which a program acts for an account without a browser, each with a grant of its own.

A token is 256 random bits behind a word that tells scanners of leaked secrets what it is. It is shown once; here is its
digest.
"""

import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from appview.accounts.grant_rows import adopt, condemn, hold
from appview.accounts.vault import digest
from appview.db import Pool

PREFIX: Final = "plyr_"
DEFAULT_LIFE: Final = timedelta(days=90)
"""What to offer who says nothing else."""
LONGEST_LIFE: Final = timedelta(days=366)
MAX_TOKENS: Final = 50
"""Of one account."""
MAX_NAME: Final = 100
"""Characters."""

REVOKED: Final = "its developer token was revoked"

_is_token = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}").fullmatch


class TokenRefused(Exception):
    """There can be no such token; the message is one sentence for who asked for it."""


class Token(NamedTuple):
    """For whom a token speaks."""

    did: str
    grant: int


class Listed(NamedTuple):
    """A token as its owner sees it afterwards."""

    id: int
    name: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    """To the minute; None: never."""
    is_live: bool
    """False once its grant is over: it is good for nothing more."""


def check(name: str, expires_at: datetime) -> str:
    """The name as it is kept, if a token can have it and live until then. Raises TokenRefused."""
    kept = " ".join(name.split())
    if not kept or len(kept) > MAX_NAME or not kept.isprintable():
        raise TokenRefused(f"The name of a token must be from 1 to {MAX_NAME} printable characters.")
    if not timedelta() < expires_at - datetime.now(UTC) <= LONGEST_LIFE:
        raise TokenRefused(f"A token must expire within {LONGEST_LIFE.days} days.")
    return kept


async def create(pool: Pool, did: str, grant: int, name: str, expires_at: datetime) -> str:
    """A token of `did`, whose new grant of kind token this is; its text, which nobody can be told again.

    Raises TokenRefused, and NotToBeHad.
    """
    kept = check(name, expires_at)
    text = PREFIX + secrets.token_urlsafe(32)
    async with pool.acquire() as connection, connection.transaction():
        # Two at once would each count the other one out.
        await hold(connection, did)
        if await connection.fetchval("select count(*) from developer_tokens where did = $1", did) >= MAX_TOKENS:
            raise TokenRefused(f"An account can have {MAX_TOKENS} tokens; one must be revoked first.")
        await adopt(connection, grant, did, "token")
        await connection.execute(
            "insert into developer_tokens (digest, did, grant_id, name, expires_at) values ($1, $2, $3, $4, $5)",
            digest(text),
            did,
            grant,
            kept,
            expires_at,
        )
    return text


async def find(pool: Pool, text: str) -> Token | None:
    """For whom the token speaks; None where there is none such, or not any more, or its grant is over."""
    if not _is_token(text):
        return None
    row = await pool.fetchrow(
        """
        select developer_tokens.id, developer_tokens.did, grant_id,
            coalesce(used_at < now() - interval '1 minute', true) as is_stale
        from developer_tokens join grants on grants.id = grant_id
        where digest = $1 and developer_tokens.expires_at > now() and state = 'live'
        """,
        digest(text),
    )
    if row is None:
        return None
    if row["is_stale"]:
        await pool.execute("update developer_tokens set used_at = now() where id = $1", row["id"])
    return Token(row["did"], row["grant_id"])


async def of(pool: Pool, did: str) -> list[Listed]:
    """The tokens of an account that have not expired, the newest first."""
    rows = await pool.fetch(
        """
        select developer_tokens.id, name, developer_tokens.created_at, expires_at, used_at, state = 'live'
        from developer_tokens join grants on grants.id = grant_id
        where developer_tokens.did = $1 and expires_at > now() order by developer_tokens.id desc
        """,
        did,
    )
    return [Listed(*row) for row in rows]


async def revoke(pool: Pool, did: str, token: int) -> int | None:
    """The token is good no more, and its grant is over, of which a job tells the server; `Grants.end` does so at once.

    Returns the grant; None where `did` has no such token.
    """
    async with pool.acquire() as connection, connection.transaction():
        grant: int | None = await connection.fetchval(
            "delete from developer_tokens where id = $1 and did = $2 returning grant_id", token, did
        )
        if grant is not None:
            await condemn(connection, [grant], REVOKED)
    return grant
