"""Frames: the careful reader, the quick one, and the messages in what they read."""

from collections.abc import Iterator

from ingester.events import EventError, parse_event
from lexicons.frames import CHEAP_BYTES, FrameError, decode_frame, glance
from tests.fuzz import history
from tests.fuzz.mutation import CBOR_TOKENS, mutate_cbor
from tests.fuzz.target import Target, require
from tests.writer.repo import message


def check(data: bytes) -> bool:
    """Only FrameError, and EventError from `parse_event`; what `decode_frame` accepts, `glance` gives just so."""
    try:
        quick = glance(data)
    except FrameError:
        quick = None
    try:
        frame = decode_frame(data)
    except FrameError:
        return False
    require(quick is not None, "glance refuses a frame that decode_frame accepts")
    require(quick == frame, "glance and decode_frame read different frames")
    try:
        parse_event(frame)
    except EventError:
        return False
    return True


def seeds() -> Iterator[bytes]:
    """Frames of every kind, and two about where `glance` turns strict."""
    yield from history.frames()
    for size in (CHEAP_BYTES - 100, CHEAP_BYTES + 100):
        yield message("#info", {"name": "x", "pad": b"\x00" * size})


TARGET = Target(check, seeds, mutate_cbor, (*CBOR_TOKENS, b"#commit", b"#sync", b"did:plc:"), max_len=20_000)
