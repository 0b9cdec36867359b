"""Developer tokens, made by the whole way through a real PDS."""

import re
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette

from appview.accounts import developer_tokens
from appview.db import Connection, Pool
from tests.network.network import Network
from tests.network.pds import User
from tests.network.sign_in import consent
from tests.xrpc.http.account.visitor import Visitor, application, form

HOSTILE = "<script>alert(1)</script>\"'>"


@pytest.fixture
async def app(database_url: str, network: Network) -> AsyncIterator[Starlette]:
    async with application(database_url, network) as app:
        yield app


@pytest.fixture
async def visitor(app: Starlette) -> AsyncIterator[Visitor]:
    async with Visitor(app) as visitor:
        yield visitor


async def asked(visitor: Visitor, **fields: str) -> str:
    """The page of the PDS to which the form for a token leads."""
    answer = await visitor.submit(form(await visitor.open("/account"), "/account/tokens"), **fields)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def make(visitor: Visitor, network: Network, user: User, name: str) -> str:
    page = await visitor.come_back(await consent(network.session, await asked(visitor, name=name), user))
    assert page.status_code == 200, page.text
    assert page.headers["cache-control"] == "no-store"
    found = re.findall(r"plyr_[A-Za-z0-9_-]{43}", page.text)
    assert len(found) == 1
    return str(found[0])


async def test_a_token_is_shown_once_has_a_grant_of_its_own_and_ends(
    visitor: Visitor, network: Network, connection: Connection, pool: Pool
) -> None:
    user = await network.create_account("maker")
    await visitor.sign_in(network, user)
    text = await make(visitor, network, user, f"  script {HOSTILE}  ")
    token = await developer_tokens.find(pool, text)
    assert token is not None
    grants = await connection.fetch("select id, kind, state from grants order by id")
    assert [tuple(row)[1:] for row in grants] == [("session", "live"), ("token", "live")]
    assert (token.did, token.grant) == (user.did, grants[1]["id"])

    page = await visitor.open("/account")
    assert text not in page.text
    assert "<script" not in page.text
    assert "script &lt;script&gt;alert(1)" in page.text
    revoked = await visitor.submit(form(page, "/account/tokens/revoke"))
    assert revoked.headers["location"] == "/account?note=revoked#tokens"
    assert await developer_tokens.find(pool, text) is None
    assert await connection.fetchval("select state from grants where id = $1", token.grant) == "ended"
    assert await connection.fetchval("select state from grants where id = $1", grants[0]["id"]) == "live"


async def test_signing_out_leaves_tokens_and_ending_everything_does_not(
    visitor: Visitor, network: Network, pool: Pool
) -> None:
    user = await network.create_account("maker")
    await visitor.sign_in(network, user)
    text = await make(visitor, network, user, "stays")
    await visitor.submit(form(await visitor.open("/account"), "/oauth/logout", did=user.did))
    assert await developer_tokens.find(pool, text) is not None
    await visitor.sign_in(network, user)
    page = await visitor.open("/account")
    assert "1 developer token" in page.text
    ended = await visitor.submit(form(page, "/account/end", everywhere="1"))
    assert ended.headers["location"] == "/oauth/login?note=ended"
    assert await developer_tokens.find(pool, text) is None
    assert (await visitor.open("/account")).status_code == 303


async def test_no_token_for_another_account_than_the_one_that_asked(
    visitor: Visitor, network: Network, connection: Connection
) -> None:
    user = await network.create_account("maker")
    await visitor.sign_in(network, user)
    callback = await consent(network.session, await asked(visitor, name="late"), user)
    await visitor.submit(form(await visitor.open("/account"), "/oauth/logout", did=user.did))
    page = await visitor.come_back(callback)
    assert (page.status_code, "No token was made" in page.text) == (403, True)
    assert "plyr_" not in page.text
    assert await connection.fetchval("select count(*) from grants where state = 'live'") == 0


@pytest.mark.parametrize("fields", [{"name": ""}, {"name": "x" * 101}, {"name": "a", "days": "4000"}, {"days": "x"}])
async def test_a_token_that_cannot_be(
    visitor: Visitor, network: Network, connection: Connection, fields: dict[str, str]
) -> None:
    await visitor.sign_in(network, await network.create_account("maker"))
    begin = form(await visitor.open("/account"), "/account/tokens")
    page = await visitor.submit(begin, **{"name": "a", **fields})
    assert (page.status_code, "No token was made" in page.text) == (400, True)
    assert await connection.fetchval("select count(*) from oauth_requests") == 0


async def test_a_token_that_is_not_theirs_is_not_revoked(visitor: Visitor, network: Network) -> None:
    await visitor.sign_in(network, await network.create_account("maker"))
    begin = form(await visitor.open("/account"), "/account/tokens")
    for number in ("9", "-1", "x", "9" * 5000, "²"):
        page = await visitor.post_form("/account/tokens/revoke", {**begin.fields, "id": number})
        assert (page.status_code, "There is no such token" in page.text) == (400, True), number
