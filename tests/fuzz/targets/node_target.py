"""Nodes: the parser that walks the canonical bytes, held against one that decodes first and asks then."""

import random
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from ingester.repo.errors import TreeError
from ingester.repo.node import MAX_KEY_BYTES, MAX_NODE_ENTRIES, encode_node, join_node, parse_node
from lexicons.data import CID, DataError, decode
from tests.fuzz import history
from tests.fuzz.mutation import CBOR_TOKENS, mutate_cbor
from tests.fuzz.target import Havoc, Target, require
from tests.fuzz.witness import forget_heights
from tests.writer.cbor import Link, cid_of, encode
from tests.writer.mst import common_prefix, height_of, node_map

RECORD = cid_of(b"\xf6")


def check(data: bytes) -> bool:
    """Only TreeError; accepted bytes come back from `encode_node`; both parsers accept the same and read it alike."""
    try:
        node = parse_node(data)
    except TreeError as error:
        plain = plain_node(data)
        require(plain is None or error.reason == "mst_key_depth", "a node that keeps every rule is refused")
        require(plain is None or len(set(map(height_of, plain.keys))) > 1, "keys of one layer are refused")
        forget_heights()
        return False
    require(encode_node(*node[:3]) == data, "an accepted node is encoded otherwise")
    require(join_node(node.heads, node.values, node.subtrees) == data, "the heads of an accepted node are not its own")
    require(plain_node(data) == node[:3], "a node that breaks a rule is accepted, or read otherwise")
    return True


class PlainNode(NamedTuple):
    """A node as `Node` has it, without its bytes."""

    keys: list[bytes]
    values: list[bytes]
    subtrees: list[bytes | None]


def plain_node(data: bytes) -> PlainNode | None:
    """The node by the letter of RD-36 and RD-37, decoded first; None where it breaks a rule, its keys' layers aside."""
    try:
        value = decode(data)
    except DataError:
        return None
    if type(value) is not dict or set(value) != {"e", "l"} or type(value["e"]) is not list:
        return None
    if len(value["e"]) > MAX_NODE_ENTRIES or not _is_subtree(value["l"]):
        return None
    node = PlainNode([], [], [value["l"]])
    last = b""
    for entry in value["e"]:
        if not _is_entry(entry) or not 0 <= entry["p"] <= len(last):
            return None
        key = last[: entry["p"]] + entry["k"]
        if not last < key or len(key) > MAX_KEY_BYTES or common_prefix(last, key) != entry["p"]:
            return None
        node.keys.append(key)
        node.values.append(entry["v"])
        node.subtrees.append(entry["t"])
        last = key
    return node


def _is_entry(entry: Any) -> bool:
    if type(entry) is not dict or set(entry) != {"k", "p", "t", "v"}:
        return False
    kinds = (type(entry["k"]), type(entry["p"]), type(entry["v"]))
    return kinds == (bytes, int, CID) and _is_subtree(entry["t"])


def _is_subtree(value: Any) -> bool:
    return value is None or (type(value) is CID and len(value) == 36 and value.startswith(b"\x01\x71\x12\x20"))


def node_block(keys: Sequence[bytes], values: Sequence[Link], subtrees: Sequence[Link | None]) -> bytes:
    """A node's bytes, as the writer has them."""
    return encode(node_map(tuple(keys), tuple(values), tuple(subtrees)))


def mutate(data: bytes, rng: random.Random, havoc: Havoc) -> bytes:
    """Now and then a key or a value is changed with its prefix put right; else as any CBOR."""
    node = plain_node(data) if rng.random() < 0.3 else None
    if node is None or not node.keys:
        return mutate_cbor(data, rng, havoc)
    at = rng.randrange(len(node.keys))
    keys, values = list(node.keys), [Link(value) for value in node.values]
    if rng.random() < 0.7:
        keys[at] = havoc(keys[at], MAX_KEY_BYTES + 10)
    else:
        values[at] = rng.choice((Link(b"\x01\x55\x00\x00"), cid_of(b"", 0x55), Link(havoc(values[at], 100))))
    return node_block(keys, values, [None if link is None else Link(link) for link in node.subtrees])


def one_layer(stem: bytes, count: int) -> list[bytes]:
    """`count` increasing keys of the lowest layer that begin with `stem`."""
    numbered = (stem + b"%04d" % number for number in range(10_000))
    return list(islice((key for key in numbered if height_of(key) == 0), count))


def seeds() -> Iterator[bytes]:
    """Genuine nodes; keys and widths about each length of a head; values and keys of unusual kinds."""
    for account in history.histories():
        yield from account.repo.tree.blocks().values()
    for count in (0, 1, 23, 24, 30):
        yield node_block(one_layer(b"a/", count), [RECORD] * count, [RECORD, *([None] * count)])
    odd = (cid_of(b"", 0x55), Link(b"\x01\x55\x00\x00"), Link(b"\x01\x71\x12\x40" + bytes(64)))
    for size, value in zip((23, 24, 255, 256, MAX_KEY_BYTES), (*odd, RECORD, RECORD), strict=True):
        yield node_block(one_layer(b"k" * (size - 4), 2), [value, RECORD], [None, RECORD, None])
    yield node_block([b"fm.plyr.track/0", b"fm.plyr.track/3"], [RECORD] * 2, [None] * 3)


TARGET = Target(check, seeds, mutate, (*CBOR_TOKENS, b"\xa4ak", b"ap", b"at\xf6av\xd8*X%\x00", b"al\xf6"))
