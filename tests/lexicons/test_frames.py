import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexicons.cid import CID
from lexicons.drisl import encode
from lexicons.frames import (
    CHEAP_BYTES,
    MAX_FRAME_BYTES,
    Frame,
    FrameError,
    decode_frame,
    encode_error,
    encode_frame,
    glance,
)
from tests.ingester.captured import CAPTURES, frames

HEADER = encode({"op": 1, "t": "#commit"})

REFUSED: dict[str, bytes] = {
    "nothing": b"",
    "a header alone": HEADER,
    "three values": HEADER + b"\xa0\xa0",
    "a byte behind the payload": HEADER + b"\xa0\x00",
    "a break behind the payload": HEADER + b"\xa0\xff",
    "a cut payload": HEADER + b"\xa1\x61a",
    "a header that is an array": b"\x82\x01\x67#commit" + b"\xa0",
    "a header that is null": b"\xf6\xa0",
    "a payload that is an array": HEADER + b"\x80",
    "a payload that is null": HEADER + b"\xf6",
    "a payload that is a text": HEADER + b"\x61a",
    "a header without op": encode({"t": "#commit"}) + b"\xa0",
    "an op that is true": encode({"op": True, "t": "#commit"}) + b"\xa0",
    "an op that is a text": encode({"op": "1", "t": "#commit"}) + b"\xa0",
    "an op that is null": encode({"op": None, "t": "#commit"}) + b"\xa0",
    "an op that is a float": b"\xa2\x61t\x67#commit\x62op\xf9\x3c\x00\xa0",
    "a message without t": encode({"op": 1}) + b"\xa0",
    "a message with an empty t": encode({"op": 1, "t": ""}) + b"\xa0",
    "a message whose t is a number": encode({"op": 1, "t": 5}) + b"\xa0",
    "JSON": b'{"op":1,"t":"#commit"}{}',
    "10^5 arrays": b"\x81" * 100_000,
    "10^5 maps in the payload": HEADER + b"\xa1\x61a" * 100_000 + b"\x00",
    "a claim of four billion": HEADER + b"\xba\xff\xff\xff\xff",
    "a claim of 2^64": HEADER + b"\xa1\x61a\x9b" + b"\xff" * 8,
    "a text that is not UTF-8": HEADER + b"\xa1\x61a\x61\xff",
    "a link of nothing": HEADER + b"\xa1\x61a\xd8\x2a\x40",
}
LOOSE: dict[str, bytes] = {
    "keys out of order": b"\xa2\x62op\x01\x61t\x67#commit\xa0",
    "an integer that is not shortest": HEADER + b"\xa1\x61a\x18\x01",
    "a float": HEADER + b"\xa1\x61a\xfb\x3f\xf8" + bytes(6),
    "an empty key": HEADER + b"\xa1\x60\x01",
    "nesting beyond the limit": HEADER + b"\xa1\x61a" + b"\x81" * 40 + b"\x00",
}


@pytest.mark.parametrize("message", REFUSED.values(), ids=REFUSED)
def test_what_is_not_two_maps_is_refused_by_both_readers(message: bytes) -> None:
    with pytest.raises(FrameError):
        decode_frame(message)
    with pytest.raises(FrameError):
        glance(message)


@pytest.mark.parametrize("message", LOOSE.values(), ids=LOOSE)
def test_what_is_not_canonical_is_refused_at_the_closer_look(message: bytes) -> None:
    with pytest.raises(FrameError):
        decode_frame(message)


def test_a_frame_is_allowed_to_its_limit() -> None:
    padding = MAX_FRAME_BYTES - len(encode_frame("#commit", {"a": bytes(70_000)})) + 70_000
    frame = encode_frame("#commit", {"a": bytes(padding)})
    assert len(frame) == MAX_FRAME_BYTES
    for read in (decode_frame, glance):
        assert len(read(frame).payload["a"]) == padding
        with pytest.raises(FrameError):
            read(encode_frame("#commit", {"a": bytes(padding + 1)}))


@pytest.mark.parametrize("op", [0, 2, 7, -2, 2**53, -(2**63)])
@pytest.mark.parametrize("header", [{}, {"t": "#commit"}, {"t": None}, {"t": 5}, {"new": {}}])
def test_an_op_from_the_future_is_a_frame_that_is_not_known(op: int, header: dict[str, Any]) -> None:
    frame = decode_frame(encode({"op": op, **header}) + encode({"x": 1}))
    assert not frame.is_known
    assert frame.op == op
    assert glance(encode({"op": op, **header}) + encode({"x": 1})) == frame


def test_unknown_fields_and_types_are_frames() -> None:
    frame = decode_frame(encode({"op": 1, "t": "#new", "v": 2}) + encode({"seq": 1, "x": [CID.of(b"")]}))
    assert frame == Frame(1, "#new", {"seq": 1, "x": [CID.of(b"")]})
    assert frame.is_known


def test_what_is_written_is_what_is_read() -> None:
    payload = {"seq": 1, "commit": CID.of(b"x"), "blocks": b"\x00", "since": None}
    assert decode_frame(encode_frame("#commit", payload)) == Frame(1, "#commit", payload)
    assert decode_frame(encode_error("FutureCursor")) == Frame(-1, None, {"error": "FutureCursor"})
    error = {"error": "ConsumerTooSlow", "message": "no"}
    assert decode_frame(encode_error("ConsumerTooSlow", "no")) == Frame(-1, None, error)


@pytest.mark.parametrize("name", CAPTURES)
def test_both_readers_see_the_same_in_what_was_captured(name: str) -> None:
    for message in frames(name)[:300]:
        frame, glimpse = decode_frame(message), glance(message)
        assert frame == glimpse  # a link equals its bytes
        assert encode({"op": frame.op} | ({"t": frame.t} if frame.t else {})) + encode(frame.payload) == message


def test_a_small_frame_cannot_take_much_memory() -> None:
    claims = bytearray(HEADER + b"\xa1\x61a")
    while len(claims) < CHEAP_BYTES - 3:
        claims += b"\x99" + (CHEAP_BYTES - len(claims) - 3).to_bytes(2)
    tracemalloc.start()
    try:
        with pytest.raises(FrameError):
            glance(bytes(claims))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200_000_000


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda tail: HEADER + tail))
def test_random_bytes_are_a_frame_or_a_frame_error(message: bytes) -> None:
    _only_frame_errors(message)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_captured_frame_with_a_byte_changed_is_a_frame_or_a_frame_error(data: st.DataObject) -> None:
    message = bytearray(data.draw(st.sampled_from(frames("live-pds1"))))
    message[data.draw(st.integers(0, len(message) - 1))] ^= data.draw(st.integers(1, 255))
    _only_frame_errors(bytes(message))


def _only_frame_errors(message: bytes) -> None:
    """Neither reader raises anything else, and what the strict one takes the other takes too, for the same."""
    try:
        frame = decode_frame(message)
    except FrameError:
        try:
            glance(message)
        except FrameError:
            return
    else:
        assert glance(message) == frame
