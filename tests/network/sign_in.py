"""Signing in at a PDS as its owner does in a browser, by plain HTTP: the pages of the reference PDS's OAuth.

The pages take a request for a browser's by its `Sec-Fetch-*` headers, and keep their state in cookies that are
`Secure`, which no HTTP client sends to a PDS on http: they are kept by hand here.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from tests.network.pds import PASSWORD, User
from tests.network.xrpc import Json

API: Final = "/@atproto/oauth-provider/~api"
CSRF_COOKIE: Final = "csrf-token"


class SignInRefused(Exception):
    """The PDS did not let the owner go on: at which step, and what it said."""

    def __init__(self, step: str, status: int, said: str) -> None:
        super().__init__(f"{step}: {status} {said}")
        self.step = step
        self.status = status


async def consent(session: aiohttp.ClientSession, authorize_url: str, user: User, password: str = PASSWORD) -> str:
    """Sign `user` in and allow what the app asks for; the callback URL, with code, state and iss, where that leads.

    Where the PDS refuses the app at once, the callback URL says so with `error`. SignInRefused where it refuses us.
    """
    async with _visiting(session, authorize_url) as visit:
        if sent_away := await visit.open():
            return sent_away
        credentials = {"locale": "en", "username": user.handle, "password": password, "remember": False}
        token = (await visit.call("sign-in", credentials))["ephemeralToken"]
        return await visit.leave(await visit.call("consent", {"did": user.did}, token))


async def deny(session: aiohttp.ClientSession, authorize_url: str) -> str:
    """Open the page and refuse the app; the callback URL, with `error=access_denied`, state and iss."""
    async with _visiting(session, authorize_url) as visit:
        return await visit.open() or await visit.leave(await visit.call("reject", {}))


@asynccontextmanager
async def _visiting(session: aiohttp.ClientSession, authorize_url: str) -> AsyncIterator["_Visit"]:
    """A visit over the connections of `session`, with none of its cookies, which may be another visit's."""
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(connector=session.connector, connector_owner=False, cookie_jar=jar) as own:
        yield _Visit(own, authorize_url)


class _Visit:
    """One browser at one authorization request, with cookies of its own."""

    def __init__(self, session: aiohttp.ClientSession, authorize_url: str) -> None:
        self._session = session
        self._page = authorize_url
        parts = urlsplit(authorize_url)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._cookies: dict[str, str] = {}

    async def open(self) -> str | None:
        """Load the page; where it sends us away at once, instead of asking, that address."""
        status, headers, said = await self._request("GET", self._page, _navigation("cross-site"))
        if status == HTTPStatus.SEE_OTHER:
            return headers["Location"]
        if status != HTTPStatus.OK:
            raise SignInRefused("authorize", status, said)
        return None

    async def call(self, name: str, body: Json, token: str | None = None) -> Json:
        """What the page's script asks of the PDS: `name` of its API, for `token` as the one that signed in."""
        headers = {
            "Sec-Fetch-Mode": "same-origin",
            "Sec-Fetch-Site": "same-origin",
            "Origin": self._origin,
            "Referer": self._page,
            "X-CSRF-Token": self._cookies[CSRF_COOKIE],
        }
        if token:
            headers["Authorization"] = f"Bearer {token}"
        url = f"{self._origin}{API}/{name}"
        status, _, said = await self._request("POST", url, headers, json=body)
        if status != HTTPStatus.OK:
            raise SignInRefused(name, status, str(said))
        return dict(said)

    async def leave(self, answer: Json) -> str:
        """Go where the API's answer sends the browser, as far as the app's own address, which is not opened."""
        headers = _navigation("same-origin") | {"Referer": self._page}
        status, response_headers, said = await self._request("GET", answer["url"], headers)
        if status != HTTPStatus.SEE_OTHER:
            raise SignInRefused("redirect", status, str(said))
        return response_headers["Location"]

    async def _request(
        self, verb: str, url: str, headers: dict[str, str], **more: Any
    ) -> tuple[int, Mapping[str, str], Any]:
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        async with self._session.request(verb, url, headers=headers, allow_redirects=False, **more) as response:
            self._cookies |= {name: morsel.coded_value for name, morsel in response.cookies.items()}
            is_json = response.content_type == "application/json"
            return response.status, response.headers, await (response.json() if is_json else response.text())


def _navigation(site: str) -> dict[str, str]:
    return {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": site}
