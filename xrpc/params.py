"""The query string of a request, read as the parameters that a lexicon declares (XR-10 … XR-14, XR-18).

Nothing is put right in silence: a value that is not what the lexicon says, a number out of its range or a parameter
given twice is an InvalidRequest. What the lexicon does not know is ignored, and so is an empty value.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from lexicons.catalog import Schema
from lexicons.drisl import MAX_INT, MIN_INT
from lexicons.validate import Validator
from xrpc.errors import InvalidRequest

MAX_FIELDS: Final = 1000

_is_integer = re.compile(r"-?[0-9]{1,19}").fullmatch
_BOOLEANS: Final = {"true": True, "false": False}


class Parameters:
    """The parameters of the method `nsid`."""

    def __init__(self, nsid: str, definition: Schema, validator: Validator) -> None:
        self._nsid = nsid
        self._validator = validator
        self._fields: Mapping[str, Schema] = definition.get("parameters", {}).get("properties", {})

    def parse(self, query: bytes) -> dict[str, Any]:
        """The values in `query`, by the lexicon's names; those that are absent stay so. Raises InvalidRequest."""
        given: dict[str, list[str]] = {}
        for name, text in _pairs(query):
            if name in self._fields and text:
                given.setdefault(name, []).append(text)
        values = {name: _value(name, self._fields[name], texts) for name, texts in given.items()}
        if self._fields:
            found = self._validator.violations(self._nsid, values, "parameters")
            if found:
                raise InvalidRequest(str(found[0]))
        return values


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        pairs = parse_qsl(query.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except UnicodeDecodeError:
        raise InvalidRequest("The query string is not UTF-8.") from None
    except ValueError:
        raise InvalidRequest(f"The query string has more than {MAX_FIELDS} fields.") from None
    if any("\0" in text for _, text in pairs):
        raise InvalidRequest("A parameter holds a NUL, which no text in the index can.")
    return pairs


def _value(name: str, field: Schema, texts: list[str]) -> Any:
    if field["type"] == "array":
        read = _READERS[field["items"]["type"]]
        return [read(f"{name}[{index}]", text) for index, text in enumerate(texts)]
    if len(texts) > 1:
        raise InvalidRequest(f"{name} is given more than once.")
    return _READERS[field["type"]](name, texts[0])


def _string(_name: str, text: str) -> str:
    return text


def _integer(name: str, text: str) -> int:
    if _is_integer(text) is None:
        raise InvalidRequest(f"{name} is not an integer.")
    number = int(text)
    if not MIN_INT <= number <= MAX_INT:
        raise InvalidRequest(f"{name} does not fit in 64 bits.")
    return number


def _boolean(name: str, text: str) -> bool:
    value = _BOOLEANS.get(text)
    if value is None:
        raise InvalidRequest(f"{name} is neither true nor false.")
    return value


_READERS: Final[Mapping[str, Callable[[str, str], Any]]] = {
    "boolean": _boolean,
    "integer": _integer,
    "string": _string,
}
