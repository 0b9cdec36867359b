"""Who calls, by the cookie of a browser or a developer token: over ASGI, on real rows."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from appview.accounts import developer_tokens, sessions
from appview.accounts.vault import digest
from appview.db import Connection, Pool
from lexicons.catalog import Catalog, shipped
from tests.appview.accounts.rows import ALICE, BOB, add_grant
from tests.index_writer import IndexWriter
from tests.xrpc import procedures, samples
from tests.xrpc.client import Client, config, running
from xrpc.app import create_app
from xrpc.methods import METHODS

SECRET = "of a server that is gone in a minute"
URI = "at://did:web:a.test/fm.plyr.track/1"
WHO = "/xrpc/fm.plyr.test.who?actor=a.test"
NOTE = "/xrpc/fm.plyr.test.note"
OURS = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
async def client(database_url: str) -> AsyncIterator[Client]:
    """The samples, of a server that knows accounts, and keeps answers to nobody in particular for long."""
    note = "test.note"
    documents = [*shipped().documents.values(), *samples.DOCUMENTS, procedures.catalog().documents[f"fm.plyr.{note}"]]
    catalog = Catalog(documents, strict=True)
    methods = {**METHODS, **samples.METHODS, note: procedures.METHODS[note]}
    app = create_app(
        config(database_url, PLYR_SECRET_KEY=SECRET),
        methods=methods,
        catalog=catalog,
        validate_output=True,
        hot_seconds=60.0,
    )
    async with running(app) as client:
        yield client


@pytest.fixture
async def cookie(pool: Pool) -> str:
    """That of Alice's browser."""
    return await sessions.sign_in(pool, None, ALICE, await add_grant(pool))


async def asks(client: Client, headers: dict[str, str]) -> str | None:
    answer = await client.get(WHO, headers=headers)
    assert answer.status_code == 200, answer.text
    viewer: str | None = answer.json()["said"]["viewer"]
    assert ("private" in answer.headers["cache-control"]) == (viewer is not None)
    return viewer


async def writes(client: Client, headers: dict[str, str]) -> Any:
    answer = await client.post(NOTE, json={"subject": {"uri": URI}}, headers=headers)
    return answer.json()["said"]["viewer"] if answer.status_code == 200 else answer.json()["error"]


async def test_a_session_counts_for_our_own_pages_alone(client: Client, cookie: str) -> None:
    sent = {"Cookie": f"other=1; plyr={cookie}"}
    assert await asks(client, {}) is None
    assert await asks(client, sent) == ALICE, "typed into the address bar of a browser that is older than the header"
    for site, reads in [("same-origin", ALICE), ("none", ALICE), ("same-site", None), ("cross-site", None)]:
        asked = {**sent, "Sec-Fetch-Site": site}
        assert await asks(client, asked) == reads
        assert await writes(client, asked) == (ALICE if site == "same-origin" else "AuthMissing")
    assert await writes(client, sent) == "AuthMissing"
    for origin in (
        "http://evil.test",
        "http://appview.test.evil.test",
        "http://appview.test:1",
        "null",
        "x",
        "http://[",
    ):
        assert await writes(client, {**sent, "Origin": origin}) == "AuthMissing"
    assert await writes(client, {**sent, "Origin": "http://appview.test"}) == ALICE
    # What a page cannot forge counts before what it may.
    assert (
        await writes(client, {**sent, "Origin": "http://appview.test", "Sec-Fetch-Site": "cross-site"}) == "AuthMissing"
    )


async def test_what_is_in_the_database_is_no_cookie(client: Client, cookie: str, connection: Connection) -> None:
    stored = await connection.fetchval("select cookie from browsers")
    assert stored == digest(cookie)
    for stolen in (stored.hex(), "x" * 43, cookie[:-1], cookie + "A", "", "%00", cookie.swapcase()):
        assert await asks(client, {"Cookie": f"plyr={stolen}"}) is None
        assert await writes(client, {**OURS, "Cookie": f"plyr={stolen}"}) == "AuthMissing"


async def test_it_is_the_account_chosen_last(client: Client, cookie: str, pool: Pool) -> None:
    newer = await sessions.sign_in(pool, cookie, BOB, await add_grant(pool, BOB))
    assert await asks(client, {"Cookie": f"plyr={cookie}"}) is None, "another at each sign-in"
    assert await asks(client, {"Cookie": f"plyr={newer}"}) == BOB
    await sessions.switch(pool, newer, ALICE)
    assert await writes(client, {**OURS, "Cookie": f"plyr={newer}"}) == ALICE
    await sessions.sign_out(pool, newer, ALICE)
    assert await asks(client, {"Cookie": f"plyr={newer}"}) == BOB
    await sessions.sign_out(pool, newer, None)
    assert await asks(client, {"Cookie": f"plyr={newer}"}) is None


async def test_a_developer_token_speaks_for_its_account(client: Client, pool: Pool, cookie: str) -> None:
    expires_at = datetime.now(UTC) + timedelta(days=1)
    text = await developer_tokens.create(pool, BOB, await add_grant(pool, BOB, "token"), "mine", expires_at)
    sent = {"Authorization": f"Bearer {text}"}
    assert (await asks(client, sent), await writes(client, sent)) == (BOB, BOB)
    # From any origin, since no browser sends it by itself; and before a cookie.
    foreign = {**sent, "Origin": "https://evil.test", "Sec-Fetch-Site": "cross-site", "Cookie": f"plyr={cookie}"}
    assert await writes(client, foreign) == BOB
    (listed,) = await developer_tokens.of(pool, BOB)
    await developer_tokens.revoke(pool, BOB, listed.id)
    for wrong in (text, text[:-1], f"{text}x", "plyr_", digest(text).hex(), f"plyr_{digest(text).hex()[:43]}"):
        answer = await client.get(WHO, headers={"Authorization": f"Bearer {wrong}"})
        assert answer.status_code == 401
        assert answer.json()["error"] == ("InvalidToken" if wrong.startswith("plyr_") else "BadJwt")
        assert wrong not in answer.text


@pytest.mark.parametrize("is_deactivated", [True, False])
async def test_nobody_acts_for_an_account_that_is_away(
    client: Client, cookie: str, connection: Connection, pool: Pool, is_deactivated: bool
) -> None:
    expires_at = datetime.now(UTC) + timedelta(days=1)
    text = await developer_tokens.create(pool, ALICE, await add_grant(pool, kind="token"), "mine", expires_at)
    index = IndexWriter(connection)
    await index.account(ALICE)
    if is_deactivated:
        await index.set_status(ALICE, active=False, status="deactivated")
    else:
        await index.set_taken_down(ALICE, True)
    name = "AccountDeactivated" if is_deactivated else "AccountTakedown"
    for sent in ({**OURS, "Cookie": f"plyr={cookie}"}, {"Authorization": f"Bearer {text}"}):
        assert await writes(client, sent) == name


async def test_a_server_without_a_secret_knows_no_accounts(database_url: str) -> None:
    app = create_app(config(database_url), methods=samples.METHODS, catalog=samples.catalog(), validate_output=True)
    async with running(app) as client:
        assert await asks(client, {"Cookie": f"plyr={'x' * 43}"}) is None
        answer = await client.get(WHO, headers={"Authorization": f"Bearer plyr_{'x' * 43}"})
        assert (answer.status_code, answer.json()["error"]) == (401, "InvalidToken")
