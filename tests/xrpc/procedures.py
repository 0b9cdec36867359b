"""Small procedures, so that the dispatch is tested apart from those that write to a PDS."""

import asyncio
import hashlib
from typing import Any

from appview.unset import UNSET, Unset
from lexicons.catalog import Catalog
from xrpc.bodies import Body
from xrpc.context import Context
from xrpc.errors import XrpcError
from xrpc.signatures import Handler

JSON = "application/json"
SAID: dict[str, Any] = {
    "encoding": JSON,
    "schema": {"type": "object", "required": ["said"], "properties": {"said": {"type": "unknown"}}},
}
FIELDS: dict[str, Any] = {
    "subject": {"type": "ref", "ref": "#subject"},
    "text": {"type": "string", "maxLength": 8},
    "listType": {"type": "string"},
    "at": {"type": "integer", "default": 7},
    "swap": {"type": "string", "format": "cid"},
    "items": {"type": "array", "items": {"type": "ref", "ref": "#subject"}},
    "record": {"type": "unknown"},
}
SUBJECT: dict[str, Any] = {
    "type": "object",
    "required": ["uri"],
    "properties": {"uri": {"type": "string", "format": "at-uri"}},
}


def procedure(name: str, **main: Any) -> dict[str, Any]:
    """The document of a procedure `fm.plyr.{name}`."""
    return {
        "lexicon": 1,
        "id": f"fm.plyr.{name}",
        "defs": {"main": {"type": "procedure", **main}, "subject": SUBJECT},
    }


def given(fields: dict[str, Any], *required: str, nullable: tuple[str, ...] = ()) -> dict[str, Any]:
    """An input of JSON with these fields."""
    schema = {"type": "object", "required": list(required), "nullable": list(nullable), "properties": fields}
    return {"encoding": JSON, "schema": schema}


async def note(
    ctx: Context,
    *,
    subject: dict[str, Any],
    text: str | None = None,
    list_type: str | None = None,
    at: int = 7,
    swap: str | Unset | None = UNSET,
    items: list[dict[str, Any]] | None = None,
    record: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Say what was given, by whom, and under which key."""
    values = {"subject": subject, "text": text, "listType": list_type, "at": at, "items": items, "record": record}
    if swap is not UNSET:
        values["swap"] = "null" if swap is None else swap
    said = {name: value for name, value in values.items() if value is not None}
    return {"said": {**said, "viewer": ctx.viewer, "key": ctx.idempotency_key or ""}}


async def upload(_ctx: Context, *, body: Body) -> dict[str, Any]:
    """Say what came."""
    digest, size = hashlib.sha256(), 0
    async for chunk in body.chunks():
        digest.update(chunk)
        size += len(chunk)
    return {"said": {"mime": body.mime, "size": size, "announced": body.size or 0, "sha256": digest.hexdigest()}}


async def forget(_ctx: Context) -> dict[str, Any]:
    """Answer nothing."""
    return {}


async def fail(_ctx: Context, *, how: str) -> dict[str, Any]:
    """Fail as the lexicon has it, or not, or never end."""
    if how == "never":
        await asyncio.sleep(3600)
    raise XrpcError(400, "NotFound" if how == "declared" else "Surprise", "No.")


METHODS: dict[str, Handler] = {"test.note": note, "test.upload": upload, "test.forget": forget, "test.fail": fail}


def catalog() -> Catalog:
    """The documents of METHODS."""
    return Catalog(
        [
            procedure("test.note", input=given(FIELDS, "subject", nullable=("swap",)), output=SAID),
            procedure("test.upload", input={"encoding": "*/*"}, output=SAID),
            procedure("test.forget"),
            procedure("test.fail", input=given({"how": {"type": "string"}}, "how"), errors=[{"name": "NotFound"}]),
        ],
        strict=True,
    )
