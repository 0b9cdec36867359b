"""Signing in where the account's server is an odd one: old, or not upright (tests/appview/accounts/oauth/server.py)."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from starlette.applications import Starlette

from appview.accounts.grants import Grants
from appview.db import Connection, Pool
from tests.appview.accounts.oauth.server import ALICE, BOB, ISSUER, AuthServer, auth_world
from tests.xrpc.http.account import signed_in
from tests.xrpc.http.account.visitor import ELSEWHERE, Visitor, application, form
from xrpc.limits import Kind, Who

HOSTILE = "<script>alert(1)</script>"


class Odd(NamedTuple):
    """A browser, and the server of the account that signs in with it."""

    visitor: Visitor
    server: AuthServer
    app: Starlette

    @property
    def grants(self) -> Grants:
        return signed_in.grants_of(self.app)

    async def begin(self, path: str = f"/oauth/login?handle={ALICE}") -> str:
        """The address at the server to which a sign-in leads."""
        answer = await self.visitor.open(path)
        assert answer.status_code == 303, answer.text
        where = str(answer.headers["location"])
        assert where.startswith(f"{ISSUER}/authorize?")
        return where

    @property
    def pushed(self) -> dict[str, str]:
        """The last request that was pushed."""
        return self.server.forms["/par"][-1]

    @property
    def callback(self) -> str:
        """Where an upright server has the browser go."""
        return f"/oauth/callback?code=code-1&iss={ISSUER}&state={self.pushed['state']}"


@pytest.fixture
async def odd(database_url: str) -> AsyncIterator[Odd]:
    async with auth_world() as world:
        port = world.server.identities.port
        directory = f"127.0.0.1:{port}"
        for did in (ALICE, BOB):
            world.server.publish(did, "alice.test" if did == ALICE else "bob.test")
            world.server.identities.pages[directory, f"/{did}"] = world.server.identities.pages["plc.test", f"/{did}"]
        ours = ",".join(f"{host}.test=127.0.0.1:{world.server.port}" for host in ("pds", "auth"))
        settings = {"PLYR_PLC_URL": f"http://{directory}", "PLYR_RESOLVE": f"*.test=127.0.0.1:{port},{ours}"}
        async with application(database_url, **settings) as app, Visitor(app) as visitor:
            yield Odd(visitor, world.server, app)


async def test_one_that_knows_no_permissions_is_asked_again_in_its_own_terms(odd: Odd, connection: Connection) -> None:
    """Older ones leave out without a word what they cannot read."""
    odd.server.tokens["scope"] = "atproto"
    await odd.begin(f"/oauth/login?handle={ALICE}&return_to=/docs")
    again = await odd.visitor.open(odd.callback, ELSEWHERE)
    assert (again.status_code, again.headers["location"].partition("?")[0]) == (303, f"{ISSUER}/authorize")
    assert odd.pushed["scope"] == "atproto transition:generic"
    assert "plyr" not in odd.visitor.cookies
    odd.server.tokens["scope"] = "atproto transition:generic"
    back = await odd.visitor.open(odd.callback, ELSEWHERE)
    assert back.headers["location"] == "/docs"
    states = await connection.fetch("select state from grants order by id")
    assert [row["state"] for row in states] == ["ended", "live"]
    assert odd.server.revoked != []
    assert "Do nearly all that you can do yourself" in (await odd.visitor.open("/account")).text


async def test_more_is_asked_for_when_more_is_needed(odd: Odd, pool: Pool) -> None:
    held = "atproto repo:fm.plyr.track"
    odd.visitor.cookies.set("plyr", await signed_in.sign_in(pool, odd.grants, ALICE, scope=held))
    await odd.begin("/oauth/login?need=repo:fm.plyr.like?action=create")
    asked = set(odd.pushed["scope"].split())
    assert asked == {"atproto", "repo:fm.plyr.track", "repo:fm.plyr.like"}
    for needless in ("repo:app.bsky.feed.post", "nothing", "", "transition:generic"):
        page = await odd.visitor.get("/oauth/login", params={"need": needless})
        assert (page.status_code, "cannot be asked for" in page.text) == (400, True)


async def test_no_link_has_everything_asked_for(odd: Odd) -> None:
    path = f"/oauth/login?handle={ALICE}&scope=atproto+transition:generic"
    page = await odd.visitor.open(path)
    assert page.status_code == 200
    await odd.begin(f"/oauth/login?handle={ALICE}&scope=atproto+repo:fm.plyr.like")
    assert odd.pushed["scope"] == "atproto repo:fm.plyr.like"
    for scope in ("atproto repo:app.bsky.feed.post", "repo:fm.plyr.like", "x" * 5_000):
        page = await odd.visitor.get("/oauth/login", params={"handle": ALICE, "scope": scope})
        assert (page.status_code, "cannot be asked for" in page.text) == (400, True)


@pytest.mark.parametrize("lie", [{"sub": BOB}, {"sub": "did:plc:nobody"}, {"scope": ""}, {"token_type": "Bearer"}])
async def test_one_that_lies_signs_nobody_in(odd: Odd, connection: Connection, lie: dict[str, str]) -> None:
    await odd.begin()
    odd.server.tokens |= lie
    page = await odd.visitor.open(odd.callback, ELSEWHERE)
    assert page.status_code == 502
    assert "access-1" not in page.text
    assert "plyr" not in odd.visitor.cookies
    assert await connection.fetchval("select count(*) from grants") == 0


async def test_what_it_says_is_shown_as_text(odd: Odd) -> None:
    odd.server.said["/par"] = odd.server.refuse(HOSTILE)
    page = await odd.visitor.open(f"/oauth/login?handle={ALICE}&return_to=/docs?a=b")
    assert page.status_code == 502
    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text
    assert 'href="/oauth/login?return_to=%2Fdocs%3Fa%3Db"' in page.text


async def test_signing_out_works_while_it_is_away(odd: Odd, connection: Connection) -> None:
    await odd.begin()
    assert (await odd.visitor.open(odd.callback, ELSEWHERE)).status_code == 303
    odd.server.said["/revoke"] = odd.server.refuse("server_error", 503)
    out = await odd.visitor.submit(form(await odd.visitor.open("/oauth/logout"), "/oauth/logout"))
    assert out.status_code == 303
    assert (await odd.visitor.open("/account")).headers["location"].startswith("/oauth/login")
    assert await connection.fetchval("select state from grants") in ("ending", "ended")


async def test_whoever_begins_too_often_waits(odd: Odd) -> None:
    async with Visitor(odd.app, client=("203.0.113.9", 1)) as visitor:
        statuses = [(await visitor.open("/oauth/login?handle=http://127.0.0.1:1")).status_code for _ in range(11)]
        assert statuses[:10] == [502] * 10
        page = await visitor.open("/oauth/login?handle=http://127.0.0.1:1")
        assert (page.status_code, statuses[10]) == (429, 429)
        assert int(page.headers["retry-after"]) > 0
        assert "too short a time" in page.text


async def test_strangers_do_not_keep_out_who_is_signed_in(odd: Odd, pool: Pool) -> None:
    """However many of them try her name, she gets a token, and allows more."""
    limits = odd.app.state.limits
    for name in (ALICE, "alice.test"):
        while (await limits.check(Kind.SIGN_IN, Who(None, account=name))).allowed:
            pass
    for typed in ("alice.test", "at://Alice.test", f"at://{ALICE}"):
        assert (await odd.visitor.open(f"/oauth/login?handle={typed}")).status_code == 429, typed
    odd.visitor.cookies.set("plyr", await signed_in.sign_in(pool, odd.grants, ALICE))
    await odd.begin("/oauth/login?need=repo:fm.plyr.like?action=create")
