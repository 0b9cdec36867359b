"""Forged frames: bytes that are no frame at all, and frames that are too large."""

import random
from collections.abc import Callable

from tests.writer.cbor import Raw, Value, decode, encode, floating, indefinite, nested, pairs, tagged, wide
from tests.writer.forge.scene import FORGERIES, Forgery, Scene
from tests.writer.repo import message

HEADER: dict[str, Value] = {"op": 1, "t": "#commit"}


def _with_header(header: Value) -> Callable[[random.Random], Forgery]:
    def build(rng: random.Random) -> Forgery:
        scene = Scene.of(rng)
        return scene.forgery(encode(header) + encode(scene.payload()))

    return build


def _with_unknown_field(value: Value) -> Callable[[random.Random], Forgery]:
    def build(rng: random.Random) -> Forgery:
        scene = Scene.of(rng)
        return scene.with_fields(zzz=value)

    return build


def _with_bytes(change: Callable[[bytes], bytes]) -> Callable[[random.Random], Forgery]:
    def build(rng: random.Random) -> Forgery:
        scene = Scene.of(rng)
        return scene.forgery(change(scene.event.frame()))

    return build


_HEADERS: tuple[tuple[str, str, Value], ...] = (
    ("header_not_a_map", "the header is an array", [1, "#commit"]),
    ("header_is_null", "the header is null", None),
    ("header_without_op", "the header has no op", {"t": "#commit"}),
    ("header_op_text", "op is text", {"op": "1", "t": "#commit"}),
    ("header_op_true", "op is true, which Python takes for 1", {"op": True, "t": "#commit"}),
    ("header_without_t", "a message has no t", {"op": 1}),
    ("header_t_integer", "t is an integer", {"op": 1, "t": 7}),
    ("header_op_float", "op is 1.0", {"op": floating(1.0), "t": "#commit"}),
    ("header_op_wide", "op in two bytes where one would do", {"op": wide(1, 1), "t": "#commit"}),
    ("header_unsorted", "the header's keys are in the wrong order", pairs([("op", 1), ("t", "#commit")])),
    ("header_repeats_key", "the header says op twice", pairs([("t", "#commit"), ("op", 1), ("op", 1)])),
    ("header_indefinite", "the header is a map of indefinite length", indefinite(HEADER)),
    ("header_key_not_text", "a key of the header is a number", pairs([(1, 1), ("t", "#commit"), ("op", 1)])),
    ("header_deep", "100,000 arrays stand where the header should", nested(100_000)),
)
for _name, _description, _header in _HEADERS:
    FORGERIES.add(f"frame/{_name}", _description, _with_header(_header), "bad_frame")

for _name, _description, _value in (
    ("payload_float", "an unknown field is a float", floating(1.5)),
    ("payload_half_float", "an unknown field is a float of two bytes", floating(1.5, 2)),
    ("payload_nan", "an unknown field is NaN", floating(float("nan"))),
    ("payload_undefined", "an unknown field is undefined", Raw(b"\xf7")),
    ("payload_simple", "an unknown field is an unassigned simple value", Raw(b"\xe0")),
    ("payload_other_tag", "an unknown field is a date, tag 0", tagged(0, "2026-01-01T00:00:00Z")),
    ("payload_bignum", "an unknown field is a bignum, tag 2", tagged(2, b"\x01" + b"\x00" * 8)),
    ("payload_link_without_zero", "an unknown field is a link without its leading zero", tagged(42, b"\x01\x71")),
    ("payload_link_of_text", "an unknown field is a link made of text", tagged(42, "bafy")),
    ("payload_integer_too_large", "an unknown field is 2^64-1", Raw(b"\x1b" + b"\xff" * 8)),
    ("payload_integer_not_shortest", "an unknown field is 23 in two bytes", wide(23, 1)),
    ("payload_indefinite_text", "an unknown field is text of indefinite length", indefinite("x")),
    ("payload_bad_utf8", "an unknown field is text that is not UTF-8", Raw(b"\x62\xc3\x28")),
    ("payload_surrogate", "an unknown field is a lone surrogate in UTF-8", Raw(b"\x63\xed\xa0\x80")),
    ("payload_reserved_length", "an unknown field has the reserved length 28", Raw(b"\x1c")),
    ("payload_length_lies", "an unknown field claims four gigabytes", Raw(b"\x5a\xff\xff\xff\xff")),
    ("payload_count_lies", "an unknown field claims 2^60 elements", Raw(b"\x9b\x10" + b"\x00" * 7)),
    ("payload_deep", "an unknown field is 100,000 arrays deep", nested(100_000)),
    ("payload_deep_maps", "an unknown field is 50,000 maps deep", nested(50_000, b"\xa1\x61a")),
    ("payload_deep_tags", "an unknown field is 50,000 tags deep", nested(50_000, b"\xd8\x2a")),
):
    FORGERIES.add(f"frame/{_name}", _description, _with_unknown_field(_value), "bad_frame")

_CHANGES: tuple[tuple[str, str, Callable[[bytes], bytes]], ...] = (
    ("empty", "no bytes at all", lambda _: b""),
    ("header_alone", "a header and no payload", lambda _: encode(HEADER)),
    ("cut_off", "the last byte is missing", lambda frame: frame[:-1]),
    ("third_object", "a third object follows", lambda frame: frame + encode({})),
    ("trailing_byte", "a stray break byte follows", lambda frame: frame + b"\xff"),
    ("text", "the frame is JSON", lambda _: b'{"op":1,"t":"#commit"}'),
    ("payload_not_a_map", "the payload is an array", lambda _: encode(HEADER) + encode([1])),
    ("payload_is_null", "the payload is null", lambda _: encode(HEADER) + encode(None)),
)
for _name, _description, _change in _CHANGES:
    FORGERIES.add(f"frame/{_name}", _description, _with_bytes(_change), "bad_frame")


@FORGERIES.row("frame/payload_repeats_key", "bad_frame")
def _payload_repeats_key(rng: random.Random) -> Forgery:
    """the payload says seq twice"""
    scene = Scene.of(rng)
    items: list[tuple[Value, Value]] = list(decode(encode(scene.payload())).items())
    at = next(index for index, item in enumerate(items) if item[0] == "seq")
    return scene.forgery(message("#commit", pairs([*items[: at + 1], *items[at:]])))


@FORGERIES.row("frame/payload_unsorted", "bad_frame")
def _payload_unsorted(rng: random.Random) -> Forgery:
    """the payload's keys are in alphabetical order"""
    scene = Scene.of(rng)
    return scene.forgery(message("#commit", pairs(sorted(scene.payload().items()))))


def frame_of_size(rng: random.Random, size: int) -> Forgery:
    """A genuine commit with an unknown field that makes its frame `size` bytes."""
    scene = Scene.of(rng)
    plain = len(scene.with_fields(zzz=bytes(70_000)).frame) - 70_000
    return scene.with_fields(zzz=bytes(size - plain))


FORGERIES.add(
    "frame/too_large",
    "an unknown field makes the frame one byte larger than five million",
    lambda rng: frame_of_size(rng, 5_000_001),
    "frame_too_large",
)
