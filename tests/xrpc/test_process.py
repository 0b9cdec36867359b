"""The web process itself, through real sockets."""

import asyncio
import gzip
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from appview.db import Connection
from appview.embedded.postgres import postgres
from tests.database import CARELESS, Server
from tests.xrpc.processes import ROOT, SECONDS, Process, environment, web
from tests.xrpc.samples import ECHO
from xrpc.__main__ import run
from xrpc.app import create_app

NOWHERE = "postgresql://127.0.0.1:1/nowhere"


@pytest.fixture(scope="module")
def process(database_server: Server) -> Iterator[Process]:
    """One process for those tests that leave it as it was."""
    with database_server.database() as url, web(url) as process:
        yield process


@pytest.fixture
async def session(process: Process) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(process.url) as session:
        yield session


async def test_it_answers(session: aiohttp.ClientSession) -> None:
    async with session.get("/xrpc/_health") as answer:
        assert (answer.status, set(await answer.json())) == (200, {"version"})
    async with session.get(f"/xrpc/{ECHO}?limit=3", headers={"Origin": "https://x.example"}) as answer:
        assert (await answer.json())["said"]["limit"] == 3
        assert answer.headers["access-control-allow-origin"] == "*"


async def test_head_has_the_headers_and_nothing_else(process: Process, session: aiohttp.ClientSession) -> None:
    for path in (f"/xrpc/{ECHO}", "/xrpc/_health", "/metrics", "/ready", "/xrpc/a.b.c"):
        async with session.head(path) as headed, session.get(path) as got:
            assert (headed.status, await headed.read()) == (got.status, b"")
            assert headed.headers["content-type"] == got.headers["content-type"]
    raw = exchange(process, f"HEAD /xrpc/{ECHO} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert raw.endswith(b"\r\n\r\n")


async def test_what_is_large_is_compressed(process: Process) -> None:
    async with aiohttp.ClientSession(process.url, auto_decompress=False) as session:
        wants = {"Accept-Encoding": "gzip"}
        async with session.get("/xrpc/fm.plyr.test.fail?how=big", headers=wants) as answer:
            packed = await answer.read()
            assert answer.headers["content-encoding"] == "gzip"
            assert "Accept-Encoding" in answer.headers["vary"]
        async with session.get("/xrpc/fm.plyr.test.fail?how=big", headers={"Accept-Encoding": "identity"}) as answer:
            assert gzip.decompress(packed) == await answer.read()
            assert "content-encoding" not in answer.headers
        async with session.get(f"/xrpc/{ECHO}", headers=wants) as answer:
            assert "content-encoding" not in answer.headers


async def test_preflight(session: aiohttp.ClientSession) -> None:
    headers = {"Origin": "https://x.example", "Access-Control-Request-Method": "GET"}
    async with session.options(f"/xrpc/{ECHO}", headers=headers) as answer:
        assert (answer.status, answer.headers["access-control-max-age"]) == (204, "86400")


def address(process: Process) -> tuple[str, int]:
    """Where it listens."""
    host, port = process.url.removeprefix("http://").rsplit(":", 1)
    return host, int(port)


def exchange(process: Process, request: bytes) -> bytes:
    """What comes back for these very bytes, until the connection is closed."""
    with socket.create_connection(address(process), SECONDS) as connection:
        connection.sendall(request)
        received = bytearray()
        while chunk := connection.recv(1 << 16):
            received += chunk
    return bytes(received)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /xrpc/%ff%fe HTTP/1.1", 400),
        (b"GET /xrpc/%ed%a0%80 HTTP/1.1", 400),
        (b"GET /xrpc/%00 HTTP/1.1", 400),
        (b"GET /xrpc/fm.plyr.test.echo?q=%ed%a0%80 HTTP/1.1", 400),
        (b"GET /xrpc/fm.plyr.test.echo?q=%00 HTTP/1.1", 400),
        (b"GET /xrpc/fm.plyr.test.echo%0a HTTP/1.1", 400),
        (b"GET /xrpc/../../etc/passwd HTTP/1.1", 400),
        (b"GET //xrpc/fm.plyr.test.echo HTTP/1.1", 404),
        (b"GET http://other.example/xrpc/a.b.c HTTP/1.1", 501),
        (b"GET /xrpc/fm.plyr.test.echo?q=" + b"x" * 60_000 + b" HTTP/1.1", 400),
        (b"BREW /xrpc/fm.plyr.test.echo HTTP/1.1", 405),
        (b"TRACE /xrpc/fm.plyr.test.echo HTTP/1.1", 405),
        (b"GET /xrpc/fm.plyr.test.echo HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13", 200),
        (b"GET /xrpc/fm.plyr.test.echo HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 400),
        (b"GET /xrpc/fm.plyr.test.echo HTTP/1.1\r\nContent-Length: 99999999", 413),
        (b"GET /xrpc/fm.plyr.test.echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0", 400),
    ],
    ids=lambda value: value[:60] if isinstance(value, bytes) else None,
)
def test_raw_requests(process: Process, line: bytes, status: int) -> None:
    first, mark, rest = line.partition(b"\r\n")
    raw = exchange(process, first + b"\r\nHost: x\r\nConnection: close" + mark + rest + b"\r\n\r\n")
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), raw
    assert status == 200 or body.startswith(b'{"error":"'), raw


def test_a_bug_breaks_nothing_and_is_logged_once(process: Process) -> None:
    before = process.log.count("Traceback")
    request = b"GET /xrpc/fm.plyr.test.fail?how=bug HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert b'{"error":"InternalServerError","message":"Internal Server Error"}' in exchange(process, request)
    eventually(lambda: process.log.count("Traceback") == before + 1)


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds, for as long as a slow machine may need."""
    ends = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_when_told_to_stop_it_answers_what_was_asked(database_url: str, number: signal.Signals) -> None:
    with web(database_url) as process:
        async with aiohttp.ClientSession(process.url) as session, aiohttp.ClientSession(process.url) as idle:
            async with idle.get(f"/xrpc/{ECHO}") as answer:
                await answer.read()
            asked = asyncio.create_task(session.get("/xrpc/fm.plyr.test.doze?milliseconds=1500"))
            await asyncio.sleep(0.5)
            process.signal(number)
            await asyncio.sleep(0.3)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*address(process))
            async with await asked as answer:
                # It slept first, and then asked the database, which was still there for it.
                assert await answer.json() == {"said": {"after": 1500, "one": 1}}
            assert await asyncio.to_thread(process.stop, number) == 0


async def test_the_database_comes_late_goes_and_comes_back() -> None:
    async def status(path: str) -> int:
        async with web_session.get(path) as answer:
            if answer.status == 503:
                assert answer.headers["retry-after" if path != "/ready" else "content-type"]
            await answer.read()
            return answer.status

    async def all_are(expected: int) -> None:
        ends = time.monotonic() + SECONDS
        while await status("/xrpc/_health") != expected:
            assert time.monotonic() < ends
            await asyncio.sleep(0.1)
        assert await status("/xrpc/fm.plyr.test.run?sql=select+1") == expected

    with tempfile.TemporaryDirectory(prefix="plyr-") as folder:
        with postgres(Path(folder), CARELESS) as url:
            pass
        with web(url) as process:
            async with aiohttp.ClientSession(process.url) as web_session:
                await all_are(503)
                assert await status("/ready") == 503
                for _ in range(2):
                    with postgres(Path(folder), CARELESS):
                        await all_are(200)
                    await all_are(503)
                    assert await status(f"/xrpc/{ECHO}") == 200
            assert process.stop() == 0
            assert "Traceback" not in process.log


async def test_the_real_methods_are_served(database_url: str, connection: Connection) -> None:
    await connection.execute("insert into actors (did, handle) values ('did:web:a.test', 'a.test')")
    with web(database_url, module="xrpc") as process:
        async with (
            aiohttp.ClientSession(process.url) as session,
            session.get("/xrpc/fm.plyr.actor.getProfile?actor=a.test") as answer,
        ):
            assert (await answer.json())["did"] == "did:web:a.test"
            async with session.get("/xrpc/fm.plyr.actor.getProfile?actor=b.test") as refused:
                assert (await refused.json())["error"] == "NotFound"
        assert process.stop() == 0
        # What went well is counted; what did not is in the log.
        assert process.log.count("GET /xrpc/fm.plyr.actor.getProfile ") == 1
        assert process.log.count("GET /xrpc/fm.plyr.actor.getProfile 400") == 1


def ran(*arguments: str, **settings: str) -> tuple[int, str, str]:
    command = [sys.executable, "-X", "dev", "-W", "error", "-m", "xrpc", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(settings), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_help() -> None:
    code, out, error = ran("--help")
    assert (code, error) == (0, "")
    assert "PLYR_BIND" in out


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "PLYR_DATABASE_URL is not set"),
        ({"PLYR_DATABASE_URL": NOWHERE, "PLYR_BIND": "nonsense"}, "PLYR_BIND must read host:port"),
        ({"PLYR_DATABASE_URL": NOWHERE, "PLYR_BIND": "192.0.2.1:80"}, "192.0.2.1:80"),
        ({"PLYR_DATABASE_URL": NOWHERE, "PLYR_NONSENSE": "1"}, "there is no setting PLYR_NONSENSE"),
    ],
)
def test_what_cannot_start_says_why_in_one_sentence(settings: dict[str, str], words: str) -> None:
    code, out, error = ran(**settings)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert error.startswith("python -m xrpc: ")
    assert words in error


def test_methods_that_do_not_agree_with_their_lexicons_do_not_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLYR_DATABASE_URL", NOWHERE)
    assert run("python -m xrpc", lambda config: create_app(config, methods={})) == 2
    sentence = capsys.readouterr().err
    assert sentence.startswith("python -m xrpc: fm.plyr.")
    assert sentence.endswith("is a query of ours, but has no handler.\n")


def test_an_address_that_is_taken_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, error = ran(PLYR_DATABASE_URL=NOWHERE, PLYR_BIND=f"127.0.0.1:{port}")
    assert (code, error.count("\n")) == (2, 1)
    assert f"127.0.0.1:{port}" in error
