"""The check at the start: every handler takes what its lexicon declares, and every method of ours has a handler.

A parameter of a query, or a property of a procedure's input, `listType`, is the keyword argument `list_type`; one whose
name Python already uses, as `list`, is `list_`. An argument is required exactly when it is there; otherwise its default
is the lexicon's, or None, and UNSET where null says something of its own. Input that is not JSON is `body`.
"""

import builtins
import inspect
import keyword
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from appview.unset import UNSET, Unset
from lexicons.catalog import Catalog, Schema
from xrpc.bodies import Body
from xrpc.context import Context

Handler: TypeAlias = Callable[..., Coroutine[Any, Any, dict[str, Any]]]

_PLAIN: Final[Mapping[str, type]] = {"boolean": bool, "integer": int, "string": str}
_METHODS: Final = ("query", "procedure")
_REQUIRED: Final[Any] = inspect.Parameter.empty
_RESERVED: Final = frozenset(dir(builtins)) | frozenset(keyword.kwlist)
_split_words = re.compile(r"(?<=[a-z0-9])(?=[A-Z])").split


class SignatureError(Exception):
    """The handlers and the lexicons do not go together; the message is one sentence for whoever wrote them."""


def argument_name(parameter: str) -> str:
    """The keyword argument that the lexicon's `parameter` is given as."""
    name = "_".join(_split_words(parameter)).lower()
    return f"{name}_" if name in _RESERVED else name


def by_nsid(methods: Mapping[str, Handler], namespace: str) -> dict[str, Handler]:
    """`methods` by full NSID: `feed.getTracks` is one of `namespace`, `com.atproto.…` is itself."""
    return {
        name if name.startswith("com.atproto.") else f"{namespace}.{name}": handler for name, handler in methods.items()
    }


def check_methods(catalog: Catalog, handlers: Mapping[str, Handler], namespace: str) -> None:
    """Raises SignatureError unless `handlers`, by NSID, are the methods of `namespace` in `catalog`, as declared."""
    for nsid, handler in handlers.items():
        definition = catalog.get(nsid)
        if definition is None:
            raise SignatureError(f"{nsid} has a handler, but no lexicon defines it.")
        if definition["type"] not in _METHODS:
            raise SignatureError(f"{nsid} has a handler, but is a {definition['type']}: neither query nor procedure.")
        _check_output(nsid, definition)
        _check_handler(nsid, _declared(catalog, nsid, definition), handler)
    for kind in _METHODS:
        for nsid in catalog.nsids(kind):
            if nsid.startswith(f"{namespace}.") and nsid not in handlers:
                raise SignatureError(f"{nsid} is a {kind} of ours, but has no handler.")


def takes_bytes(definition: Schema) -> bool:
    """Whether the method's input is bytes that mean nothing to us, and not JSON."""
    return "input" in definition and "schema" not in definition["input"]


def _declared(catalog: Catalog, nsid: str, definition: Schema) -> dict[str, "_Expected"]:
    """What a handler is to take, by the names of its arguments."""
    if definition["type"] == "query":
        declared = definition.get("parameters", {})
    elif definition.get("parameters", {}).get("properties"):
        raise SignatureError(f"{nsid} is a procedure with parameters; its input is to say all.")
    elif takes_bytes(definition):
        return {"body": _Expected("body", Body, _REQUIRED)}
    else:
        declared = definition.get("input", {}).get("schema", {})
        if declared and declared["type"] != "object":
            raise SignatureError(f"{nsid} does not declare its input as an object.")
    required, nullable = declared.get("required", ()), declared.get("nullable", ())
    expected = {}
    for name, field in declared.get("properties", {}).items():
        kind, default = _type(catalog, field), _REQUIRED
        if name in nullable:
            kind |= None
        if name not in required:
            default = UNSET if name in nullable else field.get("default")
            if default is None:
                kind |= None
            elif default is UNSET:
                kind |= Unset
        expected[argument_name(name)] = _Expected(name, kind, default)
    return expected


def _type(catalog: Catalog, field: Schema) -> Any:
    """What values of `field` are in Python, as JSON has them."""
    if field["type"] == "array":
        return list[_type(catalog, field["items"])]  # type: ignore[misc]
    if field["type"] == "ref":
        return _type(catalog, catalog.definition(field["ref"]))
    return _PLAIN.get(field["type"], dict[str, Any])


class _Expected(NamedTuple):
    """An argument as the lexicon has it."""

    name: str
    """In the lexicon."""
    kind: Any
    default: Any
    """_REQUIRED where there is none."""


def _check_output(nsid: str, definition: Schema) -> None:
    if definition["type"] == "procedure" and "output" not in definition:
        return
    output = definition.get("output", {})
    if output.get("encoding") != "application/json" or "schema" not in output:
        raise SignatureError(f"{nsid} does not declare that it answers with JSON of some schema.")


def _check_handler(nsid: str, expected: dict[str, _Expected], handler: Handler) -> None:
    where = f"{nsid}: {getattr(handler, '__qualname__', handler)}"
    if not inspect.iscoroutinefunction(handler):
        raise SignatureError(f"{where} is not an async function.")
    try:
        signature = inspect.signature(handler, eval_str=True)
    except NameError as error:
        raise SignatureError(f"{where} has an annotation that means nothing at run time: {error}.") from None
    arguments = list(signature.parameters.values())
    if not arguments or arguments[0].kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
        raise SignatureError(f"{where} does not take the Context first.")
    if arguments[0].annotation is not Context:
        raise SignatureError(f"{where} takes {_shown(arguments[0].annotation)} first, and not the Context.")
    for argument in arguments[1:]:
        if argument.kind is not argument.KEYWORD_ONLY:
            raise SignatureError(f"{where} takes {argument.name} otherwise than by its name.")
        if argument.name not in expected:
            raise SignatureError(f"{where} takes {argument.name}, which the lexicon does not declare.")
        _check_argument(f"{where} takes {argument.name}", argument, expected.pop(argument.name))
    if expected:
        missing = next(iter(expected.values()))
        raise SignatureError(f"{where} does not take {missing.name}, which the lexicon declares.")


def _check_argument(where: str, argument: inspect.Parameter, expected: _Expected) -> None:
    _, kind, default = expected
    if argument.annotation != kind:
        raise SignatureError(f"{where} as {_shown(argument.annotation)}, where the lexicon makes it {_shown(kind)}.")
    if type(argument.default) is not type(default) or argument.default != default:
        has = "no default" if argument.default is argument.empty else f"{argument.default!r} as its default"
        says = "requires it" if default is argument.empty else f"says {default!r}"
        raise SignatureError(f"{where} with {has}, where the lexicon {says}.")


def _shown(annotation: Any) -> str:
    return annotation.__name__ if type(annotation) is type else str(annotation)
