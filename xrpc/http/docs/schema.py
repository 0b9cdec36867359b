"""What a method takes and answers, in HTML, as its lexicon says. Pure."""

from collections.abc import Iterator
from string import Template
from typing import Final

from lexicons.catalog import Catalog, Schema
from xrpc.http.page.html import Html, fill, joined
from xrpc.openapi.schemas import component

_LIST: Final = Template('<dl class="fields">$items</dl>\n')
_ITEM: Final = Template("<dt><code>$name</code></dt><dd>$kind$always$description</dd>\n")
_LINK: Final = Template('<a href="#$id">$name</a>')
_KNOWN: Final = Template(" Known so far: $values.")
_CODE: Final = Template("<code>$text</code>")
_ALWAYS: Final = Html(", <b>always</b>")


def fields(schema: Schema) -> Html:
    """The fields of an object, or what else it is."""
    if schema["type"] != "object":
        return fill(Template("<p>$kind.</p>\n"), kind=kind(schema))
    items = [
        fill(
            _ITEM,
            name=name,
            kind=kind(field),
            always=_ALWAYS if name in schema.get("required", ()) else "",
            description=joined(Html(". "), _sentences(field)) if _sentences(field) else "",
        )
        for name, field in schema.get("properties", {}).items()
    ]
    return fill(_LIST, items=joined(*items))


def kind(field: Schema) -> Html:
    """What type a value is of, with links to those that have a name."""
    match field["type"]:
        case "array":
            return joined(Html("array of "), kind(field["items"]))
        case "ref":
            return _named(field["ref"])
        case "union":
            members = [_named(ref) for ref in field["refs"]]
            if not field.get("closed", False):
                members.append(Html("something else"))
            return Html(" or ".join(members))
        case "unknown":
            return Html("object")
        case "string":
            return fill(Template("$kind"), kind=field.get("format", "string"))
        case other:
            return fill(Template("$kind"), kind=other)


def bounds(field: Schema) -> str:
    """What a value must keep to, in a few words."""
    said = []
    if "minimum" in field or "maximum" in field:
        said.append(f"{field.get('minimum', '…')} to {field.get('maximum', '…')}")
    if field["type"] == "array" and "maxLength" in field:
        said.append(f"at most {field['maxLength']}")
    if "default" in field:
        said.append(f"default {str(field['default']).lower() if field['type'] == 'boolean' else field['default']}")
    return "".join(f", {one}" for one in said)


def views(catalog: Catalog, nsids: list[str]) -> dict[str, Schema]:
    """Every definition that inputs and answers of these methods are made of, by name."""
    found: dict[str, Schema] = {}
    methods = [catalog.definition(nsid) for nsid in nsids]
    open_ = [method.get(part, {}).get("schema", {}) for method in methods for part in ("input", "output")]
    while open_:
        for name in _references(open_.pop()):
            if name not in found:
                found[name] = catalog.definition(name)
                open_.append(found[name])
    return dict(sorted(found.items()))


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if value.get("type") == "ref":
            yield value["ref"]
        elif value.get("type") == "union":
            yield from value["refs"]
        for item in value.values():
            yield from _references(item)


def _named(name: str) -> Html:
    return fill(_LINK, id=component(name), name=name.rpartition("#")[2] or name)


def _sentences(field: Schema) -> Html:
    """What is said of a field, and which values are known."""
    said = fill(Template("$text"), text=field.get("description", ""))
    known = field.get("enum") or field.get("knownValues")
    if not known:
        return said
    values = Html(", ".join(fill(_CODE, text=value) for value in known))
    return joined(said, fill(_KNOWN, values=values))
