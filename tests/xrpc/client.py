"""The application as a test asks it: over ASGI, on this test's database, and strict about what it answers.

    async def test_it(client: Client, connection: Connection) -> None:
        answer = await client.get("/xrpc/fm.plyr.server.getStats")      # any path; an httpx.Response
        tracks = await client.ask("feed.getTracks", uris=[URI])         # a query of ours: its JSON, or the test fails
        like = await client.do("feed.likeTrack", subject=URI)           # a procedure of ours, likewise

An answer or an error that the lexicon does not allow is raised in the test, and so is what would be a 500.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.applications import Starlette

from appview.config import Config
from xrpc.app import create_app

NAMESPACE = "fm.plyr"


def path(method: str) -> str:
    """Where a query is asked: `feed.getTracks` is one of ours, `com.atproto.…` is itself."""
    return f"/xrpc/{method}" if method.startswith("com.atproto.") else f"/xrpc/{NAMESPACE}.{method}"


class Client(httpx.AsyncClient):
    """An HTTP client of one application; `app` is that application."""

    def __init__(self, app: Starlette, auth: httpx.Auth | None = None) -> None:
        super().__init__(transport=httpx.ASGITransport(app), base_url="http://appview.test", auth=auth)
        self.app = app

    def signed_in(self, viewer: httpx.Auth) -> "Client":
        """Another client of the same application, whose requests are those of `viewer` (tests/xrpc/viewer.py)."""
        return Client(self.app, viewer)

    async def ask(self, method: str, **parameters: Any) -> Any:
        """What our query `method`, such as `feed.getTracks`, answers to `parameters`, by the lexicon's names."""
        answer = await self.get(path(method), params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def refused(self, method: str, **parameters: Any) -> tuple[int, str]:
        """The status and the error name with which the query is refused."""
        answer = await self.get(path(method), params=parameters)
        assert answer.status_code >= 400, answer.text
        return answer.status_code, answer.json()["error"]

    async def do(self, method: str, key: str | None = None, **values: Any) -> Any:
        """What our procedure `method` answers to `values`, by the lexicon's names; `key` is its Idempotency-Key."""
        answer = await self._post(method, key, values)
        assert answer.status_code == 200, answer.text
        return answer.json() if answer.content else None

    async def refused_to_do(self, method: str, key: str | None = None, **values: Any) -> tuple[int, str]:
        """The status and the error name with which the procedure is refused."""
        answer = await self._post(method, key, values)
        assert answer.status_code >= 400, answer.text
        return answer.status_code, answer.json()["error"]

    async def _post(self, method: str, key: str | None, values: Mapping[str, Any]) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.post(path(method), json=values, headers=headers)


def config(database_url: str, **settings: str) -> Config:
    """The settings of a server on `database_url`; others by their variables' names."""
    environ: Mapping[str, str] = {"PLYR_DATABASE_URL": database_url, "PLYR_DEV": "1", **settings}
    return Config.load(environ, dotenv=None)


@asynccontextmanager
async def running(app: Starlette) -> AsyncIterator[Client]:
    """A client of `app`, which is started before and stopped after."""
    async with app.router.lifespan_context(app), Client(app) as client:
        yield client


@asynccontextmanager
async def strict_client(database_url: str, **settings: str) -> AsyncIterator[Client]:
    """A client of the whole application on `database_url`."""
    async with running(create_app(config(database_url, **settings), validate_output=True, hot_seconds=0.0)) as client:
        yield client
