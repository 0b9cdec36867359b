"""Raw event-stream frames: taken from a subscribeRepos, looked into, kept in files."""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libipld
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

SUBSCRIBE_REPOS = "/xrpc/com.atproto.sync.subscribeRepos"
PATIENCE_SECONDS = 20.0
CLOSE_SECONDS = 0.2  # for a server's goodbye: Arroba looks up from an idle stream every 10 s


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of an event stream: its bytes, and what their envelope says (blocks stay packed)."""

    raw: bytes
    header: dict[str, Any]
    body: dict[str, Any]

    @classmethod
    def read(cls, raw: bytes) -> "Frame":
        """Decode the two DAG-CBOR objects of a message; ValueError when it does not hold just these."""
        header, body = libipld.decode_dag_cbor_multi(raw)
        return cls(raw, header, body)

    @property
    def kind(self) -> str:
        """`#commit`, `#sync`, `#account` ... of a message, `error` of an error frame."""
        return str(self.header["t"]) if self.header["op"] == 1 else "error"

    @property
    def seq(self) -> int:
        """The sequence number; 0 where there is none (`#info` and errors)."""
        return int(self.body.get("seq", 0))

    @property
    def did(self) -> str | None:
        """The account that it is about, under whichever of its two names it stands."""
        return self.body.get("did") or self.body.get("repo")


class FrameStream:
    """An open subscription. Its methods end early, with what they have, when the server closes it."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def next(self, seconds: float = PATIENCE_SECONDS) -> Frame | None:
        """The next frame, or None when the server has closed the stream; TimeoutError after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                message = await self._connection.recv(decode=False)
        except ConnectionClosed:
            return None
        return Frame.read(message)

    async def until_seq(self, seq: int) -> list[Frame]:
        """The frames up to and with sequence number `seq`; TimeoutError when one is too long in coming."""
        frames: list[Frame] = []
        while not frames or frames[-1].seq < seq:
            frame = await self.next()
            if frame is None:
                break
            frames.append(frame)
        return frames

    async def until_idle(self, seconds: float) -> list[Frame]:
        """The frames that come until none has come for `seconds`."""
        frames: list[Frame] = []
        try:
            while frame := await self.next(seconds):
                frames.append(frame)
        except TimeoutError:
            pass
        return frames


@asynccontextmanager
async def subscribe(url: str, cursor: int | None = None) -> AsyncIterator[FrameStream]:
    """Subscribe to the repos of the PDS or relay at `url` (http), from after `cursor`; without one, from now on."""
    address = url.replace("http", "ws", 1) + SUBSCRIBE_REPOS + ("" if cursor is None else f"?cursor={cursor}")
    async with connect(address, max_size=None, compression=None, close_timeout=CLOSE_SECONDS) as connection:
        yield FrameStream(connection)


def write_frames(path: Path, frames: Iterable[bytes]) -> None:
    """Write frames as a frames file: a big-endian u32 length before each."""
    path.write_bytes(b"".join(struct.pack(">I", len(frame)) + frame for frame in frames))


def read_frames(path: Path) -> list[Frame]:
    """Read a frames file; ValueError when it is cut short."""
    data = memoryview(path.read_bytes())
    frames = []
    while data:
        if len(data) < 4 or len(data) - 4 < (length := struct.unpack_from(">I", data)[0]):
            raise ValueError(f"{path.name} ends within a frame.")
        frames.append(Frame.read(bytes(data[4 : 4 + length])))
        data = data[4 + length :]
    return frames
