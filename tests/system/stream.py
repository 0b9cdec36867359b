"""An event stream as a server has it: frames with growing seqs, kept, and sent to whoever subscribes."""

import asyncio
from bisect import bisect_right

from aiohttp import web

from tests.writer.repo import error

CLOSE_POLICY = 1008


class Stream:
    """The frames of one host, in order; `serve` is its subscribeRepos."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.seqs: list[int] = []
        self.subscribers = 0
        self._more = asyncio.Event()

    @property
    def head(self) -> int:
        """The newest seq; 0 before the first."""
        return self.seqs[-1] if self.seqs else 0

    def append(self, seq: int, frame: bytes) -> None:
        """Send `frame` to all who listen, now and later; ValueError when `seq` does not grow."""
        if seq <= self.head:
            raise ValueError(f"seq {seq} does not follow {self.head}")
        self.seqs.append(seq)
        self.frames.append(frame)
        more, self._more = self._more, asyncio.Event()
        more.set()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Everything after the cursor, as the reference PDS has it, then what comes; without one, what comes."""
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        cursor = int(request.query.get("cursor", self.head))
        if cursor > self.head:
            await socket.send_bytes(error("FutureCursor", "Cursor in the future."))
            await socket.close(code=CLOSE_POLICY, message=b"FutureCursor")
            return socket
        self.subscribers += 1
        sending = asyncio.create_task(self._send(socket, cursor))
        try:
            await socket.receive()  # answers pings meanwhile; a subscriber has nothing else to say than goodbye
        finally:
            self.subscribers -= 1
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        return socket

    async def _send(self, socket: web.WebSocketResponse, cursor: int) -> None:
        position = bisect_right(self.seqs, cursor)
        while True:
            more = self._more
            for frame in self.frames[position:]:
                await socket.send_bytes(frame)
                position += 1
            await more.wait()
