"""The canonical encoding against fixtures and other libraries, and each wrong form refused."""

import base64
import json
from typing import Any

import cbor2
import libipld
import pytest

from tests.shared import fixture
from tests.writer import cbor
from tests.writer.cbor import CborError, Link, Raw, Value, cid_of, decode, encode, link_from_text


def _from_json(value: Any) -> Value:
    if isinstance(value, dict):
        if set(value) == {"$link"}:
            return link_from_text(value["$link"])
        if set(value) == {"$bytes"}:
            return base64.b64decode(value["$bytes"] + "==")
        return {key: _from_json(item) for key, item in value.items()}
    return [_from_json(item) for item in value] if isinstance(value, list) else value


def test_data_model_fixtures() -> None:
    cases = json.loads(fixture("interop/data-model/data-model-fixtures.json").read_text())
    for case in cases:
        encoded = encode(_from_json(case["json"]))
        assert encoded == base64.b64decode(case["cbor_base64"] + "==")
        assert str(cid_of(encoded)) == case["cid"]
        assert encode(decode(encoded)) == encoded


SAMPLES: list[Value] = [
    *(None, True, False, 0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1, -1, -24, -25, -256, -(2**63)),
    *("", "é", "a" * 23, "a" * 24, "a" * 300, "\x00", b"", b"\xff" * 70_000, [], [[]], {}, {"a": {}}),
    {"bb": 1, "a": 2, "ccc": [3, None], "é": 4, "z": 5, "": 6},
]


@pytest.mark.parametrize("value", SAMPLES, ids=lambda value: repr(value)[:20])
def test_other_libraries_agree(value: Value) -> None:
    encoded = encode(value)
    assert encoded == cbor2.dumps(value, canonical=True)
    assert libipld.decode_dag_cbor(encoded) == value
    assert decode(encoded) == value


def test_link_is_tag_42_and_bytes_are_not() -> None:
    link = cid_of(b"x")
    assert cbor2.loads(encode(link)) == cbor2.CBORTag(42, b"\x00" + link)
    assert type(decode(encode(link))) is Link
    assert type(decode(encode(bytes(link)))) is bytes
    assert link_from_text(str(link)) == link


WRONG: dict[str, bytes] = {
    "nothing": b"",
    "wide integer": cbor.wide(1, 1),
    "wide length": b"\x58\x01a",
    "float": cbor.floating(1.0),
    "half float": cbor.floating(1.0, 2),
    "undefined": b"\xf7",
    "simple value": b"\xf8\x20",
    "unsorted": cbor.pairs([("bb", 1), ("a", 2)]),
    "unsorted by length": cbor.pairs([("aa", 1), ("b", 2)]),
    "repeated key": cbor.pairs([("a", 1), ("a", 1)]),
    "integer key": cbor.pairs([(1, 1)]),
    "indefinite array": cbor.indefinite([1]),
    "indefinite map": cbor.indefinite({"a": 1}),
    "indefinite text": cbor.indefinite("a"),
    "indefinite bytes": cbor.indefinite(b"a"),
    "other tag": cbor.tagged(43, b"\x00"),
    "link without zero": cbor.tagged(42, b"\x01"),
    "trailing byte": b"\x01\x01",
    "cut off": b"\x63ab",
    "bad text": b"\x62\xc3\x28",
    "too large": b"\x1b" + b"\xff" * 8,
    "too negative": b"\x3b\x80" + b"\x00" * 7,
    "deep": cbor.nested(100_000),
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG.keys())
def test_wrong_forms_are_refused(data: bytes) -> None:
    with pytest.raises(CborError):
        decode(data)


def test_wrong_forms_are_what_they_say() -> None:
    assert cbor2.loads(cbor.wide(7, 8)) == 7
    assert cbor2.loads(cbor.floating(1.5, 2)) == 1.5
    assert cbor2.loads(cbor.indefinite({"a": [1, "b"]})) == {"a": [1, "b"]}
    assert cbor2.loads(cbor.pairs([("bb", 1), ("a", 2)])) == {"bb": 1, "a": 2}
    assert encode({"a": Raw(b"\xf7")}) == b"\xa1\x61a\xf7"


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 1.5, {1: 2}, {1, 2}], ids=repr)
def test_values_without_a_form_are_refused(value: Any) -> None:
    with pytest.raises((CborError, AttributeError)):
        encode(value)
