"""One's own data, from the pages: the file, and that all of it be deleted."""

import json
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from appview.accounts import sessions
from appview.accounts.erasure import erasure_of
from appview.accounts.forget import forget
from appview.db import Connection, Pool
from tests.index_writer import IndexWriter
from tests.xrpc.client import config
from tests.xrpc.http.account import signed_in
from tests.xrpc.http.account.visitor import SECRET, Visitor, application, form
from xrpc.app import create_app
from xrpc.http.account.visit import Visit, page

ALICE = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"


@pytest.fixture
async def app(database_url: str) -> AsyncIterator[Starlette]:
    async with application(database_url) as app:
        yield app


@pytest.fixture
async def visitor(app: Starlette, pool: Pool, connection: Connection) -> AsyncIterator[Visitor]:
    """A browser in which Alice has signed in."""
    await IndexWriter(connection).account(ALICE, handle="alice.test")
    grants = signed_in.grants_of(app)
    async with Visitor(app) as visitor:
        visitor.cookies.set("plyr", await signed_in.sign_in(pool, grants, ALICE))
        yield visitor


async def test_everything_in_one_file_and_no_secret_in_it(visitor: Visitor, connection: Connection) -> None:
    answer = await visitor.submit(form(await visitor.open("/account"), "/account/export"))
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith('attachment; filename="did-plc-aaaa')
    assert answer.headers["cache-control"] == "no-store"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert (lines[0]["kind"], lines[0]["did"]) == ("export", ALICE)
    assert lines[-1] == {"kind": "end", "lines": len(lines)}
    assert visitor.cookies["plyr"] not in answer.text
    assert (await connection.fetchval("select cookie from browsers")).hex() not in answer.text


@pytest.mark.parametrize("typed", ["", "alice", "bob.test", "ALICE.TEST.", "<script>"])
async def test_nothing_is_deleted_before_it_is_confirmed(visitor: Visitor, pool: Pool, typed: str) -> None:
    page = await visitor.submit(form(await visitor.open("/account/delete"), "/account/delete"), confirmation=typed)
    assert (page.status_code, "Nothing was deleted" in page.text) == (400, True)
    assert await erasure_of(pool, ALICE) is None


@pytest.mark.parametrize("typed", ["alice.test", " @Alice.Test ", ALICE])
async def test_what_is_held_here_is_deleted(visitor: Visitor, pool: Pool, typed: str) -> None:
    cookie = visitor.cookies["plyr"]
    done = await visitor.submit(form(await visitor.open("/account/delete"), "/account/delete"), confirmation=typed)
    assert (done.status_code, done.headers["location"]) == (303, "/oauth/login?note=deleted")
    erasure = await erasure_of(pool, ALICE)
    assert erasure is not None
    assert (erasure.records, erasure.state) == (False, "forgetting")
    assert await sessions.find(pool, cookie) is None


async def test_with_the_records_this_browser_stays_until_they_are_gone(visitor: Visitor, pool: Pool) -> None:
    begin = form(await visitor.open("/account/delete"), "/account/delete")
    done = await visitor.submit(begin, confirmation="alice.test", records="1")
    assert done.headers["location"] == "/account?note=deleting"
    erasure = await erasure_of(pool, ALICE)
    assert erasure is not None
    assert (erasure.records, erasure.state) == (True, "deleting")
    page = await visitor.open(done.headers["location"])
    assert "What is held here is being deleted since" in page.text


async def test_everything_can_be_ended_while_records_are_deleted(visitor: Visitor, app: Starlette, pool: Pool) -> None:
    other = await signed_in.sign_in(pool, signed_in.grants_of(app), ALICE)
    begin = form(await visitor.open("/account/delete"), "/account/delete")
    await visitor.submit(begin, confirmation="alice.test", records="1")
    await signed_in.sign_in(pool, signed_in.grants_of(app), ALICE)
    done = await visitor.submit(form(await visitor.open("/account"), "/account/end"), everywhere="1")
    assert (done.status_code, done.headers["location"]) == (303, "/oauth/login?note=ended-later")
    assert "ends with that" in (await visitor.open(done.headers["location"])).text
    erasure = await erasure_of(pool, ALICE)
    assert erasure is not None
    live = await pool.fetch("select id from grants where state = 'live'")
    assert [row["id"] for row in live] == [erasure.grant], "that goes on without a browser"
    session = await sessions.find(pool, other)
    assert session is None or session.current is None


async def test_what_nobody_thought_of_is_a_page(
    database_url: str, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    plain = create_app(config(database_url, PLYR_SECRET_KEY=SECRET, PLYR_PUBLIC_URL="http://localhost:8080"))
    async with plain.router.lifespan_context(plain), Visitor(plain) as visitor:
        visitor.cookies.set("plyr", await signed_in.sign_in(pool, signed_in.grants_of(plain), ALICE))
        await pool.execute("drop table developer_tokens")
        page = await visitor.open("/account")
        assert (page.status_code, page.headers["content-type"]) == (500, "text/html; charset=utf-8")
        assert "Something went wrong here" in page.text
        assert page.headers["x-request-id"] in page.text
        assert page.headers["cache-control"] == "no-store"
        assert "form-action 'self'" in page.headers["content-security-policy"]
        assert "developer_tokens" not in page.text
    assert "developer_tokens" in caplog.text


async def test_pages_have_a_limit_of_their_own(visitor: Visitor) -> None:
    number = 0
    while (page := await visitor.open("/oauth/logout")).status_code == 200 and number < 1_000:
        number += 1
    assert (page.status_code, page.headers["content-type"]) == (429, "text/html; charset=utf-8")
    assert number >= 120
    assert int(page.headers["retry-after"]) >= 1


async def test_a_sign_in_that_is_forgotten_meanwhile_is_a_page(visitor: Visitor, pool: Pool, app: Starlette) -> None:
    async def gone(_visit: Visit) -> Response:
        grant = await signed_in.grants_of(app).save(signed_in.granted(ALICE), "session")
        async with pool.acquire() as connection:
            await forget(connection, ALICE)
        await sessions.sign_in(pool, None, ALICE, grant)
        raise AssertionError

    app.router.routes.insert(0, Route("/account/gone", page(gone)))
    answer = await visitor.open("/account/gone")
    assert (answer.status_code, "You were not signed in" in answer.text) == (409, True)
