"""What becomes of records that break their schema: the one table of it, and the judge that applies it.

The schemas of `fm.plyr.*` were never published, so no server checks them and anything may arrive. A record is `ok`;
or `tolerated`: shown, as far as it can be; or `rejected`: kept aside. The worst of what is wrong with it counts.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from appview.index.records import record_types
from appview.index.records.fields import MAX_DID_BYTES, MAX_SUBJECT_BYTES, SELF_LABELS, is_key
from appview.index.records.list import MAX_TYPE_BYTES
from lexicons.catalog import LexiconError, shipped
from lexicons.checks import MAX_VIOLATIONS
from lexicons.data import DataError, check_record, decode
from lexicons.validate import Validator, Violation

__all__ = ["TABLE", "Content", "Deviation", "Judge", "Judgement", "Rule", "Verdict", "rule_of", "weight"]

Verdict: TypeAlias = Literal["ok", "tolerated", "rejected"]

MAX_DEVIATIONS: Final = 100
"""Kept of one record; a list of five thousand broken items is judged whole, and told in part."""

_ANY: Final = ""

Path: TypeAlias = tuple[str | int, ...]
Condition: TypeAlias = Callable[[Mapping[str, Any], Violation], bool]


def _bytes_at_most(most: int) -> Condition:
    def holds(record: Mapping[str, Any], found: Violation) -> bool:
        text = record.get(str(found.path[0]))
        return type(text) is str and len(text.encode()) <= most

    return holds


def _items_at_most(most: int) -> Condition:
    return lambda record, _found: len(record["items"]) <= most


def _blob_says_its_type(record: Mapping[str, Any], _found: Violation) -> bool:
    blob = record.get("audioBlob")
    mime_type = blob.get("mimeType") if type(blob) is dict else None
    return type(mime_type) is str and mime_type != ""


class Rule(NamedTuple):
    """One line of the table: which deviations it is about, and what becomes of the record."""

    code: str
    types: str
    """Names of record types; `*` for all."""
    where: str
    """Paths within the record, `[]` for any item; `.` is the record itself, and `x*` all that begins with `x`."""
    rules: str
    """Names of the rules that are broken, as the validator has them; empty for all."""
    verdict: Verdict
    means: str
    """What a reader sees of it."""
    when: Condition | None = None


# The first line that fits a deviation is the one that counts.
# fmt: off
TABLE: Final = (
    # --- any record ---
    Rule("not-a-record", "*", ".", "encoding type nesting",
         "rejected", "what is there is no record"),
    Rule("not-for-json", "*", ".", "json",
         "rejected", "in JSON a part of it would read as a link or as bytes"),
    Rule("wrong-key", "*", ".", "key",
         "rejected", "it stands under a key that its type does not have"),
    Rule("wrong-type", "*", "$type", _ANY,
         "rejected", "it says that it is something else"),
    Rule("loose-data", "*", ".", "data",
         "tolerated", "shown as it is"),
    Rule("no-time", "*", "createdAt updatedAt playedTime", _ANY,
         "tolerated", "ordered by its key, or by when it was first seen"),
    Rule("too-long", "like comment follow generator", "subject.uri subject did", "bound",
         "rejected", "what it is about has a name too long to be looked up by"),
    # --- tracks ---
    Rule("long-name", "track", "title artist", "maxLength",
         "tolerated", "shown in full", _bytes_at_most(2560)),
    Rule("no-artist", "track", "artist", "minLength",
         "tolerated", "shown without a name of the artist"),
    Rule("odd-file-type", "track", "fileType", "minLength maxLength",
         "tolerated", "shown; its audio says what it is, or a player finds out"),
    Rule("no-file-type", "track", "fileType", _ANY,
         "tolerated", "shown; the blob says what it is", _blob_says_its_type),
    Rule("loose-blob", "track", "audioBlob.$type audioBlob.size", "required",
         "tolerated", "shown, with its audio"),
    Rule("odd-blob", "track", "audioBlob*", _ANY,
         "tolerated", "shown; the blob is used if it has a link to bytes, else left out"),
    Rule("too-long", "track", "features*", "bound",
         "tolerated", "shown without the features whose DIDs are too long to be looked up by"),
    Rule("features-as-text", "track", "features[]", "type",
         "tolerated", "shown; a feature that is a DID is one, others are left out"),
    Rule("odd-features", "track", "features*", _ANY,
         "tolerated", "shown; features without a DID, and beyond the tenth, are left out"),
    Rule("no-gate", "track", "supportGate", "nullable",
         "tolerated", "shown, without a gate"),
    Rule("odd-gate", "track", "supportGate*", _ANY,
         "tolerated", "shown, locked"),
    Rule("bare-labels", "track", "labels.$type", "required",
         "tolerated", "shown, with the labels"),
    Rule("odd-labels", "track", "labels*", _ANY,
         "tolerated", "shown; labels that are not self-labels are left out"),
    Rule("odd-detail", "track", "album duration description audioUrl imageUrl", _ANY,
         "tolerated", "shown; a detail over ten times its length, or of no sense, is left out"),
    # --- likes and comments ---
    Rule("no-version", "like comment", "subject.cid", _ANY,
         "tolerated", "shown; which version was meant is not known"),
    Rule("long-text", "comment", "text", "maxLength",
         "tolerated", "shown in full", _bytes_at_most(10_000)),
    Rule("no-moment", "comment", "timestampMs", _ANY,
         "tolerated", "shown at the start of the track"),
    # --- lists ---
    Rule("long-list", "list", "items", "maxLength",
         "tolerated", "shown in full", _items_at_most(5000)),
    Rule("too-long", "list", "listType items[].subject.uri", "bound",
         "tolerated", "shown without the type, or the items, whose names are too long to be looked up by"),
    Rule("no-version", "list", "items[].subject.cid", _ANY,
         "tolerated", "shown; which version was meant is not known"),
    Rule("odd-item", "list", "items[]*", _ANY,
         "tolerated", "shown without the items that name no record"),
    Rule("odd-detail", "list", "name listType", _ANY,
         "tolerated", "shown; a name over ten times its length, or of no sense, is left out"),
    # --- profiles and feed generators ---
    Rule("odd-detail", "profile", "bio avatar", _ANY,
         "tolerated", "shown; a text over ten times its length, or of no sense, is left out"),
    Rule("long-name", "generator", "displayName", "maxLength maxGraphemes",
         "tolerated", "shown in full", _bytes_at_most(2400)),
    Rule("odd-detail", "generator", "description avatar* acceptsInteractions", _ANY,
         "tolerated", "shown without what is of no sense"),
    # --- what others define ---
    Rule("odd-detail", "bsky_profile play", "*", _ANY,
         "tolerated", "used without what is of no sense"),
    Rule("odd-detail", "follow", "via*", _ANY,
         "tolerated", "counted"),
    # --- and anything else: no title, no subject, no items, the wrong type of one of them, ... ---
    Rule("meaningless", "*", "*", _ANY,
         "rejected", "without this it means nothing"),
)
# fmt: on


class Deviation(NamedTuple):
    """One way in which a record breaks its schema, and the code of the line of the table that it fell under."""

    path: tuple[str | int, ...]
    rule: str
    detail: str
    code: str
    verdict: Verdict

    @property
    def where(self) -> str:
        """The path as text, `features[0].did`; empty for the record itself."""
        return Violation(self.path, self.rule, self.detail).where

    def as_json(self) -> dict[str, str]:
        """As it is stored: `{path, rule, detail, code, verdict}`."""
        return {
            "path": self.where,
            "rule": self.rule,
            "detail": self.detail,
            "code": self.code,
            "verdict": self.verdict,
        }


class Judgement(NamedTuple):
    """What was made of a block. `value` is None when it holds no map; `deviations` has at most MAX_DEVIATIONS."""

    verdict: Verdict
    value: dict[str, Any] | None
    deviations: tuple[Deviation, ...]

    @property
    def noted(self) -> list[dict[str, str]] | None:
        """The deviations as they are stored with the record; None when there are none."""
        return [deviation.as_json() for deviation in self.deviations] or None


class Content(NamedTuple):
    """What was made of a block of a collection, under whatever key it stands: a Judgement but for that."""

    verdict: Verdict
    value: dict[str, Any] | None
    deviations: tuple[Deviation, ...]
    collection: str


class Judge:
    """Judges records of all our collections. Pure; one is enough for a process."""

    def __init__(self, namespace: str) -> None:
        catalog = shipped(namespace)
        self._names = {nsid: kind.name for nsid, kind in record_types(namespace).items()}
        self._validator = Validator(catalog)
        # Only what is older than this network may have the blobs of before 2023 (DM-05).
        self._companion_validator = Validator(catalog, legacy_blobs=True)
        self._fitting: dict[tuple[str, str, str], tuple[Rule, ...]] = {}

    def judge(self, collection: str, rkey: str, block: bytes) -> Judgement:
        """The verdict on the record `block` at `collection`/`rkey`. LexiconError when that collection is not ours."""
        return self.judge_key(self.judge_content(collection, block), rkey)

    def judge_content(self, collection: str, block: bytes) -> Content:
        """What takes time to judge of a record, once for all keys that it stands under. LexiconError likewise."""
        name = self._names.get(collection)
        if name is None:
            raise LexiconError(f"Records of {collection[:400]} are not indexed.")
        try:
            value = decode(block)
        except DataError as error:
            found = [Violation((), "encoding", f"is not DAG-CBOR: {error}")]
            return Content(*self._weighed(name, None, found), collection)
        validator = self._companion_validator if name == "bsky_profile" else self._validator
        found = validator.violations(collection, value) or _beyond_the_schema(name, value)
        if len(block) > MAX_DID_BYTES and type(value) is dict:
            found += islice(_beyond_the_index(name, value), MAX_DEVIATIONS)
        if b"$link" in block or b"$bytes" in block:
            found += _unsayable(value)
        judged = self._weighed(name, value, found) if found else Judgement("ok", value, ())
        return Content(*judged, collection)

    def judge_key(self, content: Content, rkey: str) -> Judgement:
        """The verdict on a record of that content under the key `rkey`."""
        verdict, value, deviations, collection = content
        misplaced = self._validator.key_violations(collection, rkey)
        if not misplaced:
            return Judgement(verdict, value, deviations)
        verdict, _, told = self._weighed(self._names[collection], value, misplaced)
        return Judgement(verdict, value, (*told, *deviations)[:MAX_DEVIATIONS])

    def _weighed(self, name: str, value: Any, found: list[Violation]) -> Judgement:
        record = value if type(value) is dict else None
        if len(found) >= MAX_VIOLATIONS:
            # The validator may have stopped before it came to what is worse.
            found = [Violation((), "type", f"is wrong in {MAX_VIOLATIONS} ways and more"), *found]
        told: list[Deviation] = []
        verdict: Verdict = "tolerated"
        for violation in found:
            rule = self._rule(name, record or {}, violation)
            if rule.verdict == "rejected" != verdict:
                # Where only a part is told, this is in it.
                verdict = "rejected"
                told.insert(0, Deviation(*violation, rule.code, rule.verdict))
            elif len(told) < MAX_DEVIATIONS:
                told.append(Deviation(*violation, rule.code, rule.verdict))
        return Judgement(verdict, record, tuple(told[:MAX_DEVIATIONS]))

    def _rule(self, name: str, record: Mapping[str, Any], found: Violation) -> Rule:
        where = ".".join("[]" if type(step) is int else str(step) for step in found.path).replace(".[]", "[]")
        key = (name, where, found.rule)
        fitting = self._fitting.get(key)
        if fitting is None:
            fitting = self._fitting[key] = tuple(rule for rule in TABLE if _is_about(rule, *key))
        return next(rule for rule in fitting if rule.when is None or rule.when(record, found))


def weight(judged: Judgement | Content) -> int:
    """How many rows of projections it comes to: one, and of a list one more for each item."""
    value = judged.value
    if value is None or judged.verdict == "rejected":
        return 1
    # What is not rejected says what it is; of our types that one is called so, in any namespace.
    return 1 + len(value["items"]) if value["$type"].endswith(".list") else 1


def rule_of(deviation: Mapping[str, str], name: str) -> Rule | None:
    """The line of the table for a stored deviation of a record of type `name`; None when an older table gave it."""
    code = deviation.get("code")
    return next((rule for rule in TABLE if rule.code == code and _is_named(name, rule.types)), None)


def _is_about(rule: Rule, name: str, where: str, broken: str) -> bool:
    return (
        _is_named(name, rule.types)
        and any(_is_at(where, path) for path in rule.where.split())
        and (rule.rules == _ANY or broken in rule.rules.split())
    )


def _is_named(name: str, types: str) -> bool:
    return types == "*" or name in types.split()


def _is_at(where: str, path: str) -> bool:
    return where.startswith(path[:-1]) if path.endswith("*") else where == path.removeprefix(".")


def _beyond_the_schema(name: str, value: Any) -> list[Violation]:
    """What a lexicon lets pass and the table does not."""
    try:
        check_record(value)
    except DataError as error:
        return [Violation((), "data", f"is not sound: {error}")]
    if name == "track":
        labels = value.get("labels")
        if labels is not None and labels["$type"] != SELF_LABELS:
            return [Violation(("labels", "$type"), "union", f"is not {SELF_LABELS}")]
    return []


def _beyond_the_index(name: str, value: Mapping[str, Any]) -> Iterator[Violation]:
    """What would be a key of an index, and is too long for one; whatever else is wrong with the record."""
    for path, key in _keys(name, value):
        if type(key) is str and not is_key(key):
            yield Violation(path, "bound", f"has over {MAX_DID_BYTES} bytes in its DID, or {MAX_SUBJECT_BYTES} in all")
    list_type = value.get("listType")
    if name == "list" and type(list_type) is str and len(list_type.encode()) > MAX_TYPE_BYTES:
        yield Violation(("listType",), "bound", f"has over {MAX_TYPE_BYTES} bytes")


def _keys(name: str, value: Mapping[str, Any]) -> Iterator[tuple[Path, object]]:
    """Where a record names accounts and records by which it is looked up, and what is there."""
    match name:
        case "like" | "comment":
            yield ("subject", "uri"), _at(value, "subject", "uri")
        case "list":
            for n, item in enumerate(_array(value, "items")):
                yield ("items", n, "subject", "uri"), _at(item, "subject", "uri")
        case "follow":
            yield ("subject",), value.get("subject")
        case "generator":
            yield ("did",), value.get("did")
        case "track":
            for n, feature in enumerate(_array(value, "features")):
                yield ("features", n), feature
                yield ("features", n, "did"), _at(feature, "did")


def _at(value: object, *names: str) -> object:
    """What is in `value` by these names, one within the other; None where one of them is missing."""
    for name in names:
        value = value.get(name) if type(value) is dict else None
    return value


def _array(value: Mapping[str, Any], name: str) -> list[Any]:
    found = value.get(name)
    return found if type(found) is list else []


def _unsayable(value: Any) -> list[Violation]:
    """A map with the key of a link or of bytes cannot be told from one in JSON, and breaks who reads it (DM-01)."""
    if type(value) is list:
        return next((found for item in value if (found := _unsayable(item))), [])
    if type(value) is not dict:
        return []
    if "$link" in value or "$bytes" in value:
        return [Violation((), "json", "has a map with a key $link or $bytes")]
    return next((found for item in value.values() if (found := _unsayable(item))), [])
