"""One node of a Merkle search tree: from its bytes, with every rule a node can break alone, and back (RD-35 to RD-39).

    {"e": [{"k": suffix, "p": shared prefix, "t": right subtree|null, "v": record CID}, ...], "l": left subtree|null}

A node has one canonical encoding, so the parser walks that encoding byte by byte: what does not match is refused, and
nothing need be encoded again to know it.
"""

import hashlib
from typing import NamedTuple

from ingester.repo.car import CID_BYTES, DAG_CBOR_PREFIX
from ingester.repo.errors import TreeError
from lexicons.cid import DataError, checked_cid
from lexicons.drisl import decode_at, head

MAX_KEY_BYTES = 1_024
MAX_NODE_ENTRIES = 2_000
"""Honest keys make three entries a node on average, and a hundred once in 10^12: beyond this, keys were mined."""

_NO_SUBTREE = b"at\xf6av\xd8*X%\x00"
_SUBTREE = b"at\xd8*X%\x00"
_VALUE = b"av\xd8*X%\x00"
_LINK = b"\xd8*X%\x00"
_LAYER_OF_FIRST_BYTE = tuple((8 - byte.bit_length()) // 2 for byte in range(256))
_SHORT_HEADS = tuple(b"\xa4ak" + head(2, n) for n in range(MAX_KEY_BYTES + 1))
_PREFIX_HEADS = tuple(b"ap" + head(0, n) for n in range(MAX_KEY_BYTES + 1))


class Node(NamedTuple):
    """A parsed node: `keys` whole and increasing, `values` the record CIDs, `subtrees` one more than there are keys."""

    keys: list[bytes]
    values: list[bytes]
    subtrees: list[bytes | None]


def layer_of(key: bytes) -> int:
    """The layer that a key belongs to: leading zero bits of its SHA-256, in pairs (RD-35)."""
    digest = hashlib.sha256(key).digest()
    if digest[0]:
        return _LAYER_OF_FIRST_BYTE[digest[0]]
    return (256 - int.from_bytes(digest).bit_length()) // 2


def parse_node(block: bytes) -> Node:
    """The node that `block` encodes. Raises TreeError.

    Reasons: `bad_mst_node` (not the canonical encoding of a node), `mst_prefix`, `mst_key_order`, `mst_key_too_long`,
    `mst_node_too_wide`.
    """
    try:
        return _parse(block)
    except (IndexError, DataError):
        raise TreeError("bad_mst_node", "a node is cut off or holds something else than a node does") from None


def _parse(block: bytes) -> Node:
    count, at = _count(block)
    keys: list[bytes] = []
    values: list[bytes] = []
    subtrees: list[bytes | None] = [None]
    key = b""
    for _ in range(count):
        if block[at : at + 3] != b"\xa4ak":
            raise _malformed()
        size = block[at + 3] - 0x40
        at += 4
        if not 0 <= size < 24:
            size, at = _argument(block, at - 1, 2)
        suffix = block[at : at + size]
        at += size
        if block[at : at + 2] != b"ap":
            raise _malformed()
        prefix = block[at + 2]
        at += 3
        if prefix > 23:
            prefix, at = _argument(block, at - 1, 0)
        key = _next_key(key, prefix, suffix)
        if block[at : at + 10] == _NO_SUBTREE:
            subtrees.append(None)
            at += 3
        else:
            subtree, at = _subtree(block, at, _SUBTREE)
            subtrees.append(subtree)
        value = block[at + 7 : at + 43]
        if block[at : at + 7] == _VALUE and value[:4] == DAG_CBOR_PREFIX:
            at += 43
        else:
            value, at = _unusual_value(block, at)
        keys.append(key)
        values.append(value)
    if block[at:] == b"al\xf6":
        return Node(keys, values, subtrees)
    subtrees[0], at = _subtree(block, at, b"al" + _LINK)
    if at != len(block):
        raise _malformed()
    return Node(keys, values, subtrees)


def _malformed() -> TreeError:
    return TreeError("bad_mst_node", "a node is not in the canonical encoding of a node")


def _count(block: bytes) -> tuple[int, int]:
    if block[:3] != b"\xa2ae":
        raise _malformed()
    count, at = _argument(block, 3, 4)
    if count > MAX_NODE_ENTRIES:
        raise TreeError("mst_node_too_wide", f"a node of {count} entries holds more than {MAX_NODE_ENTRIES}")
    return count, at


def _argument(block: bytes, at: int, major: int) -> tuple[int, int]:
    """The argument of a head of `major` at `at`, which must be there in its shortest form and below 2^16."""
    n = block[at] - (major << 5)
    at += 1
    if 0 <= n < 24:
        return n, at
    if n == 24 and block[at] > 23:
        return block[at], at + 1
    if n == 25 and block[at]:
        return block[at] << 8 | block[at + 1], at + 2
    raise _malformed()


def _next_key(last: bytes, prefix: int, suffix: bytes) -> bytes:
    if prefix > len(last):
        raise TreeError("mst_prefix", "a key shares more bytes with the key before it than that has")
    if prefix == len(last):
        if not suffix:
            raise TreeError("mst_key_order", "a key is empty, or stands twice in a node")
    elif not suffix or suffix[0] < last[prefix]:
        raise TreeError("mst_key_order", "keys of a node do not increase")
    elif suffix[0] == last[prefix]:
        raise TreeError("mst_prefix", "a key shares more bytes with the key before it than it says")
    if prefix + len(suffix) > MAX_KEY_BYTES:
        raise TreeError("mst_key_too_long", f"a key is longer than {MAX_KEY_BYTES} bytes")
    return last[:prefix] + suffix


def _subtree(block: bytes, at: int, label: bytes) -> tuple[bytes, int]:
    start = at + len(label)
    end = start + CID_BYTES
    cid = block[start:end]
    if block[at:start] != label or cid[:4] != DAG_CBOR_PREFIX or end > len(block):
        raise _malformed()
    return cid, end


def _unusual_value(block: bytes, at: int) -> tuple[bytes, int]:
    """A record's CID that is not DAG-CBOR with sha-256: kept as it is, whatever it is (RD-11)."""
    if block[at : at + 4] != b"av\xd8*":
        raise _malformed()
    cid, end = decode_at(block, at + 2)
    return bytes(checked_cid(cid)), end


def encode_node(keys: list[bytes], values: list[bytes], subtrees: list[bytes | None]) -> bytes:
    """The canonical bytes of the node with these increasing `keys`, their `values`, and one more `subtrees`."""
    parts = [b"\xa2ae", head(4, len(keys))]
    put = parts.append
    last = b""
    for key, value, subtree in zip(keys, values, subtrees[1:], strict=True):
        prefix = _common_prefix(last, key)
        put(_SHORT_HEADS[len(key) - prefix])
        put(key[prefix:])
        put(_PREFIX_HEADS[prefix])
        if subtree is None:
            put(b"at\xf6")
        else:
            put(_SUBTREE)
            put(subtree)
        put(_VALUE if len(value) == CID_BYTES else b"av\xd8*" + head(2, len(value) + 1) + b"\x00")
        put(value)
        last = key
    left = subtrees[0]
    put(b"al\xf6" if left is None else b"al" + _LINK + left)
    return b"".join(parts)


def _common_prefix(one: bytes, other: bytes) -> int:
    """How many leading bytes two keys share, counted by the highest differing bit of the two as numbers."""
    size = min(len(one), len(other))
    differing = int.from_bytes(one[:size]) ^ int.from_bytes(other[:size])
    return size - (differing.bit_length() + 7) // 8


def node_cid(block: bytes) -> bytes:
    """The 36 bytes of a node's CID."""
    return DAG_CBOR_PREFIX + hashlib.sha256(block).digest()
