"""The API as an OpenAPI 3.1 document, for tools. It is made from the lexicons, which remain the contract. Pure."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from lexicons.catalog import Catalog, Schema
from xrpc.errors import AUTHENTICATION, NAMES
from xrpc.openapi.schemas import Json, Schemas, parameters

__all__ = ["document", "error_names", "group"]

ANY_METHOD: Final[Mapping[int, tuple[str, ...]]] = {
    400: (NAMES[400],),
    401: tuple(sorted(AUTHENTICATION)),
    413: (NAMES[413],),
    500: (NAMES[500],),
    503: (NAMES[503],),
}
"""The errors that need no declaration, by status."""

ANY_PROCEDURE: Final[Mapping[int, tuple[str, ...]]] = {
    **ANY_METHOD,
    415: (NAMES[415],),
    429: (NAMES[429],),
    504: (NAMES[504],),
}
"""The same for those that change something."""

# An account is also what a method may be asked about, and then its state is a 400 that the method declares.
_STATUS_OF: Final[Mapping[str, int]] = {
    **dict.fromkeys(AUTHENTICATION - {"AccountDeactivated", "AccountTakedown"}, 401),
    **{name: status for status, name in NAMES.items() if status != 405},
    "FeedUnavailable": 502,
    "ScopeMissing": 403,
    "InvalidFeedResponse": 502,
}
_MEANINGS: Final[Mapping[int, str]] = {
    304: "What `If-None-Match` names is what would be answered.",
    400: "The request cannot be answered as it is; the message says why.",
    401: "The token in the request is not one to be trusted, or there is none where one is needed.",
    413: "A query has no body, and least of all a large one.",
    403: "The account allowed us less than this takes; it can sign in anew and allow more.",
    415: "The body is compressed.",
    429: "Too much at once; `Retry-After` says how many seconds to wait, and `RateLimit-*` what is allowed.",
    502: "The service that has to be asked for it does not answer, or not as it should.",
    504: "It is not known whether it was done: asked again with the same `Idempotency-Key`, it is done once.",
    414: "The URL is longer than the web server reads.",
    500: "A fault of this server.",
    503: "The index does not answer in time; worth trying again after `Retry-After` seconds.",
}
_ABOUT: Final = """\
Music on the AT Protocol: tracks, likes, comments, lists and profiles under `{namespace}.*`, indexed from the \
repositories of their authors.

This document is made from the lexicons, which are the contract. A parameter that may be given several times is \
repeated (`uris=…&uris=…`). A `cursor` is opaque: give back the one that an answer has; an answer without one is the \
last page. Every error is `{{"error": name, "message": sentence}}`. In unions `$type` says which member a value is; \
others than those listed may come. Who is signed in and asks through their PDS, with the header \
`atproto-proxy: {service}#plyr_appview`, also learns what they themselves have to do with what is shown.
"""
_SERVICE_AUTH: Final = (
    "A service-auth token of the AT Protocol, signed with the key of the account that asks. Clients do not make one:"
    " they ask their PDS, with the header `atproto-proxy`, and the PDS does."
)
_OF_DEVELOPERS: Final = (
    "A developer token, made at `/account`: for programs of one's own, until it expires or is revoked."
)
_EITHER: Final[list[Json]] = [{"serviceAuth": []}, {"developerToken": []}]
_ERROR: Final = "Error"
REQUIRES_AUTH: Final = "Requires auth"
"""By which a description says that nobody is answered who does not say who they are."""


def document(catalog: Catalog, nsids: Iterable[str], *, namespace: str, service: str, url: str, version: str) -> Json:
    """The document of the methods `nsids`, answered at `url` (an origin) by the service with the DID `service`."""
    schemas = Schemas(catalog)
    paths: dict[str, Json] = {}
    groups: dict[str, Json] = {}
    for nsid in sorted(nsids):
        definition = catalog.definition(nsid)
        verb = "get" if definition["type"] == "query" else "post"
        paths[f"/xrpc/{nsid}"] = {verb: _operation(schemas, nsid, definition)}
        groups[group(nsid)] = {"name": group(nsid)}
    error = {
        "type": "object",
        "required": ["error", "message"],
        "properties": {
            "error": {"type": "string", "description": "Its name, for programs."},
            "message": {"type": "string", "description": "What is wrong, in a sentence for people."},
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Music on the AT Protocol",
            "version": version,
            "description": _ABOUT.format(namespace=namespace, service=service),
        },
        "servers": [{"url": url}],
        "externalDocs": {"url": f"{url}/docs", "description": "The same for people, to be tried out."},
        "tags": list(groups.values()),
        "paths": paths,
        "components": {
            "schemas": dict(sorted({**schemas.components, _ERROR: error}.items())),
            "responses": {
                HTTPStatus(status).phrase.replace(" ", ""): _failure(status, dict.fromkeys(names, ""))
                for status, names in ANY_PROCEDURE.items()
            },
            "securitySchemes": {
                "serviceAuth": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": _SERVICE_AUTH,
                },
                "developerToken": {"type": "http", "scheme": "bearer", "description": _OF_DEVELOPERS},
            },
        },
    }


def group(nsid: str) -> str:
    """What methods are sorted by: all of an NSID but its name."""
    return nsid.rpartition(".")[0]


def error_names(definition: Schema) -> dict[int, dict[str, str]]:
    """The names of a method's errors and what the lexicon says of each (maybe nothing), by status.

    A declared error of which nothing else is known is a 400 (XR-03).
    """
    general = ANY_METHOD if definition["type"] == "query" else ANY_PROCEDURE
    found = {status: dict.fromkeys(names, "") for status, names in general.items()}
    for error in definition.get("errors", ()):
        status = _STATUS_OF.get(error["name"], 400)
        found.setdefault(status, {})[error["name"]] = error.get("description", "")
    return found


def _operation(schemas: Schemas, nsid: str, definition: Schema) -> Json:
    description = definition.get("description", "")
    operation: Json = {
        "operationId": nsid,
        "tags": [group(nsid)],
        "summary": description.partition(". ")[0].removesuffix("."),
        "description": description,
        "security": _EITHER if REQUIRES_AUTH in description else [{}, *_EITHER],
        "parameters": list(parameters(schemas, definition)),
        "responses": _responses(schemas, definition),
    }
    if "input" in definition:
        operation["requestBody"] = {"required": True, "content": _content(schemas, definition["input"])}
    return operation


def _responses(schemas: Schemas, definition: Schema) -> Json:
    output = definition.get("output", {})
    answer = output.get("schema", {}).get("description", "The answer.")
    responses: Json = {"200": {"description": answer, "content": _content(schemas, output)}}
    responses["414"] = {"description": _MEANINGS[414]}
    if definition["type"] == "query":
        responses["304"] = {"description": _MEANINGS[304]}
    for status, names in sorted(error_names(definition).items()):
        if names == dict.fromkeys(ANY_PROCEDURE.get(status, ()), ""):
            phrase = HTTPStatus(status).phrase.replace(" ", "")
            responses[str(status)] = {"$ref": f"#/components/responses/{phrase}"}
        else:
            responses[str(status)] = _failure(status, names)
    return responses


def _failure(status: int, names: Mapping[str, str]) -> Json:
    said = [f"`{name}`: {sentence}" for name, sentence in names.items() if sentence]
    return {
        "description": "\n\n".join([_MEANINGS.get(status, "The request failed."), *said]),
        "content": {"application/json": {"schema": _error(list(names))}},
    }


def _error(names: list[str]) -> Json:
    named = {"type": "object", "properties": {"error": {"enum": names}}}
    return {"allOf": [{"$ref": f"#/components/schemas/{_ERROR}"}, named]}


def _content(schemas: Schemas, body: Mapping[str, Any]) -> Json:
    if "encoding" not in body:
        return {}
    return {body["encoding"]: {"schema": schemas.of(body["schema"])} if "schema" in body else {}}
