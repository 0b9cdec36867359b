import base64
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexicons.data import CID, DataError, check_record, decode, encode, from_json, parse_json, to_json
from lexicons.drisl import MAX_INT, MAX_NESTING, MIN_INT
from tests.lexicons.test_drisl import values
from tests.shared import fixture

LINK = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a"
BLOB = {"$type": "blob", "ref": CID.of(b"audio", 0x55), "mimeType": "audio/mpeg", "size": 5}


def cases(name: str) -> list[Any]:
    found: list[Any] = json.loads(fixture(f"interop/data-model/data-model-{name}.json").read_bytes())
    return found


def test_the_interop_suite_has_as_many_cases_as_are_known() -> None:
    assert [len(cases(name)) for name in ("fixtures", "valid", "invalid")] == [3, 5, 12]


@pytest.mark.parametrize("number", range(3))
def test_json_cbor_and_cid_are_one_value(number: int) -> None:
    case = cases("fixtures")[number]
    block = base64.b64decode(case["cbor_base64"] + "==")
    value = from_json(case["json"])
    assert encode(value) == block
    assert decode(block) == value
    assert to_json(value) == case["json"]
    assert str(CID.of(block)) == case["cid"]
    check_record(value)


@pytest.mark.parametrize("number", range(5))
def test_valid_values_are_taken(number: int) -> None:
    value = parse_json(json.dumps(cases("valid")[number]["json"]))
    check_record(value)
    assert decode(encode(value)) == value


@pytest.mark.parametrize("number", range(12))
def test_invalid_values_are_refused(number: int) -> None:
    with pytest.raises(DataError):
        check_record(parse_json(json.dumps(cases("invalid")[number]["json"])))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "nul",
        "[1,]",
        "{'a': 1}",
        '{"a": 1} x',
        "// 1",
        "NaN",
        "-Infinity",
        '{"a": Infinity}',
        '{"a": 1, "a": 1}',
        '{"a": {"b": 1, "b": 2}}',
        '{"\\u0061": 1, "a": 2}',
        "1.5",
        "1e400",
        "0.1e0",
        str(MAX_INT + 1),
        str(MIN_INT - 1),
        "9" * 10_000,
        "-" + "9" * 10_000,
        "9" * 10_000 + ".0",
        "9223372036854775808.0",
        "9007199254740993.0",  # a double holds its neighbour instead
        "1e16",
        '"\\ud800"',
        '{"\\udfff": 1}',
        '"\\ud83d\\u0020"',
        '{"": 1}',
        '"a\nb"',
        "[" * (MAX_NESTING + 1) + "]" * (MAX_NESTING + 1),
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        '{"$link": 5}',
        '{"$link": null}',
        '{"$link": "x"}',
        '{"$link": "\\ud800"}',
        f'{{"$link": "{LINK}", "a": 1}}',
        f'{{"$link": "{LINK.upper()}"}}',
        f'{{"$link": "{LINK}\\n"}}',
        '{"$bytes": 5}',
        '{"$bytes": ["AQ"]}',
        '{"$bytes": "AQ", "a": 1}',
        f'{{"$bytes": "AQ", "$link": "{LINK}"}}',
        '{"$bytes": "A"}',
        '{"$bytes": "A==="}',
        '{"$bytes": "A=Q="}',
        '{"$bytes": "=AQ"}',
        '{"$bytes": "-_-_"}',
        '{"$bytes": "A Q="}',
        '{"$bytes": "AQ==\\n"}',
        '{"$bytes": "\\u00e9A=="}',
        '{"$bytes": "\\ud800"}',
    ],
    ids=lambda text: text[:40],
)
def test_json_is_taken_no_looser_than_the_model(text: str) -> None:
    with pytest.raises(DataError):
        parse_json(text)
    with pytest.raises(DataError):
        parse_json(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        b"\xff",
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\xc0\x80"',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-16-le"),
        '{"a": 1}'.encode("utf-32-be"),
        b"\x00",
    ],
    ids=repr,
)
def test_json_is_utf8_without_a_mark(text: bytes) -> None:
    with pytest.raises(DataError):
        parse_json(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None),
        (" true\n", True),
        ("0", 0),
        ("-0", 0),
        ("-0.0", 0),
        ("123.0", 123),
        ("1E2", 100),
        ("9007199254740991.0", 2**53 - 1),
        (str(MAX_INT), MAX_INT),
        (str(MIN_INT), MIN_INT),
        ('"\\u0000"', "\0"),
        ('"\\ud83d\\ude00"', "😀"),
        ("[]", []),
        ("{}", {}),
        ('{"a": null}', {"a": None}),
        ('{"$new": {"x": 1}}', {"$new": {"x": 1}}),
        (f'{{"$link": "{LINK}"}}', CID.parse(LINK)),
        ('{"$bytes": ""}', b""),
        ('{"$bytes": "AQ"}', b"\x01"),
        ('{"$bytes": "AQ=="}', b"\x01"),
        ('{"$bytes": "AR"}', b"\x01"),  # the bits beyond the byte are not zero: a valid fixture has such
        ('{"$bytes": "+/+/"}', b"\xfb\xff\xbf"),
        ("[" * MAX_NESTING + "]" * MAX_NESTING, None),
    ],
    ids=lambda item: str(item)[:40],
)
def test_json_is_taken_as_it_is_meant(text: str, value: Any) -> None:
    parsed = parse_json(text)
    assert parse_json(text.encode()) == parsed
    if value is None and parsed is not None:
        value = json.loads(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize("parsed", [(1,), {1: 2}, {None: 2}, b"a", {"a": b"a"}, {1}, [{1}], 1j], ids=repr)
def test_python_values_that_json_has_not_are_refused(parsed: Any) -> None:
    with pytest.raises(DataError):
        from_json(parsed)


def test_a_true_is_not_a_one() -> None:
    assert from_json(True) is True
    assert encode(from_json({"a": True})) != encode(from_json({"a": 1}))


def test_nothing_is_added_or_dropped() -> None:
    record: dict[str, Any] = {
        "$type": "x.y.z",
        "null": None,
        "false": False,
        "zero": 0,
        "empty": "",
        "list": [],
        "map": {},
    }
    assert to_json(decode(encode(from_json(record)))) == record


def test_bytes_are_written_canonically() -> None:
    assert to_json({"a": b"\x01"}) == {"a": {"$bytes": "AQ"}}
    assert to_json(parse_json('{"$bytes": "AR=="}')) == {"$bytes": "AQ"}


@pytest.mark.parametrize(
    "blob",
    [
        BLOB,
        {**BLOB, "size": 0},
        {**BLOB, "extra": 1},
        {**BLOB, "ref": CID.of(b"", 0x71)},
        {"cid": "b", "mimeType": "audio/mpeg"},
        {"$type": "not.a.blob", "ref": 5},
        {"$type": "blob#x"},
    ],
    ids=repr,
)
def test_blobs_of_all_sorts_are_taken(blob: Any) -> None:
    check_record({"audio": blob})
    check_record({"audio": [[{"deep": blob}]]})


@pytest.mark.parametrize(
    "blob",
    [
        {"$type": "blob"},
        {**BLOB, "ref": LINK},
        {**BLOB, "ref": bytes(BLOB["ref"])},  # type: ignore[call-overload] # the ref is bytes
        {**BLOB, "ref": None},
        {**BLOB, "mimeType": ""},
        {**BLOB, "mimeType": None},
        {**BLOB, "size": -1},
        {**BLOB, "size": True},
        {**BLOB, "size": "5"},
        {key: item for key, item in BLOB.items() if key != "size"},
        {"$type": ""},
        {"$type": None},
        {"$type": 5},
    ],
    ids=repr,
)
def test_malformed_blobs_and_types_are_refused_wherever_they_are(blob: Any) -> None:
    for record in ({"audio": blob}, {"audio": [[{"deep": blob}]]}):
        with pytest.raises(DataError):
            check_record(record)


@pytest.mark.parametrize("value", [None, 1, "a", [], [{}], b"", CID.of(b"")], ids=repr)
def test_a_record_is_a_map(value: Any) -> None:
    with pytest.raises(DataError):
        check_record(value)


def test_an_error_is_one_line_however_hostile_the_text() -> None:
    with pytest.raises(DataError) as caught:
        parse_json('{"$link": "b\\n' + "x" * 100_000 + '"}')
    assert len(str(caught.value)) < 200
    assert re.fullmatch(".*", str(caught.value))


def has_marker(value: Any) -> bool:
    """Whether a map says `$link` or `$bytes` of itself, which JSON cannot tell from a link or bytes."""
    if type(value) is dict:
        return not value.keys().isdisjoint({"$link", "$bytes"}) or any(map(has_marker, value.values()))
    return type(value) is list and any(map(has_marker, value))


@settings(deadline=None, max_examples=150)
@given(values.filter(lambda value: not has_marker(value)))
def test_json_and_back_is_the_same(value: Any) -> None:
    assert from_json(to_json(value)) == value
    assert parse_json(json.dumps(to_json(value))) == value


@settings(deadline=None, max_examples=200)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["$link", "$bytes", "$type", ""]), inner)
        ),
        max_leaves=10,
    )
)
def test_any_json_is_a_value_or_a_data_error(parsed: Any) -> None:
    try:
        value = from_json(parsed)
    except DataError:
        return
    assert decode(encode(value)) == value
