from typing import Any

import pytest

from appview.config import Config
from lexicons.catalog import Catalog
from tests.xrpc import samples
from tests.xrpc.samples import METHODS, catalog, query
from xrpc.app import create_app
from xrpc.context import Context
from xrpc.signatures import Handler, SignatureError, argument_name, by_nsid, check_methods

PLAIN = {
    "uri": {"type": "string"},
    "limit": {"type": "integer", "default": 50},
    "uris": {"type": "array", "items": {"type": "string"}},
}


def check(handler: Handler, properties: dict[str, Any], *required: str) -> None:
    handlers = by_nsid({"test.one": handler}, "fm.plyr")
    check_methods(Catalog([query("test.one", properties, required=required)], strict=True), handlers, "fm.plyr")


@pytest.mark.parametrize(
    ("parameter", "argument"),
    [
        ("limit", "limit"),
        ("listType", "list_type"),
        ("minRevNow", "min_rev_now"),
        ("list", "list_"),
        ("from", "from_"),
        ("type", "type_"),
    ],
)
def test_names(parameter: str, argument: str) -> None:
    assert argument_name(parameter) == argument


def test_the_samples_agree() -> None:
    check_methods(catalog(), by_nsid(METHODS, "fm.plyr"), "fm.plyr")


def test_a_method_of_the_protocol_has_its_full_name() -> None:
    assert set(by_nsid({"a.b": samples.echo, "com.atproto.repo.getRecord": samples.echo}, "net.example")) == {
        "net.example.a.b",
        "com.atproto.repo.getRecord",
    }


async def right(_ctx: Context, *, uri: str, limit: int = 50, uris: list[str] | None = None) -> dict[str, Any]:
    return {"said": [uri, limit, uris]}


async def no_context() -> dict[str, Any]:
    return {}


async def other_context(_ctx: dict[str, Any], *, uri: str) -> dict[str, Any]:
    return {"said": uri}


async def named_context(*, ctx: Context) -> dict[str, Any]:
    return {"said": ctx.viewer}


async def positional(_ctx: Context, uri: str, *, limit: int = 50, uris: list[str] | None = None) -> dict[str, Any]:
    return {"said": [uri, limit, uris]}


async def anything(_ctx: Context, **arguments: Any) -> dict[str, Any]:
    return {"said": arguments}


async def too_little(_ctx: Context, *, uri: str, limit: int = 50) -> dict[str, Any]:
    return {"said": [uri, limit]}


async def too_much(
    _ctx: Context, *, uri: str, limit: int = 50, uris: list[str] | None = None, more: bool = False
) -> dict[str, Any]:
    return {"said": [uri, limit, uris, more]}


async def other_type(_ctx: Context, *, uri: str, limit: str = "50", uris: list[str] | None = None) -> dict[str, Any]:
    return {"said": [uri, limit, uris]}


async def other_items(_ctx: Context, *, uri: str, limit: int = 50, uris: list[int] | None = None) -> dict[str, Any]:
    return {"said": [uri, limit, uris]}


async def other_default(_ctx: Context, *, uri: str, limit: int = 51, uris: list[str] | None = None) -> dict[str, Any]:
    return {"said": [uri, limit, uris]}


async def true_default(_ctx: Context, *, uri: str, limit: int = True, uris: list[str] | None = None) -> dict[str, Any]:
    return {"said": [uri, limit, uris]}


async def no_default(_ctx: Context, *, uri: str, limit: int, uris: list[str] | None = None) -> dict[str, Any]:
    return {"said": [uri, limit, uris]}


async def not_required(
    _ctx: Context, *, uri: str | None = None, limit: int = 50, uris: list[str] | None = None
) -> dict[str, Any]:
    return {"said": [uri, limit, uris]}


async def never_none(_ctx: Context, *, uri: str, limit: int = 50, uris: list[str] = []) -> dict[str, Any]:  # noqa: B006 - the very mistake that is looked for
    return {"said": [uri, limit, uris]}


async def unknown_type(_ctx: Context, *, uri: "Nothing", limit: int = 50) -> dict[str, Any]:  # type: ignore[name-defined] # noqa: F821 - the very mistake that is looked for
    return {"said": [uri, limit]}


def not_async(_ctx: Context, *, uri: str, limit: int = 50, uris: list[str] | None = None) -> Any:
    return {"said": [uri, limit, uris]}


def test_a_handler_that_takes_what_is_declared() -> None:
    check(right, PLAIN, "uri")


@pytest.mark.parametrize(
    ("handler", "sentence"),
    [
        (no_context, "no_context does not take the Context first."),
        (named_context, "named_context does not take the Context first."),
        (other_context, "other_context takes dict[str, typing.Any] first, and not the Context."),
        (positional, "positional takes uri otherwise than by its name."),
        (anything, "anything takes arguments otherwise than by its name."),
        (too_little, "too_little does not take uris, which the lexicon declares."),
        (too_much, "too_much takes more, which the lexicon does not declare."),
        (other_type, "other_type takes limit as str, where the lexicon makes it int."),
        (other_items, "other_items takes uris as list[int] | None, where the lexicon makes it list[str] | None."),
        (other_default, "other_default takes limit with 51 as its default, where the lexicon says 50."),
        (true_default, "true_default takes limit with True as its default, where the lexicon says 50."),
        (no_default, "no_default takes limit with no default, where the lexicon says 50."),
        (not_required, "not_required takes uri as str | None, where the lexicon makes it str."),
        (never_none, "never_none takes uris as list[str], where the lexicon makes it list[str] | None."),
        (unknown_type, "unknown_type has an annotation that means nothing at run time: name 'Nothing' is not defined."),
        (not_async, "not_async is not an async function."),
    ],
)
def test_a_handler_that_does_not(handler: Handler, sentence: str) -> None:
    with pytest.raises(SignatureError) as refused:
        check(handler, PLAIN, "uri")
    assert str(refused.value) == f"fm.plyr.test.one: {sentence}"


@pytest.mark.parametrize(
    ("methods", "documents", "sentence"),
    [
        ({"test.one": right}, [], "fm.plyr.test.one has a handler, but no lexicon defines it."),
        ({}, [query("test.one", PLAIN)], "fm.plyr.test.one is a query of ours, but has no handler."),
        (
            {"test.one": right},
            [{"lexicon": 1, "id": "fm.plyr.test.one", "defs": {"main": {"type": "token"}}}],
            "fm.plyr.test.one has a handler, but is a token: neither query nor procedure.",
        ),
        (
            {"test.one": right},
            [{"lexicon": 1, "id": "fm.plyr.test.one", "defs": {"main": {"type": "query"}}}],
            "fm.plyr.test.one does not declare that it answers with JSON of some schema.",
        ),
    ],
)
def test_methods_and_documents_belong_together(
    methods: dict[str, Handler], documents: list[dict[str, Any]], sentence: str
) -> None:
    with pytest.raises(SignatureError) as refused:
        create_app(Config.load({}, None), methods=methods, catalog=Catalog(documents, strict=True))
    assert str(refused.value) == sentence


def test_the_queries_of_others_need_no_handler() -> None:
    foreign = {**query("test.one", PLAIN), "id": "com.example.test.one"}
    check_methods(Catalog([foreign], strict=True), {}, "fm.plyr")


def test_the_real_methods_agree_with_the_real_lexicons_under_any_namespace() -> None:
    for namespace in ("fm.plyr", "fm.plyr.staging", "net.example"):
        create_app(Config.load({"PLYR_NAMESPACE": namespace}, None))
