import json
import tracemalloc
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingester.repo.car import read_car
from ingester.repo.errors import TreeError
from ingester.repo.node import MAX_KEY_BYTES, MAX_NODE_ENTRIES, Node, encode_node, layer_of, node_cid, parse_node
from lexicons.data import CID, decode, encode
from tests.ingester.captured import ALL_OK, commits
from tests.shared import fixture

RECORD = CID.of(b"record")
CHILD = CID.of(b"child")
RAW = CID.of(b"record", 0x55)
ODD = [CID(b"\x01\x55\x00\x00"), CID(b"\x01\x71\x13\x40" + bytes(64)), CID(b"\x01\xb2\x01\x12\x20" + bytes(32)), RAW]


def entry(prefix: Any, suffix: Any, value: Any = RECORD, subtree: Any = None) -> dict[str, Any]:
    return {"p": prefix, "k": suffix, "v": value, "t": subtree}


def block(*entries: Any, left: Any = None) -> bytes:
    return encode({"l": left, "e": list(entries)})


def flat(names: Iterable[bytes]) -> Iterator[bytes]:
    """Those of `names` that belong to layer 0, and so may stand in one node."""
    return (name for name in names if layer_of(name) == 0)


# A node with a bit of everything: long and short suffixes and prefixes, subtrees or none, odd values.
RICH = block(
    entry(0, b"fm.plyr.like/3kaaaaaaaaaaaa", subtree=CHILD),
    entry(26, b"b", RAW),
    entry(3, b"z", ODD[0]),
    left=CID.of(b"left"),
)


def again(node: Node) -> bytes:
    return encode_node(node.keys, node.values, node.subtrees)


def refused(data: bytes, reason: str = "bad_mst_node") -> None:
    with pytest.raises(TreeError) as caught:
        parse_node(data)
    assert caught.value.reason == reason


def test_a_node_is_its_keys_values_and_subtrees() -> None:
    node = parse_node(RICH)
    assert node.keys == [b"fm.plyr.like/3kaaaaaaaaaaaa", b"fm.plyr.like/3kaaaaaaaaaaab", b"fm.z"]
    assert node.values == [RECORD, RAW, ODD[0]]
    assert node.subtrees == [CID.of(b"left"), CHILD, None, None]
    assert again(node) == RICH


def test_the_empty_node_and_one_with_only_a_pointer_parse() -> None:
    assert parse_node(block())[:3] == ([], [], [None])
    assert parse_node(block(left=CHILD))[:3] == ([], [], [CHILD])
    assert str(CID(node_cid(block()))) == "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm"


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_a_value_is_kept_whatever_its_kind(value: CID) -> None:
    one, other = islice(flat(bytes((letter,)) for letter in range(97, 123)), 2)
    data = block(entry(0, one, value), entry(0, other))
    assert parse_node(data).values == [value, RECORD]
    assert again(parse_node(data)) == data


@pytest.mark.parametrize("size", [1, 23, 24, 255, 256, MAX_KEY_BYTES])
def test_keys_are_allowed_to_their_limit(size: int) -> None:
    data = block(entry(0, b"k" * size))
    assert parse_node(data).keys == [b"k" * size]
    assert again(parse_node(data)) == data
    start = next(flat(bytes((letter,)) * max(1, size - 1) for letter in range(97, 123)))
    longer = next(flat(start + bytes((letter,)) for letter in range(256)))
    if len(longer) <= MAX_KEY_BYTES:
        data = block(entry(0, start), entry(len(start), longer[-1:]))
        assert parse_node(data).keys == [start, longer]
        assert again(parse_node(data)) == data


def test_nodes_that_are_large_are_not_kept_in_memory() -> None:
    # Sixty bytes of a block stand for a key of a thousand: whatever is remembered of nodes must be bounded in bytes.
    long = b"k" * (MAX_KEY_BYTES - 8)
    names = [list(islice(flat(b"%s%04x%04x" % (long, n, row) for row in range(0x10000)), 300)) for n in range(16)]
    blocks = [encode_node(listed, [RECORD] * 300, [None] * 301) for listed in names]
    del names
    tracemalloc.start()
    try:
        for data in blocks:
            assert len(parse_node(data).keys) == 300
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000


def test_keys_beyond_their_limit_are_refused() -> None:
    refused(block(entry(0, b"k" * (MAX_KEY_BYTES + 1))), "mst_key_too_long")
    refused(block(entry(0, b"k" * MAX_KEY_BYTES), entry(MAX_KEY_BYTES, b"k")), "mst_key_too_long")
    refused(block(entry(0, b"k" * 70_000)))


def test_a_node_is_as_wide_as_allowed() -> None:
    rows = list(islice(flat(b"%04x" % n for n in range(0x10000)), MAX_NODE_ENTRIES + 1))
    data = encode_node(rows[:-1], [RECORD] * MAX_NODE_ENTRIES, [None] * len(rows))
    assert len(parse_node(data).keys) == MAX_NODE_ENTRIES
    refused(encode_node(rows, [RECORD] * len(rows), [None] * (len(rows) + 1)), "mst_node_too_wide")
    refused(b"\xa2ae\x99\xff\xff", "mst_node_too_wide")
    refused(b"\xa2ae\x9a\xff\xff\xff\xff")
    refused(b"\xa2ae\x9b" + b"\xff" * 8)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([entry(1, b"a")], "mst_prefix"),
        ([entry(255, b"a")], "mst_prefix"),
        ([entry(0, b"")], "mst_key_order"),
        ([entry(0, b"ab"), entry(3, b"c")], "mst_prefix"),
        ([entry(0, b"ab"), entry(1_000, b"c")], "mst_prefix"),
        ([entry(0, b"ab"), entry(0, b"ac")], "mst_prefix"),
        ([entry(0, b"ab"), entry(1, b"bc")], "mst_prefix"),
        ([entry(0, b"ab"), entry(0, b"abc")], "mst_prefix"),
        ([entry(0, b"ab"), entry(2, b"")], "mst_key_order"),
        ([entry(0, b"ab"), entry(1, b"")], "mst_key_order"),
        ([entry(0, b"ab"), entry(0, b"")], "mst_key_order"),
        ([entry(0, b"ab"), entry(1, b"a")], "mst_key_order"),
        ([entry(0, b"ab"), entry(0, b"aa")], "mst_prefix"),
        ([entry(0, b"b"), entry(0, b"a")], "mst_key_order"),
        ([entry(0, b"ab"), entry(0, b"b"), entry(0, b"a")], "mst_key_order"),
        ([entry(0, b"\x80"), entry(0, b"\x7f")], "mst_key_order"),  # bytes have no sign
        ([entry(-1, b"a")], "bad_mst_node"),
        ([entry(None, b"a")], "bad_mst_node"),
        ([entry("0", b"a")], "bad_mst_node"),
        ([entry(False, b"a")], "bad_mst_node"),
        ([entry(2**40, b"a")], "bad_mst_node"),
        ([entry(0, "a")], "bad_mst_node"),
        ([entry(0, None)], "bad_mst_node"),
        ([entry(0, b"a", None)], "bad_mst_node"),
        ([entry(0, b"a", b"")], "bad_mst_node"),
        ([entry(0, b"a", bytes(RECORD))], "bad_mst_node"),
        ([entry(0, b"a", str(RECORD))], "bad_mst_node"),
        ([entry(0, b"a", [RECORD])], "bad_mst_node"),
        ([entry(0, b"a", subtree=RAW)], "bad_mst_node"),
        ([entry(0, b"a", subtree=ODD[0])], "bad_mst_node"),
        ([entry(0, b"a", subtree=ODD[1])], "bad_mst_node"),
        ([entry(0, b"a", subtree=bytes(CHILD))], "bad_mst_node"),
        ([entry(0, b"a", subtree=False)], "bad_mst_node"),
        ([{**entry(0, b"a"), "x": 1}], "bad_mst_node"),
        ([{**entry(0, b"a"), "xx": 1}], "bad_mst_node"),
        ([{"p": 0, "k": b"a", "v": RECORD}], "bad_mst_node"),
        ([{"p": 0, "k": b"a", "t": None}], "bad_mst_node"),
        ([{"k": b"a", "t": None, "v": RECORD}], "bad_mst_node"),
        ([{}], "bad_mst_node"),
        ([None], "bad_mst_node"),
        ([[]], "bad_mst_node"),
    ],
    ids=repr,
)
def test_an_entry_that_breaks_a_rule_is_refused(entries: list[Any], reason: str) -> None:
    refused(block(*entries), reason)
    if reason == "bad_mst_node":
        refused(block(entry(0, b"A"), *entries), reason)
        refused(block(*entries, left=CHILD), reason)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xf6",
        b"\x80",
        b"\xa0",
        encode({"e": []}),
        encode({"l": None}),
        encode({"e": [], "l": None, "x": 1}),
        encode({"e": [], "l": None, "xx": 1}),
        encode({"e": None, "l": None}),
        encode({"e": {}, "l": None}),
        encode({"e": [], "l": False}),
        encode({"e": [], "l": RAW}),
        encode({"e": [], "l": ODD[0]}),
        encode({"e": [], "l": ODD[1]}),
        encode({"e": [], "l": bytes(CHILD)}),
        encode({"e": [], "l": b""}),
        block() + b"\0",
        block() + block(),
        block(left=CHILD) + b"\0",
        RICH + b"\0",
        b"\0" + block(),
        b"\xa2al\xf6ae\x80",
        b"\xa2ae\x98\x00al\xf6",
        b"\xa2ae\x9f\xffal\xf6",
        b"\xbfae\x80al\xf6\xff",
        b"\xb8\x02ae\x80al\xf6",
        b"\xa2ae\x81\xa4ak\x58\x01aap\x00at\xf6av" + encode(RECORD) + b"al\xf6",
        b"\xa2ae\x81\xa4ak\x59\x00\x01aap\x00at\xf6av" + encode(RECORD) + b"al\xf6",
        b"\xa2ae\x81\xa4akAaap\x18\x00at\xf6av" + encode(RECORD) + b"al\xf6",
        b"\xa2ae\x81\xa4akAaap\x19\x00\x00at\xf6av" + encode(RECORD) + b"al\xf6",
        b"\xa2ae\x81\xa4akAaap\x00at\xf7av" + encode(RECORD) + b"al\xf6",
        b"\xa2ae\x81\xa4akAaap\x00at\xf6av\xd8\x2a\x59\x00\x25\x00" + RECORD + b"al\xf6",
        b"\xa2ae\x81\xa4akAaap\x00at\xf6av\xd8\x2a\x58\x25\x01" + RECORD + b"al\xf6",
        b"\xa2ae\x81\xa4akAaap\x00at\xf6av\xd9\x00\x2a\x58\x25\x00" + RECORD + b"al\xf6",
        b"\xa2ae\x81\xa4akAaap\x00at\xf6av\xd8\x2a\x40al\xf6",
        b"\xa2ae\x81\xa4akAaap\x00at\xf6av\xd8\x2a\x41\x00al\xf6",
    ],
    ids=repr,
)
def test_bytes_that_are_not_the_encoding_of_a_node_are_refused(data: bytes) -> None:
    refused(data)


@pytest.mark.parametrize("data", [block(), block(left=CHILD), block(entry(0, b"a", ODD[0])), RICH], ids=len)
def test_a_node_cut_off_anywhere_is_refused(data: bytes) -> None:
    for cut in range(len(data)):
        with pytest.raises(TreeError):
            parse_node(data[:cut])


def test_a_node_with_any_byte_changed_is_refused_or_another_node() -> None:
    taken = 0
    for at in range(len(RICH)):
        for byte in range(256):
            changed = RICH[:at] + bytes((byte,)) + RICH[at + 1 :]
            try:
                node = parse_node(changed)
            except TreeError:
                continue
            taken += 1
            assert again(node) == changed
            assert node.keys == sorted(set(node.keys))
    assert taken > 100 * 256


def test_a_node_with_a_byte_more_or_less_is_refused_or_another_node() -> None:
    for at in range(len(RICH)):
        for changed in (RICH[:at] + RICH[at + 1 :], RICH[:at] + b"a" + RICH[at:], RICH[:at] + b"\xf6" + RICH[at:]):
            try:
                node = parse_node(changed)
            except TreeError:
                continue
            assert again(node) == changed


@pytest.mark.parametrize("name", ALL_OK)
def test_captured_nodes_are_the_encoding_of_what_they_parse_to(name: str) -> None:
    seen = 0
    for event in commits(name)[-100:]:
        for data in read_car(event.blocks, max_blocks=1_000).blocks.values():
            fields = decode(data)
            if fields.keys() != {"e", "l"}:
                refused(data)
                continue
            node = parse_node(data)
            assert again(node) == data
            assert node.subtrees == [fields["l"], *(row["t"] for row in fields["e"])]
            assert node.values == [row["v"] for row in fields["e"]]
            seen += 1
    assert seen > 10


def test_the_layers_of_the_interop_suite() -> None:
    cases = json.loads(fixture("interop/mst/key_heights.json").read_bytes())
    assert len(cases) == 9
    assert [layer_of(case["key"].encode()) for case in cases] == [case["height"] for case in cases]


def test_the_common_prefixes_of_the_interop_suite() -> None:
    cases = json.loads(fixture("interop/mst/common_prefix.json").read_bytes())
    assert len(cases) == 13
    compared = 0
    for case in cases:
        left, right = case["left"].encode(), case["right"].encode()
        if left < right and left:
            entries = decode(encode_node([left, right], [RECORD, RECORD], [None] * 3))["e"]
            assert entries[1] == entry(case["len"], right[case["len"] :])
            compared += 1
    assert compared >= 4


keys = st.lists(
    st.binary(min_size=1, max_size=12) | st.tuples(st.just(b"fm.plyr.track/3k"), st.binary(max_size=9)).map(b"".join),
    unique=True,
    max_size=12,
).map(lambda names: sorted(flat(names)))
links = st.none() | st.binary(max_size=4).map(CID.of)


@settings(deadline=None, max_examples=150)
@given(keys, st.data())
def test_what_is_encoded_parses_to_the_same(listed: list[bytes], data: st.DataObject) -> None:
    count = len(listed)
    values = data.draw(st.lists(st.sampled_from([RECORD, *ODD]), min_size=count, max_size=count))
    subtrees = data.draw(st.lists(links, min_size=count + 1, max_size=count + 1))
    encoded = encode_node(listed, [bytes(value) for value in values], list(subtrees))
    assert parse_node(encoded)[:3] == (listed, values, subtrees)
    assert encode(decode(encoded)) == encoded


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda tail: b"\xa2ae\x81\xa4ak" + tail))
def test_random_bytes_are_a_node_or_a_tree_error(data: bytes) -> None:
    try:
        node = parse_node(data)
    except TreeError:
        return
    assert again(node) == data


@pytest.mark.parametrize("name", [b"k", b"p", b"t", b"v"])
def test_an_entry_has_all_its_fields_and_says_so(name: bytes) -> None:
    """Each of an entry's fields left out, with and without the map saying that it has one less."""
    value, key = bytes(range(32)), b"fm.plyr.track/3j2w6cg7hjzdy"
    fields = {
        b"k": b"\x58" + bytes([len(key)]) + key,
        b"p": b"\x00",
        b"t": b"\xf6",
        b"v": b"\xd8\x2a\x58\x25\x00\x01\x71\x12\x20" + value,
    }
    whole = b"\xa2ae\x81\xa4" + b"".join(b"a" + field + of for field, of in fields.items()) + b"al\xf6"
    assert parse_node(whole).keys == [key]
    cut = whole.replace(b"a" + name + fields[name], b"")
    for block in (cut, cut.replace(b"\x81\xa4", b"\x81\xa3")):
        with pytest.raises(TreeError) as refused:
            parse_node(block)
        assert refused.value.reason == "bad_mst_node"
