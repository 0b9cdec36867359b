"""Small lexicons and handlers, so that the dispatch is tested apart from the methods that it will have."""

import asyncio
from typing import Any

from lexicons.catalog import Catalog
from lexicons.drisl import MAX_NESTING
from xrpc.context import Context
from xrpc.errors import InvalidRequest, XrpcError
from xrpc.methods.asking import reading
from xrpc.signatures import Handler

ECHO = "fm.plyr.test.echo"
PARAMETERS: dict[str, Any] = {
    "uri": {"type": "string", "format": "at-uri"},
    "actor": {"type": "string", "format": "at-identifier"},
    "since": {"type": "string", "format": "datetime"},
    "cid": {"type": "string", "format": "cid"},
    "q": {"type": "string", "maxLength": 8},
    "sort": {"type": "string", "enum": ["position", "newest"], "default": "position"},
    "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 50},
    "offset": {"type": "integer"},
    "all": {"type": "boolean", "default": False},
    "listType": {"type": "string"},
    "uris": {"type": "array", "maxLength": 3, "items": {"type": "string", "format": "at-uri"}},
    "numbers": {"type": "array", "items": {"type": "integer", "minimum": 0}},
    "flags": {"type": "array", "items": {"type": "boolean"}},
}


def query(
    name: str, properties: dict[str, Any], *, required: tuple[str, ...] = (), errors: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The document of a query `fm.plyr.{name}`, whose answer has a `said`, which is an object."""
    main = {
        "type": "query",
        "parameters": {"type": "params", "required": list(required), "properties": properties},
        "output": {
            "encoding": "application/json",
            "schema": {"type": "object", "required": ["said"], "properties": {"said": {"type": "unknown"}}},
        },
        "errors": [{"name": error} for error in errors],
    }
    return {"lexicon": 1, "id": f"fm.plyr.{name}", "defs": {"main": main}}


async def echo(
    _ctx: Context,
    *,
    uri: str | None = None,
    actor: str | None = None,
    since: str | None = None,
    cid: str | None = None,
    q: str | None = None,
    sort: str = "position",
    limit: int = 50,
    offset: int | None = None,
    all_: bool = False,
    list_type: str | None = None,
    uris: list[str] | None = None,
    numbers: list[int] | None = None,
    flags: list[bool] | None = None,
) -> dict[str, Any]:
    """Say what was given, but for what was not."""
    given = {name: value for name, value in locals().items() if name != "_ctx" and value is not None}
    return {"said": given}


async def fail(_ctx: Context, *, how: str) -> dict[str, Any]:
    """Fail in one of many ways, or answer what the lexicon does not allow."""
    match how:
        case "declared":
            raise XrpcError(400, "NotFound", "There is no such thing.")
        case "undeclared":
            raise XrpcError(400, "Surprise", "Nobody said that this can happen.")
        case "general":
            raise InvalidRequest("Not like that.")
        case "bug":
            secret = "postgresql://user:hunter2@db/plyr"
            raise KeyError(secret)
        case "not JSON":
            return {"said": {"bytes": b"\x00"}}
        case "surrogate":
            return {"said": {"text": "\ud800"}}
        case "not promised":
            return {"sed": {}}
        case "a fraction":
            return {"said": {"number": 0.5}}
        case "deep":
            deep: dict[str, Any] = {}
            for _ in range(MAX_NESTING):
                deep = {"deeper": deep}
            return {"said": deep}
        case "no answer":
            return None  # type: ignore[return-value]
    return {"said": {"big": "x" * 5000}}


async def who(ctx: Context, *, actor: str) -> dict[str, Any]:
    """Say who is meant, who asks, and when."""
    return {"said": {"actor": actor, "viewer": ctx.viewer, "now": ctx.now.isoformat()}}


async def mine(ctx: Context) -> dict[str, Any]:
    """Say who asks, which somebody must."""
    return {"said": {"viewer": ctx.required_viewer()}}


async def sleep(ctx: Context, *, seconds: int) -> dict[str, Any]:
    """Keep the database busy, which is given a fifth of a second."""
    async with ctx.pool.acquire() as connection, connection.transaction():
        await connection.execute("set local statement_timeout = 200")
        await connection.execute("select pg_sleep($1)", seconds)
    return {"said": {}}


async def doze(ctx: Context, *, milliseconds: int) -> dict[str, Any]:
    """Take a while, and only then ask the database."""
    await asyncio.sleep(milliseconds / 1000)
    return {"said": {"after": milliseconds, "one": await ctx.pool.fetchval("select 1")}}


async def run(ctx: Context, *, sql: str) -> dict[str, Any]:
    """Run a statement on the pool of the readers."""
    async with reading(ctx) as connection:
        return {"said": {"result": await connection.fetchval(sql)}}


METHODS: dict[str, Handler] = {
    "test.echo": echo,
    "test.fail": fail,
    "test.who": who,
    "test.mine": mine,
    "test.sleep": sleep,
    "test.doze": doze,
    "test.run": run,
}
DOCUMENTS = [
    query("test.echo", PARAMETERS),
    query("test.fail", {"how": {"type": "string"}}, required=("how",), errors=("NotFound",)),
    query("test.who", {"actor": PARAMETERS["actor"]}, required=("actor",)),
    query("test.mine", {}),
    query("test.sleep", {"seconds": {"type": "integer"}}, required=("seconds",)),
    query("test.doze", {"milliseconds": {"type": "integer"}}, required=("milliseconds",)),
    query("test.run", {"sql": {"type": "string"}}, required=("sql",)),
]


def catalog(*more: dict[str, Any]) -> Catalog:
    """The catalog of DOCUMENTS and `more`."""
    return Catalog([*DOCUMENTS, *more], strict=True)
