"""One's own data, from the pages: the file, and that all of it be deleted."""

import json
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette

from appview.accounts import sessions
from appview.accounts.erasure import erasure_of
from appview.db import Connection, Pool
from tests.index_writer import IndexWriter
from tests.xrpc.http.account import signed_in
from tests.xrpc.http.account.visitor import Visitor, application, form

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
