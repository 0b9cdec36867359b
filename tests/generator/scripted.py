"""A generator that says what a test tells it to, at an address of this machine."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Scripted:
    """What it answers, and who asked. `answer` is JSON, or what makes a response."""

    port: int = 0
    status: int = 200
    answer: Any = field(default_factory=lambda: {"feed": []})
    headers: Mapping[str, str] = field(default_factory=dict)
    asked: list[Mapping[str, str]] = field(default_factory=list)
    """The parameters of each call."""
    authorizations: list[str | None] = field(default_factory=list)
    held: asyncio.Event | None = None
    """Where there is one, nothing is answered before it is set."""
    waiting: int = 0

    @property
    def did(self) -> str:
        """The DID of the service."""
        return f"did:web:localhost%3A{self.port}"

    async def document(self, _: web.Request) -> web.Response:
        service = {
            "id": "#plyr_fg",
            "type": "PlyrFeedGenerator",
            "serviceEndpoint": f"http://localhost:{self.port}",
        }
        return web.json_response({"id": self.did, "service": [service]})

    async def skeleton(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.query))
        self.authorizations.append(request.headers.get("Authorization"))
        if self.held is not None:
            self.waiting += 1
            await self.held.wait()
        return web.json_response(self.answer, status=self.status, headers=self.headers)


@asynccontextmanager
async def scripted() -> AsyncIterator[Scripted]:
    """One that runs while the block lasts."""
    generator = Scripted()
    app = web.Application()
    app.router.add_get("/.well-known/did.json", generator.document)
    app.router.add_get("/xrpc/fm.plyr.feed.getFeedSkeleton", generator.skeleton)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    generator.port = runner.addresses[0][1]
    try:
        yield generator
    finally:
        await runner.cleanup()
