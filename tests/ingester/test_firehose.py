"""One connection of the firehose, against a WebSocket server of another library."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from ingester.firehose import StreamError, follow, subscribe_url
from lexicons.frames import MAX_FRAME_BYTES, FrameError

Behaviour = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def server(behave: Behaviour) -> AsyncIterator[str]:
    async with serve(behave, "127.0.0.1", 0, max_size=None, compression=None) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}"


def sending(*messages: bytes | str) -> Behaviour:
    async def behave(connection: ServerConnection) -> None:
        for message in messages:
            await connection.send(message)

    return behave


def ignore(_: bytes) -> None:
    """Takes whatever comes."""


def test_no_cursor_and_cursor_nought_are_not_the_same() -> None:
    assert subscribe_url("wss://relay.test", None) == "wss://relay.test/xrpc/com.atproto.sync.subscribeRepos"
    assert subscribe_url("wss://relay.test", 0) == "wss://relay.test/xrpc/com.atproto.sync.subscribeRepos?cursor=0"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("https://relay.test", "wss://relay.test/xrpc/com.atproto.sync.subscribeRepos?cursor=7"),
        ("http://localhost:2583/", "ws://localhost:2583/xrpc/com.atproto.sync.subscribeRepos?cursor=7"),
    ],
)
def test_a_host_may_be_given_as_a_web_address(host: str, url: str) -> None:
    assert subscribe_url(host, 7) == url


async def test_messages_come_whole_and_in_order() -> None:
    messages = [bytes([n % 256]) * (n * 37) for n in range(300)]
    taken: list[bytes] = []
    async with server(sending(*messages)) as host:
        await follow(host, taken.append)
    assert taken == messages


async def test_the_cursor_is_asked_for() -> None:
    asked: list[str] = []

    async def behave(connection: ServerConnection) -> None:
        asked.append(connection.request.path if connection.request else "")

    async with server(behave) as host:
        await follow(host, ignore, cursor=41)
    assert asked == ["/xrpc/com.atproto.sync.subscribeRepos?cursor=41"]


async def test_a_message_in_pieces_is_put_together() -> None:
    taken: list[bytes] = []

    async def behave(connection: ServerConnection) -> None:
        await connection.send([b"one ", b"message", b" of three"])
        await connection.send(b"and another")

    async with server(behave) as host:
        await follow(host, taken.append)
    assert taken == [b"one message of three", b"and another"]


async def test_a_frame_at_the_limit_is_taken() -> None:
    sizes: list[int] = []
    async with server(sending(bytes(MAX_FRAME_BYTES))) as host:
        await follow(host, lambda message: sizes.append(len(message)))
    assert sizes == [MAX_FRAME_BYTES]


@pytest.mark.parametrize("in_pieces", [False, True])
async def test_a_frame_over_the_limit_ends_the_connection(in_pieces: bool) -> None:
    taken: list[bytes] = []

    async def behave(connection: ServerConnection) -> None:
        half = bytes(MAX_FRAME_BYTES // 2 + 1)
        await connection.send([half, half] if in_pieces else half + half)

    async with server(behave) as host:
        with pytest.raises((FrameError, StreamError)):
            await follow(host, taken.append)
    assert taken == []


async def test_a_text_message_is_no_frame() -> None:
    async with server(sending(b"first", "text", b"after")) as host:
        taken: list[bytes] = []
        with pytest.raises(FrameError, match="text"):
            await follow(host, taken.append)
    assert taken == [b"first"]


async def test_what_the_taker_raises_comes_out_and_nothing_more_is_taken() -> None:
    taken: list[bytes] = []

    def take(message: bytes) -> None:
        taken.append(message)
        if len(taken) == 3:
            raise FrameError("the third is bad")

    async with server(sending(*[b"x"] * 100)) as host:
        with pytest.raises(FrameError, match="third"):
            await follow(host, take)
    assert len(taken) == 3


async def test_a_connection_that_breaks_off_is_an_error() -> None:
    async def behave(connection: ServerConnection) -> None:
        await connection.send(b"first")
        connection.transport.abort()

    async with server(behave) as host:
        with pytest.raises(StreamError):
            await follow(host, ignore)


async def test_nobody_listening_is_an_error_in_one_sentence() -> None:
    async with server(sending()) as host:
        pass
    with pytest.raises(StreamError, match="cannot be followed"):
        await follow(host, ignore)


async def test_an_address_that_speaks_no_websocket_is_an_error() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(StreamError, match="501"):
            await follow(f"ws://127.0.0.1:{port}", ignore)


@pytest.mark.parametrize(
    "location",
    ["http://[::1", "ws://127.0.0.1:99999999/", "gopher://127.0.0.1/", "ws://127.0.0.1:1/"],
    ids=["no address", "no port", "no scheme of ours", "another place"],
)
async def test_a_redirect_is_an_error_and_is_not_followed(location: str) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(StreamError, match="302"):
            await follow(f"ws://127.0.0.1:{port}", ignore)


async def test_an_address_that_is_none_is_an_error() -> None:
    with pytest.raises(StreamError, match="cannot be followed"):
        await follow("ws://127.0.0.1:99999999", ignore)


async def test_cancelling_closes_the_connection() -> None:
    closed = asyncio.Event()
    opened = asyncio.Event()

    async def behave(connection: ServerConnection) -> None:
        opened.set()
        await connection.wait_closed()
        closed.set()

    async with server(behave) as host:
        following = asyncio.create_task(follow(host, ignore))
        await opened.wait()
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following
        await asyncio.wait_for(closed.wait(), 5)
