import copy
import json
from typing import Any

import pytest

from lexicons.language import LexiconError, check_document
from tests.shared import fixture

STRING = {"type": "string"}


def document(main: object = None, **defs: object) -> dict[str, Any]:
    return {"lexicon": 1, "id": "example.lexicon.one", "defs": ({"main": main} if main else {}) | defs}


def one(**field: object) -> dict[str, Any]:
    """A document with `field` as the one property of an object."""
    return document({"type": "object", "properties": {"field": field}})


def test_interop_valid() -> None:
    entries = json.loads(fixture("interop/lexicon/lexicon-valid.json").read_text())
    assert [check_document(entry["lexicon"])["id"] for entry in entries] == [
        "example.lexicon.other",
        "example.lexicon.record",
        "example.lexicon.perms",
    ]


def test_interop_invalid() -> None:
    entries = json.loads(fixture("interop/lexicon/lexicon-invalid.json").read_text())
    assert len(entries) == 7
    for entry in entries:
        with pytest.raises(LexiconError):
            check_document(entry["lexicon"])


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        document(),
        document(STRING) | {"lexicon": True},
        document(STRING) | {"lexicon": "1"},
        document(STRING) | {"lexicon": 2},
        document(STRING) | {"id": "example"},
        document(STRING) | {"id": "example.lexicon.one\n"},
        document(STRING) | {"defs": [STRING]},
        document("string"),
        document({"type": 1}),
        document({}),
    ],
)
def test_not_a_document(value: object) -> None:
    with pytest.raises(LexiconError):
        check_document(value)


@pytest.mark.parametrize("kind", ["params", "permission", "unknown", "ref", "union"])
def test_never_a_definition(kind: str) -> None:
    whole = {"type": kind, "ref": "example.lexicon.two", "refs": [], "properties": {}, "resource": "repo"}
    with pytest.raises(LexiconError, match="no type for a definition"):
        check_document(document(whole))
    with pytest.raises(LexiconError, match="no type for a definition"):
        check_document(document(named=whole))


@pytest.mark.parametrize("kind", ["record", "query", "procedure", "subscription", "permission-set"])
def test_primary_only_as_main(kind: str) -> None:
    whole = {"type": kind, "key": "any", "record": {"type": "object"}, "permissions": []}
    check_document(document(whole))
    with pytest.raises(LexiconError, match="only ever the main"):
        check_document(document(named=whole))


def test_a_primary_type_to_come_loads() -> None:
    check_document(document({"type": "space", "anything": [{"type": "ref"}, {"type": "union"}]}))
    with pytest.raises(LexiconError, match="space is not a type"):
        check_document(document(named={"type": "space"}))


@pytest.mark.parametrize(
    "field",
    [
        {"type": "token"},
        {"type": "record"},
        {"type": "params"},
        {"type": "float"},
        {"type": "boolean", "const": True, "default": True},
        {"type": "boolean", "default": 1},
        {"type": "integer", "default": True},
        {"type": "integer", "const": "1"},
        {"type": "integer", "enum": [1, "2"]},
        {"type": "integer", "enum": 1},
        {"type": "integer", "minimum": 2, "maximum": 1},
        {"type": "integer", "minimum": "1"},
        {"type": "string", "minLength": 2, "maxLength": 1},
        {"type": "string", "minGraphemes": 2, "maxGraphemes": 1},
        {"type": "string", "maxLength": True},
        {"type": "string", "knownValues": ["a", 1]},
        {"type": "string", "const": "a", "default": "a"},
        {"type": "string", "format": "email"},
        {"type": "string", "format": ["did"]},
        {"type": "bytes", "minLength": 2, "maxLength": 1},
        {"type": "blob", "accept": "audio/*"},
        {"type": "blob", "accept": ["audio"]},
        {"type": "blob", "accept": ["audio/mp*"]},
        {"type": "blob", "accept": ["*/mpeg"]},
        {"type": "blob", "maxSize": "1MB"},
        {"type": "array"},
        {"type": "array", "items": {"type": "token"}},
        {"type": "array", "items": STRING, "minLength": 2, "maxLength": 1},
        {"type": "object", "properties": []},
        {"type": "object", "properties": {"a": {}}},
        {"type": "object", "properties": {"a": STRING}, "required": ["b"]},
        {"type": "object", "properties": {"a": STRING}, "nullable": ["b"]},
        {"type": "object", "properties": {"a": STRING}, "required": "a"},
        {"type": "ref"},
        {"type": "ref", "ref": ""},
        {"type": "ref", "ref": "#"},
        {"type": "ref", "ref": "example"},
        {"type": "ref", "ref": "example.lexicon.two#"},
        {"type": "ref", "ref": ["example.lexicon.two"]},
        {"type": "union"},
        {"type": "union", "refs": [1]},
        {"type": "union", "refs": [], "closed": True},
        {"type": "union", "refs": ["#a"], "closed": "yes"},
    ],
)
def test_a_field_that_breaks_a_rule(field: dict[str, Any]) -> None:
    with pytest.raises(LexiconError):
        check_document(one(**field))


@pytest.mark.parametrize(
    "field",
    [
        {"type": "boolean", "const": False},
        {"type": "integer", "minimum": -5, "maximum": -5, "default": -5},
        {"type": "string", "minLength": 1, "maxLength": 1, "format": "did", "enum": ["a"]},
        {"type": "blob", "accept": ["*/*", "audio/*", "image/svg+xml"], "maxSize": 1},
        {"type": "array", "items": {"type": "array", "items": {"type": "unknown"}}},
        {"type": "object"},
        {"type": "ref", "ref": "#main"},
        {"type": "ref", "ref": "example.lexicon.two#a"},
        {"type": "union", "refs": []},
        {"type": "cid-link"},
    ],
)
def test_a_field_that_keeps_the_rules(field: dict[str, Any]) -> None:
    check_document(one(**field))


@pytest.mark.parametrize("key", ["tid", "nsid", "any", "literal:self"])
def test_record_key(key: str) -> None:
    check_document(document({"type": "record", "key": key, "record": {"type": "object"}}))


@pytest.mark.parametrize("key", [None, "", "self", "literal:", "literal:..", "literal:a b", "TID", 1, ["tid"]])
def test_record_key_of_no_kind(key: object) -> None:
    with pytest.raises(LexiconError, match="the key is none of"):
        check_document(document({"type": "record", "key": key, "record": {"type": "object"}}))


METHOD = {
    "type": "procedure",
    "parameters": {"type": "params", "required": ["q"], "properties": {"q": STRING}},
    "input": {"encoding": "application/json", "schema": {"type": "object"}},
    "output": {"encoding": "*/*"},
    "errors": [{"name": "Broken"}],
}


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": {"type": "object"}},
        {"parameters": {"type": "params", "properties": {"q": {"type": "object"}}}},
        {"parameters": {"type": "params", "properties": {"q": {"type": "array", "items": {"type": "unknown"}}}}},
        {"parameters": {"type": "params", "properties": {"q": STRING}, "nullable": ["q"]}},
        {"parameters": {"type": "params", "properties": {"q": STRING}, "required": ["p"]}},
        {"input": {"schema": {"type": "object"}}},
        {"output": {"encoding": "application/json", "schema": {"type": "string"}}},
        {"output": []},
        {"errors": [{"description": "nameless"}]},
        {"errors": {}},
    ],
)
def test_a_method_that_breaks_a_rule(change: dict[str, Any]) -> None:
    check_document(document(copy.deepcopy(METHOD)))
    with pytest.raises(LexiconError):
        check_document(document(METHOD | change))


@pytest.mark.parametrize("message", [None, {}, {"schema": {"type": "object"}}, {"schema": {"type": "union"}}])
def test_messages_are_a_union(message: object) -> None:
    with pytest.raises(LexiconError):
        check_document(document({"type": "subscription", "message": message}))


def test_permissions_of_any_resource() -> None:
    space = {"type": "permission", "resource": "space", "collection": ["a", {"type": "ref"}], "inheritAud": True}
    check_document(document({"type": "permission-set", "permissions": [space]}))
    for broken in ({"type": "permission"}, {"type": "ref", "resource": "repo"}, "repo"):
        with pytest.raises(LexiconError):
            check_document(document({"type": "permission-set", "permissions": [broken]}))
    with pytest.raises(LexiconError, match="no list of permissions"):
        check_document(document({"type": "permission-set"}))


def test_the_message_names_the_place() -> None:
    inner = {"type": "object", "properties": {"deep": {"type": "array", "items": {"type": "float"}}}}
    with pytest.raises(LexiconError, match=r"^example\.lexicon\.one#main\.field\.deep\[\]: float is not a type"):
        check_document(one(**inner))
