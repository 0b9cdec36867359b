"""Theft: whoever has all of the database, or all of the log, has nothing that opens anything."""

import base64
import logging
from datetime import UTC, datetime, timedelta

import pytest

from appview.accounts import developer_tokens, sessions
from appview.accounts.grants import Grants
from appview.accounts.oauth import Begun
from appview.accounts.oauth.errors import GrantEnded, ServerAway
from appview.accounts.requests import keep, take
from appview.accounts.sweep import sweep
from appview.accounts.vault import Vault
from appview.db import Pool
from tests.appview.accounts.granting import SECRET, Authority, granted
from tests.appview.accounts.rows import ALICE, age

VERIFIER, DPOP, STATE, BROWSER = "a-code-verifier", "a-dpop-key", "s" * 43, "b" * 43
GRANTED = ("access-0", "refresh-0", "access-1", "refresh-1", "private-key")


async def everything(pool: Pool) -> str:
    """All that the database holds, of which bytes are in hex."""
    tables = await pool.fetch("select tablename from pg_tables where schemaname = 'public' order by tablename")
    rows = [row for (table,) in tables for row in await pool.fetch(f"select t::text from {table} as t")]
    return "\n".join(row[0] for row in rows)


def shapes(secret: str) -> set[str]:
    """How it might be written."""
    raw = secret.encode()
    return {secret, raw.hex(), base64.b64encode(raw).decode().rstrip("="), raw.hex().encode().hex()}


async def life(pool: Pool) -> list[str]:
    """Everything that is ever kept, and all that is secret of it."""
    authority, vault = Authority(), Vault([SECRET])
    grants = Grants(pool, vault, authority)
    begun = Begun("https://pds.test/authorize", STATE, {"verifier": VERIFIER, "dpop_key": DPOP})
    await keep(pool, vault, begun, browser=BROWSER, purpose="session", return_to="/")
    await keep(pool, vault, begun._replace(state="t" * 43), browser=BROWSER, purpose="session", return_to="/")
    assert await take(pool, vault, "t" * 43, "another") is None
    held = await grants.save(granted(seconds=-1), "session")
    cookie = await sessions.sign_in(pool, None, ALICE, held)
    session = await sessions.find(pool, cookie)
    assert session is not None
    spoken_for = await grants.save(granted(), "token")
    in_a_day = datetime.now(UTC) + timedelta(days=1)
    token = await developer_tokens.create(pool, ALICE, spoken_for, "cron", in_a_day)
    await developer_tokens.find(pool, token)
    await grants.fresh(held)
    authority.is_away = True
    with pytest.raises(ServerAway):
        await grants.fresh(held, refused="access-1")
    await grants.end(await grants.save(granted(), "session"), "signed out")
    authority.is_away, authority.is_over = False, True
    await age(pool, "grants", "away_until", "1 hour")
    dying = await grants.save(granted(seconds=-1), "session")
    with pytest.raises(GrantEnded):
        await grants.fresh(dying)
    async with pool.acquire() as connection:
        await sweep(connection)
    return [*GRANTED, VERIFIER, DPOP, STATE, BROWSER, cookie, session.csrf, token, token[5:], SECRET]


async def test_nothing_in_the_database_opens_anything(pool: Pool) -> None:
    secrets = await life(pool)
    kept = await everything(pool)
    assert ALICE in kept, "it was looked for in the right place"
    for secret in secrets:
        assert not any(shape in kept for shape in shapes(secret)), secret


async def test_the_search_would_find_it(pool: Pool) -> None:
    await pool.execute("insert into oauth_requests values ($1, '', '', now())", STATE.encode())
    kept = await everything(pool)
    assert any(shape in kept for shape in shapes(STATE))


async def test_no_log_says_a_secret(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        secrets = await life(pool)
    said = "\n".join(f"{record.getMessage()} {record.exc_text or ''}" for record in caplog.records)
    assert "grant" in said
    for secret in secrets:
        assert not any(shape in said for shape in shapes(secret)), secret
