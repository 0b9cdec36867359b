"""CAR v1 files, written from parts that may be wrong and read strictly (RD-01..09)."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tests.writer.cbor import CborError, Link, Value, cid_of, decode, encode

MAX_HEADER = 4096
MAX_VARINT = 9


class CarError(ValueError):
    """Bytes that are not a CAR we would want to read."""


class Block(NamedTuple):
    """A block as a CAR carries it: the CID it claims and its bytes."""

    cid: bytes
    data: bytes


class Car(NamedTuple):
    """A CAR taken apart; blocks in file order, not yet hashed."""

    roots: list[Link]
    blocks: list[Block]


def varint(number: int) -> bytes:
    """LEB128, seven bits a byte, lowest first."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def car_header(header: Value) -> bytes:
    """The header section around any header value."""
    encoded = encode(header)
    return varint(len(encoded)) + encoded


def section(block: Block) -> bytes:
    """One block with its length before it."""
    return varint(len(block.cid) + len(block.data)) + block.cid + block.data


def write_car(roots: Sequence[Value], blocks: Iterable[Block]) -> bytes:
    """A whole CAR, blocks in the order given."""
    return car_header({"version": 1, "roots": roots}) + b"".join(map(section, blocks))


def read_car(data: bytes) -> Car:
    """The parts of a CAR with a strict header and blessed CIDs (0x71 or 0x55, SHA-256); CarError for others."""
    size, at = _varint(data, 0)
    if not 0 < size <= MAX_HEADER or at + size > len(data):
        raise CarError("The header's length is impossible.")
    try:
        header = decode(data[at : at + size])
    except CborError as error:
        raise CarError("The header is not canonical.") from error
    if not isinstance(header, dict) or header.get("version") != 1 or isinstance(header["version"], bool):
        raise CarError("The header is not of version 1.")
    roots = header.get("roots")
    if not isinstance(roots, list) or not roots or not all(type(root) is Link for root in roots):
        raise CarError("The header names no root.")
    at += size
    blocks = []
    while at < len(data):
        size, at = _varint(data, at)
        if at + size > len(data):
            raise CarError("A block runs past the end.")
        cid = Link(data[at : at + 36])
        if size < 36 or not is_blessed(cid, codecs=(0x71, 0x55)):
            raise CarError("A block's CID is not a blessed one.")
        blocks.append(Block(cid, data[at + 36 : at + size]))
        at += size
    return Car(roots, blocks)


def is_blessed(cid: bytes, codecs: tuple[int, ...] = (0x71,)) -> bool:
    """Whether a CID is version 1, SHA-256 and of one of `codecs` (RD-10, RD-11)."""
    return len(cid) == 36 and cid[0] == 1 and cid[1] in codecs and cid[2:4] == b"\x12\x20"


def hashes_right(block: Block) -> bool:
    """Whether the block's bytes are what its CID says."""
    return cid_of(block.data, block.cid[1]) == block.cid


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for count in range(MAX_VARINT):
        if at + count >= len(data):
            raise CarError("A length is cut off.")
        byte = data[at + count]
        number |= (byte & 127) << 7 * count
        if byte < 128:
            return number, at + count + 1
    raise CarError("A length does not end.")
