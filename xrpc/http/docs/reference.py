"""The reference: every method, to be tried out with what is really here. Pure."""

from collections.abc import Iterable
from itertools import groupby
from string import Template
from typing import Final

from appview.config import Config
from lexicons.catalog import Catalog, Schema
from xrpc.http.docs import schema
from xrpc.http.docs.layout import Contents, template
from xrpc.http.page.examples import FEW, Samples, values
from xrpc.http.page.html import Html, fill, joined
from xrpc.openapi import error_names, group
from xrpc.openapi.schemas import component

_REFERENCE: Final = template("reference")
_GROUP: Final = template("group")
_METHOD: Final = template("method")
_PROCEDURE: Final = template("procedure")
_FIELD: Final = template("field")
_VIEW: Final = template("view")
_SEVERAL: Final = Template('<div class="field" data-several="$name">')
_INPUT: Final = Template(
    '<input$id name="$name" value="$value" type="$type"$more spellcheck="false" autocomplete="off">\n'
)
_SELECT: Final = Template('<select$id name="$name"$more>$options</select>\n')
_SUGGESTED: Final = Template('<datalist id="$id">$options</datalist>\n')
_OPTION: Final = Template('<option value="$value"$selected>$text</option>')
_ATTRIBUTE: Final = Template(' $name="$value"')
_ERROR: Final = Template("<dt><code>$name</code> $status</dt><dd>$description</dd>\n")
_NOTHING: Final = Html("<p>Nothing.</p>\n")
_BYTES: Final = Html("<p>The bytes as they are; <code>Content-Type</code> says what they are.</p>\n")
_GENERAL: Final = {
    400: "The request is not one that the lexicon describes.",
    401: "The token is not one to be trusted; see the names in the OpenAPI document.",
    503: "The index does not answer in time.",
}


def reference(config: Config, catalog: Catalog, nsids: Iterable[str], samples: Samples) -> tuple[Html, Contents]:
    """The body of the page, and what stands where on it."""
    names = sorted(nsids)
    groups, contents = [], Contents()
    contents.add("First", [("basics", "What holds for all")])
    for name, members in groupby(names, group):
        methods = list(members)
        made = (_method(nsid, catalog.definition(nsid), samples) for nsid in methods)
        groups.append(fill(_GROUP, group=name, methods=joined(*made)))
        contents.add(name, [(nsid, nsid.rpartition(".")[2]) for nsid in methods])
    found = schema.views(catalog, names)
    contents.add("Shapes", [("views", "What comes back")])
    body = fill(
        _REFERENCE,
        url=config.public_url,
        service=config.service_did,
        groups=joined(*groups),
        views=joined(*(_view(name, definition) for name, definition in found.items())),
    )
    return body, contents


def _method(nsid: str, definition: Schema, samples: Samples) -> Html:
    errors = [
        fill(_ERROR, name=name, status=status, description=said or _GENERAL[status])
        for status, names in sorted(error_names(definition).items())
        for name, said in list(names.items())
        if said or (status in _GENERAL and name == next(iter(names)))
    ]
    common = {
        "nsid": nsid,
        "group": group(nsid),
        "name": nsid.rpartition(".")[2],
        "description": definition.get("description", ""),
        "answer": schema.fields(definition["output"]["schema"]) if "output" in definition else _NOTHING,
        "errors": joined(*errors),
    }
    if definition["type"] == "procedure":
        return fill(_PROCEDURE, input=_input_of(definition), **common)
    declared = definition.get("parameters", {})
    required = declared.get("required", ())
    fields = (
        _field(nsid, name, field, samples, required=name in required)
        for name, field in declared.get("properties", {}).items()
    )
    return fill(_METHOD, fields=joined(*fields), **common)


def _input_of(definition: Schema) -> Html:
    """What a procedure is given."""
    if "input" not in definition:
        return _NOTHING
    given = definition["input"]
    return schema.fields(given["schema"]) if "schema" in given else _BYTES


def _field(nsid: str, name: str, field: Schema, samples: Samples, *, required: bool) -> Html:
    several = field["type"] == "array"
    plain = field["items"] if several else field
    given = values(nsid, name, samples) if required else []
    if name == "limit":
        given = [str(FEW)]
    id_ = f"{nsid}-{name}"
    inputs = [
        _input(id_ if place == 0 else None, name, plain, value, required=required and place == 0)
        for place, value in enumerate(given or [""])
    ]
    made = fill(
        _FIELD,
        id=id_,
        name=name,
        kind=joined(schema.kind(field), fill(Template("$bounds"), bounds=schema.bounds(field))),
        required=", required" if required else "",
        description=field.get("description", ""),
        inputs=joined(*inputs),
    )
    return Html(made.replace('<div class="field">', fill(_SEVERAL, name=name), 1)) if several else made


def _input(id_: str | None, name: str, field: Schema, value: str, *, required: bool) -> Html:
    """One input; the first of a parameter has the `id_` that its label names."""
    named = {"id": id_} if id_ else {}
    more = {"aria-describedby": f"{id_}-hint"} if id_ else {"aria-label": f"One more {name}"}
    if required:
        more["required"] = "required"
    choices = ["true", "false"] if field["type"] == "boolean" else field.get("enum")
    if choices:
        default = str(field.get("default", "")).lower()
        options = [fill(_OPTION, value="", selected="", text=f"({default})" if default else "(not given)")]
        options += [
            fill(_OPTION, value=one, selected=Html(" selected") if one == value else "", text=one) for one in choices
        ]
        return fill(_SELECT, id=_attributes(named), name=name, more=_attributes(more), options=joined(*options))
    if field["type"] == "integer":
        more |= {"min": str(field["minimum"])} if "minimum" in field else {}
        more |= {"max": str(field["maximum"])} if "maximum" in field else {}
        more |= {"placeholder": str(field["default"])} if "default" in field else {}
    suggested: Html | str = ""
    if id_ and "knownValues" in field:
        more |= {"list": f"{id_}-known", "placeholder": str(field.get("default", ""))}
        options = [fill(_OPTION, value=one, selected="", text=one) for one in field["knownValues"]]
        suggested = fill(_SUGGESTED, id=f"{id_}-known", options=joined(*options))
    kind = "number" if field["type"] == "integer" else "text"
    made = fill(_INPUT, id=_attributes(named), name=name, value=value, type=kind, more=_attributes(more))
    return joined(made, Html(suggested))


def _attributes(given: dict[str, str]) -> Html:
    return joined(*(fill(_ATTRIBUTE, name=name, value=value) for name, value in given.items()))


def _view(name: str, definition: Schema) -> Html:
    nsid, _, short = name.rpartition("#")
    return fill(
        _VIEW,
        id=component(name),
        group=nsid,
        name=short,
        description=definition.get("description", ""),
        fields=schema.fields(definition.get("record", definition)),
    )
