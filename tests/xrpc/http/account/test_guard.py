"""What other origins, other browsers and other people's texts can do to the pages about accounts: nothing."""

from collections.abc import AsyncIterator
from html import escape

import pytest
from starlette.applications import Starlette

from appview.accounts import developer_tokens, sessions
from appview.accounts.grants import Grants
from appview.db import Connection, Pool
from tests.index_writer import IndexWriter
from tests.xrpc.http.account import signed_in
from tests.xrpc.http.account.visitor import ELSEWHERE, Visitor, application, form

ALICE = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
BOB = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb"
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;"
POSTS = (
    "/oauth/login", "/oauth/logout", "/account/switch", "/account/end", "/account/tokens", "/account/tokens/revoke",
    "/account/export", "/account/delete",
)  # fmt: skip
PAGES = ("/oauth/login", "/oauth/logout", "/oauth/callback", "/account", "/account/delete")


@pytest.fixture
async def app(database_url: str) -> AsyncIterator[Starlette]:
    async with application(database_url) as app:
        yield app


@pytest.fixture
def grants(app: Starlette) -> Grants:
    return signed_in.grants_of(app)


@pytest.fixture
async def visitor(app: Starlette, pool: Pool, grants: Grants, connection: Connection) -> AsyncIterator[Visitor]:
    """A browser in which Alice, and before her Bob, has signed in."""
    index = IndexWriter(connection)
    await index.account(ALICE, handle="alice.test")
    await index.account(BOB, handle="bob.test")
    async with Visitor(app) as visitor:
        cookie = await signed_in.sign_in(pool, grants, BOB)
        visitor.cookies.set("plyr", await signed_in.sign_in(pool, grants, ALICE, cookie))
        yield visitor


async def token_of(visitor: Visitor) -> str:
    return form(await visitor.open("/account"), "/account/tokens").fields["form"]


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec_Fetch_Site": "same-site", "Origin": "http://127.0.0.1:8080"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_another_origin_can_have_nothing_done(
    visitor: Visitor, connection: Connection, path: str, headers: dict[str, str]
) -> None:
    """Not even one that knows the token of the form."""
    fields = {"form": await token_of(visitor), "did": ALICE, "account": "alice.test", "name": "x", "days": "7"}
    answer = await visitor.post_form(path, fields | {"confirmation": "alice.test"}, **headers)
    assert (answer.status_code, "out of date" in answer.text) == (403, True)
    assert await connection.fetchval("select count(*) from grants where state = 'live'") == 2
    assert await connection.fetchval("select count(*) from oauth_requests") == 0


@pytest.mark.parametrize("path", POSTS)
async def test_a_form_without_its_token_does_nothing(
    visitor: Visitor, app: Starlette, pool: Pool, grants: Grants, connection: Connection, path: str
) -> None:
    async with Visitor(app) as stranger:
        stranger.cookies.set("plyr", await signed_in.sign_in(pool, grants, BOB))
        foreign = await token_of(stranger)
    for token in ("", "x", foreign, "ü"):
        fields = {"form": token, "did": ALICE, "account": "alice.test", "confirmation": "alice.test"}
        assert (await visitor.post_form(path, fields)).status_code == 403
    answer = await visitor.post(path, json={"form": await token_of(visitor)}, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 403
    assert await connection.fetchval("select count(*) from grants where state = 'live'") == 3


async def test_a_form_that_is_too_large(visitor: Visitor) -> None:
    answer = await visitor.post_form("/account/tokens", {"form": "x" * 20_000})
    assert answer.status_code == 413


@pytest.mark.parametrize("path", PAGES)
async def test_no_page_is_for_other_origins_or_kept(visitor: Visitor, path: str) -> None:
    for headers in (None, ELSEWHERE, {"Origin": "https://evil.example"}):
        answer = await visitor.open(path, headers)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert not any(name.startswith("access-control") for name in answer.headers)
        policy = answer.headers["content-security-policy"]
        assert {"default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"} <= set(policy.split("; "))
        assert "script-src" not in policy
        assert "unsafe" not in policy


@pytest.mark.parametrize("path", POSTS)
async def test_no_preflight_is_granted(visitor: Visitor, path: str) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = await visitor.options(path, headers=headers)
    assert answer.status_code == 405
    assert not any(name.startswith("access-control") for name in answer.headers)


async def test_where_forms_are_sent_there_is_nothing_to_read(visitor: Visitor) -> None:
    for path in POSTS[2:6]:
        answer = await visitor.open(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/account")


async def test_an_address_that_is_none(visitor: Visitor) -> None:
    for path in ("/account/", "/account/nothing", "/oauth/", "/oauth/<script>"):
        page = await visitor.open(path)
        assert (page.status_code, "There is no such page" in page.text) == (404, True)
        assert "<script" not in page.text
    assert '<a class="enter" href="/account">' in (await visitor.open("/")).text


async def test_texts_of_people_are_text(visitor: Visitor, pool: Pool, grants: Grants, connection: Connection) -> None:
    index = IndexWriter(connection)
    await index.write(ALICE, "app.bsky.actor.profile", "self", displayName=HOSTILE)
    grant = await grants.save(signed_in.granted(ALICE), "token")
    expires_at = await connection.fetchval("select now() + interval '1 day'")
    await developer_tokens.create(pool, ALICE, grant, HOSTILE, expires_at)
    for path in ("/account", "/oauth/logout", "/account/delete"):
        page = await visitor.open(path)
        assert page.status_code == 200
        assert escape(HOSTILE) in page.text, path
        assert "<script" not in page.text
        assert "onerror=alert(2)>" not in page.text


@pytest.mark.parametrize("scope", [f"atproto {HOSTILE.replace(' ', '')}", "atproto", "atproto " + "x" * 5_000, ""])
async def test_a_scope_of_any_kind_is_shown(visitor: Visitor, pool: Pool, grants: Grants, scope: str) -> None:
    visitor.cookies.set("plyr", await signed_in.sign_in(pool, grants, ALICE, visitor.cookies["plyr"], scope))
    page = await visitor.open("/account")
    assert page.status_code == 200
    assert "<script" not in page.text
    assert "create, change or delete tracks" in page.text


@pytest.mark.parametrize("name", ["handle", "return_to", "scope", "note"])
async def test_the_query_is_text(visitor: Visitor, name: str) -> None:
    page = await visitor.get("/oauth/login", params={name: HOSTILE}, headers=ELSEWHERE)
    assert page.status_code == 200
    assert "<script" not in page.text


async def test_a_permission_that_ended_is_said_and_can_be_given_again(visitor: Visitor, grants: Grants) -> None:
    grant = await grants.latest(ALICE)
    assert grant is not None
    await grants.end(grant, "its server no longer accepts it")
    page = await visitor.open("/account")
    assert "the permission that you gave has ended" in page.text
    assert form(page, "/oauth/login", account=ALICE)
    begin = form(page, "/account/tokens")
    assert (await visitor.submit(begin, name="x")).status_code == 403


async def test_a_form_is_about_the_account_that_it_was_made_for(
    visitor: Visitor, pool: Pool, grants: Grants, connection: Connection
) -> None:
    """Whoever switches accounts in one tab does not change what a button in another one does."""
    grant = await grants.save(signed_in.granted(ALICE), "token")
    expires_at = await connection.fetchval("select now() + interval '1 day'")
    await developer_tokens.create(pool, ALICE, grant, "hers", expires_at)
    before = await visitor.open("/account")
    await visitor.submit(form(before, "/account/switch"))
    assert "Signed in as @bob.test." in (await visitor.open("/account")).text
    assert (await visitor.submit(form(before, "/account/tokens/revoke"))).status_code == 303
    assert await developer_tokens.of(pool, ALICE) == []
    exported = await visitor.submit(form(before, "/account/export"))
    assert f'"did":"{ALICE}"' in exported.text
    for path in ("/account/tokens", "/account/tokens/revoke", "/account/export", "/account/end", "/account/switch"):
        fields = {**form(before, "/account/tokens").fields, "did": "did:plc:cccccccccccccccccccccccc"}
        assert (await visitor.post_form(path, fields)).status_code == 403


@pytest.mark.parametrize("host", ["[", "localhost:x", "localhost:8080@evil.example", "evil.example", "", "a" * 500])
async def test_a_host_of_any_kind_leads_nowhere(app: Starlette, host: str) -> None:
    async with Visitor(app) as visitor:
        answer = await visitor.open("/oauth/login", {"Host": host, "Sec-Fetch-Site": "none"})
        assert answer.status_code == 200


async def test_a_cookie_that_is_none_is_nobodys(app: Starlette) -> None:
    async with Visitor(app) as stranger:
        for value in ("x", "A" * 43, "%00" * 20, "A" * 9_000):
            stranger.cookies.set("plyr", value)
            assert (await stranger.open("/account")).headers["location"] == "/oauth/login?return_to=/account"


async def test_the_digest_in_the_database_is_no_cookie(visitor: Visitor, pool: Pool, connection: Connection) -> None:
    stored = await connection.fetchval("select cookie from browsers")
    for value in (stored.hex(), stored.hex()[:43]):
        assert await sessions.find(pool, value) is None
        visitor.cookies.set("plyr", value)
        assert (await visitor.open("/account")).status_code == 303


async def test_who_comes_by_localhost_is_sent_to_the_address(app: Starlette) -> None:
    async with Visitor(app, "http://localhost:8080") as visitor:
        answer = await visitor.open("/oauth/login?handle=a.test&return_to=/docs")
        assert answer.status_code == 303
        assert answer.headers["location"] == "http://127.0.0.1:8080/oauth/login?handle=a.test&return_to=/docs"
        assert "set-cookie" not in answer.headers


async def test_on_https_cookies_are_of_this_host_alone(database_url: str) -> None:
    settings = {"PLYR_PUBLIC_URL": "https://music.example", "PLYR_DEV": "0"}
    async with (
        application(database_url, **settings) as app,
        Visitor(app, "https://music.example") as visitor,
    ):
        answer = await visitor.open("/oauth/login")
        (said,) = answer.headers.get_list("set-cookie")
        assert said.startswith("__Host-plyr-browser=")
        parts = {part.strip().lower() for part in said.split(";")[1:]}
        assert {"secure", "httponly", "samesite=lax", "path=/"} <= parts
        assert not any(part.startswith("domain") for part in parts)
        assert "form-action 'self' https:;" in answer.headers["content-security-policy"]
        metadata = await visitor.get("/oauth/client-metadata.json")
        assert metadata.headers["content-type"] == "application/json"
        assert metadata.json()["client_id"] == "https://music.example/oauth/client-metadata.json"
        assert metadata.json()["redirect_uris"] == ["https://music.example/oauth/callback"]
        (key, *_) = (await visitor.get("/oauth/jwks.json")).json()["keys"]
        assert {"kid", "x", "y"} <= key.keys()
        assert "d" not in key


async def test_on_loopback_there_is_no_document(app: Starlette) -> None:
    async with Visitor(app) as visitor:
        assert (await visitor.get("/oauth/client-metadata.json")).status_code == 404


@pytest.mark.parametrize("path", PAGES)
async def test_without_a_secret_key_the_pages_say_so(database_url: str, path: str) -> None:
    async with application(database_url, PLYR_SECRET_KEY="") as app, Visitor(app) as visitor:
        page = await visitor.open(path)
        assert page.status_code == 501
        assert "PLYR_SECRET_KEY" in page.text
        assert (await visitor.get("/oauth/jwks.json")).status_code == 404
        assert "/account" not in (await visitor.open("/")).text


async def test_while_the_database_is_away() -> None:
    async with application("postgresql://127.0.0.1:1/nowhere") as app, Visitor(app) as visitor:
        visitor.cookies.set("plyr", "A" * 43)
        page = await visitor.open("/account")
        assert (page.status_code, page.headers["retry-after"]) == (503, "5")
        assert "The database does not answer" in page.text
