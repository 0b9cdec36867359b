"""What the lexicons say of values, as JSON Schema 2020-12. Pure.

What JSON Schema cannot say is left open or put into words: lengths in bytes become lengths in characters that no valid
value exceeds, known values become examples, and formats of the protocol keep their names.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from lexicons.catalog import Catalog, Schema

Json: TypeAlias = dict[str, Any]

_FORMATS: Final[Mapping[str, str]] = {"datetime": "date-time"}
"""Formats that JSON Schema knows by another name."""
_URI: Final = "^[a-z][a-z.-]{0,80}:[!-~]+$"
"""The protocol's, of which JSON Schema's does not know the half: the address of a record is none by RFC 3986."""
_BYTES_OF_A_CHARACTER: Final = 4
"""At most, in UTF-8, by which lexicons count."""
_LINK: Final[Json] = {
    "type": "object",
    "required": ["$link"],
    "properties": {"$link": {"type": "string", "format": "cid"}},
}
_BYTES: Final[Json] = {
    "type": "object",
    "required": ["$bytes"],
    "properties": {"$bytes": {"type": "string", "contentEncoding": "base64"}},
}


def component(name: str) -> str:
    """What the definition `nsid#name` is called among the components, where a `#` may not be."""
    return name.replace("#", ".")


def tagged(name: str) -> str:
    """What the definition is called as the member of a union: with the `$type` by which it is told from others."""
    return f"{component(name)}.tagged"


class Schemas:
    """The schemas of a catalog, each named one made when it is first referred to; `components` are those by then."""

    def __init__(self, catalog: Catalog) -> None:
        self.components: dict[str, Json] = {}
        self._catalog = catalog
        self._sources: dict[str, str] = {}

    def of(self, field: Schema) -> Json:
        """`field`, the type of a value, as JSON Schema. Raises KeyError for a type that no value has."""
        schema = _KINDS[field["type"]](self, field)
        if "description" in field:
            # A description of what is referred to may say more, but this one is of this place.
            schema["description"] = " ".join(filter(None, (field["description"], schema.get("description"))))
        return schema

    def _named(self, name: str) -> str:
        """Where the definition `name` is found, after it was made if need be. Raises ValueError for a name twice."""
        called = component(name)
        if self._sources.setdefault(called, name) != name:
            raise ValueError(f"{name} and {self._sources[called]} would be the same component.")
        if called not in self.components:
            self.components[called] = {}  # Definitions may refer to themselves.
            definition = self._catalog.definition(name)
            self.components[called] = self._record(name, definition) if "record" in definition else self.of(definition)
        return f"#/components/schemas/{called}"

    def _record(self, name: str, definition: Schema) -> Json:
        schema = self.of(definition["record"])
        schema["required"] = ["$type", *schema.get("required", ())]
        schema["properties"] = {"$type": {"type": "string", "const": name}, **schema.get("properties", {})}
        return {**schema, "description": definition.get("description", "")}

    def _tagged(self, name: str) -> str:
        called = tagged(name)
        if called not in self.components:
            tag = {"type": "string", "const": name}
            own = {"type": "object", "required": ["$type"], "properties": {"$type": tag}}
            self.components[called] = own
            self.components[called] = {"allOf": [{"$ref": self._named(name)}, own]}
        return f"#/components/schemas/{called}"

    def _array(self, field: Schema) -> Json:
        limits = _renamed(field, minLength="minItems", maxLength="maxItems")
        return {"type": "array", "items": self.of(field["items"]), **limits}

    def _object(self, field: Schema) -> Json:
        properties = {name: self.of(value) for name, value in field.get("properties", {}).items()}
        for name in field.get("nullable", ()):
            properties[name] = {"anyOf": [properties[name], {"type": "null"}]}
        required = {"required": list(field["required"])} if field.get("required") else {}
        return {"type": "object", **required, "properties": properties}

    def _ref(self, field: Schema) -> Json:
        return {"$ref": self._named(field["ref"])}

    def _union(self, field: Schema) -> Json:
        members = {name: self._tagged(name) for name in field["refs"]}
        choices: list[Json] = [{"$ref": place} for place in members.values()]
        if not field.get("closed", False):
            tag = {"type": "string", **({"not": {"enum": list(members)}} if members else {})}
            choices.append(
                {
                    "type": "object",
                    "required": ["$type"],
                    "properties": {"$type": tag},
                    "description": "Something else: more may come, and what is not known is to be passed over.",
                }
            )
        discriminator = {"propertyName": "$type", "mapping": members}
        return {"oneOf": choices, **({"discriminator": discriminator} if members else {})}


def _string(_schemas: Schemas, field: Schema) -> Json:
    schema: Json = {"type": "string", **_constants(field), **_renamed(field, maxLength="maxLength")}
    if field.get("minLength"):
        schema["minLength"] = -(-field["minLength"] // _BYTES_OF_A_CHARACTER)
    if field.get("format") == "uri":
        schema["pattern"] = _URI
    elif "format" in field:
        schema["format"] = _FORMATS.get(field["format"], field["format"])
    if "knownValues" in field:
        schema["examples"] = list(field["knownValues"])
        schema["description"] = f"Known values: {', '.join(field['knownValues'])}. Others may come."
    return schema


def _integer(_schemas: Schemas, field: Schema) -> Json:
    limits = _renamed(field, minimum="minimum", maximum="maximum")
    return {"type": "integer", "format": "int64", **_constants(field), **limits}


def _blob(_schemas: Schemas, field: Schema) -> Json:
    media = {"type": "string", **({"examples": list(field["accept"])} if "accept" in field else {})}
    size = {"type": "integer", "minimum": 0, **_renamed(field, maxSize="maximum")}
    tag = {"type": "string", "const": "blob"}
    properties = {"$type": tag, "ref": dict(_LINK), "mimeType": media, "size": size}
    return {"type": "object", "required": list(properties), "properties": properties}


def _constants(field: Schema) -> Json:
    return {name: field[name] for name in ("default", "const", "enum") if name in field}


def _renamed(field: Schema, **names: str) -> Json:
    return {name: field[own] for own, name in names.items() if own in field}


_KINDS: Final[Mapping[str, Callable[[Schemas, Schema], Json]]] = {
    "array": Schemas._array,  # noqa: SLF001 - the table of this class's own cases
    "blob": _blob,
    "boolean": lambda _, field: {"type": "boolean", **_constants(field)},
    "bytes": lambda _, __: dict(_BYTES),
    "cid-link": lambda _, __: dict(_LINK),
    "integer": _integer,
    "object": Schemas._object,  # noqa: SLF001 - as above
    "ref": Schemas._ref,  # noqa: SLF001 - as above
    "string": _string,
    "union": Schemas._union,  # noqa: SLF001 - as above
    "unknown": lambda _, __: {"type": "object"},
}


def parameters(schemas: Schemas, definition: Schema) -> Iterator[Json]:
    """The query parameters of a method, as OpenAPI has them."""
    declared = definition.get("parameters", {})
    required: Sequence[str] = declared.get("required", ())
    for name, field in declared.get("properties", {}).items():
        schema = schemas.of(field)
        described = {"description": schema.pop("description")} if "description" in schema else {}
        repeated = {"style": "form", "explode": True} if field["type"] == "array" else {}
        # An empty value is as none: see xrpc/params.py.
        empty = {} if name in required else {"allowEmptyValue": True}
        place = {"name": name, "in": "query", "required": name in required, **empty}
        yield {**place, **described, **repeated, "schema": schema}
