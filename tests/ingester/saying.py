"""Servers that say what they are told to, whoever asks from wherever."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from websockets.asyncio.server import ServerConnection, serve

from tests.ingester.world import World
from tests.writer.cbor import Value, encode


def message(t: str, **payload: Value) -> bytes:
    """A frame of this type."""
    return encode({"op": 1, "t": t}) + encode(payload)


@asynccontextmanager
async def saying(*frames: bytes) -> AsyncIterator[str]:
    """A server that sends these frames to everybody, whatever the cursor."""
    async with in_turn(frames) as url:
        yield url


@asynccontextmanager
async def in_turn(*connections: Sequence[bytes | str]) -> AsyncIterator[str]:
    """A server that sends these messages to the first that connects, those to the second, and closes in between; the
    last ones it sends to everybody who comes later.
    """
    left = list(connections)

    async def behave(connection: ServerConnection) -> None:
        is_last = len(left) == 1
        for frame in left[0] if is_last else left.pop(0):
            await connection.send(frame)
        if is_last:
            await connection.wait_closed()

    async with serve(behave, "127.0.0.1", 0, compression=None) as listening:
        yield f"ws://127.0.0.1:{next(iter(listening.sockets)).getsockname()[1]}"


async def standing_at(there: World, url: str, seq: int) -> None:
    """Let an upstream be one that was followed up to `seq`."""
    await there.connection.execute("insert into upstreams values ('0/1', $1, $2)", url, seq)
