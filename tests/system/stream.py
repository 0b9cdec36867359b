"""An event stream as a server has it: frames with growing seqs, kept, and sent to whoever subscribes."""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import TypeAlias

from aiohttp import web

from tests.writer.repo import error, info

CLOSE_POLICY = 1008

Wire: TypeAlias = Callable[[bytes], Iterable[bytes]]
"""What becomes of a frame on its way: the frames that arrive when it is sent."""


class Stream:
    """The frames of one host, in order; `serve` is its subscribeRepos."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.seqs: list[int] = []
        self.subscribers = 0
        self.wire: Wire | None = None
        """Between us and whoever subscribes; where there is none, all arrives as it is sent."""
        self.admits_gaps = True
        """Whether a subscriber is told that what its cursor asks for is not kept any more."""
        self._dids: list[str | None] = []
        self._forgotten = 0
        self._more = asyncio.Event()

    @property
    def head(self) -> int:
        """The newest seq; 0 before the first."""
        return self.seqs[-1] if self.seqs else self._forgotten

    def append(self, seq: int, frame: bytes, did: str | None = None) -> None:
        """Send `frame`, about `did`, to all who listen, now and later; ValueError when `seq` does not grow."""
        if seq <= self.head:
            raise ValueError(f"seq {seq} does not follow {self.head}")
        self.seqs.append(seq)
        self.frames.append(frame)
        self._dids.append(did)
        more, self._more = self._more, asyncio.Event()
        more.set()

    def forget(self, seq: int) -> list[tuple[int, bytes]]:
        """Keep nothing up to `seq` any more, as a replay window has an end; the frames that go, with their seqs."""
        count = bisect_right(self.seqs, seq)
        self._forgotten = max(self._forgotten, min(seq, self.head))
        gone = list(zip(self.seqs[:count], self.frames[:count], strict=True))
        del self.seqs[:count], self.frames[:count], self._dids[:count]
        return gone

    def purge(self, did: str) -> None:
        """Keep of what was about `did` the last frame alone, as the reference PDS does with a deleted account."""
        about = [place for place, other in enumerate(self._dids) if other == did]
        for place in reversed(about[:-1]):
            del self.seqs[place], self.frames[place], self._dids[place]

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Everything after the cursor, as the reference PDS has it, then what comes; without one, what comes."""
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        cursor = int(request.query.get("cursor", self.head))
        if cursor > self.head:
            await socket.send_bytes(error("FutureCursor", "Cursor in the future."))
            await socket.close(code=CLOSE_POLICY, message=b"FutureCursor")
            return socket
        if cursor < self._forgotten and self.admits_gaps:
            await socket.send_bytes(info("OutdatedCursor", "Requested cursor exceeded limit."))
        self.subscribers += 1
        sending = asyncio.create_task(self._send(socket, cursor))
        try:
            await socket.receive()  # answers pings meanwhile; a subscriber has nothing else to say than goodbye
        finally:
            self.subscribers -= 1
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        return socket

    async def _send(self, socket: web.WebSocketResponse, sent: int) -> None:
        while True:
            more = self._more
            while (place := bisect_right(self.seqs, sent)) < len(self.seqs):
                sent, frame = self.seqs[place], self.frames[place]
                for arriving in (frame,) if self.wire is None else self.wire(frame):
                    await socket.send_bytes(arriving)
            await more.wait()
