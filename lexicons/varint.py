"""The unsigned varint of multiformats, as CIDs and CARs have it: seven bits a byte, the lowest first."""

from mmap import mmap

MAX_BYTES = 9


class VarintError(ValueError):
    """The bytes are no varint: cut off, not minimal, or longer than nine bytes."""


def read_varint(data: bytes | mmap, at: int) -> tuple[int, int]:
    """The number at offset `at`, and the offset behind it. Raises VarintError."""
    value = shift = 0
    for byte in data[at : at + MAX_BYTES]:
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift:
                break
            return value, at
        shift += 7
    raise VarintError("a varint is cut off, not minimal, or too long")
