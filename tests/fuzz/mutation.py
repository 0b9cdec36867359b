"""Changing inputs: blindly, byte by byte, and by value, so that what comes out is still (nearly) CBOR."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from tests.fuzz.target import Havoc
from tests.writer.cbor import (
    BYTES,
    TEXT,
    CborError,
    Link,
    Raw,
    Value,
    cid_of,
    decode_first,
    encode,
    floating,
    head,
    indefinite,
    nested,
    pairs,
    tagged,
    wide,
)

ATOMS: tuple[Value, ...] = (
    *(None, True, False, "", "a", b"", b"\x00", [], {}, {"": 1}, {"$type": "blob"}),
    *(0, -1, 23, 24, 255, 256, 65_535, 65_536, 2**32, 2**53 - 1, 2**53, 2**63 - 1, -(2**63)),
    *(cid_of(b""), cid_of(b"", 0x55), Link(b"\x01\x55\x00\x00"), Link(b"\x01\x71\x12\x46" + b"\x07" * 70)),
    *(wide(0, 1), wide(24, 8), floating(1.5), floating(0.0, 2), Raw(b"\xf7"), Raw(b"\x1b" + b"\xff" * 8)),
    *(nested(31), nested(33), nested(33, b"\xa1\x61a"), indefinite([1]), indefinite("a"), tagged(43, b"\x00")),
    *(tagged(42, b""), tagged(42, b"\x01\x55\x00\x00"), Raw(b"\xd8\x2a\x58\x25\x00\x01\x55\x00\x00")),
    *(Raw(b"\x9a\x00\x1e\x00\x00"), Raw(b"\xbb" + b"\x7f" * 8), Raw(b"\x7a\x7f\xff\xff\xff"), Raw(b"\x61\xff")),
)
"""Values at the edges of the data model, and just outside it."""

CBOR_TOKENS = (
    *(encode(value) for value in ATOMS),
    *(b"\x82", b"\x98\x18", b"\x99\x01\x00", b"\xa2", b"\xb8\x18", b"\x78\x18", b"\x58\x25\x00", b"\xd8\x2a", b"\xff"),
)

_EDGES = (0, 1, 23, 24, 27, 31, 0x40, 0x60, 0x7F, 0x80, 0x9A, 0xA0, 0xC0, 0xD8, 0xF6, 0xFF)


def blind(rng: random.Random, tokens: Sequence[bytes] = ()) -> Havoc:
    """Plain random mutation: what stands in for libFuzzer's own where there is none."""

    def havoc(data: bytes, most: int) -> bytes:
        changed = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 4))):
            _change_bytes(changed, rng, tokens)
        return bytes(changed[:most])

    return havoc


def _change_bytes(data: bytearray, rng: random.Random, tokens: Sequence[bytes]) -> None:
    at = rng.randrange(len(data) + 1)
    end = min(len(data), at + rng.choice((1, 2, 4, 8, 36, 200)))
    match rng.randrange(7):
        case 0 if at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        case 1 if at < len(data):
            data[at] = rng.choice(_EDGES)
        case 2 if at < len(data):
            data[at] = (data[at] + rng.choice((-1, 1))) % 256
        case 3:
            del data[at:end]
        case 4:
            data[at:at] = data[at:end] * rng.choice((1, 1, 1, 8))
        case 5 if tokens:
            data[at:at] = rng.choice(tokens)
        case _:
            data[at:at] = rng.randbytes(rng.choice((1, 1, 2, 8)))


def mutate_value(value: Value, rng: random.Random, havoc: Havoc) -> Value:
    """`value` with one part of it, at any depth, changed, left out, doubled, or put in place of another."""
    if isinstance(value, Mapping) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        return {**value, key: mutate_value(value[key], rng, havoc)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        return [*value[:at], mutate_value(value[at], rng, havoc), *value[at + 1 :]]
    if rng.random() < 0.15:
        return rng.choice(ATOMS)
    if isinstance(value, Mapping):
        return _mutate_map(value, rng)
    if isinstance(value, list):
        return _mutate_list(value, rng)
    return _mutate_leaf(value, rng, havoc)


def _mutate_map(value: Mapping[str, Value], rng: random.Random) -> Value:
    kept = list(value.items())
    match rng.randrange(4):
        case 0 if kept:
            kept.pop(rng.randrange(len(kept)))
        case 1:
            kept.append((rng.choice(("", "a", "zz", "prev", "prevData", "$type", "x" * 30)), rng.choice(ATOMS)))
        case 2 if kept:
            rng.shuffle(kept)
            return pairs(kept)
        case _:
            return pairs(sorted(kept) + kept[:1])
    return dict(kept)


def _mutate_list(value: list[Value], rng: random.Random) -> Value:
    at = rng.randrange(len(value) + 1)
    match rng.randrange(5):
        case 0:
            return value[:at] + value[at + 1 :]
        case 1:
            return value[:at] + value[at : at + 1] * rng.choice((2, 3, 24, 250))
        case 2:
            return rng.sample(value, len(value))
        case 3:
            return [*value[:at], rng.choice(ATOMS), *value[at:]]
        case _:
            return [value]


def _mutate_leaf(value: Value, rng: random.Random, havoc: Havoc) -> Value:
    if isinstance(value, bool) or value is None:
        return rng.choice((True, False, None, 0))
    if isinstance(value, int):
        changed = value + rng.choice((-1, 1, 2**8, 2**32)) if rng.random() < 0.7 else -value
        return changed if abs(changed) < 2**63 else 0
    if isinstance(value, Link):
        return Link(havoc(value, 110))
    if isinstance(value, bytes):
        return havoc(value, len(value) + 300)
    if isinstance(value, str):
        # The bytes need not be UTF-8 any more.
        raw = havoc(value.encode(), len(value) * 4 + 300)
        return Raw(head(TEXT, len(raw)) + raw)
    return Raw(head(BYTES, 1) + b"\x00")


def mutate_cbor(data: bytes, rng: random.Random, havoc: Havoc) -> bytes:
    """A run of CBOR objects with one of them changed by value; blind where they are none, and now and then anyway."""
    if rng.random() < 0.3 or not (values := decode_all(data)):
        return havoc(data, len(data) + 300)
    at = rng.randrange(len(values))
    values[at] = mutate_value(values[at], rng, havoc)
    return b"".join(map(encode, values))


def decode_all(data: bytes) -> list[Any]:
    """The canonical objects that stand one after another in `data`; none when it holds anything else."""
    values: list[Any] = []
    at = 0
    try:
        while at < len(data):
            value, at = decode_first(data, at)
            values.append(value)
    except CborError:
        return []
    return values
