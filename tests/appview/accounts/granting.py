"""An authorization server as far as grants see it: refresh tokens that are good once, in memory or behind a socket."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import aiohttp
from aiohttp import web

from appview.accounts.oauth import Granted
from appview.accounts.oauth.errors import GrantEnded, ServerAway, ServerRefused
from tests.appview.accounts.rows import ALICE

SECRET: Final = "a secret key for the tests of grants"
SCOPE: Final = "atproto repo:fm.plyr.like"


def granted(did: str = ALICE, *, seconds: float | None = 3600.0, name: str = "0") -> Granted:
    """A grant whose access token lives for `seconds` more; None: its server did not say."""
    return Granted(
        did=did,
        issuer="https://pds.test",
        pds="https://pds.test",
        client_id="https://plyr.test/oauth/client-metadata.json",
        key_id="key-1",
        scope=SCOPE,
        access_token=f"access-{name}",
        refresh_token=f"refresh-{name}",
        expires_at=None if seconds is None else datetime.now(UTC) + timedelta(seconds=seconds),
        dpop_key='{"kty":"EC","d":"private-key"}',
    )


class Authority:
    """Gives new tokens for the refresh token that is the latest; another ends the grant, as it is a replay (OA-51)."""

    def __init__(self) -> None:
        self.latest = "refresh-0"
        """The only one that is good."""
        self.is_over = False
        self.asked = 0
        self.told = 0
        self.revoked: list[str | None] = []
        self.seconds: float | None = 3600.0
        self.scope = SCOPE
        self.delay = 0.02
        self.gate = asyncio.Event()
        """Nothing is answered while it is cleared."""
        self.gate.set()
        self.is_away = False
        self.loses_replies = False
        self.refuses_revocation = False
        self._numbers = itertools.count(1)

    async def refresh(self, granted: Granted) -> Granted:
        self.asked += 1
        if self.is_away:
            raise ServerAway("the server does not answer")
        if self.is_over or granted.refresh_token != self.latest:
            self.is_over = True
            raise GrantEnded("invalid_grant: the refresh token was used before")
        number = next(self._numbers)
        self.latest = f"refresh-{number}"
        await self._answer()
        if self.loses_replies:
            raise ServerAway("the answer was lost")
        expires_at = None if self.seconds is None else datetime.now(UTC) + timedelta(seconds=self.seconds)
        return replace(
            granted,
            access_token=f"access-{number}",
            refresh_token=self.latest,
            expires_at=expires_at,
            scope=self.scope,
        )

    async def revoke(self, granted: Granted) -> None:
        self.told += 1
        await self._answer()
        if self.is_away:
            raise ServerAway("the server does not answer")
        if self.refuses_revocation:
            raise ServerRefused("unsupported_token_type")
        self.revoked.append(granted.refresh_token)

    async def is_asked(self, times: int = 1) -> None:
        """Return once it was asked for new tokens, or told to forget, so many times in all."""
        while self.asked + self.told < times:
            await asyncio.sleep(0.005)

    async def _answer(self) -> None:
        await asyncio.sleep(self.delay)
        await self.gate.wait()


class Remote:
    """An `Authority` in another process, at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def refresh(self, granted: Granted) -> Granted:
        async with (
            aiohttp.ClientSession() as session,
            session.post(self._url, json=_sent(granted)) as response,
        ):
            if response.status != 200:
                raise GrantEnded("invalid_grant")
            return Granted.from_secret(await response.json())

    async def revoke(self, granted: Granted) -> None:
        raise AssertionError("nothing is revoked here")


@asynccontextmanager
async def listening(authority: Authority) -> AsyncIterator[str]:
    """The URL under which other processes reach `authority`."""

    async def token(request: web.Request) -> web.Response:
        try:
            new = await authority.refresh(Granted.from_secret(await request.json()))
        except GrantEnded as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(_sent(new))

    app = web.Application()
    app.router.add_post("/token", token)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/token"
    finally:
        await runner.cleanup()


def _sent(granted: Granted) -> dict[str, object]:
    return granted.as_secret()
