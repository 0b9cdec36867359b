import struct
import tracemalloc
from typing import Any

import cbor2
import libipld
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexicons.cid import CID, DataError
from lexicons.drisl import MAX_ENTRIES, MAX_INT, MAX_KEY_BYTES, MAX_NESTING, MIN_INT, decode, decode_at, encode, head

RAW_CID = CID.of(b"block")
LINK = b"\xd8\x2a\x58\x25\x00" + RAW_CID

# Every value with its only encoding, as RFC 8949 has them where it has them.
CANONICAL: dict[bytes, Any] = {
    b"\xf4": False,
    b"\xf5": True,
    b"\xf6": None,
    b"\x00": 0,
    b"\x17": 23,
    b"\x18\x18": 24,
    b"\x18\xff": 255,
    b"\x19\x01\x00": 256,
    b"\x19\xff\xff": 65_535,
    b"\x1a\x00\x01\x00\x00": 65_536,
    b"\x1a\xff\xff\xff\xff": 2**32 - 1,
    b"\x1b\x00\x00\x00\x01\x00\x00\x00\x00": 2**32,
    b"\x1b\x00\x1f\xff\xff\xff\xff\xff\xff": 2**53 - 1,
    b"\x1b\x7f\xff\xff\xff\xff\xff\xff\xff": MAX_INT,
    b"\x20": -1,
    b"\x37": -24,
    b"\x38\x18": -25,
    b"\x38\xff": -256,
    b"\x39\x01\x00": -257,
    b"\x3b\x7f\xff\xff\xff\xff\xff\xff\xff": MIN_INT,
    b"\x40": b"",
    b"\x43\x01\x02\x03": b"\x01\x02\x03",
    b"\x58\x18" + bytes(24): bytes(24),
    b"\x59\x01\x00" + bytes(256): bytes(256),
    b"\x60": "",
    b"\x61\x00": "\0",
    b"\x62\xc3\xbc": "ü",
    b"\x64\xf0\x90\x85\x91": "\U00010151",
    b"\x78\x18" + b"a" * 24: "a" * 24,
    b"\x80": [],
    b"\x83\x01\x81\x02\xf6": [1, [2], None],
    b"\x98\x18" + b"\x00" * 24: [0] * 24,
    b"\xa0": {},
    b"\xa1\x61\x00\xf6": {"\0": None},
    b"\xa3\x61a\x01\x61b\x02\x62aa\x03": {"a": 1, "b": 2, "aa": 3},
    b"\xa2\x61z\x61y\x62\xc3\xbc\x60": {"z": "y", "ü": ""},
    b"\xa1\x78\x18" + b"k" * 24 + b"\x78\x18" + b"v" * 24: {"k" * 24: "v" * 24},
    LINK: RAW_CID,
    b"\xa1\x65$link" + LINK: {"$link": RAW_CID},
    b"\xd8\x2a\x45\x00\x01\x55\x00\x00": CID(b"\x01\x55\x00\x00"),
    b"\xd8\x2a\x58\x45\x00\x01\x71\x13\x40" + bytes(64): CID(b"\x01\x71\x13\x40" + bytes(64)),
}

REFUSED: dict[str, bytes] = {
    "nothing": b"",
    "a half float": b"\xf9\x3c\x00",
    "a single float": b"\xfa\x3f\x80\x00\x00",
    "a double": b"\xfb\x3f\xf8\x00\x00\x00\x00\x00\x00",
    "a double that is an integer": b"\xfb\x3f\xf0\x00\x00\x00\x00\x00\x00",
    "NaN": b"\xf9\x7e\x00",
    "NaN as a double": b"\xfb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    "infinity": b"\xf9\x7c\x00",
    "minus infinity": b"\xfb\xff\xf0\x00\x00\x00\x00\x00\x00",
    "undefined": b"\xf7",
    "simple value 0": b"\xe0",
    "simple value 19": b"\xf3",
    "simple value 32": b"\xf8\x20",
    "false in two bytes": b"\xf8\x14",
    "a reserved simple value": b"\xfc",
    "a break": b"\xff",
    "a date": b"\xc0\x74" + b"2013-03-21T20:04:00Z",
    "a timestamp": b"\xc1\x1a\x51\x4b\x67\xb0",
    "a bignum": b"\xc2\x49\x01" + bytes(8),
    "a negative bignum": b"\xc3\x49\x01" + bytes(8),
    "tag 41": b"\xd8\x29" + LINK[2:],
    "tag 55799, self-described CBOR": b"\xd9\xd9\xf7\x00",
    "tag 42 in three bytes": b"\xd9\x00\x2a" + LINK[2:],
    "tag 42 in nine bytes": b"\xdb" + bytes(7) + b"\x2a" + LINK[2:],
    "an indefinite byte string": b"\x5f\x41\x00\xff",
    "an indefinite text": b"\x7f\x61a\xff",
    "an indefinite array": b"\x9f\x01\xff",
    "an indefinite map": b"\xbf\x61a\x01\xff",
    "an indefinite integer": b"\x1f",
    "an indefinite tag": b"\xdf\x2a",
    "reserved length 28": b"\x1c",
    "reserved length 29": b"\x5d",
    "reserved length 30": b"\x9e",
    "23 in two bytes": b"\x18\x17",
    "-24 in two bytes": b"\x38\x17",
    "255 in three bytes": b"\x19\x00\xff",
    "65,535 in five bytes": b"\x1a\x00\x00\xff\xff",
    "2^32-1 in nine bytes": b"\x1b\x00\x00\x00\x00\xff\xff\xff\xff",
    "a byte string's length not shortest": b"\x58\x01\x00",
    "a text's length not shortest": b"\x78\x01a",
    "an array's length not shortest": b"\x98\x01\x00",
    "a map's length not shortest": b"\xb8\x01\x61a\x00",
    "a key's length not shortest": b"\xa1\x78\x01a\x00",
    "a value's length not shortest": b"\xa1\x61a\x78\x01b",
    "2^63": b"\x1b\x80" + bytes(7),
    "2^64-1": b"\x1b" + b"\xff" * 8,
    "-2^63-1": b"\x3b\x80" + bytes(7),
    "-2^64": b"\x3b" + b"\xff" * 8,
    "keys in alphabetical, not length-first order": b"\xa2\x62aa\x01\x61b\x02",
    "keys in reverse order": b"\xa2\x61b\x01\x61a\x02",
    "a key twice": b"\xa2\x61a\x01\x61a\x02",
    "a key twice, not side by side": b"\xa3\x61a\x01\x61b\x02\x61a\x03",
    "keys out of order in the depth": b"\x81\xa1\x61x\xa2\x61b\x01\x61a\x02",
    "an integer key": b"\xa1\x01\x02",
    "a byte-string key": b"\xa1\x41a\x02",
    "a null key": b"\xa1\xf6\x02",
    "an array key": b"\xa1\x80\x02",
    "a tagged key": b"\xa1\xd8\x2a\x61a\x02",
    "an indefinite key": b"\xa1\x7f\x61a\xff\x01",
    "an empty key": b"\xa1\x60\x01",
    "an empty key after another": b"\xa2\x61a\x01\x60\x01",
    "a key that is too long": b"\xa1\x79\x20\x01" + b"k" * (MAX_KEY_BYTES + 1) + b"\x01",
    "a key of four gigabytes": b"\xa1\x7a\xff\xff\xff\xff",
    "a continuation byte alone": b"\x61\x80",
    "a lead byte alone": b"\x61\xc3",
    "an overlong encoding": b"\x62\xc0\x80",
    "a surrogate": b"\x63\xed\xa0\x80",
    "a surrogate pair, as CESU-8 has it": b"\x66\xed\xa0\xbd\xed\xb8\x80",
    "beyond Unicode": b"\x64\xf4\x90\x80\x80",
    "a key that is not UTF-8": b"\xa1\x61\xff\x01",
    "a surrogate in a key": b"\xa1\x63\xed\xa0\x80\x01",
    "a value that is not UTF-8": b"\xa1\x61a\x61\xff",
    "a long text that is not UTF-8": b"\x78\x18" + b"\xff" * 24,
    "a byte behind the value": b"\x00\x00",
    "a value behind the value": b"\xa0\xa0",
    "a break behind the value": b"\x80\xff",
    "a byte string that says four gigabytes": b"\x5a\xff\xff\xff\xff\x00",
    "a byte string that says 2^64-1": b"\x5b" + b"\xff" * 8,
    "a text that says 2^63": b"\x7b\x80" + bytes(7),
    "an array that says four billion": b"\x9a\xff\xff\xff\xff\x00",
    "an array that says 2^64-1": b"\x9b" + b"\xff" * 8,
    "a map that says four billion": b"\xba\xff\xff\xff\xff\x61a\x00",
    "a map that says 2^64-1": b"\xbb" + b"\xff" * 8,
    "a map of half as many bytes as entries need": b"\xa2\x61a\x00",
    "an array of too many": b"\x9a" + struct.pack(">I", MAX_ENTRIES + 1) + bytes(MAX_ENTRIES + 1),
    "arrays nested too deeply": b"\x81" * (MAX_NESTING + 1) + b"\x00",
    "maps nested too deeply": b"\xa1\x61a" * (MAX_NESTING + 1) + b"\x00",
    "arrays nested 10^5 deep": b"\x81" * 100_000 + b"\x00",
    "maps nested 10^5 deep": b"\xa1\x61a" * 100_000 + b"\x00",
    "tags nested 10^5 deep": b"\xd8\x2a" * 100_000 + b"\x00",
    "arrays that never end": b"\x81" * 100_000,
    "a link to an integer": b"\xd8\x2a\x00",
    "a link to null": b"\xd8\x2a\xf6",
    "a link to a text": b"\xd8\x2a\x78\x25\x00" + RAW_CID,
    "a link to an array": b"\xd8\x2a\x80",
    "a link to a link": b"\xd8\x2a" + LINK,
    "a link to nothing": b"\xd8\x2a",
    "an empty link": b"\xd8\x2a\x40",
    "a link of a zero byte": b"\xd8\x2a\x41\x00",
    "a link without its zero byte": b"\xd8\x2a\x58\x24" + RAW_CID,
    "a link with a multibase letter for the zero byte": b"\xd8\x2a\x58\x25b" + RAW_CID,
    "a link's length not shortest": b"\xd8\x2a\x59\x00\x25\x00" + RAW_CID,
    "an indefinite link": b"\xd8\x2a\x5f\x58\x25\x00" + RAW_CID + b"\xff",
    "a link of version 0": b"\xd8\x2a\x58\x23\x00" + RAW_CID[2:],
    "a link of version 2": b"\xd8\x2a\x58\x25\x00\x02" + RAW_CID[1:],
    "a link with a digest too short": b"\xd8\x2a\x58\x24\x00" + RAW_CID[:-1],
    "a link with a digest too long": b"\xd8\x2a\x58\x26\x00" + RAW_CID + b"\x00",
    "a link with a codec that is not minimal": b"\xd8\x2a\x58\x26\x00\x01\xf1\x00" + RAW_CID[2:],
    "a link longer than any": b"\xd8\x2a\x58\x66\x00\x01\x55\x00\x61" + bytes(97),
    "a link of four gigabytes": b"\xd8\x2a\x5a\xff\xff\xff\xff\x00",
    "a link cut off": LINK[:-1],
}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
cids = st.binary(max_size=8).map(CID.of) | st.binary(max_size=8).map(lambda block: CID.of(block, 0x55))
scalars = st.none() | st.booleans() | st.integers(MIN_INT, MAX_INT) | texts | st.binary(max_size=300) | cids
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts.filter(bool), inner, max_size=5),
    max_leaves=30,
)


@pytest.mark.parametrize(("block", "value"), CANONICAL.items(), ids=lambda item: repr(item)[:40])
def test_one_value_has_one_encoding(block: bytes, value: Any) -> None:
    decoded = decode(block)
    assert decoded == value
    assert type(decoded) is type(value)
    assert encode(value) == block


@pytest.mark.parametrize("block", REFUSED.values(), ids=REFUSED)
def test_any_other_bytes_are_refused(block: bytes) -> None:
    with pytest.raises(DataError):
        decode(block)


@pytest.mark.parametrize("name", [name for name, block in REFUSED.items() if len(block) < 1_000])
def test_they_are_refused_within_other_values_too(name: str) -> None:
    block = REFUSED[name]
    with pytest.raises(DataError):
        decode(b"\xa2\x61a\x00\x61b\x82\x00" + block)


@pytest.mark.parametrize("block", CANONICAL, ids=lambda block: repr(block)[:40])
def test_a_value_cut_off_anywhere_is_refused(block: bytes) -> None:
    for cut in range(len(block)):
        with pytest.raises(DataError):
            decode(block[:cut])
        with pytest.raises(DataError):
            decode(b"\xa1\x61a" + block[:cut])


def test_nesting_is_allowed_to_its_limit_both_ways() -> None:
    arrays, maps = b"\x81" * MAX_NESTING + b"\x00", b"\xa1\x61a" * MAX_NESTING + b"\x00"
    assert encode(decode(arrays)) == arrays
    assert encode(decode(maps)) == maps
    with pytest.raises(DataError):
        encode([decode(arrays)])
    with pytest.raises(DataError):
        encode({"a": decode(maps)})
    with pytest.raises(DataError):
        decode(b"\x81\x81\x00", max_nesting=1)


def test_a_deep_structure_is_refused_long_before_the_stack_ends() -> None:
    deep: Any = 0
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(DataError):
        encode(deep)
    while type(deep) is list:  # taken apart by hand: freeing it at one go is deep as well
        deep = deep.pop()


def test_containers_are_allowed_to_their_limit_together() -> None:
    full = b"\x9a" + struct.pack(">I", MAX_ENTRIES) + bytes(MAX_ENTRIES)
    assert len(decode(full)) == MAX_ENTRIES
    half = b"\x99\xff\xff" + bytes(0xFFFF)
    assert [len(array) for array in decode(b"\x82" + half + half)] == [0xFFFF, 0xFFFF]
    with pytest.raises(DataError):
        decode(b"\x83" + half + half + b"\x80")
    with pytest.raises(DataError):
        decode(b"\xa3\x61a" + half + b"\x61b" + half + b"\x61c\x00")
    with pytest.raises(DataError):
        encode([0] * (MAX_ENTRIES + 1))


def test_a_key_is_allowed_to_its_limit() -> None:
    block = b"\xa1\x79\x20\x00" + b"k" * MAX_KEY_BYTES + b"\x01"
    assert encode(decode(block)) == block
    with pytest.raises(DataError):
        encode({"k" * (MAX_KEY_BYTES + 1): 1})
    with pytest.raises(DataError):
        encode({"ü" * (MAX_KEY_BYTES // 2 + 1): 1})


def test_a_claim_is_not_allocated() -> None:
    tracemalloc.start()
    try:
        for block in REFUSED.values():
            if len(block) < 100:
                with pytest.raises(DataError):
                    decode(block)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("nan"),
        2**63,
        -(2**63) - 1,
        "\ud800",
        {"\ud800": 1},
        {"": 1},
        {1: 1},
        {None: 1},
        {b"a": 1},
        (1,),
        {1},
        bytearray(b"a"),
        memoryview(b"a"),
        Text("a"),
        {Text("a"): 1},
        object(),
        cbor2.undefined,
        [[1.5]],
        {"a": {"b": 1j}},
    ],
    ids=lambda value: repr(value).split(" at 0x")[0][:40],
)
def test_what_the_model_does_not_hold_is_not_encoded(value: Any) -> None:
    with pytest.raises(DataError):
        encode(value)


def test_a_value_may_start_anywhere() -> None:
    block = b"\xff" + encode({"a": RAW_CID}) + encode("ü") + b"\xff"
    first, middle = decode_at(block, 1)
    second, end = decode_at(block, middle)
    assert (first, second, end) == ({"a": RAW_CID}, "ü", len(block) - 1)
    with pytest.raises(DataError):
        decode_at(block, len(block))


@pytest.mark.parametrize("block", [block for block in CANONICAL if len(block) > 1], ids=lambda block: repr(block)[:40])
def test_a_value_never_ends_behind_the_block(block: bytes) -> None:
    for cut in range(1, len(block)):
        with pytest.raises(DataError):
            decode_at(block[:cut], 0)


@pytest.mark.parametrize("n", [0, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**64 - 1])
@pytest.mark.parametrize("major", range(7))
def test_a_head_is_the_shortest_there_is(major: int, n: int) -> None:
    size = len(head(major, n))
    assert head(major, n)[0] >> 5 == major
    assert size == next(size for size, least in ((9, 2**32), (5, 65_536), (3, 256), (2, 24), (1, 0)) if n >= least)
    assert head(0, n) == cbor2.dumps(n)


@settings(deadline=None, max_examples=150)
@given(values)
def test_what_is_encoded_decodes_to_the_same(value: Any) -> None:
    block = encode(value)
    assert decode(block) == value
    assert encode(decode(block)) == block


@settings(deadline=None, max_examples=100)
@given(values)
def test_other_encoders_say_the_same_and_other_decoders_read_it(value: Any) -> None:
    block = encode(value)
    assert cbor2.loads(block, tag_hook=_link) == value
    assert libipld.decode_dag_cbor(block) == value
    assert cbor2.dumps(_tagged(value), canonical=True) == block
    assert libipld.encode_dag_cbor(_untyped(value)) == encode(_untyped(value))


def _link(tag: Any, *_: Any) -> Any:
    assert tag.tag == 42
    return tag.value[1:]


def _tagged(value: Any) -> Any:
    """`value` as cbor2 writes it: links are tags."""
    if type(value) is CID:
        return cbor2.CBORTag(42, b"\x00" + value)
    if type(value) is list:
        return [_tagged(item) for item in value]
    return {key: _tagged(item) for key, item in value.items()} if type(value) is dict else value


def _untyped(value: Any) -> Any:
    """`value` without what libipld guesses to be a link: byte strings."""
    if type(value) in (CID, bytes):
        return value.hex()
    if type(value) is list:
        return [_untyped(item) for item in value]
    return {key: _untyped(item) for key, item in value.items()} if type(value) is dict else value


@settings(deadline=None, max_examples=250)
@given(st.binary(max_size=60))
def test_random_bytes_are_a_value_or_a_data_error(block: bytes) -> None:
    _agrees_with_libipld(block)


@settings(deadline=None, max_examples=250)
@given(values, st.data())
def test_an_encoding_with_a_byte_changed_is_another_value_or_a_data_error(value: Any, data: st.DataObject) -> None:
    block = bytearray(encode([value]))
    block[data.draw(st.integers(0, len(block) - 1))] ^= data.draw(st.integers(1, 255))
    _agrees_with_libipld(bytes(block))


def _agrees_with_libipld(block: bytes) -> None:
    """Where we find a value, it is canonical, and the laxer reader finds the same one."""
    try:
        value = decode(block)
    except DataError:
        return
    assert encode(value) == block
    assert libipld.decode_dag_cbor(block) == value
