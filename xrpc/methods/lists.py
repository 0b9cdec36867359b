"""`graph.*`: lists, made and changed. What is done to one list at once by several is done one after the other."""

from collections.abc import Callable
from functools import partial
from typing import Any

from appview.reads.times import instant
from appview.writes.edits.fields import Record, edited
from appview.writes.edits.lists import EditError, Place, added, moved, removed
from xrpc.context import Context
from xrpc.errors import XrpcError
from xrpc.methods.own import changes_of, create_once, own_key, references, seen, subject_uris, told


async def create_list(
    ctx: Context,
    *,
    name: str,
    list_type: str,
    items: list[dict[str, Any]] | None = None,
    rkey: str | None = None,
) -> dict[str, Any]:
    """Answer `graph.createList`."""
    repo, nsid = await ctx.repo(), f"{ctx.config.namespace}.list"
    record = {
        "$type": nsid,
        "name": name,
        "listType": list_type,
        "items": [{"subject": subject} for subject in await references(ctx, items or [])],
        "createdAt": instant(ctx.now),
    }
    written = await create_once(ctx, repo, nsid, record, rkey)
    return {**told(written), **await seen(ctx, "list", ctx.views.lists, written.uri)}


async def update_list(
    ctx: Context,
    *,
    list_: str,
    name: str | None = None,
    list_type: str | None = None,
    clear: list[str] | None = None,
) -> dict[str, Any]:
    """Answer `graph.updateList`."""
    fields, cleared = changes_of({"name": name, "listType": list_type}, clear)
    change = partial(edited, given=fields, clear=cleared, updated_at=instant(ctx.now))
    return await _edit(ctx, list_, change, {"fields": fields, "clear": cleared})


async def delete_list(ctx: Context, *, list_: str) -> dict[str, Any]:
    """Answer `graph.deleteList`."""
    repo, rkey = await ctx.repo(), await own_key(ctx, list_, "list")
    return told(await repo.delete(f"{ctx.config.namespace}.list", rkey, key=ctx.idempotency_key))


async def add_items(
    ctx: Context,
    *,
    list_: str,
    items: list[dict[str, Any]],
    position: int | None = None,
    allow_duplicates: bool = False,
) -> dict[str, Any]:
    """Answer `graph.addItems`."""
    subjects = await references(ctx, items)

    def put(record: Record) -> list[Any] | None:
        return added(record, subjects, position, duplicates=allow_duplicates)

    return await _reorder(ctx, list_, put, ["add", *(subject["uri"] for subject in subjects), position])


async def remove_items(ctx: Context, *, list_: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    """Answer `graph.removeItems`."""
    uris = await subject_uris(ctx, [item["subject"] for item in items])
    places = [Place(uri, item.get("position")) for uri, item in zip(uris, items, strict=True)]
    return await _reorder(ctx, list_, partial(removed, places=places), ["remove", *map(list, places)])


async def move_item(
    ctx: Context, *, list_: str, subject: str, position: int, from_: int | None = None
) -> dict[str, Any]:
    """Answer `graph.moveItem`."""
    (uri,) = await subject_uris(ctx, [subject])
    place = Place(uri, from_)
    return await _reorder(ctx, list_, partial(moved, place=place, position=position), ["move", list(place), position])


async def _reorder(
    ctx: Context, uri: str, reorder: Callable[[Record], list[Any] | None], request: list[Any]
) -> dict[str, Any]:
    """Answer with the list once its items are what `reorder` makes of them."""

    def change(record: dict[str, Any]) -> dict[str, Any] | None:
        items = reorder(record)
        return None if items is None else edited(record, {"items": items}, updated_at=instant(ctx.now))

    return await _edit(ctx, uri, change, request)


async def _edit(
    ctx: Context, uri: str, change: Callable[[dict[str, Any]], dict[str, Any] | None], request: object
) -> dict[str, Any]:
    """Answer with the list once `change` was made to it, as the caller's `request` says."""
    repo, rkey = await ctx.repo(), await own_key(ctx, uri, "list")
    nsid = f"{ctx.config.namespace}.list"
    try:
        written = await repo.edit(nsid, rkey, change, key=ctx.idempotency_key, request=request)
    except EditError as error:
        raise XrpcError(400, error.name, str(error)) from None
    return {**told(written), **await seen(ctx, "list", ctx.views.lists, written.uri)}
