"""The check at the start: every handler takes what its lexicon declares, and every query of ours has a handler.

A parameter `listType` is the keyword argument `list_type`; one whose name Python already uses, as `list`, is `list_`.
An argument is required exactly when the parameter is; otherwise its default is the lexicon's, or None.
"""

import builtins
import inspect
import keyword
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, TypeAlias

from lexicons.catalog import Catalog, Schema
from xrpc.context import Context

Handler: TypeAlias = Callable[..., Coroutine[Any, Any, dict[str, Any]]]

_PLAIN: Final[Mapping[str, type]] = {"boolean": bool, "integer": int, "string": str}
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
    """Raises SignatureError unless `handlers`, by NSID, are the queries of `namespace` in `catalog`, as declared."""
    for nsid, handler in handlers.items():
        definition = catalog.get(nsid)
        if definition is None:
            raise SignatureError(f"{nsid} has a handler, but no lexicon defines it.")
        if definition["type"] != "query":
            raise SignatureError(f"{nsid} has a handler, but is a {definition['type']} and not a query.")
        _check_output(nsid, definition)
        _check_handler(nsid, definition, handler)
    for nsid in catalog.nsids("query"):
        if nsid.startswith(f"{namespace}.") and nsid not in handlers:
            raise SignatureError(f"{nsid} is a query of ours, but has no handler.")


def _check_output(nsid: str, definition: Schema) -> None:
    output = definition.get("output", {})
    if output.get("encoding") != "application/json" or "schema" not in output:
        raise SignatureError(f"{nsid} does not declare that it answers with JSON of some schema.")


def _check_handler(nsid: str, definition: Schema, handler: Handler) -> None:
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
    declared = definition.get("parameters", {})
    fields: dict[str, tuple[str, Schema]] = {}
    for parameter, field in declared.get("properties", {}).items():
        fields[argument_name(parameter)] = (parameter, field)
    for argument in arguments[1:]:
        if argument.kind is not argument.KEYWORD_ONLY:
            raise SignatureError(f"{where} takes {argument.name} otherwise than by its name.")
        if argument.name not in fields:
            raise SignatureError(f"{where} takes {argument.name}, which the lexicon does not declare.")
        parameter, field = fields.pop(argument.name)
        _check_argument(
            f"{where} takes {argument.name}", argument, field, required=parameter in declared.get("required", ())
        )
    if fields:
        raise SignatureError(f"{where} does not take {next(iter(fields))}, which the lexicon declares.")


def _check_argument(where: str, argument: inspect.Parameter, field: Schema, *, required: bool) -> None:
    kind = _PLAIN[field["items"]["type"]] if field["type"] == "array" else _PLAIN[field["type"]]
    expected: Any = list[kind] if field["type"] == "array" else kind  # type: ignore[valid-type]
    default = inspect.Parameter.empty if required else field.get("default")
    if default is None:
        expected |= None
    if argument.annotation != expected:
        raise SignatureError(
            f"{where} as {_shown(argument.annotation)}, where the lexicon makes it {_shown(expected)}."
        )
    if type(argument.default) is not type(default) or argument.default != default:
        has = "no default" if argument.default is argument.empty else f"{argument.default!r} as its default"
        says = "requires it" if required else f"says {default!r}"
        raise SignatureError(f"{where} with {has}, where the lexicon {says}.")


def _shown(annotation: Any) -> str:
    return annotation.__name__ if type(annotation) is type else str(annotation)
