"""The pages about accounts as people see them: the real web process, a real Chromium, and a page of somebody else's.

Screenshots go to .cache/screenshots. What happens at a PDS's pages is in tests/system.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, Final

import pytest
from aiohttp import web
from playwright.async_api import BrowserContext, Page

from appview.accounts import developer_tokens, sessions
from appview.db import Connection, Pool
from appview.embedded.folder import free_port
from tests.chromium import SCREENSHOTS, needs_chromium
from tests.index_writer import IndexWriter
from tests.xrpc.http.account import signed_in
from tests.xrpc.http.account.visitor import SECRET, application
from tests.xrpc.http.test_page_in_browser import CONTRAST, browsing
from tests.xrpc.processes import Process

ALICE: Final = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
BOB: Final = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb"
HOSTILE: Final = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
PAGES: Final = {
    "sign-in": "/oauth/login",
    "account": "/account?note=signed-in",
    "sign-out": "/oauth/logout",
    "delete": "/account/delete",
    "problem": "/oauth/callback?state=none",
}
NAMED: Final = (
    """all => all.filter(one => !one.labels?.length && !one.ariaLabel && !one.innerText).map(one => one.outerHTML)"""
)
FOCUSED: Final = "document.activeElement.ariaLabel || document.activeElement.innerText || document.activeElement.id"

pytestmark = needs_chromium


@pytest.fixture
def site(database_url: str) -> Iterator[Process]:
    """The web process, with sign-in set up."""
    port = free_port()
    settings = {"PLYR_DATABASE_URL": database_url, "PLYR_SECRET_KEY": SECRET, "PLYR_BIND": f"127.0.0.1:{port}"}
    process = Process("xrpc", settings)
    try:
        yield process
    finally:
        process.stop()


@pytest.fixture
async def cookie(database_url: str, pool: Pool, connection: Connection) -> str:
    """That of a browser in which Bob and then Alice signed in; she has two tokens, and names like nobody else."""
    index = IndexWriter(connection)
    await index.account(ALICE, handle="marisol-vance.test")
    await index.write(ALICE, "app.bsky.actor.profile", "self", displayName="Marisol Vance")
    await index.account(BOB, handle="kollektiv-ostkreuz.with-a-long-name.test")
    async with application(database_url) as app:
        grants = signed_in.grants_of(app)
        expires_at = await connection.fetchval("select now() + interval '90 days'")
        for name in ("upload script", HOSTILE):
            grant = await grants.save(signed_in.granted(ALICE), "token")
            await developer_tokens.create(pool, ALICE, grant, name, expires_at)
        before = await signed_in.sign_in(pool, grants, BOB)
        return await signed_in.sign_in(pool, grants, ALICE, before, signed_in.SCOPE.replace("blob:image/*", ""))


@asynccontextmanager
async def signed_in_browser(site: Process, cookie: str, **options: Any) -> AsyncIterator[BrowserContext]:
    async with browsing(**options) as context:
        await context.add_cookies(
            [{"name": "plyr", "value": cookie, "url": site.url, "httpOnly": True, "sameSite": "Lax"}]
        )
        yield context


async def see(context: BrowserContext, site: Process, path: str) -> tuple[Page, list[str]]:
    """A page, loaded, and what the browser complained about."""
    page, complaints = await context.new_page(), list[str]()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(site.url + path)
    return page, complaints


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
async def test_how_they_look(site: Process, cookie: str, width: int, scheme: Any) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    contrast = CONTRAST.replace("code, time", "code, time, label, button, b, output, .tag, .hint")
    assert contrast != CONTRAST
    viewport = {"width": width, "height": 900}
    async with signed_in_browser(site, cookie, viewport=viewport, color_scheme=scheme) as context:
        for name, path in PAGES.items():
            page, complaints = await see(context, site, path)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, name
            assert await page.evaluate(contrast) == [], name
            assert await page.locator("input:not([type=hidden]), select, button").evaluate_all(NAMED) == [], name
            headings = await page.locator("h1, h2, h3").evaluate_all("all => all.map(one => Number(one.tagName[1]))")
            assert headings[0] == 1, name
            assert all(after <= before + 1 for before, after in pairwise(headings)), name
            assert await page.locator("script, [onerror], main img").count() == 0, name
            assert "taken" not in await page.title()
            ours = [text for text in complaints if "400 (Bad Request)" not in text]
            assert ours == [], name
            await page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{scheme}.png", full_page=True)
            await page.close()


async def test_all_is_done_by_keyboard(site: Process, cookie: str, pool: Pool) -> None:
    async with browsing() as context:
        page, _ = await see(context, site, "/oauth/login")
        assert await page.evaluate("document.activeElement.id") == "account"
        await page.keyboard.press("Tab")
        assert await page.evaluate(FOCUSED) == "Sign in"
    async with signed_in_browser(site, cookie) as context:
        page, complaints = await see(context, site, "/account")
        order = []
        for _ in range(7):
            await page.keyboard.press("Tab")
            order.append(await page.evaluate(FOCUSED))
        bob = "@kollektiv-ostkreuz.with-a-long-name.test"
        assert order[0] == "Skip to the content"
        assert order[2:] == ["Sign out of Marisol Vance", f"Switch: {bob}", f"Sign out of {bob}", "another", "Sign in"]
        await page.get_by_role("button", name=f"Switch: {bob}").press("Enter")
        await page.wait_for_url(site.url + "/account")
        assert f"Signed in as {bob}." in await page.inner_text(".lead")
        await page.get_by_role("button", name="Sign out of all").press("Space")
        await page.wait_for_url("**/oauth/login?note=signed-out")
        assert await page.inner_text("[role=status]") == "You are signed out."
        assert [one["name"] for one in await context.cookies()] == ["plyr-browser"]
        assert complaints == []
    assert await sessions.find(pool, cookie) is None


async def test_a_page_of_another_origin_gets_nothing_done(site: Process, cookie: str, pool: Pool) -> None:
    """It is of the same site even, since ports make no other one: the cookie comes along, and does not help."""
    forms = "".join(
        f'<form method="post" action="{site.url}{path}"><input name="did" value="{ALICE}"></form>'
        for path in ("/oauth/logout", "/account/end", "/account/delete")
    )

    async def attack(_: web.Request) -> web.Response:
        return web.Response(text=f"<!doctype html><title>x</title>{forms}", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", attack)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port := free_port()).start()
    try:
        async with signed_in_browser(site, cookie) as context:
            page = await context.new_page()
            for number in range(3):
                await page.goto(f"http://127.0.0.1:{port}/")
                async with page.expect_navigation() as navigation:
                    await page.evaluate(f"document.forms[{number}].submit()")
                assert (await navigation.value).status == 403
            await page.goto(f"http://127.0.0.1:{port}/")
            read = f"fetch('{site.url}/account', {{credentials: 'include'}}).then(a => a.text()).catch(() => 'refused')"
            assert await page.evaluate(read) == "refused"
    finally:
        await runner.cleanup()
    session = await sessions.find(pool, cookie)
    assert session is not None
    assert [account.did for account in session.accounts] == [ALICE, BOB]
