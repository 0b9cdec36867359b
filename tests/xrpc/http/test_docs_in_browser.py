"""The documentation as people use it: the real web process, a real Chromium. Screenshots go to .cache/screenshots."""

from collections.abc import AsyncIterator
from itertools import pairwise, product
from typing import Any, Final

import pytest
from playwright.async_api import BrowserContext, Page

from appview.db import Connection
from tests.chromium import SCREENSHOTS, needs_chromium
from tests.xrpc.http.test_page_in_browser import CONTRAST, SONGS, browsing, fill_index
from tests.xrpc.processes import Process, web
from xrpc.methods import QUERIES

pytestmark = needs_chromium

TRY: Final = "form[aria-label='Try fm.plyr.{}']"


@pytest.fixture
async def site(database_url: str, connection: Connection) -> AsyncIterator[Process]:
    """The web process, over an index with tracks of all kinds."""
    await fill_index(connection)
    with web(database_url, module="xrpc") as process:
        yield process


async def see(context: BrowserContext, site: Process, path: str = "/docs") -> tuple[Page, list[str]]:
    """The page, loaded, and what the browser complained about, violations of the policy among it."""
    page, complaints = await context.new_page(), list[str]()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    answer = await page.goto(f"{site.url}{path}")
    assert answer is not None
    assert answer.status == 200
    return page, complaints


async def ask(page: Page, method: str) -> str:
    """What the form of `method` shows when it is sent."""
    form = page.locator(TRY.format(method))
    await form.get_by_role("button", name="Ask").click()
    await form.locator("[role=status] b").wait_for()
    return str(await form.locator("pre").inner_text())


async def test_trying_it_out_answers(site: Process) -> None:
    async with browsing() as context:
        page, complaints = await see(context, site)
        forms = page.locator("form.try")
        assert await forms.count() == len(QUERIES)
        shown = await ask(page, "feed.getTracks")
        assert SONGS[0][0] in shown
        form = page.locator(TRY.format("feed.getTracks"))
        assert (await form.locator("[role=status]").inner_text()).startswith("200 in ")
        assert (await form.locator(".request").inner_text()).startswith("GET /xrpc/fm.plyr.feed.getTracks?uris=at")

        form = page.locator(TRY.format("feed.getFeed"))
        await form.get_by_label("limit").fill("2")
        assert SONGS[2][0] not in await ask(page, "feed.getFeed")
        async with page.expect_response(lambda response: "cursor=" in response.url):
            await form.get_by_role("button", name="Next page").click()
        await form.get_by_text(SONGS[2][0]).first.wait_for()
        assert complaints == []

        # What is refused is shown as well; that the browser notes it is not our doing.
        form = page.locator(TRY.format("actor.getProfile"))
        await form.locator("input[name=actor]").fill("nobody.test")
        assert '"error": "NotFound"' in await ask(page, "actor.getProfile")
        assert (await form.locator("[role=status]").inner_text()).startswith("400 in ")
        assert await page.title() == "Methods · Music on the AT Protocol"
        assert await context.cookies() == []


async def test_what_strangers_wrote_stays_text(site: Process) -> None:
    async with browsing() as context:
        page, complaints = await see(context, site)
        form = page.locator(TRY.format("feed.getFeed"))
        await form.get_by_label("limit").fill("12")
        shown = await ask(page, "feed.getFeed")
        assert "<img src=x onerror=" in shown
        assert await page.locator("pre img, pre script").count() == 0
        assert await page.title() != "taken"
        assert complaints == []


async def test_several_values_and_none(site: Process) -> None:
    async with browsing() as context:
        page, complaints = await see(context, site)
        form = page.locator(TRY.format("feed.getTracks"))
        before = await form.locator("input[name=uris]").count()
        await form.get_by_role("button", name="One more uris").click()
        assert await form.locator("input[name=uris]").count() == before + 1
        assert await page.evaluate("document.activeElement.name") == "uris"
        # An empty one is not sent.
        assert (await form.locator(".request").inner_text()).count("uris=") == before
        assert SONGS[0][0] in await ask(page, "feed.getTracks")
        assert complaints == []


async def test_a_server_that_is_gone_is_said(site: Process) -> None:
    async with browsing() as context:
        page, _ = await see(context, site)
        await context.route("**/xrpc/**", lambda route: route.abort())
        form = page.locator(TRY.format("server.getStats"))
        await form.get_by_role("button", name="Ask").click()
        await form.get_by_text("No answer").wait_for()
        assert not await form.locator("pre").is_visible()


async def test_without_scripts_the_forms_ask_all_the_same(site: Process) -> None:
    async with browsing(java_script_enabled=False) as context:
        page, _ = await see(context, site)
        async with page.expect_navigation() as navigation:
            await page.locator(TRY.format("feed.getTracks")).get_by_role("button", name="Ask").click()
        answer = await navigation.value
        assert answer.status == 200
        assert SONGS[0][0] in await answer.text()


async def test_recipes_lead_to_answers(site: Process) -> None:
    async with browsing() as context:
        page, complaints = await see(context, site, "/docs/recipes")
        links = page.locator(".recipe a.ask")
        assert await links.count() > 20
        async with page.expect_navigation() as navigation:
            await links.nth(1).click()
        answer = await navigation.value
        assert answer.status == 200
        assert SONGS[0][0] in await answer.text()
        assert complaints == []


@pytest.mark.parametrize("path", ["/docs", "/docs/recipes"])
async def test_it_is_usable_by_keyboard_alone_and_read_aloud(site: Process, path: str) -> None:
    async with browsing() as context:
        page, _ = await see(context, site, path)
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.innerText") == "Skip to the content"
        await page.keyboard.press("Enter")
        headings = await page.locator("h1, h2, h3, h4").evaluate_all("all => all.map(one => Number(one.tagName[1]))")
        assert headings[0] == 1
        assert all(after <= before + 1 for before, after in pairwise(headings))
        nameless = "all => all.filter(one => !one.labels?.length && !one.ariaLabel).map(one => one.name)"
        assert await page.locator("input, select").evaluate_all(nameless) == []
        if path == "/docs":
            form = page.locator(TRY.format("actor.getProfile"))
            await form.locator("input[name=actor]").focus()
            await page.keyboard.press("Enter")
            await form.locator("[role=status] b").wait_for()
        assert await page.locator("main").count() == 1


async def test_how_it_looks(site: Process) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    looks: tuple[tuple[int, Any], ...] = ((360, "dark"), (1280, "light"))
    for path, (width, scheme) in product(("/docs", "/docs/recipes"), looks):
        async with browsing(viewport={"width": width, "height": 900}, color_scheme=scheme) as context:
            page, complaints = await see(context, site, path)
            if path == "/docs":
                await ask(page, "feed.getFeed")
                await page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            assert await page.evaluate(CONTRAST) == []
            name = path.removeprefix("/").replace("/", "-")
            await page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{scheme}.png")
            assert complaints == []
