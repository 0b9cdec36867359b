"""Forged nodes: one node on the path to the operation's key is not what a node should be."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.writer.cbor import (
    RAW_CODEC,
    Link,
    Raw,
    Value,
    cid_of,
    encode,
    floating,
    indefinite,
    nested,
    pairs,
    tagged,
    wide,
)
from tests.writer.forge.scene import FORGERIES, Builder, Forgery, Scene, create, record
from tests.writer.mining import mine, mine_sequence
from tests.writer.mst import build, common_prefix, node_map
from tests.writer.proof import invert
from tests.writer.repo import Head

NodeMap = dict[str, Any]


def flat(rng: random.Random, *, height: int = 0) -> Scene:
    """Eight keys and a new one between them, all of one height and so in one node."""
    paths = mine_sequence(rng, [height] * 9)
    return Scene.of(rng, lambda rng, _: [create(rng, paths[4])], paths=[*paths[:4], *paths[5:]])


def tall(rng: random.Random) -> Scene:
    """A new lowest key between two of height 3, with nothing on the layers between: two empty nodes above it."""
    paths = mine_sequence(rng, [0, 3, 0, 0, 0, 3, 0, 1])
    return Scene.of(rng, lambda rng, _: [create(rng, paths[3])], paths=[*paths[:3], *paths[4:]])


def _node(change: Callable[[NodeMap], Value]) -> Builder:
    """The node of the new key changed."""
    return lambda rng: flat(rng).with_node(change)


def _entry(at: int, change: Callable[[NodeMap], Value]) -> Callable[[NodeMap], Value]:
    """One entry of a node changed."""
    return lambda node: {
        **node,
        "e": [change(entry) if index == at else entry for index, entry in enumerate(node["e"])],
    }


def _less(body: NodeMap, name: str) -> NodeMap:
    return {key: value for key, value in body.items() if key != name}


def _full_keys(node: NodeMap) -> list[bytes]:
    keys = [b""]
    for entry in node["e"]:
        keys.append(keys[-1][: entry["p"]] + entry["k"])
    return keys[1:]


_LINK = cid_of(b"elsewhere")
_ENTRY_CHANGES: tuple[tuple[str, str, Callable[[NodeMap], Value]], ...] = (
    *(
        (f"entry_without_{name}", f"an entry has no {name}", lambda entry, name=name: _less(entry, name))
        for name in "pkvt"
    ),
    ("entry_extra_field", "an entry has a field too many", lambda entry: {**entry, "x": None}),
    ("entry_array", "an entry is an array", lambda entry: list(entry.values())),
    ("entry_null", "an entry is null", lambda _: None),
    ("p_text", "p is text", lambda entry: {**entry, "p": str(entry["p"])}),
    ("p_null", "p is null", lambda entry: {**entry, "p": None}),
    ("p_float", "p is a float", lambda entry: {**entry, "p": floating(float(entry["p"]))}),
    ("p_wide", "p is in eight bytes", lambda entry: {**entry, "p": wide(entry["p"])}),
    ("p_bignum", "p is a bignum", lambda entry: {**entry, "p": tagged(2, bytes((entry["p"],)))}),
    ("k_text", "k is text", lambda entry: {**entry, "k": entry["k"].decode()}),
    ("k_null", "k is null", lambda entry: {**entry, "k": None}),
    ("k_indefinite", "k is of indefinite length", lambda entry: {**entry, "k": indefinite(entry["k"])}),
    ("v_null", "v is null", lambda entry: {**entry, "v": None}),
    ("v_bytes", "v is a byte string", lambda entry: {**entry, "v": bytes(entry["v"])}),
    ("v_text", "v is text", lambda entry: {**entry, "v": str(entry["v"])}),
    ("v_other_tag", "v has another tag", lambda entry: {**entry, "v": tagged(43, b"\x00" + entry["v"])}),
    ("v_without_zero", "v has no leading zero", lambda entry: {**entry, "v": tagged(42, bytes(entry["v"]))}),
    ("t_false", "t is false", lambda entry: {**entry, "t": False}),
    ("t_undefined", "t is undefined", lambda entry: {**entry, "t": Raw(b"\xf7")}),
    ("t_bytes", "t is a byte string", lambda entry: {**entry, "t": bytes(_LINK)}),
    ("t_text", "t is text", lambda entry: {**entry, "t": str(_LINK)}),
    ("entry_unsorted", "an entry's keys are unsorted", lambda entry: pairs(sorted(entry.items(), reverse=True))),
    ("entry_repeats", "an entry says v twice", lambda entry: pairs([*sorted(entry.items()), ("v", entry["v"])])),
)
for _name, _description, _change in _ENTRY_CHANGES:
    FORGERIES.add(f"node/{_name}", _description, _node(_entry(3, _change)), "bad_mst_node")

_NODE_CHANGES: tuple[tuple[str, str, Callable[[NodeMap], Value]], ...] = (
    ("without_l", "there is no l", lambda node: _less(node, "l")),
    ("without_e", "there is no e", lambda node: _less(node, "e")),
    ("extra_field", "there is a field too many", lambda node: {**node, "x": 1}),
    ("l_bytes", "l is a byte string", lambda node: {**node, "l": bytes(_LINK)}),
    ("l_text", "l is text", lambda node: {**node, "l": str(_LINK)}),
    ("l_false", "l is false", lambda node: {**node, "l": False}),
    ("l_undefined", "l is undefined", lambda node: {**node, "l": Raw(b"\xf7")}),
    ("e_map", "e is a map", lambda node: {**node, "e": {}}),
    ("e_null", "e is null", lambda node: {**node, "e": None}),
    ("e_indefinite", "e is of indefinite length", lambda node: {**node, "e": indefinite(node["e"])}),
    ("unsorted", "l comes before e is done", lambda node: pairs([("l", node["l"]), ("e", node["e"])])),
    ("repeats_l", "l is said twice", lambda node: pairs([("e", node["e"]), ("l", None), ("l", None)])),
    ("indefinite", "a map of indefinite length", indefinite),
    ("trailing_byte", "a byte follows", lambda node: Raw(encode(node) + b"\x00")),
    ("cut_off", "the last byte is missing", lambda node: Raw(encode(node)[:-1])),
    ("array", "an array", lambda node: list(node.values())),
    ("null", "null", lambda _: None),
    ("no_bytes", "no bytes at all", lambda _: Raw(b"")),
    ("record", "a record", lambda _: record(random.Random(1))),
    ("deep", "100,000 arrays", lambda _: nested(100_000)),
    ("deep_maps", "50,000 maps", lambda _: nested(50_000, b"\xa1\x61e")),
    ("deep_e", "e is 50,000 arrays", lambda node: {**node, "e": nested(50_000)}),
    ("count_lies", "e claims four billion entries", lambda _: Raw(b"\xa2\x61e\x9a\xff\xff\xff\xff")),
)
for _name, _description, _change in _NODE_CHANGES:
    FORGERIES.add(f"node/{_name}", f"instead of a node: {_description}", _node(_change), "bad_mst_node")
FORGERIES.add(
    "node/p_negative",
    "p is -1",
    _node(_entry(3, lambda entry: {**entry, "p": -1})),
    "bad_mst_node mst_prefix",
)
FORGERIES.add(
    "node/p_false",
    "the first p is false, which Python takes for 0",
    _node(_entry(0, lambda entry: {**entry, "p": False})),
    "bad_mst_node",
)


@FORGERIES.row("node/child_named_as_raw", "bad_mst_node")
def _child_named_as_raw(rng: random.Random) -> Forgery:
    """a node on the path is named as raw bytes, in the link and in the CAR"""
    return tall(rng).with_node(lambda node: node, RAW_CODEC)


def _link_elsewhere(make: Callable[[bytes], bytes]) -> Builder:
    """A link of another kind beside the new key, before the commit as after it; its block is absent, as it may be."""

    def build_forgery(rng: random.Random) -> Forgery:
        scene = flat(rng, height=1)
        forged = scene.changed_node(lambda node: {**node, "l": Link(make(_LINK))})
        before = invert(forged.nodes, forged.data, forged.ops)
        return scene.with_event(replace(forged, prev_data=before), prior=Head(scene.prior.rev, before))

    return build_forgery


for _name, _make in (
    ("raw", lambda cid: b"\x01\x55" + cid[2:]),
    ("cid_v0", lambda cid: cid[2:]),
    ("sha512", lambda cid: b"\x01\x71\x13\x40" + bytes(64)),
    ("cut_off", lambda cid: cid[:-1]),
    ("empty", lambda _: b""),
):
    FORGERIES.add(
        f"node/absent_child_{_name}",
        f"a node links an absent child by a CID of another kind: {_name}",
        _link_elsewhere(_make),
        "bad_mst_node",
    )


def _prefixes(make: Callable[[list[bytes]], list[int]]) -> Callable[[NodeMap], Value]:
    """The node with other prefix lengths: where they are no longer than the key before, the keys stay the same."""

    def change(node: NodeMap) -> Value:
        keys = _full_keys(node)
        lengths = make(keys)
        entries = zip(node["e"], keys, lengths, strict=True)
        return {**node, "e": [{**entry, "p": length, "k": key[length:]} for entry, key, length in entries]}

    return change


def _shared(keys: list[bytes]) -> list[int]:
    return [common_prefix(left, right) for left, right in zip([b"", *keys], keys, strict=False)]


_PREFIXES: tuple[tuple[str, str, Callable[[list[bytes]], list[int]]], ...] = (
    ("not_used", "no key is compressed", lambda keys: [0 for _ in keys]),
    (
        "one_short",
        "each prefix is one byte shorter than it could be",
        lambda keys: [max(0, n - 1) for n in _shared(keys)],
    ),
    ("last_short", "the last prefix is one byte shorter", lambda keys: [*_shared(keys)[:-1], _shared(keys)[-1] - 1]),
    ("first_is_one", "the first p is 1", lambda keys: [1, *_shared(keys)[1:]]),
    ("first_is_255", "the first p is 255", lambda keys: [255, *_shared(keys)[1:]]),
    (
        "beyond_previous",
        "a p is longer than the key before",
        lambda keys: [*_shared(keys)[:3], 300, *_shared(keys)[4:]],
    ),
    ("huge", "a p is 2^62", lambda keys: [*_shared(keys)[:3], 1 << 62, *_shared(keys)[4:]]),
)
for _name, _description, _lengths in _PREFIXES:
    # No key is so long that a huge p could be well formed at all.
    _reasons = "mst_prefix bad_mst_node" if _name == "huge" else "mst_prefix"
    FORGERIES.add(f"prefix/{_name}", _description, _node(_prefixes(_lengths)), _reasons)


def _reordered(order: Callable[[int], list[int]]) -> Callable[[NodeMap], Value]:
    """The entries of a node without children in another order, well compressed."""

    def change(node: NodeMap) -> Value:
        keys, values = _full_keys(node), [entry["v"] for entry in node["e"]]
        chosen = order(len(keys))
        absent = (None,) * (len(chosen) + 1)
        return node_map(tuple(keys[at] for at in chosen), tuple(values[at] for at in chosen), absent)

    return change


_ORDERS: tuple[tuple[str, str, Callable[[int], list[int]]], ...] = (
    ("swapped", "two neighbours change places", lambda count: [1, 0, *range(2, count)]),
    ("reversed", "the keys run backwards", lambda count: [*range(count)][::-1]),
    ("repeated", "a key stands there twice", lambda count: [*range(5), *range(4, count)]),
    ("repeated_first", "the first key stands there twice", lambda count: [0, *range(count)]),
)
for _name, _description, _order in _ORDERS:
    FORGERIES.add(f"order/{_name}", _description, _node(_reordered(_order)), "mst_key_order")


@FORGERIES.row("node/key_empty", "bad_mst_node mst_key_order mst_prefix")
def _key_empty(rng: random.Random) -> Forgery:
    """there is a key of no bytes, before and after"""
    paths = mine_sequence(rng, [0] * 4)
    return Scene.of(rng, lambda rng, _: [create(rng, paths[0])], paths=paths[1:], odd_keys=[b""]).genuine()


def long_key(rng: random.Random, length: int) -> Scene:
    """A key of that many bytes, lowest like its neighbours and in one node with the new one."""
    paths = mine_sequence(rng, [0] * 4)
    while True:
        path = mine(rng, low=1_700_000_000_000_000) + "~" * length
        key = path.encode()[:length]
        if build({key: _LINK}).layer == 0:
            return Scene.of(rng, lambda rng, _: [create(rng, paths[0])], paths=paths[1:], odd_keys=[key])


FORGERIES.add(
    "node/key_too_long",
    "there is a key of 1,025 bytes, before and after",
    lambda rng: long_key(rng, 1025).genuine(),
    "mst_key_too_long",
)


@FORGERIES.row("node/too_wide", "mst_node_too_wide")
def _too_wide(rng: random.Random) -> Forgery:
    """2,100 keys were mined into one node"""
    paths = [mine(rng, 0) for _ in range(2100)]
    return Scene.of(rng, lambda rng, _: [create(rng, paths[0])], paths=paths[1:]).genuine()
