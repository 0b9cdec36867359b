"""People at browsers: a real Chromium each of them has for themselves, their servers' own pages, and ours."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from playwright.async_api import Browser, BrowserContext, Page, Request, Route, async_playwright

from tests.chromium import CHROMIUM, FLAGS, SCREENSHOTS
from tests.network.pds import PASSWORD, User
from tests.network.xrpc import Json, XrpcError
from tests.system.leaks import Secrets

_APP: Final = "/an-app-of-ours"
_FETCH: Final = """
async ([verb, url, body]) => {
  const more = body === null ? {} : {body: JSON.stringify(body), headers: {"Content-Type": "application/json"}};
  const response = await fetch(url, {method: verb, ...more});
  return [response.status, await response.json()];
}
"""


@asynccontextmanager
async def chromium(hosts: Mapping[str, int]) -> AsyncIterator[Browser]:
    """A browser that finds each of `hosts` on a port of this machine, by https."""
    rules = ",".join(f"MAP {host}:443 127.0.0.1:{port}" for host, port in hosts.items())
    flags = [*FLAGS, *([f"--host-resolver-rules={rules}"] if rules else [])]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags, timeout=120_000)
        yield browser
        await browser.close()


class Visitor:
    """Somebody with a browser of their own, who comes to us at `origin`.

    What they hold that nobody else may is collected in `secrets`: their cookies, and what is in the addresses that
    they are sent to. `shots` is how their screenshots are called.
    """

    def __init__(self, context: BrowserContext, page: Page, origin: str, secrets: Secrets, shots: str) -> None:
        self.context = context
        self.page = page
        self.origin = origin
        self.secrets = secrets
        self.complaints: list[str] = []
        self._shots = shots
        self._taken = 0
        context.on("request", self._look_at)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    @classmethod
    @asynccontextmanager
    async def at(
        cls, browser: Browser, origin: str, secrets: Secrets, shots: str = "", **options: Any
    ) -> AsyncIterator["Visitor"]:
        """One who has never been here, while the block lasts."""
        context = await browser.new_context(ignore_https_errors=True, viewport={"width": 900, "height": 900}, **options)
        context.set_default_timeout(15_000)
        await context.route(f"**{_APP}", _empty_page)
        visitor = cls(context, await context.new_page(), origin, secrets, shots)
        try:
            yield visitor
        finally:
            await visitor.collect()
            await context.close()

    async def visit(self, path: str) -> int:
        """Open one of our pages; the status of the answer."""
        answer = await self.page.goto(self.origin + path)
        assert answer is not None
        return answer.status

    async def begin_sign_in(self, account: str) -> None:
        """Name an account on our page, which leads to its server's."""
        await self.visit("/oauth/login")
        await self.page.get_by_label("Your handle").fill(account)
        await self.shot("sign-in")
        await self.page.locator("main button").click()

    async def sign_in(self, user: User) -> None:
        """Sign in here, by the pages of their own server; we end at our page about their account."""
        await self.begin_sign_in(user.handle)
        await self.allow(user)
        await self.page.wait_for_url("**/account*")
        await self.shot("account")

    async def allow(self, user: User) -> None:
        """Sign in at the server's page, and allow what the app asks for."""
        await self.page.wait_for_url(f"{user.pds.url}/oauth/authorize?**")
        password = self.page.locator("input[autocomplete=current-password]")
        # Who is named by the app comes to the form at once.
        welcome = self.page.get_by_role("button", name="Sign in", exact=True).and_(self.page.locator("[type=button]"))
        await password.or_(welcome).first.wait_for()
        if await welcome.is_visible():
            await welcome.click()
        username = self.page.locator("input[autocomplete=username]")
        if await username.is_editable():
            await username.fill(user.handle)
        await password.fill(PASSWORD)
        await self.shot("pds-sign-in")
        await self.page.locator("button[type=submit]").click()
        authorize = self.page.get_by_role("button", name="Authorize")
        await authorize.wait_for()
        await self.shot("pds-consent")
        await authorize.click()
        await self.page.wait_for_url(re.compile(rf"^(?!{re.escape(user.pds.url)})"))

    async def send(self, action: str, row: str = "") -> None:
        """Press the button of our form for `action`, the one beside the text `row`, and wait for what follows."""
        form = self.page.locator(f"form[action='{action}']")
        if row:
            form = self.page.locator("li", has_text=row).locator(form)
        async with self.page.expect_navigation():
            await form.last.locator("button").click()

    async def ask(self, method: str, **params: str) -> Json:
        """Ask a query of `fm.plyr` by a script of a page at our origin. Raises XrpcError."""
        query = await self.page.evaluate("params => new URLSearchParams(params).toString()", params)
        return await self._fetch("GET", f"/xrpc/fm.plyr.{method}?{query}", None)

    async def call(self, method: str, **body: Any) -> Json:
        """Call a procedure of `fm.plyr`, or a whole NSID of another group, by such a script. Raises XrpcError."""
        nsid = method if method.startswith("com.") else f"fm.plyr.{method}"
        return await self._fetch("POST", f"/xrpc/{nsid}", body)

    async def _fetch(self, verb: str, url: str, body: Json | None) -> Json:
        if not self.page.url.endswith(_APP):
            # Our own pages run no scripts, and their policy would stop even this one.
            await self.visit(_APP)
        status, answer = await self.page.evaluate(_FETCH, [verb, url, body])
        if status != 200:
            raise XrpcError(status, answer.get("error", "?"), answer.get("message", ""))
        return dict(answer)

    async def cookies(self) -> dict[str, str]:
        """Our cookies in this browser, by name."""
        return {one["name"]: one["value"] for one in await self.context.cookies(self.origin)}

    async def shot(self, name: str) -> None:
        """Keep what is to be seen now, where screenshots are wanted, and collect what this browser holds."""
        await self.collect()
        if not self._shots:
            return
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self._taken += 1
        await self.page.screenshot(
            path=SCREENSHOTS / f"{self._shots}-{self._taken:02}-{name}.png", full_page=True, animations="disabled"
        )

    async def collect(self) -> None:
        """Note the secrets that this browser holds now."""
        for name, value in (await self.cookies()).items():
            self.secrets.add(f"cookie {name}", value)
        if self.page.url.startswith(self.origin):
            for value in await self.page.locator("input[name=form]").evaluate_all("all => all.map(one => one.value)"):
                self.secrets.add("the token of a form", value)

    def _look_at(self, request: Request) -> None:
        self.secrets.add_of_url(request.url)


async def _empty_page(route: Route) -> None:
    """A page at our origin whose scripts are ours, in place of what an app there would serve."""
    await route.fulfill(body="<!doctype html><title>An app</title>", content_type="text/html")
