"""One node of a Merkle search tree: from its bytes, with every rule a node can break alone, and back (RD-35 to RD-39).

    {"e": [{"k": suffix, "p": shared prefix, "t": right subtree|null, "v": record CID}, ...], "l": left subtree|null}

A node has one canonical encoding, so the parser walks that encoding byte by byte: what does not match is refused, and
nothing need be encoded again to know it.
"""

import hashlib
from itertools import pairwise
from typing import NamedTuple

from ingester.repo.car import CID_BYTES, DAG_CBOR_PREFIX
from ingester.repo.errors import TreeError
from lexicons.cid import DataError, checked_cid
from lexicons.drisl import decode_at, head

MAX_KEY_BYTES = 1_024
MAX_NODE_ENTRIES = 2_000
"""Honest keys make three entries a node on average, and a hundred once in 10^12: beyond this, keys were mined."""

_SUBTREE = b"at\xd8*X%\x00"
_VALUE = b"av\xd8*X%\x00"
_DAG_CBOR_VALUE = _VALUE + DAG_CBOR_PREFIX
_LEAF = b"at\xf6" + _DAG_CBOR_VALUE
_BRANCH = _SUBTREE + DAG_CBOR_PREFIX
_LINK = b"\xd8*X%\x00"
_LAYER_OF_FIRST_BYTE = tuple((8 - byte.bit_length()) // 2 for byte in range(256))


class Node(NamedTuple):
    """A parsed node: `keys` whole and increasing, `values` the record CIDs, `subtrees` one more than there are keys.

    `heads` are the entries' first bytes, up to the end of `p`; they hold for as long as the key before stays the same.
    `layer` is the one that all keys have; -1 where there are no keys.
    """

    keys: list[bytes]
    values: list[bytes]
    subtrees: list[bytes | None]
    heads: list[bytes]
    layer: int


def layer_of(key: bytes) -> int:
    """The layer that a key belongs to: leading zero bits of its SHA-256, in pairs (RD-35)."""
    digest = hashlib.sha256(key).digest()
    if digest[0]:
        return _LAYER_OF_FIRST_BYTE[digest[0]]
    return (256 - int.from_bytes(digest).bit_length()) // 2


def parse_node(block: bytes) -> Node:
    """The node that `block` encodes. Raises TreeError.

    Reasons: `bad_mst_node` (not the canonical encoding of a node), `mst_prefix`, `mst_key_order`, `mst_key_too_long`,
    `mst_key_depth`, `mst_node_too_wide`.
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
    heads: list[bytes] = []
    key = b""
    for _ in range(count):
        start = at
        size = block[at + 3] - 0x40
        at += 4
        if not 0 <= size < 24:
            size, at = _argument(block, at - 1, 2)
        suffix = block[at : at + size]
        at += size
        prefix = block[at + 2]
        if block[start : start + 3] != b"\xa4ak" or block[at : at + 2] != b"ap":
            raise _malformed()
        at += 3
        if prefix > 23:
            prefix, at = _argument(block, at - 1, 0)
        heads.append(block[start:at])
        # A suffix that sorts behind what it replaces: so the key increases, and its prefix is as long as it can be.
        if prefix > len(key) or not suffix or suffix[:1] <= key[prefix : prefix + 1]:
            raise _bad_key(key, prefix, suffix)
        key = key[:prefix] + suffix
        if len(key) > MAX_KEY_BYTES:
            raise TreeError("mst_key_too_long", f"a key is longer than {MAX_KEY_BYTES} bytes")
        keys.append(key)
        # The two usual forms of the rest at a stroke: without a subtree, and with one.
        if block[at : at + 14] == _LEAF:
            subtrees.append(None)
            values.append(block[at + 10 : at + 46])
            at += 46
        elif block[at : at + 11] == _BRANCH and block[at + 43 : at + 54] == _DAG_CBOR_VALUE:
            subtrees.append(block[at + 7 : at + 43])
            values.append(block[at + 50 : at + 86])
            at += 86
        else:
            subtree, value, at = _links(block, at)
            subtrees.append(subtree)
            values.append(value)
    if block[at:] != b"al\xf6":
        if block[at : at + 2] != b"al":
            raise _malformed()
        subtrees[0], at = _node_link(block, at + 2)
        if at != len(block):
            raise _malformed()
    return Node(keys, values, subtrees, heads, _layer_of_all(keys))


def _layer_of_all(keys: list[bytes]) -> int:
    layer = -1
    for key in keys:
        if layer_of(key) != layer:
            if layer >= 0:
                raise TreeError("mst_key_depth", "keys of different layers stand in one node")
            layer = layer_of(key)
    return layer


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


def _bad_key(last: bytes, prefix: int, suffix: bytes) -> TreeError:
    if prefix > len(last):
        return TreeError("mst_prefix", "a key shares more bytes with the key before it than that has")
    if suffix and suffix[:1] == last[prefix : prefix + 1]:
        return TreeError("mst_prefix", "a key shares more bytes with the key before it than it says")
    return TreeError("mst_key_order", "a key is empty, or the keys of a node do not increase")


def _links(block: bytes, at: int) -> tuple[bytes | None, bytes, int]:
    """The subtree and the value of an entry, from its `t` on, and the offset behind them."""
    subtree: bytes | None = None
    if block[at : at + 3] == b"at\xf6":
        at += 3
    elif block[at : at + 2] == b"at":
        subtree, at = _node_link(block, at + 2)
    else:
        raise _malformed()
    if block[at : at + 4] != b"av\xd8*":
        raise _malformed()
    # Whatever kind of CID a record has, it is kept as it is (RD-11).
    value, end = decode_at(block, at + 2)
    return subtree, bytes(checked_cid(value)), end


def _node_link(block: bytes, at: int) -> tuple[bytes, int]:
    """A link to a node, which can only be DAG-CBOR with sha-256."""
    end = at + 5 + CID_BYTES
    cid = block[at + 5 : end]
    if block[at : at + 5] != _LINK or cid[:4] != DAG_CBOR_PREFIX or end > len(block):
        raise _malformed()
    return cid, end


def encode_node(keys: list[bytes], values: list[bytes], subtrees: list[bytes | None]) -> bytes:
    """The canonical bytes of the node with these increasing `keys`, their `values`, and one more `subtrees`."""
    return join_node([entry_head(last, key) for last, key in pairwise([b"", *keys])], values, subtrees)


def entry_head(last: bytes, key: bytes) -> bytes:
    """How the entry of `key` begins, behind `last` in its node (b"" for none): suffix and length of the prefix."""
    size = min(len(last), len(key))
    # The highest bit in which the two differ as numbers says how many leading bytes they share.
    differing = int.from_bytes(last[:size]) ^ int.from_bytes(key[:size])
    prefix = size - (differing.bit_length() + 7) // 8
    return b"\xa4ak" + head(2, len(key) - prefix) + key[prefix:] + b"ap" + head(0, prefix)


def join_node(heads: list[bytes], values: list[bytes], subtrees: list[bytes | None]) -> bytes:
    """The canonical bytes of a node whose entries begin with `heads`."""
    parts = [b"\xa2ae", head(4, len(heads))]
    put = parts.append
    for at, value in enumerate(values):
        put(heads[at])
        subtree = subtrees[at + 1]
        if subtree is None:
            put(b"at\xf6")
        else:
            put(_SUBTREE)
            put(subtree)
        put(_VALUE if len(value) == CID_BYTES else b"av\xd8*" + head(2, len(value) + 1) + b"\x00")
        put(value)
    left = subtrees[0]
    put(b"al\xf6" if left is None else b"al" + _LINK + left)
    return b"".join(parts)


def node_cid(block: bytes) -> bytes:
    """The 36 bytes of a node's CID."""
    return DAG_CBOR_PREFIX + hashlib.sha256(block).digest()
