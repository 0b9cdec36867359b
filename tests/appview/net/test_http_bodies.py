"""What a POST sends: bytes, or chunks that are made while it is sent; and how long its answer is waited for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import orjson
import pytest
from aiohttp import web

from appview.net.bodies import WrongLength
from appview.net.errors import BadStatus, Unreachable
from appview.net.http import HttpClient

Handler = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def site(handler: Handler) -> AsyncIterator[str]:
    app = web.Application(client_max_size=1 << 30)
    app.router.add_post("/", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://localhost:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def what_came(request: web.Request) -> web.Response:
    sent = {name: request.headers.get(name) for name in ("Content-Length", "Transfer-Encoding", "Content-Type")}
    return web.json_response({**sent, "body": (await request.read()).decode()})


async def chunks() -> AsyncIterator[bytes]:
    for chunk in (b"12", b"", b"345", b"6"):
        await asyncio.sleep(0)
        yield chunk


@pytest.mark.parametrize("length", [6, None])
async def test_chunks(dev: HttpClient, length: int | None) -> None:
    async with site(what_came) as url:
        answer = await dev.post(url, chunks, length=length, max_bytes=999, content_type="audio/flac")
    announced = {"Content-Length": "6", "Transfer-Encoding": None} if length else {}
    expected = {"Content-Length": None, "Transfer-Encoding": "chunked", **announced}
    assert orjson.loads(answer.body) == {**expected, "Content-Type": "audio/flac", "body": "123456"}


@pytest.mark.parametrize("length", [0, 5, 7])
async def test_another_length_than_was_announced(dev: HttpClient, length: int) -> None:
    async with site(what_came) as url:
        with pytest.raises(WrongLength):
            await dev.post(url, chunks, length=length, max_bytes=999)


async def test_what_breaks_while_chunks_are_made_is_not_the_connection(dev: HttpClient) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"12"
        raise LookupError("the file is gone")

    async with site(what_came) as url:
        with pytest.raises(LookupError, match="the file is gone"):
            await dev.post(url, broken, length=6, max_bytes=999)


async def test_a_server_that_refuses_before_it_has_read_everything(dev: HttpClient) -> None:
    made = []

    async def many() -> AsyncIterator[bytes]:
        for n in range(4_000):
            made.append(n)
            yield b"x" * 65_536

    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=401, headers={"DPoP-Nonce": "1"})

    async with site(refuse) as url:
        with pytest.raises(BadStatus, match="401"):
            await dev.post(url, many, length=4_000 * 65_536, max_bytes=999)
    assert len(made) < 4_000


async def test_an_answer_that_is_worth_waiting_for(dev: HttpClient) -> None:
    """This client gives an answer 0.3 seconds between two reads."""

    async def slowly(request: web.Request) -> web.Response:
        await asyncio.sleep(0.6)
        return web.Response(body=b"done")

    async with site(slowly) as url:
        with pytest.raises(Unreachable):
            await dev.post(url, b"x", max_bytes=9)
        assert (await dev.post(url, b"x", max_bytes=9, wait=5.0)).body == b"done"
        with pytest.raises(Unreachable):
            await dev.post(url, b"x", max_bytes=9, wait=0.2)
        with pytest.raises(Unreachable):
            await dev.post(url, b"x", max_bytes=9, wait=5.0, total=0.2)
