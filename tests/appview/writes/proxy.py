"""A wire to a PDS that does what wires and PDSes do when they fail: each fault befalls the next write, or several."""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from aiohttp import web

Forward = Callable[[], Awaitable[web.Response]]
"""Passes the request on to the PDS, and brings its answer."""
Fault = Callable[[web.Request, Forward], Awaitable[web.StreamResponse]]

_HOP: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "content-encoding"})
SERVER_ERROR: Final = {"error": "InternalServerError", "message": "Internal Server Error"}


class Proxy:
    """The wire. `faults` befall the next writes, one each, and `deaf` all that is read."""

    def __init__(self, session: aiohttp.ClientSession, target: str) -> None:
        self.faults: list[Fault] = []
        self.deaf: Fault | None = None
        self.forwarded = 0
        """Writes that reached the PDS."""
        self.asked: list[str] = []
        """The methods of all writes that were sent."""
        self.port = 0
        self.tasks: set[asyncio.Task[object]] = set()
        self._session = session
        self._target = target
        self._runner = web.AppRunner(self._app(), shutdown_timeout=0.1)

    async def start(self) -> None:
        """Listen, on any port."""
        await self._runner.setup()
        await self.up()
        self.port = self._runner.addresses[0][1]

    async def up(self) -> None:
        """Listen again after `down`, on the same port."""
        self._site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await self._site.start()

    async def down(self) -> None:
        """Refuse all connections, and break those that there are."""
        await self._site.stop()
        for connection in self._runner.server.connections if self._runner.server else ():
            if connection.transport is not None:
                connection.transport.abort()

    async def close(self) -> None:
        """Let go of everything, once what is held up has arrived."""
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self._runner.cleanup()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self.answer)
        return app

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()

        async def forward() -> web.Response:
            headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
            url = self._target + request.path_qs
            async with self._session.request(
                request.method, url, data=io.BytesIO(body) if body else None, headers=headers
            ) as response:
                self.forwarded += request.method == "POST"
                return web.Response(
                    status=response.status, body=await response.read(), headers=_passed(response.headers)
                )

        if request.method == "GET":
            return await (self.deaf(request, forward) if self.deaf else forward())
        self.asked.append(request.path.removeprefix("/xrpc/"))
        return await (self.faults.pop(0)(request, forward) if self.faults else forward())


def _passed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP}


@asynccontextmanager
async def proxy(target: str) -> AsyncIterator[Proxy]:
    """A wire to the PDS at `target`, on a port of loopback."""
    async with aiohttp.ClientSession(auto_decompress=True) as session:
        wire = Proxy(session, target)
        await wire.start()
        try:
            yield wire
        finally:
            await wire.close()


def _hang_up(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def lose_request(request: web.Request, _forward: Forward) -> web.StreamResponse:
    """The connection breaks before the PDS has heard anything."""
    return _hang_up(request)


async def lose_reply(request: web.Request, forward: Forward) -> web.StreamResponse:
    """The PDS does it, and the connection breaks before anybody hears so."""
    await forward()
    return _hang_up(request)


async def half_a_reply(request: web.Request, forward: Forward) -> web.StreamResponse:
    """The connection breaks in the middle of the answer."""
    answer = await forward()
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    body = answer.body
    assert isinstance(body, bytes)
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    return _hang_up(request)


async def fail_after(_request: web.Request, forward: Forward) -> web.StreamResponse:
    """The PDS does it, and answers 500."""
    await forward()
    return web.json_response(SERVER_ERROR, status=500)


async def fail_before(_request: web.Request, _forward: Forward) -> web.StreamResponse:
    """The PDS answers 500, and has not done it."""
    return web.json_response(SERVER_ERROR, status=500)


async def too_many(_request: web.Request, _forward: Forward) -> web.StreamResponse:
    """The PDS asks for a pause."""
    return web.json_response(
        {"error": "RateLimitExceeded", "message": "Rate Limit Exceeded"}, status=429, headers={"Retry-After": "17"}
    )


async def twice(_request: web.Request, forward: Forward) -> web.StreamResponse:
    """The request reaches the PDS twice, and what it says the second time comes back."""
    await forward()
    return await forward()


async def two_replies(request: web.Request, forward: Forward) -> web.StreamResponse:
    """The answer comes two times, one behind the other on one connection."""
    answer = await forward()
    assert isinstance(answer.body, bytes)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer.body)
    assert request.transport is not None
    request.transport.write((head + answer.body) * 2)
    await asyncio.sleep(0.05)
    return _hang_up(request)


async def garbage(_request: web.Request, forward: Forward) -> web.StreamResponse:
    """The PDS does it, and something before it answers with a page."""
    await forward()
    return web.Response(text="<html>Welcome to our network!</html>", content_type="text/html")


async def other_cid(_request: web.Request, forward: Forward) -> web.StreamResponse:
    """The PDS does it, and answers with a CID that is not the record's."""
    body = (await forward()).body
    assert isinstance(body, bytes)
    return web.Response(body=body.replace(b'"bafyrei', b'"bafyreia'), content_type="application/json")


def slow(seconds: float) -> Fault:
    """The PDS does it at once, and answers so late."""

    async def fault(_request: web.Request, forward: Forward) -> web.StreamResponse:
        answer = await forward()
        await asyncio.sleep(seconds)
        return answer

    return fault


def late(wire: Proxy, seconds: float) -> Fault:
    """The request is held up for so long, whoever waits for it; then the PDS does it."""

    async def fault(request: web.Request, forward: Forward) -> web.StreamResponse:
        async def after() -> web.Response:
            await asyncio.sleep(seconds)
            return await forward()

        task = asyncio.ensure_future(after())
        wire.tasks.add(task)
        return await asyncio.shield(task)

    return fault


def lose_reply_after(act: Callable[[], Awaitable[object]]) -> Fault:
    """The PDS does it, something else happens, and then the connection breaks."""

    async def fault(request: web.Request, forward: Forward) -> web.StreamResponse:
        await forward()
        await act()
        return _hang_up(request)

    return fault


def deaf_after(wire: Proxy, fault: Fault, reading: Fault) -> Fault:
    """A fault after which the PDS cannot be read either, in the way of `reading`."""

    async def both(request: web.Request, forward: Forward) -> web.StreamResponse:
        wire.deaf = reading
        return await fault(request, forward)

    return both


def before(act: Callable[[], Awaitable[object]]) -> Fault:
    """Something that happens when the request arrives, before the PDS has it."""

    async def fault(_request: web.Request, forward: Forward) -> web.StreamResponse:
        await act()
        return await forward()

    return fault


async def passed(_request: web.Request, forward: Forward) -> web.StreamResponse:
    """No fault."""
    return await forward()
