"""CAR version 1, in: a header that names the roots, then blocks, each checked against its own CID (RD-01 to RD-09)."""

import hashlib
from array import array
from collections.abc import Callable, Iterator
from mmap import mmap
from typing import NamedTuple

from ingester.repo.errors import CarError
from lexicons.data import CID, DataError, decode
from lexicons.varint import VarintError, read_varint

MAX_HEADER_BYTES = 4_096
MAX_BLOCK_BYTES = 5_000_000
"""No block of a repository comes near; a length beyond it is an attack or a broken file."""
DAG_CBOR_PREFIX = b"\x01\x71\x12\x20"
"""The first four bytes of the only CIDs that commits and nodes may have; raw ones differ in the second."""
RAW_PREFIX = b"\x01\x55\x12\x20"
CID_BYTES = 36

_TABLES = 256
"""By the lowest eight bits of a hash; those above choose the slot."""
_SLOTS = 16
"""Of a table at first; it doubles."""
_HEADER_START = b"\x3a\xa2eroots\x81\xd8\x2a\x58\x25\x00"
_HEADER_END = b"gversion\x01"


class Car(NamedTuple):
    """A CAR held in memory. `root` is the first root's CID; `blocks` maps the 36 bytes of a CID to its block."""

    root: bytes
    blocks: dict[bytes, bytes]


def read_car(data: bytes, *, max_blocks: int) -> Car:
    """The CAR in `data`, every block hashed. Raises CarError (`bad_car`, `block_hash_mismatch`, `car_too_many_blocks`).

    Blocks may come in any order, twice, and more than are needed (RD-04).
    """
    root, at = _read_header(data)
    sha256 = hashlib.sha256
    blocks: dict[bytes, bytes] = {}
    size = len(data)
    while at < size:
        length = data[at]
        at += 1
        if length > 0x7F:
            length, at = _length(data, at - 1)
        end = at + length
        if end > size:
            raise CarError("bad_car", "the last block is cut off")
        cid = data[at : at + CID_BYTES]
        _check_cid(cid, length)
        block = data[at + CID_BYTES : end]
        if sha256(block).digest() != cid[4:]:
            raise CarError("block_hash_mismatch", f"block {CID(cid)} is not what its CID says")
        blocks[cid] = block
        if len(blocks) > max_blocks:
            raise CarError("car_too_many_blocks", f"the CAR holds more than {max_blocks} blocks")
        at = end
    return Car(root, blocks)


def index_car(data: bytes | mmap, *, on_progress: Callable[[int], None] | None = None) -> "CarIndex":
    """Where the blocks of a large CAR lie, every one hashed. Raises CarError as `read_car` does.

    For exports that are mapped into memory rather than read: no block is held. `on_progress` is called with the offset
    reached, every few thousand blocks.
    """
    index = CarIndex(data)
    while not index.advance(4_096):
        if on_progress is not None:
            on_progress(index.at)
    return index


class CarIndex:
    """`index_car` in steps, for whoever has other things to do in between. Raises CarError.

    Hash tables of places alone: the CID is not kept, since it stands in the file before its block. So a block takes 8
    bytes and the room around it, some 16 in all; there are many tables so that none takes long to grow. A place is
    `start << 24 | size`, in bytes; none is 0. They are found by Python's own hash of the CID, which nobody outside can
    aim at.
    """

    def __init__(self, data: bytes | mmap) -> None:
        self.root, self.at = _read_header(data)
        self._data = data
        self._tables = [array("Q", bytes(8 * _SLOTS)) for _ in range(_TABLES)]
        self._counts = [0] * _TABLES

    def __len__(self) -> int:
        """How many blocks there are, those that come twice counted once."""
        return sum(self._counts)

    def cids(self) -> Iterator[bytes]:
        """The CIDs of all blocks, in no order."""
        for table in self._tables:
            for place in table:
                if place:
                    yield self._cid(place)

    def size(self, cid: bytes) -> int:
        """How many bytes the block has; -1 where it is not there."""
        place = self._find(cid)
        return place & 0xFFFFFF if place else -1

    def block(self, cid: bytes) -> bytes | None:
        """The block, None where it is not there."""
        place = self._find(cid)
        start = place >> 24
        return self._data[start : start + (place & 0xFFFFFF)] if place else None

    def advance(self, count: int) -> bool:
        """Index the next `count` blocks; True at the end."""
        data, at = self._data, self.at
        size = len(data)
        while at < size and count > 0:
            length, at = _length(data, at)
            end = at + length
            if end > size:
                raise CarError("bad_car", "the last block is cut off")
            cid = data[at : at + CID_BYTES]
            _check_cid(cid, length)
            start = at + CID_BYTES
            if hashlib.sha256(data[start:end]).digest() != cid[4:]:
                raise CarError("block_hash_mismatch", f"block {CID(cid)} is not what its CID says")
            self._add(cid, start << 24 | end - start)
            at = end
            count -= 1
        self.at = at
        return at >= size

    def _cid(self, place: int) -> bytes:
        start = place >> 24
        return self._data[start - CID_BYTES : start]

    def _find(self, cid: bytes) -> int:
        """The place of a block, 0 where it is not there."""
        hashed = hash(cid)
        table = self._tables[hashed & _TABLES - 1]
        slot = hashed >> 8 & len(table) - 1
        place: int = table[slot]
        while place and self._cid(place) != cid:
            slot = slot + 1 & len(table) - 1
            place = table[slot]
        return place

    def _add(self, cid: bytes, place: int) -> None:
        hashed = hash(cid)
        number = hashed & _TABLES - 1
        table = self._tables[number]
        if 3 * self._counts[number] >= 2 * len(table):
            table = self._grown(number)
        slot = hashed >> 8 & len(table) - 1
        there: int = table[slot]
        while there:
            if self._cid(there) == cid:
                return
            slot = slot + 1 & len(table) - 1
            there = table[slot]
        table[slot] = place
        self._counts[number] += 1

    def _grown(self, number: int) -> "array[int]":
        old = self._tables[number]
        table = array("Q", bytes(16 * len(old)))
        for place in old:
            if place:
                slot = hash(self._cid(place)) >> 8 & len(table) - 1
                while table[slot]:
                    slot = slot + 1 & len(table) - 1
                table[slot] = place
        self._tables[number] = table
        return table


def _check_cid(cid: bytes, length: int) -> None:
    if not CID_BYTES <= length <= MAX_BLOCK_BYTES:
        raise CarError("bad_car", f"a block of {length} bytes cannot be one of a repository")
    # The hash is ours to choose, not the CID's: an identity or a weak hash would prove nothing (RD-05).
    if cid[:4] != DAG_CBOR_PREFIX and cid[:4] != RAW_PREFIX:
        raise CarError("bad_car", "a block's CID is not DAG-CBOR or raw with sha-256")


def _read_header(data: bytes | mmap) -> tuple[bytes, int]:
    # Nearly every CAR has one root and with it this very header.
    if data[:14] == _HEADER_START and data[50:59] == _HEADER_END and data[14:18] == DAG_CBOR_PREFIX:
        return data[14:50], 59
    length, at = _length(data, 0)
    if not 0 < length <= MAX_HEADER_BYTES or at + length > len(data):
        raise CarError("bad_car", "the header is empty, too long, or cut off")
    try:
        header = decode(data[at : at + length])
    except DataError as error:
        raise CarError("bad_car", f"the header is not DRISL: {error}") from None
    roots, version = (header.get("roots"), header.get("version")) if type(header) is dict else (None, None)
    # To Python, true is 1 as well.
    if type(roots) is not list or not roots or type(version) is not int or version != 1:
        raise CarError("bad_car", "the header is not of version 1 with a root")
    root = roots[0]
    if type(root) is not CID or len(root) != CID_BYTES or not root.startswith(DAG_CBOR_PREFIX):
        raise CarError("bad_car", "the root is not the CID of a commit")
    return bytes(root), at + length


def _length(data: bytes | mmap, at: int) -> tuple[int, int]:
    try:
        return read_varint(data, at)
    except VarintError as error:
        raise CarError("bad_car", f"where a length stands {error}") from None
