"""Our pages about accounts without a browser: their forms filled in and sent, as whoever has none of our scripts."""

import re
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from html import unescape
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from tests.network.pds import User
from tests.network.sign_in import consent

_find_hidden = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">').findall
_find_dids = re.compile(r'name="did" value="([^"]+)"').findall
_find_secret = re.compile(r'<output class="secret"[^>]*>([^<]+)</output>').search
_OURS: Final = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


class Pages:
    """One browser's cookies at `origin`. What the pages answer is expected to be a success."""

    def __init__(self, origin: str, session: aiohttp.ClientSession) -> None:
        self.origin = origin
        self.session = session

    async def sign_in(self, user: User) -> None:
        """Sign in as `user`, beside whoever is signed in."""
        await self.open(await consent(self.session, await self.begin(user), user))

    async def begin(self, user: User) -> str:
        """Name `user` on our page; the address of their server's page, where that leads."""
        return await self.send("/oauth/login", "/oauth/login", account=user.handle)

    async def developer_token(self, user: User, name: str = "a program") -> str:
        """Make a developer token for `user`, who is signed in and chosen."""
        leads_to = await self.send("/account", "/account/tokens", name=name, days="30", did=user.did)
        shown = await self.open(await consent(self.session, leads_to, user))
        found = _find_secret(shown)
        assert found, shown
        return unescape(found[1])

    async def open(self, url: str) -> str:
        """The page at `url`, a path of ours or a whole address, wherever that leads."""
        async with self.session.get(url if "://" in url else self.origin + url) as response:
            assert response.ok, await response.text()
            return await response.text()

    async def answer(self, url: str) -> tuple[int, str]:
        """The status and the page at `url`, wherever that leads."""
        async with self.session.get(url) as response:
            return response.status, await response.text()

    async def status(self, url: str) -> int:
        """The status alone."""
        return (await self.answer(url))[0]

    async def who(self) -> list[str]:
        """The DIDs of who is signed in, by the page about their accounts; the current one first."""
        async with self.session.get(f"{self.origin}/account") as response:
            page = await response.text()
        return list(dict.fromkeys(_find_dids(page)))

    def cookie(self, name: str) -> str:
        """Our cookie of that name."""
        return next(cookie.value for cookie in self.session.cookie_jar if cookie.key == name)

    async def send(self, page: str, action: str, **fields: str) -> str:
        """Open `page`, fill in its form for `action`, the first there, and send it; where the answer leads to."""
        form = _find_form(await self.open(page), action)
        sent = dict(_find_hidden(form)) | fields
        async with self.session.post(self.origin + action, data=sent, headers=_OURS, allow_redirects=False) as answer:
            assert answer.status == 303, await answer.text()
            return answer.headers["Location"]


def _find_form(page: str, action: str) -> str:
    """The form for `action`, from its first tag to its last."""
    _, found, rest = page.partition(f'action="{action}"')
    assert found, page
    return rest.partition("</form>")[0]


class _Names(AbstractResolver):
    """Names that are ports of this machine."""

    def __init__(self, hosts: Mapping[str, int]) -> None:
        self._hosts = hosts

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = ResolveResult(
            hostname=host, host="127.0.0.1", port=self._hosts.get(host, port), family=family, proto=0, flags=0
        )
        return [found]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def visiting(origin: str, hosts: Mapping[str, int] | None = None) -> AsyncIterator[Pages]:
    """The pages at `origin`, for one who has never been there; each of `hosts` is a port of this machine, by https."""
    connector = aiohttp.TCPConnector(resolver=_Names(hosts or {}), ssl=False, use_dns_cache=False)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield Pages(origin, session)
