"""The data model of the AT Protocol: its values, the schema-less rules they keep, and what they look like in JSON.

A value is `None | bool | int | str | bytes | CID | list | dict[str, value]`. In JSON a link is `{"$link": "b…"}` and a
byte string `{"$bytes": "<base64>"}`; a blob is a map with `$type: "blob"` in either form (DM-01, DM-03).
"""

import base64
import binascii
import json
from typing import Any, NoReturn

from lexicons.cid import CID, DAG_CBOR, RAW, DataError
from lexicons.drisl import MAX_INT, MAX_NESTING, MIN_INT, decode, decode_at, encode

__all__ = [
    "CID",
    "DAG_CBOR",
    "RAW",
    "DataError",
    "check_record",
    "decode",
    "decode_at",
    "encode",
    "from_json",
    "is_record",
    "parse_json",
    "to_json",
]


def parse_json(text: bytes | str, *, max_marks: int | None = None) -> Any:
    """The value that JSON `text` stands for. Raises DataError where JSON is looser than the data model (DM-10).

    `max_marks` bounds the commas and the brackets that open, and by that how many values there are, each of which costs
    some microseconds: a megabyte of brackets would be seconds.
    """
    try:
        # Of bytes, json.loads would take UTF-16 and UTF-32 as well, and a byte order mark.
        decoded = text if isinstance(text, str) else text.decode()
        if max_marks is not None and sum(map(decoded.count, ",[{")) > max_marks:
            raise DataError("there are too many values in it")
        parsed = json.loads(decoded, object_pairs_hook=_unique, parse_constant=_no_constant)
    except DataError:
        raise
    except RecursionError:
        raise DataError("values are nested too deeply") from None
    except ValueError as error:
        # Not JSON, not UTF-8, or an integer of thousands of digits.
        raise DataError(f"the text is not JSON: {error}") from None
    return from_json(parsed)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise DataError("a key stands twice in an object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise DataError(f"{name} is not of the data model")


def from_json(parsed: Any, *, max_nesting: int = MAX_NESTING) -> Any:
    """The value that parsed JSON stands for: links, bytes and integral numbers turned, the rest checked.

    Raises DataError for a fraction, an integer beyond 64 bits, a lone surrogate, an empty key, a malformed `$link` or
    `$bytes`, or nesting beyond `max_nesting`.
    """
    kind = type(parsed)
    if kind is str:
        return _text(parsed)
    if parsed is None or kind is bool:
        return parsed
    if kind is int:
        if not MIN_INT <= parsed <= MAX_INT:
            raise DataError("an integer does not fit in 64 bits with a sign")
        return parsed
    if kind is float:
        # 123.0 is the same number as 123 to JSON, and the interop fixtures hold it valid (DM-09). From 2^53 on, a
        # double stands for several integers, and which one was written is lost.
        if not parsed.is_integer() or abs(parsed) >= 2**53:
            raise DataError("a number is not an exact integer")
        return int(parsed)
    if max_nesting <= 0:
        raise DataError("values are nested too deeply")
    if kind is list:
        return [from_json(item, max_nesting=max_nesting - 1) for item in parsed]
    if kind is dict:
        if "$link" in parsed:
            return _link(parsed)
        if "$bytes" in parsed:
            return _bytes(parsed)
        if "" in parsed:
            raise DataError("a map key is empty")
        return {_text(key): from_json(item, max_nesting=max_nesting - 1) for key, item in parsed.items()}
    raise DataError(f"a {kind.__name__} is not JSON")


def _text(text: Any) -> str:
    if type(text) is not str:
        raise DataError("a map key is not a text")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError("a text holds a lone surrogate") from None
    return text


def _link(parsed: dict[str, Any]) -> CID:
    text = parsed["$link"]
    if len(parsed) != 1 or type(text) is not str:
        raise DataError("a $link is not a text alone")
    return CID.parse(text)


def _bytes(parsed: dict[str, Any]) -> bytes:
    text = parsed["$bytes"]
    if len(parsed) != 1 or type(text) is not str:
        raise DataError("a $bytes is not a text alone")
    bare = text.rstrip("=")
    try:
        # Bits beyond the last byte need not be zero, as a valid fixture has them (DM-02); other alphabets are refused.
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise DataError("a $bytes is not base64") from None


def to_json(value: Any) -> Any:
    """`value` as plain JSON: links as `{"$link"}`, byte strings as `{"$bytes"}`. The inverse of `from_json`."""
    kind = type(value)
    if kind is dict:
        return {key: to_json(item) for key, item in value.items()}
    if kind is list:
        return [to_json(item) for item in value]
    if kind is CID:
        return {"$link": str(value)}
    if kind is bytes:
        return {"$bytes": base64.b64encode(value).decode("ascii").rstrip("=")}
    return value


def is_record(block: bytes) -> bool:
    """Whether `block` is a record as far as bytes go: one map, in canonical form (RD-26)."""
    try:
        return type(decode(block)) is dict
    except DataError:
        return False


def check_record(value: Any) -> None:
    """Check what holds for any record, whatever its schema: a map at the top, `$type` and blobs well formed.

    Raises DataError (DM-03, DM-07). Lexicon validation is stricter and comes after.
    """
    if type(value) is not dict:
        raise DataError("a record is not a map")
    _check(value)


def _check(value: Any) -> None:
    if type(value) is list:
        for item in value:
            _check(item)
    elif type(value) is dict:
        if "$type" in value:
            kind = value["$type"]
            if type(kind) is not str or not kind:
                raise DataError("a $type is not a text, or is empty")
            if kind == "blob":
                _check_blob(value)
        for item in value.values():
            _check(item)


def _check_blob(value: dict[str, Any]) -> None:
    if type(value.get("ref")) is not CID:
        raise DataError("a blob has no ref that is a link")
    mime_type, size = value.get("mimeType"), value.get("size")
    if type(mime_type) is not str or not mime_type:
        raise DataError("a blob has no mimeType")
    if type(size) is not int or size < 0:
        raise DataError("a blob has no size that is a whole number of bytes")
