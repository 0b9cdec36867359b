"""Values of the data model against the definitions of a catalog.

All that is wrong with a value is found, not the first thing only: a reader may forgive one deviation only if it knows
that there is no other.
"""

from typing import Final, Literal, NoReturn, TypeAlias

from lexicons.catalog import Catalog, LexiconError, Schema
from lexicons.checks import (
    Check,
    Found,
    Violation,
    array_check,
    blob_check,
    boolean_check,
    bytes_check,
    cid_link_check,
    failure,
    integer_check,
    object_check,
    string_check,
    unknown_check,
)
from lexicons.formats import is_nsid, is_record_key, is_tid
from lexicons.language import FIELD_TYPES

__all__ = ["InvalidRecord", "InvalidValue", "Part", "Validator", "Violation"]

Part: TypeAlias = Literal["parameters", "input", "output", "message"]

_RECORD_KEYS: Final = {"any": is_record_key, "nsid": is_nsid, "tid": is_tid}


class InvalidValue(ValueError):
    """A value breaks its definition; `violations` has all of it, and `path`, `rule` and the message the first."""

    def __init__(self, violations: list[Violation]) -> None:
        self.violations = violations
        self.path = violations[0].where
        self.rule = violations[0].rule
        super().__init__(str(violations[0]))


class InvalidRecord(InvalidValue):
    """A record breaks the definition of its collection, or stands under a key it may not have (LX-13)."""


class Validator:
    """Every definition of a catalog, compiled.

    Blobs must link to raw bytes (DM-03), unless not `raw_blobs`. Their form of before 2023, `{cid, mimeType}`, passes
    only with `legacy_blobs` (DM-05): no `fm.plyr.*` record is that old (LX-17), but a profile of Bluesky's may be.
    """

    def __init__(self, catalog: Catalog, *, raw_blobs: bool = True, legacy_blobs: bool = False) -> None:
        self._catalog = catalog
        self._raw_blobs = raw_blobs
        self._legacy_blobs = legacy_blobs
        self._checks: dict[str, Check] = {}
        self._objects: dict[str, Check] = {}
        self._under_way: set[str] = set()
        self._keys: dict[str, str] = {}
        self._parts: dict[tuple[str, Part], Check] = {}
        for name, definition in catalog.items():
            self._compile_definition(name, definition)

    def record_violations(self, collection: str, rkey: str, value: object) -> list[Violation]:
        """What is wrong with the record `value` at `collection`/`rkey`; empty when nothing is.

        The rules are called as in the lexicon language, and also `type`, `key` (of the record), `$type`, `union`
        (no member of it), `ref` (a blob's), `nesting`. Of MAX_VIOLATIONS or more, the rest may be left out.
        LexiconError when `collection` is no record type of the catalog.
        """
        misplaced = self.key_violations(collection, rkey)
        found = self._checks[collection](value, 1) or []
        return [*misplaced, *found] if misplaced else found

    def key_violations(self, collection: str, rkey: str) -> list[Violation]:
        """What is wrong with `rkey` as the key of a record of `collection`, whatever the record is; see above."""
        key = self._keys.get(collection)
        if key is None:
            raise LexiconError(f"No lexicon defines records of {collection[:400]}.")
        return [] if _is_key(rkey, key) else [Violation((), "key", f"stands under a key that is not {key}")]

    def validate_record(self, collection: str, rkey: str, value: object) -> None:
        """Raises InvalidRecord when `record_violations` finds anything."""
        found = self.record_violations(collection, rkey, value)
        if found:
            raise InvalidRecord(found)

    def violations(self, name: str, value: object, part: Part | None = None) -> list[Violation]:
        """What is wrong with `value` as the definition `name`, or as a `part` of the method `name`; see above."""
        check = self._checks.get(name) if part is None else self._parts.get((name, part))
        if check is None:
            raise LexiconError(f"No lexicon defines {part or 'values'} of {name[:400]}.")
        return check(value, 1) or []

    def validate(self, name: str, value: object, part: Part | None = None) -> None:
        """Raises InvalidValue when `violations` finds anything."""
        found = self.violations(name, value, part)
        if found:
            raise InvalidValue(found)

    def _compile_definition(self, name: str, definition: Schema) -> None:
        match definition["type"]:
            case "query" | "procedure" | "subscription":
                if "parameters" in definition:
                    self._parts[name, "parameters"] = self._object(definition["parameters"])
                bodies: tuple[Part, ...] = ("input", "output", "message")
                for part in bodies:
                    if "schema" in definition.get(part, ()):
                        self._parts[name, part] = self._compile(definition[part]["schema"])
            case "record":
                self._keys[name] = definition["key"]
                self._named(name)
            case kind if kind in FIELD_TYPES:
                self._named(name)
            case _:  # Tokens, permission sets and types to come (LX-05) say nothing about values.
                pass

    def _named(self, name: str) -> Check:
        """The check of a definition; where refs run in a circle (LX-19), one that finds it when it is needed."""
        if name in self._checks:
            return self._checks[name]
        definition = self._catalog.get(name)
        if definition is None:
            return _nowhere(name)
        if name in self._under_way:
            return self._once_compiled(name)
        self._under_way.add(name)
        check = self._record(name, definition) if definition["type"] == "record" else self._compile(definition)
        self._under_way.discard(name)
        self._checks[name] = check
        if definition["type"] in {"object", "record"}:
            self._objects[name] = check
        return check

    def _once_compiled(self, name: str) -> Check:
        def check(value: object, depth: int) -> Found:
            return self._checks[name](value, depth)

        return check

    def _compile(self, schema: Schema) -> Check:
        match schema["type"]:
            case "array":
                return array_check(schema, self._compile(schema["items"]))
            case "blob":
                return blob_check(schema, raw_only=self._raw_blobs, legacy=self._legacy_blobs)
            case "boolean":
                return boolean_check(schema)
            case "bytes":
                return bytes_check(schema)
            case "cid-link":
                return cid_link_check
            case "integer":
                return integer_check(schema)
            case "object":
                return self._object(schema)
            case "ref":
                return self._named(schema["ref"])
            case "string":
                return string_check(schema)
            case "union":
                return self._union(schema)
            case _:
                return unknown_check

    def _object(self, schema: Schema) -> Check:
        properties = schema.get("properties", {})
        return object_check(schema, {name: self._compile(field) for name, field in properties.items()})

    def _record(self, nsid: str, definition: Schema) -> Check:
        check_object = self._object(definition["record"])

        def check(value: object, depth: int) -> Found:
            found = check_object(value, depth)
            if type(value) is dict and value.get("$type") != nsid:
                rule, detail = ("$type", f"is not {nsid}") if "$type" in value else ("required", "is missing")
                return [Violation(("$type",), rule, detail), *(found or ())]
            return found

        return check

    def _union(self, schema: Schema) -> Check:
        members = {ref: self._named(ref) for ref in schema["refs"]}
        closed = schema.get("closed", False)

        def check(value: object, depth: int) -> Found:
            if type(value) is not dict:
                return failure("type", "is not an object")
            name = value.get("$type")
            if type(name) is not str or not name:
                rule, detail = ("type", "is not a name") if "$type" in value else ("required", "is missing")
                return [Violation(("$type",), rule, detail)]
            member = members.get(name)
            if member is None and not closed:
                # What others add to an open union passes, but as what it says it is when that is known here (LX-14).
                if name not in self._objects and name != "blob" and not name.endswith("#main"):
                    return None
                member = self._objects.get(name)
            return member(value, depth) if member else [Violation(("$type",), "union", "is no member of the union")]

        return check


def _is_key(rkey: str, kind: str) -> bool:
    has_syntax = _RECORD_KEYS.get(kind)
    return has_syntax(rkey) if has_syntax is not None else rkey == kind.removeprefix("literal:")


def _nowhere(name: str) -> Check:
    """The check of a definition that a catalog, which is not strict, does not have: it fails when it is needed."""

    def check(_value: object, _depth: int) -> NoReturn:
        raise LexiconError(f"No lexicon defines {name}.")

    return check
