"""Event-stream framing, both ways: a WebSocket message is two DRISL objects, header and payload (ES-10 to ES-15)."""

from dataclasses import dataclass
from typing import Any

import libipld

from lexicons.cid import DataError
from lexicons.drisl import decode_at, encode

MAX_FRAME_BYTES = 5_000_000
"""The hard limit of a frame (ES-50)."""
CHEAP_BYTES = 8_192
"""Above this, `glance` decodes strictly too: libipld allocates what nested arrays say they hold before it looks."""

MESSAGE = 1
ERROR = -1


class FrameError(ValueError):
    """The message is no frame; a live connection drops on it, since nothing behind it can be trusted (ES-13)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame: `op` 1 with `t` such as `#commit`, or `op` -1 for an error; others are from the future (ES-12)."""

    op: int
    t: str | None
    payload: dict[str, Any]

    @property
    def is_known(self) -> bool:
        """Whether `op` is one that the protocol has; a frame with another is ignored, not refused."""
        return self.op in (MESSAGE, ERROR)


def decode_frame(message: bytes) -> Frame:
    """The frame in one binary WebSocket message. Raises FrameError for anything but two canonical maps."""
    if len(message) > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {len(message)} bytes is longer than {MAX_FRAME_BYTES}")
    try:
        header, middle = decode_at(message, 0)
        payload, end = decode_at(message, middle)
    except DataError as error:
        raise FrameError(f"the frame is not DRISL: {error}") from None
    if end != len(message):
        raise FrameError("something follows the payload")
    return _framed(header, payload)


def glance(message: bytes) -> Frame:
    """The frame as `decode_frame` gives it, three times faster and good only for deciding whether to look closer.

    Links come as plain bytes, and some encodings pass that are not canonical. Raises FrameError.
    """
    if len(message) > CHEAP_BYTES:
        return decode_frame(message)
    try:
        header, payload = libipld.decode_dag_cbor_multi(message)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"the frame is not DRISL: {error}") from None
    return _framed(header, payload)


def _framed(header: Any, payload: Any) -> Frame:
    if type(header) is not dict or type(payload) is not dict:
        raise FrameError("the header or the payload is not a map")
    op, t = header.get("op"), header.get("t")
    if type(op) is not int:
        raise FrameError("the header has no op")
    if op == MESSAGE and (type(t) is not str or not t):
        raise FrameError("the header of a message has no t")
    return Frame(op, t if type(t) is str else None, payload)


def encode_frame(t: str, payload: dict[str, Any]) -> bytes:
    """A message frame: `t` with its hash sign, the payload without `$type`."""
    return encode({"op": MESSAGE, "t": t}) + encode(payload)


def encode_error(error: str, message: str | None = None) -> bytes:
    """An error frame, the last one before the server closes (ES-15)."""
    body = {"error": error} if message is None else {"error": error, "message": message}
    return encode({"op": ERROR}) + encode(body)
