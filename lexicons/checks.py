"""The closures that validators are made of: for each type of the lexicon language, one that judges a value.

A check takes a value and how deep it lies, and answers None or everything that is wrong with it. Paths and messages
are made for failures alone; a value that passes costs a few type tests.
"""

from collections.abc import Callable
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

import regex

from lexicons.cid import CID, RAW
from lexicons.drisl import MAX_NESTING
from lexicons.formats import FORMATS
from lexicons.language import Schema

# A list of five thousand broken items is told in full; one of a hundred thousand is not.
MAX_VIOLATIONS: Final = 10_000

_ABSENT: Final = object()
_RAW_CID: Final = bytes((1, RAW))
_UNBOUNDED: Final = 1 << 64
_graphemes = regex.compile(r"\X").finditer


class Violation(NamedTuple):
    """One rule that a value breaks: where in the value, which rule of its definition, and what is the matter."""

    path: tuple[str | int, ...]
    rule: str
    detail: str

    @property
    def where(self) -> str:
        """The path as text, `features[0].did`; empty for the value itself."""
        return "".join(f"[{step}]" if type(step) is int else f".{step}" for step in self.path).removeprefix(".")

    def __str__(self) -> str:
        return f"{self.where or 'The value'} {self.detail}."


Found: TypeAlias = list[Violation] | None
Check: TypeAlias = Callable[[object, int], Found]


def failure(rule: str, detail: str) -> Found:
    """The finding that the value itself breaks `rule`."""
    return [Violation((), rule, detail)]


def gather(found: Found, key: str | int, below: list[Violation]) -> list[Violation]:
    """`found` and what was found `below` it, under `key`."""
    moved = [Violation((key, *path), rule, detail) for path, rule, detail in below]
    if found is None:
        return moved
    found += moved
    return found


def boolean_check(schema: Schema) -> Check:
    """A check for `boolean`."""
    const = schema.get("const")

    def check(value: object, _depth: int) -> Found:
        if type(value) is not bool:
            return failure("type", "is not a boolean")
        if const is not None and value is not const:
            return failure("const", f"is not {str(const).lower()}")
        return None

    return check


def integer_check(schema: Schema) -> Check:
    """A check for `integer`."""
    minimum, maximum = schema.get("minimum", -_UNBOUNDED), schema.get("maximum", _UNBOUNDED)
    allowed, rule = _allowed(schema)

    def check(value: object, _depth: int) -> Found:
        if type(value) is not int:
            return failure("type", "is not an integer")
        if value < minimum:
            return failure("minimum", f"is less than {minimum}")
        if value > maximum:
            return failure("maximum", f"is more than {maximum}")
        if allowed is not None and value not in allowed:
            return failure(rule, "is none of the integers that are allowed")
        return None

    return check


def string_check(schema: Schema) -> Check:
    """A check for `string`: lengths in bytes of UTF-8, then in grapheme clusters (LX-15), then values and format."""
    minimum, maximum = schema.get("minLength", 0), schema.get("maxLength", _UNBOUNDED)
    fewest, most = schema.get("minGraphemes", 0), schema.get("maxGraphemes", _UNBOUNDED)
    allowed, rule = _allowed(schema)
    name = schema.get("format")
    has_format = FORMATS[name] if name is not None else None

    def check(value: object, _depth: int) -> Found:
        if type(value) is not str:
            return failure("type", "is not a string")
        # A lone surrogate is no Unicode; others refuse it, and here it must not stop the counting.
        size = len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
        if size > maximum:
            return failure("maxLength", f"is {size} bytes of UTF-8, more than {maximum}")
        if size < minimum:
            return failure("minLength", f"is {size} bytes of UTF-8, less than {minimum}")
        # No string has more graphemes than code points, so that most are never counted.
        if (len(value) > most or fewest) and (found := _count_graphemes(value, fewest, most)) is not None:
            return found
        if allowed is not None and value not in allowed:
            return failure(rule, "is none of the strings that are allowed")
        if has_format is not None and not has_format(value):
            return failure("format", f"is not a valid {name}")
        return None

    def check_format(value: object, _depth: int) -> Found:
        if type(value) is not str:
            return failure("type", "is not a string")
        if has_format is not None and not has_format(value):
            return failure("format", f"is not a valid {name}")
        return None

    bounded = minimum or fewest or maximum != _UNBOUNDED or most != _UNBOUNDED or allowed is not None
    return check if bounded else check_format


def bytes_check(schema: Schema) -> Check:
    """A check for `bytes`."""
    minimum, maximum = schema.get("minLength", 0), schema.get("maxLength", _UNBOUNDED)

    def check(value: object, _depth: int) -> Found:
        if type(value) is not bytes:
            return failure("type", "is not a byte string")
        return _check_length(len(value), minimum, maximum, "bytes")

    return check


def cid_link_check(value: object, _depth: int) -> Found:
    """The check for `cid-link`, of any codec and hash (RD-12)."""
    return None if type(value) is CID else failure("type", "is not a link")


def unknown_check(value: object, _depth: int) -> Found:
    """The check for `unknown`: any object that is not a blob."""
    if type(value) is not dict or value.get("$type") == "blob":
        return failure("type", "is not an object")
    return None


def blob_check(schema: Schema, *, raw_only: bool, legacy: bool) -> Check:
    """A check for `blob`: the size and type it claims (LX-18); `raw_only` and `legacy` as for `Validator`."""
    maximum = schema.get("maxSize", _UNBOUNDED)
    accepts = _acceptor(schema.get("accept", ["*/*"]))

    def check(value: object, _depth: int) -> Found:
        if type(value) is not dict:
            return failure("type", "is not a blob")
        kind, ref, size, mime = value.get("$type"), value.get("ref"), value.get("size"), value.get("mimeType")
        if legacy and kind is None and type(value.get("cid")) is str:
            return None if type(mime) is str and mime else gather(None, "mimeType", [_NO_MIME_TYPE])
        found: Found = None
        if kind != "blob":
            found = gather(found, "$type", [_MISSING if kind is None else Violation((), "$type", "is not blob")])
        if type(ref) is not CID:
            found = gather(found, "ref", [_MISSING if ref is None else Violation((), "type", "is not a link")])
        elif raw_only and not ref.startswith(_RAW_CID):
            found = gather(found, "ref", [Violation((), "ref", "is not a link to raw bytes")])
        if type(mime) is not str or not mime:
            found = gather(found, "mimeType", [_MISSING if mime is None else _NO_MIME_TYPE])
        elif not accepts(mime):
            found = gather(found, "mimeType", [Violation((), "accept", "is not accepted here")])
        # Nothing is an empty blob's bytes, and it is legal (DM-04).
        if type(size) is not int or size < 0:
            found = gather(found, "size", [_MISSING if size is None else Violation((), "type", "is not a size")])
        elif size > maximum:
            found = gather(found, "size", [Violation((), "maxSize", f"is more than {maximum} bytes")])
        return found

    return check


def array_check(schema: Schema, items: Check) -> Check:
    """A check for `array`; `items` judges each element."""
    minimum, maximum = schema.get("minLength", 0), schema.get("maxLength", _UNBOUNDED)

    def check(value: object, depth: int) -> Found:
        if type(value) is not list:
            return failure("type", "is not an array")
        if depth > MAX_NESTING:
            return failure("nesting", "is nested too deeply")
        found = _check_length(len(value), minimum, maximum, "items")
        for index, item in enumerate(value):
            below = items(item, depth + 1)
            if below is not None:
                found = gather(found, index, below)
                if len(found) >= MAX_VIOLATIONS:
                    break
        return found

    return check


def object_check(schema: Schema, properties: dict[str, Check]) -> Check:
    """A check for `object` and `params`; `properties` judge the declared fields, and all others may be (LX-12)."""
    required, nullable = schema.get("required", ()), schema.get("nullable", ())
    fields = tuple((name, check, name in required, name in nullable) for name, check in properties.items())

    def check(value: object, depth: int) -> Found:
        if type(value) is not dict:
            return failure("type", "is not an object")
        if depth > MAX_NESTING:
            return failure("nesting", "is nested too deeply")
        found = None
        depth += 1
        get = value.get
        for name, judge, is_required, is_nullable in fields:
            item = get(name, _ABSENT)
            if item is _ABSENT:
                if is_required:
                    found = gather(found, name, [_MISSING])
            elif item is None:
                if not is_nullable:
                    found = gather(found, name, [_NULL])
            else:
                below = judge(item, depth)
                if below is not None:
                    found = gather(found, name, below)
        return found

    return check


_MISSING: Final = Violation((), "required", "is missing")
_NULL: Final = Violation((), "nullable", "is null")
_NO_MIME_TYPE: Final = Violation((), "type", "is not a MIME type")


def _allowed(schema: Schema) -> tuple[frozenset[object] | None, str]:
    """The values that `const` or `enum` leave, and which of the two leaves them."""
    if "const" in schema:
        return frozenset([schema["const"]]), "const"
    return (frozenset(schema["enum"]), "enum") if "enum" in schema else (None, "")


def _check_length(size: int, minimum: int, maximum: int, unit: str) -> Found:
    if size > maximum:
        return failure("maxLength", f"has {size} {unit}, more than {maximum}")
    if size < minimum:
        return failure("minLength", f"has {size} {unit}, less than {minimum}")
    return None


def _count_graphemes(value: str, fewest: int, most: int) -> Found:
    # Counting stops where the answer is known: a run of regional indicators costs the square of its length.
    count = sum(1 for _ in islice(_graphemes(value), max(fewest, most + 1) if most != _UNBOUNDED else fewest))
    if count > most:
        return failure("maxGraphemes", f"has more than {most} graphemes")
    if count < fewest:
        return failure("minGraphemes", f"has {count} graphemes, less than {fewest}")
    return None


def _acceptor(patterns: list[str]) -> Callable[[str], bool]:
    """Whether a MIME type is among `patterns`: its essence counts, in lower case (LX-16)."""
    exact = frozenset(pattern.lower() for pattern in patterns)
    prefixes = tuple(pattern.removesuffix("*") for pattern in exact if pattern.endswith("/*"))
    anything = "*/*" in exact

    def accepts(mime: str) -> bool:
        if anything or mime in exact or mime.startswith(prefixes):
            return True
        essence = mime.partition(";")[0].strip().lower()
        return essence in exact or essence.startswith(prefixes)

    return accepts
