"""The rules that a lexicon document itself must keep (LX-01 … LX-05), whatever it refers to."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from lexicons.formats import FORMATS, is_nsid, is_record_key

Schema: TypeAlias = Mapping[str, Any]

PRIMARY_TYPES: Final = frozenset({"record", "query", "procedure", "subscription", "permission-set"})


class LexiconError(ValueError):
    """A lexicon document breaks the rules of the language, or a name is asked for that no document defines."""


def check_document(document: object) -> Schema:
    """`document`, parsed JSON, if it is a lexicon document. Raises LexiconError, which names the place, if not."""
    if type(document) is not dict:
        raise LexiconError("A lexicon document is not an object.")
    nsid, defs = document.get("id"), document.get("defs")
    if type(nsid) is not str or not is_nsid(nsid):
        raise LexiconError("A lexicon document has no NSID as its id.")
    if type(document.get("lexicon")) is not int or document["lexicon"] != 1:
        raise LexiconError(f"{nsid}: the language version is not 1.")
    if type(defs) is not dict or not defs:
        raise LexiconError(f"{nsid}: there are no definitions.")
    for name, definition in defs.items():
        _check_definition(definition, name, f"{nsid}#{name}")
    return document


def _check_definition(value: object, name: str, where: str) -> None:
    definition = _typed(value, where)
    kind = definition["type"]
    if kind in _NEVER_DEFINED:
        raise LexiconError(f"{where}: {kind} is no type for a definition of its own.")
    if kind in PRIMARY_TYPES and name != "main":
        raise LexiconError(f"{where}: a {kind} is only ever the main definition.")
    check = _DEFINED_ONLY.get(kind) or _FIELDS.get(kind)
    if check is not None:
        check(definition, where)
    elif name != "main":
        raise LexiconError(f"{where}: {kind} is not a type.")
    # Any other main definition is of a primary type of a later language (LX-05): kept, though nothing here can use it.


def _check_field(value: object, where: str) -> None:
    schema = _typed(value, where)
    check = _FIELDS.get(schema["type"])
    if check is None:
        raise LexiconError(f"{where}: {schema['type']} is not a type that a field can have.")
    check(schema, where)


def _typed(value: object, where: str) -> Schema:
    if type(value) is not dict or type(value.get("type")) is not str:
        raise LexiconError(f"{where}: there is no type.")
    return value


def _boolean(schema: Schema, where: str) -> None:
    _check_values(schema, bool, where)


def _integer(schema: Schema, where: str) -> None:
    _check_values(schema, int, where)
    _check_bounds(schema, "minimum", "maximum", where)


def _string(schema: Schema, where: str) -> None:
    _check_values(schema, str, where)
    _check_bounds(schema, "minLength", "maxLength", where)
    _check_bounds(schema, "minGraphemes", "maxGraphemes", where)
    if "format" in schema and (type(schema["format"]) is not str or schema["format"] not in FORMATS):
        raise LexiconError(f"{where}: the format is not one of the protocol's.")


def _bytes(schema: Schema, where: str) -> None:
    _check_bounds(schema, "minLength", "maxLength", where)


def _blob(schema: Schema, where: str) -> None:
    if type(schema.get("maxSize", 0)) is not int:
        raise LexiconError(f"{where}: maxSize is not an integer.")
    for pattern in _strings(schema, "accept", where):
        kind, slash, subtype = pattern.partition("/")
        globbed = "*" in kind or ("*" in subtype and subtype != "*")
        if not (kind and slash and subtype) or (globbed and pattern != "*/*"):
            raise LexiconError(f"{where}: {pattern!r} is neither a MIME type nor a glob of the whole subtype.")


def _array(schema: Schema, where: str) -> None:
    _check_bounds(schema, "minLength", "maxLength", where)
    _check_field(schema.get("items"), f"{where}[]")


def _object(schema: Schema, where: str) -> None:
    properties = schema.get("properties", {})
    if type(properties) is not dict:
        raise LexiconError(f"{where}: the properties are not an object.")
    for name, field in properties.items():
        _check_field(field, f"{where}.{name}")
    for name in (*_strings(schema, "required", where), *_strings(schema, "nullable", where)):
        if name not in properties:
            raise LexiconError(f"{where}: {name!r} is required or nullable, but not declared.")


def _params(schema: Schema, where: str) -> None:
    _object(schema, where)
    if "nullable" in schema:
        raise LexiconError(f"{where}: a parameter cannot be null.")
    for name, field in schema.get("properties", {}).items():
        plain = field["items"] if field["type"] == "array" else field
        if plain["type"] not in {"boolean", "integer", "string"}:
            raise LexiconError(f"{where}.{name}: a parameter cannot hold a {plain['type']}.")


def _ref(schema: Schema, where: str) -> None:
    _check_reference(schema.get("ref"), where)


def _union(schema: Schema, where: str) -> None:
    refs = schema.get("refs")
    closed = schema.get("closed", False)
    if type(refs) is not list or type(closed) is not bool:
        raise LexiconError(f"{where}: a union has a list of refs, and is closed or not.")
    if closed and not refs:
        raise LexiconError(f"{where}: nothing could be a member of a closed union without refs.")
    for ref in refs:
        _check_reference(ref, where)


def _record(schema: Schema, where: str) -> None:
    key = schema.get("key")
    literal = key.removeprefix("literal:") if type(key) is str else ""
    if (literal == key and key not in {"tid", "nsid", "any"}) or not is_record_key(literal):
        raise LexiconError(f"{where}: the key is none of tid, nsid, any and literal:….")
    record = _typed(schema.get("record"), where)
    if record["type"] != "object":
        raise LexiconError(f"{where}: the record is not an object.")
    _object(record, where)


def _query(schema: Schema, where: str) -> None:
    if "parameters" in schema:
        parameters = _typed(schema["parameters"], f"{where}?")
        if parameters["type"] != "params":
            raise LexiconError(f"{where}: the parameters are not of type params.")
        _params(parameters, f"{where}?")
    for part in ("input", "output"):
        if part in schema:
            _check_body(schema[part], f"{where} {part}")
    errors = schema.get("errors", [])
    if type(errors) is not list or not all(isinstance(e, dict) and type(e.get("name")) is str for e in errors):
        raise LexiconError(f"{where}: an error has no name.")


def _subscription(schema: Schema, where: str) -> None:
    _query(schema, where)
    if "message" in schema:
        message = schema["message"]
        body = _typed(message.get("schema") if isinstance(message, dict) else None, f"{where} message")
        if body["type"] != "union":
            raise LexiconError(f"{where}: the messages are not a union.")
        _union(body, f"{where} message")


def _permission_set(schema: Schema, where: str) -> None:
    permissions = schema.get("permissions")
    if type(permissions) is not list:
        raise LexiconError(f"{where}: there is no list of permissions.")
    for permission in permissions:
        # What a resource allows is not ours to judge: later ones (`space`) must load too (LX-05, FX-04).
        if _typed(permission, where)["type"] != "permission" or type(permission.get("resource")) is not str:
            raise LexiconError(f"{where}: a permission names no resource.")


def _unconstrained(_schema: Schema, _where: str) -> None:
    """The type has no rules of its own."""


_FIELDS: Final[Mapping[str, Callable[[Schema, str], None]]] = {
    "array": _array,
    "blob": _blob,
    "boolean": _boolean,
    "bytes": _bytes,
    "cid-link": _unconstrained,
    "integer": _integer,
    "object": _object,
    "ref": _ref,
    "string": _string,
    "union": _union,
    "unknown": _unconstrained,
}
_DEFINED_ONLY: Final[Mapping[str, Callable[[Schema, str], None]]] = {
    "permission-set": _permission_set,
    "procedure": _query,
    "query": _query,
    "record": _record,
    "subscription": _subscription,
    "token": _unconstrained,
}
FIELD_TYPES: Final = frozenset(_FIELDS)
_NEVER_DEFINED: Final = frozenset({"params", "permission", "ref", "union", "unknown"})


def _check_body(body: object, where: str) -> None:
    if not isinstance(body, dict) or type(body.get("encoding")) is not str:
        raise LexiconError(f"{where}: a body has no encoding.")
    if "schema" in body:
        if _typed(body["schema"], where)["type"] not in {"object", "ref", "union"}:
            raise LexiconError(f"{where}: a body is an object, a ref or a union.")
        _check_field(body["schema"], where)


def _check_reference(ref: object, where: str) -> None:
    nsid, mark, name = ref.partition("#") if isinstance(ref, str) else ("", "", "")
    if not (name if mark else nsid) or (nsid and not is_nsid(nsid)):
        raise LexiconError(f"{where}: {ref!r} is not a reference.")


def _check_values(schema: Schema, kind: type, where: str) -> None:
    if "const" in schema and "default" in schema:
        raise LexiconError(f"{where}: a constant needs no default.")
    for name in ("const", "default"):
        if name in schema and type(schema[name]) is not kind:
            raise LexiconError(f"{where}: the {name} is of another type.")
    for name in ("enum", "knownValues"):
        values = schema.get(name, [])
        if type(values) is not list or any(type(value) is not kind for value in values):
            raise LexiconError(f"{where}: {name} is not a list of values of the type.")


def _check_bounds(schema: Schema, low: str, high: str, where: str) -> None:
    for name in (low, high):
        if name in schema and type(schema[name]) is not int:
            raise LexiconError(f"{where}: {name} is not an integer.")
    if low in schema and high in schema and schema[low] > schema[high]:
        raise LexiconError(f"{where}: {low} is more than {high}.")


def _strings(schema: Schema, name: str, where: str) -> list[str]:
    values = schema.get(name, [])
    if type(values) is not list or any(type(value) is not str for value in values):
        raise LexiconError(f"{where}: {name} is not a list of strings.")
    return values
