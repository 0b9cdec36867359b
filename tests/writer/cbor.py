"""Canonical DRISL (DAG-CBOR) in both directions, and the many ways of getting it wrong on purpose.

`encode` and `decode` know nothing but the canonical form (RD-20..22); `Raw` is the one door through which a forgery
puts other bytes into an encoded value, and the functions under it make the usual wrong ones.
"""

import base64
import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

Value: TypeAlias = "bool | int | str | bytes | Sequence[Value] | Mapping[str, Value] | None"

UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE = range(8)
DAG_CBOR, RAW_CODEC = 0x71, 0x55
MAX_DEPTH = 200


class CborError(ValueError):
    """Bytes that are not canonical DRISL, or a value that has no such form."""


class Link(bytes):
    """The binary form of a CID; it encodes as tag 42, where plain bytes encode as a byte string."""

    __slots__ = ()

    def __str__(self) -> str:
        return "b" + base64.b32encode(self).decode().lower().rstrip("=")

    def __repr__(self) -> str:
        return f"Link({self})"


class Raw(bytes):
    """Ready-made CBOR, put into the output as it stands: how every forgery gets in."""

    __slots__ = ()


def cid_of(data: bytes, codec: int = DAG_CBOR) -> Link:
    """The blessed CID of a block: version 1, SHA-256 (RD-10)."""
    return Link(bytes((1, codec, 0x12, 0x20)) + hashlib.sha256(data).digest())


def link_from_text(text: str) -> Link:
    """The CID that base32 `text` (`b…`) names."""
    body = text[1:].upper()
    return Link(base64.b32decode(body + "=" * (-len(body) % 8)))


@lru_cache(maxsize=4096)
def head(major: int, argument: int) -> bytes:
    """The shortest head that says `argument` in major type `major`."""
    if argument < 24:
        return bytes((major << 5 | argument,))
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << 8 * size:
            return wide_head(major, argument, info, size)
    raise CborError("An argument does not fit in 64 bits.")


def wide_head(major: int, argument: int, info: int, size: int) -> bytes:
    """A head with its argument in `size` bytes, needed or not."""
    return bytes((major << 5 | info,)) + argument.to_bytes(size, "big")


@lru_cache(maxsize=4096)
def _key_order(keys: tuple[str, ...]) -> tuple[tuple[str, bytes], ...]:
    """The keys of a map in canonical order (shorter first, then bytewise: RD-21), each with its encoding."""
    encoded = [(key, head(TEXT, len(key.encode())) + key.encode()) for key in keys]
    return tuple(sorted(encoded, key=lambda pair: pair[1]))


def encode(value: Value) -> bytes:
    """The one canonical encoding of `value`; CborError for floats, other types and integers beyond 64 bits signed."""
    out: list[bytes] = []
    _write(value, out)
    return b"".join(out)


def _write(value: Value, out: list[bytes]) -> None:
    if isinstance(value, str):
        text = value.encode()
        out += (head(TEXT, len(text)), text)
    elif isinstance(value, Raw):
        out.append(value)
    elif isinstance(value, Link):
        out += (b"\xd8\x2a", head(BYTES, len(value) + 1), b"\x00", value)
    elif isinstance(value, bytes):
        out += (head(BYTES, len(value)), value)
    elif value is None or isinstance(value, bool):
        out.append({None: b"\xf6", False: b"\xf4", True: b"\xf5"}[value])
    elif isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 63:
            raise CborError("An integer is outside 64 bits signed.")
        out.append(head(UNSIGNED, value) if value >= 0 else head(NEGATIVE, -1 - value))
    elif isinstance(value, Mapping):
        out.append(head(MAP, len(value)))
        for key, encoded in _key_order(tuple(value)):
            out.append(encoded)
            _write(value[key], out)
    elif isinstance(value, Sequence):
        out.append(head(ARRAY, len(value)))
        for item in value:
            _write(item, out)
    else:
        raise CborError(f"A {type(value).__name__} has no DRISL form.")


def decode(data: bytes) -> Any:
    """The value of exactly one canonical object; CborError for anything else, trailing bytes included."""
    value, end = decode_first(data)
    if end != len(data):
        raise CborError("Bytes follow the object.")
    return value


def decode_first(data: bytes, start: int = 0, depth: int = 0) -> tuple[Any, int]:
    """The canonical object that begins at `start`, and where it ends."""
    if depth > MAX_DEPTH:
        raise CborError("The nesting is too deep.")
    major, argument, at = _read_head(data, start)
    if major == UNSIGNED:
        return _in_range(argument), at
    if major == NEGATIVE:
        return _in_range(-1 - argument), at
    if major in (BYTES, TEXT):
        if at + argument > len(data):
            raise CborError("A string runs past the end.")
        raw = data[at : at + argument]
        return (raw if major == BYTES else _text(raw)), at + argument
    if major == ARRAY:
        items = []
        for _ in range(argument):
            item, at = decode_first(data, at, depth + 1)
            items.append(item)
        return items, at
    if major == MAP:
        return _read_map(data, at, argument, depth)
    if major == TAG:
        content, at = decode_first(data, at, depth + 1)
        if argument != 42 or type(content) is not bytes or content[:1] != b"\x00":
            raise CborError("A tag is not a CID link.")
        return Link(content[1:]), at
    return {20: False, 21: True, 22: None}[argument], at


def _read_head(data: bytes, at: int) -> tuple[int, int, int]:
    if at >= len(data):
        raise CborError("The input ends too soon.")
    major, info = data[at] >> 5, data[at] & 31
    if major == SIMPLE:
        if info not in (20, 21, 22):
            raise CborError("A float or a simple value other than false, true and null.")
        return major, info, at + 1
    if info < 24:
        return major, info, at + 1
    if info > 27:
        raise CborError("An indefinite or reserved length.")
    size = 1 << info - 24
    argument = int.from_bytes(data[at + 1 : at + 1 + size], "big")
    if at + 1 + size > len(data) or head(major, argument) != data[at : at + 1 + size]:
        raise CborError("A head is cut off or not in its shortest form.")
    return major, argument, at + 1 + size


def _read_map(data: bytes, at: int, count: int, depth: int) -> tuple[dict[str, Any], int]:
    result: dict[str, Any] = {}
    previous = b""
    for _ in range(count):
        key, end = decode_first(data, at, depth + 1)
        if type(key) is not str:
            raise CborError("A map key is not text.")
        if data[at:end] <= previous:
            raise CborError("Map keys are unsorted or repeated.")
        previous = data[at:end]
        result[key], at = decode_first(data, end, depth + 1)
    return result, at


def _in_range(number: int) -> int:
    if not -(1 << 63) <= number < 1 << 63:
        raise CborError("An integer is outside 64 bits signed.")
    return number


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise CborError("A text is not UTF-8.") from error


def wide(number: int, size: int = 8) -> Raw:
    """A non-negative integer in `size` bytes though fewer would do."""
    return Raw(wide_head(UNSIGNED, number, {1: 24, 2: 25, 4: 26, 8: 27}[size], size))


def floating(number: float, size: int = 8) -> Raw:
    """A float of 2, 4 or 8 bytes."""
    code, letter = {2: (0xF9, ">e"), 4: (0xFA, ">f"), 8: (0xFB, ">d")}[size]
    return Raw(bytes((code,)) + struct.pack(letter, number))


def pairs(items: Iterable[tuple[Value, Value]]) -> Raw:
    """A map with its entries in the order given: unsorted, repeated and non-text keys stay as they are."""
    listed = list(items)
    return Raw(head(MAP, len(listed)) + b"".join(encode(key) + encode(value) for key, value in listed))


def indefinite(value: Mapping[str, Value] | Sequence[Value] | str | bytes) -> Raw:
    """The value with an indefinite length: strings as one chunk, maps in canonical key order."""
    if isinstance(value, str | bytes):
        major = TEXT if isinstance(value, str) else BYTES
        return Raw(bytes((major << 5 | 31,)) + encode(value) + b"\xff")
    if isinstance(value, Mapping):
        body = b"".join(encoded + encode(value[key]) for key, encoded in _key_order(tuple(value)))
        return Raw(b"\xbf" + body + b"\xff")
    return Raw(b"\x9f" + b"".join(encode(item) for item in value) + b"\xff")


def tagged(number: int, value: Value) -> Raw:
    """Any tag around any value."""
    return Raw(head(TAG, number) + encode(value))


def nested(depth: int, opening: bytes = b"\x81", core: bytes = b"\xf6") -> Raw:
    """`depth` containers around `core`: canonical, and death to a recursive decoder."""
    return Raw(opening * depth + core)
