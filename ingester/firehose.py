"""One connection to a relay or PDS: `com.atproto.sync.subscribeRepos` from a cursor on, message by message."""

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from picows import (
    WSAutoPingStrategy,
    WSError,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,
)

from lexicons.frames import MAX_FRAME_BYTES, FrameError

SUBSCRIBE: Final = "/xrpc/com.atproto.sync.subscribeRepos"
PING_SECONDS: Final = 30.0
PONG_SECONDS: Final = 15.0
CONNECT_SECONDS: Final = 15.0
MAX_MESSAGE_BYTES: Final = 4 * MAX_FRAME_BYTES
"""Of a message that is too long for a frame, as much is read as it takes to know it when it comes again."""


class StreamError(ConnectionError):
    """The connection could not be made, or ended; the message says how. What was taken before it counts."""


def subscribe_url(host: str, cursor: int | None) -> str:
    """The address to follow `host` (`wss://…`, `ws://…`, `https://…` or `http://…`) from.

    Without a cursor the stream begins now; with 0, at the oldest that there is: not the same (ES-21).
    """
    scheme, netloc, path, _, _ = urlsplit(host)
    scheme = {"https": "wss", "http": "ws"}.get(scheme, scheme)
    query = "" if cursor is None else f"cursor={cursor}"
    return urlunsplit((scheme, netloc, path.rstrip("/") + SUBSCRIBE, query, ""))


class Flow:
    """The tap of a connection: told when it stands, and turned off and on by whoever cannot keep up."""

    def __init__(self, on_live: Callable[[], None]) -> None:
        self._on_live = on_live
        self._transport: WSTransport | None = None
        self._is_paused = False

    @property
    def is_paused(self) -> bool:
        """Whether we do not read at present."""
        return self._is_paused

    def attach(self, transport: WSTransport | None) -> None:
        """The connection stands, or is gone (None)."""
        self._transport = transport
        if transport is not None:
            self._on_live()
            if self._is_paused:
                transport.underlying_transport.pause_reading()

    def pause(self) -> None:
        """Read no more until `resume`; what has been read already still comes."""
        if not self._is_paused and self._transport is not None:
            self._transport.underlying_transport.pause_reading()
        self._is_paused = True

    def resume(self) -> None:
        """Go on reading."""
        if self._is_paused and self._transport is not None:
            self._transport.underlying_transport.resume_reading()
        self._is_paused = False


def _raise(_message: bytes, error: FrameError) -> None:
    raise error


async def follow(
    host: str,
    take: Callable[[bytes], None],
    *,
    cursor: int | None = None,
    flow: Flow | None = None,
    refuse: Callable[[bytes, FrameError], None] = _raise,
) -> None:
    """Give each message of `host` after `cursor` to `take`, in order, until the stream ends.

    `take` runs within the read of the socket: it is quick, or it hands on, and turns `flow` off when it has too much.
    `refuse` is given what by its form alone is no frame, and why: it raises that, or passes it over.
    Returns when the server closes in order.
    Raises StreamError when the connection fails, and what `take` raises: FrameError for what is no frame, among others.
    Cancelling closes the connection.
    """
    listener = _Listener(take, refuse, flow)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            transport, _ = await ws_connect(
                lambda: listener,
                subscribe_url(host, cursor),
                max_frame_size=MAX_MESSAGE_BYTES,
                enable_auto_ping=True,
                auto_ping_idle_timeout=PING_SECONDS,
                auto_ping_reply_timeout=PONG_SECONDS,
                auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
                # Whoever answers for a host that the operator named is asked, and nobody that it names instead.
                max_redirects=0,
                logger_name="plyr.firehose",
            )
    except (OSError, WSError, TimeoutError, ValueError) as error:
        # ValueError: an address, or an answer, that Python's own parsers refuse.
        listener.hang_up()
        raise StreamError(f"{host} cannot be followed: {str(error) or type(error).__name__}") from error
    except asyncio.CancelledError:
        listener.hang_up()
        raise
    try:
        await transport.wait_disconnected()
    except WSError as error:
        raise StreamError(f"{host} broke off: {error}") from error
    finally:
        listener.hang_up()
        if flow is not None:
            flow.attach(None)
    # The stubs say that there always is a handshake; there is none where the connection was lost before one began.
    if getattr(transport.close_handshake, "recv", None) is None:
        raise StreamError(f"{host} broke off without a word")


class _Listener(WSListener):
    """Puts messages together from their WebSocket frames; after the first failure nothing more is taken."""

    def __init__(
        self, take: Callable[[bytes], None], refuse: Callable[[bytes, FrameError], None], flow: Flow | None
    ) -> None:
        super().__init__()
        self._take = take
        self._refuse = refuse
        self._flow = flow
        self._parts = bytearray()
        self._is_text = False
        self._transport: WSTransport | None = None
        self._over = False

    def hang_up(self) -> None:
        """Close the connection; one still being made, which goes on without its waiter, as soon as it stands."""
        self._over = True
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        if self._over:
            transport.disconnect(graceful=False)
        elif self._flow is not None:
            self._flow.attach(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if self._over:
            return
        # What is raised from here closes the connection and comes out of `wait_disconnected`, but frames that were read
        # together with this one would still be given to us.
        self._over = True
        kind = frame.msg_type
        if kind == WSMsgType.BINARY and frame.fin and frame.payload_size <= MAX_FRAME_BYTES:
            self._take(frame.get_payload_as_bytes())
        elif kind in (WSMsgType.BINARY, WSMsgType.TEXT, WSMsgType.CONTINUATION):
            if kind != WSMsgType.CONTINUATION:
                self._is_text = kind == WSMsgType.TEXT
            self._put_together(frame)
        elif kind == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        self._over = False

    def _put_together(self, frame: WSFrame) -> None:
        self._parts += frame.get_payload_as_bytes()
        if len(self._parts) > MAX_MESSAGE_BYTES:
            raise FrameError(f"a message is longer than {MAX_MESSAGE_BYTES} bytes")
        if not frame.fin:
            return
        message, self._parts = bytes(self._parts), bytearray()
        if self._is_text:
            self._refuse(message, FrameError("a text message is no frame"))
        elif len(message) > MAX_FRAME_BYTES:
            self._refuse(message, FrameError(f"a frame of {len(message)} bytes is longer than {MAX_FRAME_BYTES}"))
        else:
            self._take(message)
