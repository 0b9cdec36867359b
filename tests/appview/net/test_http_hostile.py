"""Servers that send too much, too slowly, or what is not HTTP."""

import asyncio
import gzip
import time
import zlib

import pytest

from appview.net.errors import BadAnswer, BadStatus, TooLarge, Unreachable
from appview.net.http import HttpClient
from tests.appview.net.servers import Script, http_answer, raw_server

# Sizes


def endless(head: str, piece: bytes) -> Script:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode())
        while True:
            writer.write(piece)
            await writer.drain()

    return script


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        ("Transfer-Encoding: chunked", b"400\r\n" + b"x" * 1024 + b"\r\n"),
        ("Connection: close", b"x" * 1024),
    ],
)
async def test_endless_body(dev: HttpClient, head: str, piece: bytes) -> None:
    async with raw_server(endless(head, piece)) as server:
        with pytest.raises(TooLarge):
            await dev.get(f"http://localhost:{server.port}/", max_bytes=999)


async def test_the_cap_is_exact(dev: HttpClient) -> None:
    async with raw_server(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 1000) as server:
        assert len((await dev.get(f"http://localhost:{server.port}/", max_bytes=1000)).body) == 1000
        with pytest.raises(TooLarge):
            await dev.get(f"http://localhost:{server.port}/", max_bytes=999)


async def test_announced_size_is_refused_unread(dev: HttpClient) -> None:
    async with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n") as server:
        with pytest.raises(TooLarge, match="announces"):
            await dev.get(f"http://localhost:{server.port}/", max_bytes=1000)


async def test_less_than_announced(dev: HttpClient) -> None:
    async with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf") as server:
        with pytest.raises(Unreachable, match="broke off"):
            await dev.get(f"http://localhost:{server.port}/", max_bytes=1000)


async def test_more_than_announced(dev: HttpClient) -> None:
    async with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhalf and more") as server:
        with pytest.raises(BadAnswer):
            await dev.get(f"http://localhost:{server.port}/", max_bytes=1000)


def bomb(mode: int) -> bytes:
    packer = zlib.compressobj(9, wbits=mode)
    return b"".join([packer.compress(bytes(1 << 20)) for _ in range(64)]) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("gzip", bomb(31)), ("deflate", bomb(15)), ("deflate", bomb(-15)), ("gzip", gzip.compress(bytes(1000)) * 900)],
    ids=["gzip", "zlib", "deflate", "members"],
)
async def test_bomb(dev: HttpClient, encoding: str, packed: bytes) -> None:
    assert len(packed) < 100_000
    async with raw_server(http_answer(packed, f"Content-Encoding: {encoding}")) as server:
        with pytest.raises(TooLarge):
            await dev.get(f"http://localhost:{server.port}/", max_bytes=200_000)


async def test_compressed_answer(dev: HttpClient) -> None:
    async with raw_server(http_answer(gzip.compress(b"x" * 1000), "Content-Encoding: gzip")) as server:
        assert (await dev.get(f"http://localhost:{server.port}/", max_bytes=1000)).body == b"x" * 1000


@pytest.mark.parametrize("packed", [b"not packed at all", gzip.compress(b"x")[:10] + b"\xff" * 99])
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_what_does_not_decompress(dev: HttpClient, packed: bytes, encoding: str) -> None:
    async with raw_server(http_answer(packed, f"Content-Encoding: {encoding}")) as server:
        with pytest.raises(Unreachable, match="broke off or does not decode"):
            await dev.get(f"http://localhost:{server.port}/", max_bytes=1000)


async def test_leaving_a_stream_closes_it(dev: HttpClient) -> None:
    async with raw_server(endless("Transfer-Encoding: chunked", b"400\r\n" + b"x" * 1024 + b"\r\n")) as server:
        async with dev.stream(f"http://localhost:{server.port}/", max_bytes=10**9) as stream:
            async for _ in stream:
                break
        await asyncio.wait_for(server.left.wait(), 5)


# Time


def slowly(*pieces: bytes, pause: float = 0.1, then: float = 60) -> Script:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        await asyncio.sleep(then)

    return script


@pytest.mark.parametrize(
    "script",
    [
        slowly(),
        slowly(b"HTTP/1.1 200 OK\r\n"),
        slowly(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"x"),
        slowly(b"HTTP/1.1 200 OK\r\nX: ", *[b"x"] * 100),
        slowly(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", *[b"x"] * 100),
        slowly(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"1\r\nx\r\n"] * 100),
        slowly(*[b"HTTP/1.1 100 Continue\r\n\r\n"] * 100),
        slowly(b"HTTP/1.1 404 No\r\nContent-Length: 900\r\n\r\n", then=0, pause=60),
    ],
    ids=[
        "silence",
        "half a head",
        "half a body",
        "dripping head",
        "dripping body",
        "dripping chunks",
        "continue",
        "error",
    ],
)
async def test_slow_server(dev: HttpClient, script: Script) -> None:
    started = time.monotonic()
    async with raw_server(script) as server:
        with pytest.raises((Unreachable, BadStatus)):
            await dev.get(f"http://localhost:{server.port}/", max_bytes=1000, total=0.8)
    assert time.monotonic() - started < 8


async def test_a_server_that_stops(dev: HttpClient) -> None:
    async with raw_server(slowly(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")) as server:
        started = time.monotonic()
        with pytest.raises(Unreachable, match="in time"):
            await dev.get(f"http://localhost:{server.port}/", max_bytes=1000, total=60)
    assert time.monotonic() - started < 20


async def test_a_caller_that_is_cancelled_lets_go(dev: HttpClient) -> None:
    async with raw_server(slowly()) as server:
        task = asyncio.create_task(dev.get(f"http://localhost:{server.port}/", max_bytes=1))
        await asyncio.wait_for(server.asked.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.left.wait(), 5)


# Heads


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x" * 20_000 + b": y\r\n\r\n",
        b"HTTP/1.1 200 " + b"O" * 20_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nxx",
        b"HTTP/1.1 99999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX\x00: y\r\n\r\n",
        b"\x00\xff\xfe\r\n\r\n",
    ],
    ids=[
        "long value",
        "long name",
        "long reason",
        "many",
        "ssh",
        "negative",
        "two lengths",
        "long length",
        "status",
        "nul",
        "noise",
    ],
)
async def test_bad_head(dev: HttpClient, answer: bytes) -> None:
    async with raw_server(answer) as server:
        with pytest.raises(BadAnswer):
            await dev.get(f"http://localhost:{server.port}/", max_bytes=1000)


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        ("X: y", b"X: y\r\n" * 1000),
        ("X: y", b"y" * 1000),
        ("Transfer-Encoding: chunked\r\n\r\n0", b"X: y\r\n" * 1000),
        ("Transfer-Encoding: chunked\r\n\r\n1;a=", b"x" * 10_000),
        ("Transfer-Encoding: chunked\r\n\r\n000", b"0" * 10_000),
    ],
    ids=["lines", "line", "trailers", "chunk extension", "chunk size"],
)
async def test_endless_head(dev: HttpClient, head: str, piece: bytes) -> None:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\n{head}".encode())
        while True:
            writer.write(piece)
            await writer.drain()

    async with raw_server(script) as server:
        with pytest.raises((BadAnswer, Unreachable)):
            await dev.get(f"http://localhost:{server.port}/", max_bytes=1000, total=0.5)
