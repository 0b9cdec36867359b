"""Too much is refused soon and politely, and a slow client costs nothing that others need."""

import asyncio
import time
from collections.abc import Iterator
from urllib.parse import quote

import aiohttp
import pytest

from tests.database import Server
from tests.xrpc.processes import Process, web
from xrpc.app import POOL_SIZE
from xrpc.dispatch import MOST_AT_ONCE
from xrpc.methods.asking import WAIT_SECONDS

SLEEPS = "select pg_sleep(2)::text || {}"
LARGE = "select repeat('x', 8000000) || {}"
QUICK = "select {}"


def path(sql: str, number: int) -> str:
    """Each is a question of its own, so that none waits for the answer to another."""
    return "/xrpc/fm.plyr.test.run?sql=" + quote(sql.format(number))


@pytest.fixture(scope="module")
def process(database_server: Server) -> Iterator[Process]:
    with database_server.database() as url, web(url) as process:
        yield process


async def test_who_gets_no_connection_hears_soon_to_come_back(process: Process) -> None:
    async with aiohttp.ClientSession(process.url, connector=aiohttp.TCPConnector(limit=0)) as session:
        began = time.monotonic()
        took: dict[int, list[float]] = {200: [], 503: []}

        async def ask(number: int) -> None:
            async with session.get(path(SLEEPS, number)) as answer:
                if answer.status == 503:
                    assert (await answer.json())["error"] == "NotEnoughResources"
                    assert int(answer.headers["retry-after"]) > 0
                took[answer.status].append(time.monotonic() - began)

        await asyncio.gather(*(ask(number) for number in range(3 * POOL_SIZE)))
        assert 1 <= len(took[200]) <= POOL_SIZE
        # They wait for a connection, and no longer; the rest is for a machine that is busy.
        assert max(took[503]) < WAIT_SECONDS + 0.9
        async with session.get(path(QUICK, 1)) as answer:
            assert answer.status == 200


async def test_beyond_what_can_be_in_work_it_is_said_at_once(process: Process) -> None:
    async with aiohttp.ClientSession(process.url, connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(number: int) -> tuple[int, str]:
            async with session.get(path(SLEEPS, number)) as answer:
                return answer.status, (await answer.json()).get("message", "")

        answers = await asyncio.gather(*(ask(number) for number in range(MOST_AT_ONCE + 50)))
        too_much = [message for status, message in answers if status == 503 and "at once" in message]
        assert len(too_much) == 50
        assert 1 <= sum(status == 200 for status, _ in answers) <= POOL_SIZE


async def test_who_keeps_a_body_back_takes_nobodys_place(process: Process) -> None:
    host, port = process.url.removeprefix("http://").rsplit(":", 1)
    waiting = []
    for _ in range(MOST_AT_ONCE + 10):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET {path(QUICK, 0)} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        waiting.append(writer)
    async with aiohttp.ClientSession(process.url) as session, session.get(path(QUICK, 1)) as answer:
        assert answer.status == 200
    for writer in waiting:
        writer.transport.abort()


async def test_who_does_not_read_holds_no_connection(process: Process) -> None:
    host, port = process.url.removeprefix("http://").rsplit(":", 1)
    idle = []
    for number in range(POOL_SIZE + 2):
        # What is large does not fit into the buffers in between; and nobody ever reads it.
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.write(f"GET {path(LARGE, number)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert (await asyncio.wait_for(reader.readline(), 30)).startswith(b"HTTP/1.1 200")
        idle.append(writer)
    async with aiohttp.ClientSession(process.url) as session:
        for number in range(5):
            async with session.get(path(QUICK, number)) as answer:
                assert answer.status == 200
    for writer in idle:
        writer.transport.abort()
