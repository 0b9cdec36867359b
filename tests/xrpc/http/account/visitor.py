"""A browser without pictures: it keeps cookies, says where its requests come from, and sends the forms of a page."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import httpx
from starlette.applications import Starlette

from tests.network.network import Network
from tests.network.pds import User
from tests.network.sign_in import consent
from tests.system.world import resolve_setting
from tests.xrpc.client import config
from xrpc.app import create_app

ORIGIN: Final = "http://127.0.0.1:8080"
SECRET: Final = "of tests alone, and of no use elsewhere"
BY_HAND: Final = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}
ELSEWHERE: Final = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}


class Form(NamedTuple):
    """A form of a page, filled in as it came."""

    method: str
    action: str
    fields: dict[str, str]


class Visitor(httpx.AsyncClient):
    """One browser, at one application over ASGI."""

    def __init__(self, app: Starlette, origin: str = ORIGIN, client: tuple[str, int] = ("127.0.0.1", 1)) -> None:
        super().__init__(transport=httpx.ASGITransport(app, client=client), base_url=origin)
        self.app = app
        self.origin = origin

    async def open(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """GET a page, as somebody does who types its address."""
        return await self.get(path, headers=BY_HAND if headers is None else headers)

    async def submit(self, form: Form, /, **fields: str) -> httpx.Response:
        """Send a form of one of our pages, with these fields filled in."""
        return await self.post_form(form.action, {**form.fields, **fields})

    async def post_form(self, path: str, fields: dict[str, str], **headers: str) -> httpx.Response:
        """Send fields as a page of ours does; `headers` instead of those that say so."""
        said = headers or {"Sec-Fetch-Site": "same-origin", "Origin": self.origin}
        named = {name.replace("_", "-"): value for name, value in said.items()}
        return await self.post(path, data=fields, headers=named)

    async def to_server(self, account: str, return_to: str = "") -> str:
        """Begin to sign in by the form; the address at the account's server."""
        page = await self.open(f"/oauth/login?return_to={return_to}")
        answer = await self.submit(form(page, "/oauth/login"), account=account)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    async def come_back(self, callback: str) -> httpx.Response:
        """Follow the account's server back to us."""
        parts = urlsplit(callback)
        assert f"{parts.scheme}://{parts.netloc}" == self.origin
        return await self.open(f"{parts.path}?{parts.query}", ELSEWHERE)

    async def sign_in(self, network: Network, user: User, return_to: str = "") -> httpx.Response:
        """Sign in, with consent at the PDS; the answer to the way back."""
        url = await self.to_server(user.handle, return_to)
        return await self.come_back(await consent(network.session, url, user))


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.found.append(Form(given.get("method") or "get", given.get("action") or "", {}))
        elif tag in ("input", "select") and self.found and given.get("type") != "checkbox":
            self.found[-1].fields[str(given["name"])] = given.get("value") or ""
        elif tag == "option" and "selected" in given:
            last = list(self.found[-1].fields)[-1]
            self.found[-1].fields[last] = str(given["value"])


def forms(page: httpx.Response) -> list[Form]:
    """All forms of a page."""
    assert page.status_code == 200, page.text
    parser = _Forms()
    parser.feed(page.text)
    return parser.found


def form(page: httpx.Response, action: str, **fields: str) -> Form:
    """The first form of a page with this action, and with these fields."""
    found = [one for one in forms(page) if one.action == action and fields.items() <= one.fields.items()]
    assert found, f"{action} {fields}: {page.text}"
    return found[0]


@asynccontextmanager
async def application(
    database_url: str, network: Network | None = None, /, **settings: str
) -> AsyncIterator[Starlette]:
    """The application, at ORIGIN, where people can sign in; with accounts of the test network when that is given."""
    given: dict[str, Any] = {"PLYR_SECRET_KEY": SECRET, "PLYR_PUBLIC_URL": "http://localhost:8080"}
    if network is not None:
        given |= {
            "PLYR_PLC_URL": network.addresses.plc,
            "PLYR_RESOLVE": resolve_setting(network.addresses),
        }
    app = create_app(config(database_url, **given | settings), validate_output=True, hot_seconds=0.0)
    async with app.router.lifespan_context(app):
        yield app
