import json
from typing import Any

import pytest

from lexicons.catalog import Catalog, LexiconError
from lexicons.data import CID, RAW, DataError, from_json
from lexicons.validate import InvalidRecord, InvalidValue, Validator
from tests.shared import fixture

LINK = CID.of(b"")
RAW_LINK = CID.of(b"", RAW)
BLOB = {"$type": "blob", "ref": RAW_LINK, "mimeType": "image/png", "size": 8}
ZWJ_FAMILY = "\U0001f469‍\U0001f469‍\U0001f466‍\U0001f466"


def validator_of(*documents: dict[str, Any], strict: bool = True, **options: bool) -> Validator:
    return Validator(Catalog(documents, strict=strict), **options)


def document(nsid: str = "a.b.one", **defs: object) -> dict[str, Any]:
    return {"lexicon": 1, "id": nsid, "defs": defs}


def object_with(**fields: object) -> dict[str, Any]:
    return {"type": "object", "properties": fields}


def judge(schema: dict[str, Any], value: object, **options: bool) -> list[tuple[str, str]]:
    """Where and by which rule `value` fails as the field `x` of an object."""
    validator = validator_of(document(main=object_with(x=schema)), strict=False, **options)
    return [
        (v.where.removeprefix("x").removeprefix("."), v.rule) for v in validator.violations("a.b.one", {"x": value})
    ]


# The interop fixtures


def interop_validator() -> Validator:
    return Validator(Catalog.load(fixture("interop/lexicon/catalog"), strict=False), raw_blobs=False)


def test_interop_valid_records() -> None:
    validator = interop_validator()
    entries = json.loads(fixture("interop/lexicon/record-data-valid.json").read_text())
    assert len(entries) == 3
    for entry in entries:
        validator.validate_record("example.lexicon.record", entry["rkey"], from_json(entry["data"]))


def test_interop_invalid_records() -> None:
    validator = interop_validator()
    entries = json.loads(fixture("interop/lexicon/record-data-invalid.json").read_text())
    assert len(entries) == 50
    for entry in entries:
        with pytest.raises((InvalidRecord, DataError)):
            validator.validate_record("example.lexicon.record", entry["rkey"], from_json(entry["data"]))


@pytest.mark.parametrize("value", [False, None, 1, "a", [], b"123", LINK, BLOB])
def test_unknown_is_an_object_where_the_fixtures_do_not_ask(value: object) -> None:
    validator = interop_validator()
    data = {"$type": "example.lexicon.record", "integer": 1, "unknown": value}
    rule = "nullable" if value is None else "type"
    found = validator.record_violations("example.lexicon.record", "demo", data)
    assert [(v.where, v.rule) for v in found] == [("unknown", rule)]
    assert not validator.record_violations("example.lexicon.record", "demo", data | {"unknown": {"$type": "x.y.z"}})


def test_interop_parameters_and_bodies() -> None:
    validator = interop_validator()
    validator.validate("example.lexicon.query", {"stringField": "a", "handle": "a.test", "array": [1]}, "parameters")
    found = validator.violations("example.lexicon.query", {"handle": "a", "array": ["1"]}, "parameters")
    assert [(v.where, v.rule) for v in found] == [
        ("stringField", "required"),
        ("handle", "format"),
        ("array[0]", "type"),
    ]
    validator.validate("example.lexicon.query", {"a": 1}, "output")
    with pytest.raises(InvalidValue, match="a is not an integer"):
        validator.validate("example.lexicon.query", {"a": "1"}, "output")
    validator.validate(
        "example.lexicon.subscription", {"$type": "example.lexicon.subscription#yo", "seq": 1, "yo": True}, "message"
    )
    with pytest.raises(LexiconError, match="input of example"):
        validator.validate("example.lexicon.query", {}, "input")


def test_a_reference_that_leads_nowhere_fails_when_it_is_needed() -> None:
    validator = interop_validator()
    assert validator.violations("example.lexicon.procedure", {}, "input")
    with pytest.raises(LexiconError, match=r"app\.bsky\.actor\.defs#preferences"):
        validator.violations("example.lexicon.procedure", {"preferences": []}, "input")


# Types and constraints


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "boolean"}, [True, False], [(0, "type"), ("true", "type")]),
        ({"type": "boolean", "const": False}, [False], [(True, "const")]),
        ({"type": "integer"}, [0, -1, 1 << 62], [(True, "type"), ("1", "type"), (1.0, "type")]),
        ({"type": "integer", "minimum": 1, "maximum": 2}, [1, 2], [(0, "minimum"), (3, "maximum")]),
        ({"type": "integer", "enum": [1, 3]}, [1, 3], [(2, "enum")]),
        ({"type": "integer", "const": 0}, [0], [(1, "const"), (False, "type")]),
        ({"type": "string"}, ["", "\0", "a\ud800"], [(b"", "type"), (1, "type"), ([], "type")]),
        ({"type": "string", "enum": ["a"], "knownValues": ["b"]}, ["a"], [("b", "enum"), ("A", "enum")]),
        ({"type": "string", "knownValues": ["b"]}, ["c"], []),
        ({"type": "string", "const": "a"}, ["a"], [("b", "const")]),
        (
            {"type": "string", "maxLength": 4},
            ["abcd", "éé", "\U0001f600"],
            [("abcde", "maxLength"), ("ééé", "maxLength")],
        ),
        ({"type": "string", "minLength": 2}, ["é", "ab"], [("a", "minLength"), ("", "minLength")]),
        ({"type": "string", "maxLength": 3}, ["\ud800"], [("\ud800a", "maxLength")]),
        (
            {"type": "string", "maxGraphemes": 1},
            ["a", ZWJ_FAMILY, "e\u0301"],
            [("ab", "maxGraphemes"), (ZWJ_FAMILY + "a", "maxGraphemes")],
        ),
        (
            {"type": "string", "minGraphemes": 2},
            ["ab", ZWJ_FAMILY * 2],
            [("e\u0301", "minGraphemes"), ("", "minGraphemes")],
        ),
        ({"type": "string", "format": "did"}, ["did:plc:a"], [("did:plc:a\n", "format"), (1, "type")]),
        (
            {"type": "string", "format": "did", "maxLength": 9},
            ["did:plc:a"],
            [("did:plc:aa", "maxLength"), ("a", "format")],
        ),
        (
            {"type": "bytes", "minLength": 1, "maxLength": 2},
            [b"a"],
            [(b"", "minLength"), (b"aaa", "maxLength"), ("a", "type"), (LINK, "type")],
        ),
        (
            {"type": "cid-link"},
            [LINK, RAW_LINK],
            [(bytes(LINK), "type"), (str(LINK), "type"), ({"$link": str(LINK)}, "type")],
        ),
        (
            {"type": "array", "items": {"type": "integer"}, "minLength": 1, "maxLength": 2},
            [[1]],
            [([], "minLength"), ([1, 2, 3], "maxLength"), ({}, "type")],
        ),
        ({"type": "object"}, [{}, {"$type": "x.y.z"}], [([], "type"), ("", "type"), (LINK, "type")]),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else None,
)
def test_types(schema: dict[str, Any], good: list[object], bad: list[tuple[object, str]]) -> None:
    for value in good:
        assert judge(schema, value) == []
    for value, rule in bad:
        assert judge(schema, value) == [("", rule)]


def test_graphemes_of_a_hostile_string_are_not_counted_to_the_end() -> None:
    # A run of regional indicators costs the square of its length to cut up; to the end, this would take minutes.
    assert judge({"type": "string", "maxGraphemes": 64}, "\U0001f1e9" * 250_000) == [("", "maxGraphemes")]
    assert judge({"type": "string", "minGraphemes": 64}, "\U0001f1e9" * 250_000) == []


def test_required_nullable_and_unknown_fields() -> None:
    string = {"type": "string"}
    schema = {
        "type": "object",
        "properties": {"a": string, "b": string, "c": string, "d": string},
        "required": ["a", "b"],
        "nullable": ["b", "c"],
    }
    validator = validator_of(document(main=schema))
    value = {"a": "", "b": None, "c": None, "more": [None, {"$type": 1}]}
    kept = json.dumps(value)
    assert validator.violations("a.b.one", value) == []
    assert json.dumps(value) == kept
    found = validator.violations("a.b.one", {"a": None, "d": None})
    assert [(v.where, v.rule) for v in found] == [("a", "nullable"), ("b", "required"), ("d", "nullable")]


# Blobs


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"more": 1}, []),
        ({"size": 0}, []),
        ({"$type": None}, [("$type", "required")]),
        ({"$type": "image"}, [("$type", "$type")]),
        ({"ref": None}, [("ref", "required")]),
        ({"ref": bytes(RAW_LINK)}, [("ref", "type")]),
        ({"ref": str(RAW_LINK)}, [("ref", "type")]),
        ({"ref": LINK}, [("ref", "ref")]),
        ({"mimeType": None}, [("mimeType", "required")]),
        ({"mimeType": ""}, [("mimeType", "type")]),
        ({"mimeType": 1}, [("mimeType", "type")]),
        ({"mimeType": "text/html"}, [("mimeType", "accept")]),
        ({"mimeType": "imagery/png"}, [("mimeType", "accept")]),
        ({"mimeType": "AUDIO/mpeg; rate=44100"}, []),
        ({"mimeType": " Image/PNG ;x=y"}, []),
        ({"mimeType": "image/svg+xml"}, [("mimeType", "accept")]),
        ({"size": None}, [("size", "required")]),
        ({"size": -1}, [("size", "type")]),
        ({"size": True}, [("size", "type")]),
        ({"size": "8"}, [("size", "type")]),
        ({"size": 101}, [("size", "maxSize")]),
        ({"$type": None, "size": None}, [("$type", "required"), ("size", "required")]),
    ],
)
def test_blob(change: dict[str, object], expected: list[tuple[str, str]]) -> None:
    schema = {"type": "blob", "accept": ["audio/*", "image/png"], "maxSize": 100}
    value = {key: item for key, item in (BLOB | change).items() if item is not None}
    assert judge(schema, value) == expected


def test_blob_of_any_type_and_codec() -> None:
    assert judge({"type": "blob", "accept": ["*/*"]}, BLOB | {"mimeType": "x"}) == []
    assert judge({"type": "blob"}, BLOB | {"mimeType": "x", "size": 1 << 60}) == []
    assert judge({"type": "blob"}, BLOB | {"ref": LINK}, raw_blobs=False) == []
    assert judge({"type": "blob"}, RAW_LINK) == [("", "type")]


def test_legacy_blob_only_where_it_is_allowed() -> None:
    legacy = {"cid": str(RAW_LINK), "mimeType": "image/png"}
    assert ("$type", "required") in judge({"type": "blob"}, legacy)
    assert judge({"type": "blob"}, legacy, legacy_blobs=True) == []
    assert judge({"type": "blob"}, legacy | {"mimeType": ""}, legacy_blobs=True) == [("mimeType", "type")]
    assert ("ref", "required") in judge({"type": "blob"}, legacy | {"cid": 1}, legacy_blobs=True)
    assert judge({"type": "blob"}, BLOB, legacy_blobs=True) == []


# References and unions

SHAPES = document(
    main=object_with(
        open={"type": "union", "refs": ["#dot", "a.b.note"]},
        closed={"type": "union", "refs": ["#dot"], "closed": True},
        note={"type": "ref", "ref": "a.b.note"},
    ),
    dot=object_with(r={"type": "integer"}),
    line=object_with(r={"type": "integer"}),
    name={"type": "string"},
)
NOTE = document("a.b.note", main={"type": "record", "key": "tid", "record": object_with(text={"type": "string"})})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"open": {"$type": "a.b.one#dot", "r": 1}}, []),
        ({"open": {"$type": "a.b.one#dot", "r": "1"}}, [("open.r", "type")]),
        ({"open": {"$type": "a.b.note", "text": ""}}, []),
        ({"open": {"$type": "a.b.note", "text": 1}}, [("open.text", "type")]),
        ({"open": {"$type": "x.y.z", "r": "1"}}, []),
        ({"open": {"$type": "a.b.one#line", "r": "1"}}, [("open.r", "type")]),  # not listed, but known
        ({"open": {"$type": "a.b.one#name"}}, []),
        ({"open": {"r": 1}}, [("open.$type", "required")]),
        ({"open": {"$type": None}}, [("open.$type", "type")]),
        ({"open": {"$type": ""}}, [("open.$type", "type")]),
        ({"open": {"$type": 1}}, [("open.$type", "type")]),
        ({"open": {"$type": "a.b.note#main"}}, [("open.$type", "union")]),
        ({"open": BLOB}, [("open.$type", "union")]),
        ({"open": LINK}, [("open", "type")]),
        ({"open": []}, [("open", "type")]),
        ({"open": "a.b.one#dot"}, [("open", "type")]),
        ({"closed": {"$type": "a.b.one#dot", "r": 1}}, []),
        ({"closed": {"$type": "a.b.one#line", "r": 1}}, [("closed.$type", "union")]),
        ({"closed": {"$type": "x.y.z"}}, [("closed.$type", "union")]),
        ({"closed": {"r": 1}}, [("closed.$type", "required")]),
        ({"note": {"$type": "a.b.note", "text": ""}}, []),
        ({"note": {"text": ""}}, [("note.$type", "required")]),
        ({"note": {"$type": "a.b.one#dot"}}, [("note.$type", "$type")]),
    ],
)
def test_unions_and_refs(value: dict[str, object], expected: list[tuple[str, str]]) -> None:
    found = validator_of(SHAPES, NOTE).violations("a.b.one", value)
    assert [(v.where, v.rule) for v in found] == expected


TREE = document(
    main=object_with(
        label={"type": "string"},
        branches={"type": "array", "items": {"type": "ref", "ref": "#main"}},
        twin={"type": "union", "refs": ["a.b.one", "#leaf"]},
    ),
    leaf=object_with(tree={"type": "ref", "ref": "#main"}),
)


def test_refs_in_a_circle() -> None:
    validator = validator_of(TREE)
    tree = {"branches": [{"branches": [{"label": 1}]}, {"twin": {"$type": "a.b.one#leaf", "tree": {"label": 2}}}]}
    found = validator.violations("a.b.one", tree)
    assert [v.where for v in found] == ["branches[0].branches[0].label", "branches[1].twin.tree.label"]


def test_nesting_is_bounded() -> None:
    validator = validator_of(TREE)

    def nested(innermost: dict[str, object], pairs: int) -> dict[str, object]:
        for _ in range(pairs):
            innermost = {"branches": [innermost]}
        return innermost

    def rules(value: object) -> list[str]:
        return [violation.rule for violation in validator.violations("a.b.one", value)]

    twin: dict[str, object] = {"twin": {"$type": "a.b.one"}}
    assert rules(nested(twin, 15)) == []  # 32 containers in one another
    assert rules(nested({"branches": []}, 15)) == []
    assert rules(nested({}, 16)) == ["nesting"]
    assert rules({"twin": nested({"$type": "a.b.one"}, 15) | {"$type": "a.b.one"}}) == []
    assert rules({"twin": nested({"branches": []}, 15) | {"$type": "a.b.one"}}) == ["nesting"]
    assert rules(nested({}, 100_000)) == ["nesting"]


# Records


def test_record_keys_and_types() -> None:
    any_record = {"type": "record", "record": {"type": "object"}}
    keys = {"tid": "a.b.tid", "any": "a.b.any", "nsid": "a.b.nsid", "literal:self": "a.b.self"}
    validator = validator_of(*(document(nsid, main=any_record | {"key": key}) for key, nsid in keys.items()))
    accepted = {
        "a.b.tid": ["3lfvhszifvc2c"],
        "a.b.any": ["3lfvhszifvc2c", "self", "a.b.c"],
        "a.b.nsid": ["a.b.c"],
        "a.b.self": ["self"],
    }
    for collection, rkeys in accepted.items():
        for rkey in ("3lfvhszifvc2c", "self", "a.b.c", "", "..", "self\n"):
            found = validator.record_violations(collection, rkey, {"$type": collection})
            assert [v.rule for v in found] == ([] if rkey in rkeys else ["key"])
    with pytest.raises(InvalidRecord, match=r"^\$type is not a\.b\.any\.$") as caught:
        validator.validate_record("a.b.any", "x", {"$type": "a.b.any#main"})
    assert (caught.value.path, caught.value.rule) == ("$type", "$type")
    with pytest.raises(InvalidRecord, match=r"^\$type is missing\.$"):
        validator.validate_record("a.b.any", "x", {})
    with pytest.raises(InvalidRecord, match=r"^The value is not an object\.$"):
        validator.validate_record("a.b.any", "x", None)
    with pytest.raises(InvalidRecord, match=r"^The value stands under a key that is not literal:self\.$"):
        validator.validate_record("a.b.self", "other", {"$type": "a.b.self"})
    with pytest.raises(LexiconError, match=r"records of a\.b\.none"):
        validator.validate_record("a.b.none", "x", {})
    with pytest.raises(LexiconError, match=r"values of a\.b\.none"):
        validator.validate("a.b.none", {})


def test_all_that_is_wrong_is_told_up_to_a_limit() -> None:
    validator = validator_of(
        document(main=object_with(x={"type": "array", "maxLength": 1, "items": {"type": "string"}}))
    )
    found = validator.violations("a.b.one", {"x": [1, "a", 2]})
    assert [(v.path, v.rule) for v in found] == [(("x",), "maxLength"), (("x", 0), "type"), (("x", 2), "type")]
    with pytest.raises(InvalidValue, match=r"^x has 3 items, more than 1\.$") as caught:
        validator.validate("a.b.one", {"x": [1, "a", 2]})
    assert caught.value.violations == found
    assert len(validator.violations("a.b.one", {"x": [1] * 100_000})) == 10_000
