"""The hostile site does what it says: a server that trusts cookies alone is made to write by each of its ways."""

import json
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from tests.chromium import needs_chromium
from tests.system.browser import Visitor, chromium
from tests.system.foreign import Form, foreign_site
from tests.system.leaks import Secrets

pytestmark = needs_chromium


class Naive:
    """A server that does whatever it is asked for by a browser with its cookie, and lets every script read."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.bodies: list[str] = []
        self.port = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        origin = request.headers.get("Origin", "*")
        body = await request.text()
        if request.cookies.get("session") == "mine" and request.path != "/":
            self.asked[f"{request.method} {request.headers.get('Content-Type', '').partition(';')[0]}".strip()] += 1
            self.bodies.append(body)
        response = web.Response(text="done", content_type="text/html")
        response.headers.update(
            {
                "Access-Control-Allow-Origin": origin,
                "Access-Control-Allow-Credentials": "true",
                "Access-Control-Allow-Headers": "content-type",
            }
        )
        response.set_cookie("session", "mine")
        return response


@pytest.fixture
async def naive() -> AsyncIterator[Naive]:
    naive, application = Naive(), web.Application()
    application.router.add_route("*", "/{rest:.*}", naive.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    naive.port = int(runner.addresses[0][1])
    yield naive
    await runner.cleanup()


async def test_every_way_gets_through_where_nothing_stops_it(naive: Naive) -> None:
    origin = f"http://127.0.0.1:{naive.port}"
    forms = [Form(f"{origin}/form", {"a": "b"}), Form.of_json(f"{origin}/xrpc/x", {"subject": "at://b"})]
    async with (
        foreign_site(forms) as port,
        chromium({}) as browser,
        Visitor.at(browser, origin, Secrets()) as visitor,
    ):
        await visitor.visit("/")
        await visitor.page.goto(f"http://127.0.0.1:{port}/")
        calls = [["com.example.do", {"subject": "at://b"}]]
        read = await visitor.page.evaluate("([origin, calls]) => attempts(origin, calls)", [origin, calls])
        assert any("cors include: done" in one for one in read)
        by_scripts = Counter(naive.asked)
        for number in range(len(forms)):
            await visitor.page.goto(f"http://127.0.0.1:{port}/form/{number}")
            await visitor.page.wait_for_url(f"{origin}/**")
    assert by_scripts.keys() >= {
        "POST",
        "POST text/plain",
        "POST application/json",
        "POST application/x-www-form-urlencoded",
    }
    assert by_scripts["GET"] >= 5
    assert naive.asked["POST text/plain"] == by_scripts["POST text/plain"] + 1
    assert "a=b" in naive.bodies
    assert json.loads(naive.bodies[-1])["subject"] == "at://b"
