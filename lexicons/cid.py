"""Content identifiers: the binary form, the text form, and the error that all of the data model raises."""

import base64
import binascii
import hashlib

from lexicons.varint import VarintError, read_varint

DAG_CBOR = 0x71
RAW = 0x55
MAX_CID_BYTES = 100
MAX_HASH_BYTES = 64

_BLESSED_PREFIXES = (b"\x01\x71\x12\x20", b"\x01\x55\x12\x20")


class DataError(ValueError):
    """The bytes or the JSON are no value of the data model; the message says why, in one sentence."""


class CID(bytes):
    """A content identifier in its binary form, version 1, of any codec and hash (RD-10, RD-12).

    A subclass of bytes because links are compared and hashed far more often than they are looked at. A byte string is
    never a link: ask `type(value) is CID`.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> "CID":
        """The CID that `text` spells in base32 (`b…`, lower case, unpadded). Raises DataError."""
        if not text.startswith("b") or not text.isascii() or len(text) > 1 + MAX_CID_BYTES * 8 // 5:
            raise DataError(f"{text[:80]!r} is not a CID in base32")
        body = text[1:]
        try:
            raw = base64.b32decode(body.upper() + "=" * (-len(body) % 8))
        except binascii.Error:
            raise DataError(f"{text[:80]!r} is not a CID in base32") from None
        cid = checked_cid(raw)
        if str(cid) != text:
            raise DataError(f"{text[:80]!r} is not a CID in its canonical spelling")
        return cid

    @classmethod
    def of(cls, block: bytes, codec: int = DAG_CBOR) -> "CID":
        """The CID of `block`: version 1, sha-256."""
        return cls(bytes((1, codec, 0x12, 0x20)) + hashlib.sha256(block).digest())

    @property
    def codec(self) -> int:
        """The multicodec of what is linked to: 0x71 DAG-CBOR, 0x55 raw bytes, or another's."""
        return read_varint(self, 1)[0]

    @property
    def is_blessed(self) -> bool:
        """Whether this is a DAG-CBOR or raw CID with sha-256, the only kinds the protocol writes (RD-10)."""
        return len(self) == 36 and self.startswith(_BLESSED_PREFIXES)

    def __str__(self) -> str:
        return "b" + base64.b32encode(self).decode("ascii").rstrip("=").lower()

    def __repr__(self) -> str:
        return f"CID({self})"


def checked_cid(raw: bytes) -> CID:
    """`raw` as a CID: version 1, a codec, a multihash that ends where the bytes do; else DataError."""
    if len(raw) == 36 and raw.startswith(_BLESSED_PREFIXES):
        return CID(raw)
    if len(raw) > MAX_CID_BYTES:
        raise DataError(f"a CID of {len(raw)} bytes is longer than {MAX_CID_BYTES}")
    try:
        version, at = read_varint(raw, 0)
        _, at = read_varint(raw, at)
        _, at = read_varint(raw, at)
        length, at = read_varint(raw, at)
    except VarintError as error:
        raise DataError(f"in a CID {error}") from None
    if version != 1:
        raise DataError("a CID is not of version 1")
    if length > MAX_HASH_BYTES or at + length != len(raw):
        raise DataError("a CID's hash is not as long as it says, or too long")
    return CID(raw)
