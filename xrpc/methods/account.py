"""`actor.updateProfile`, and `server.*`: what callers say of themselves, and what they chose for themselves alone."""

from typing import Any

from appview.accounts import preferences as kept
from appview.db import Connection
from appview.reads.times import instant
from appview.reads.views import View
from appview.writes.edits.fields import edited
from xrpc.context import Context
from xrpc.errors import InvalidRequest
from xrpc.methods.own import changes_of, primary, seen, told


async def update_profile(
    ctx: Context, *, bio: str | None = None, avatar: str | None = None, clear: list[str] | None = None
) -> dict[str, Any]:
    """Answer `actor.updateProfile`."""
    repo, nsid, now = await ctx.repo(), f"{ctx.config.namespace}.actor.profile", instant(ctx.now)
    fields, cleared = changes_of({"bio": bio, "avatar": avatar}, clear)

    def change(record: dict[str, Any]) -> dict[str, Any] | None:
        if not record:
            return {"$type": nsid, **fields, "createdAt": now}
        return edited(record, fields, cleared, updated_at=now)

    request = {"fields": fields, "clear": cleared}
    written = await repo.edit(nsid, "self", change, missing={}, key=ctx.idempotency_key, request=request)

    async def load(connection: Connection, _uris: list[str], viewer: str | None) -> list[View]:
        return await ctx.views.details(connection, [repo.did], viewer)

    return {**told(written), **await seen(ctx, "profile", load, written.uri)}


async def get_preferences(ctx: Context) -> dict[str, Any]:
    """Answer `server.getPreferences`."""
    viewer = ctx.required_viewer()
    async with primary(ctx) as connection:
        return {"preferences": await kept.of(connection, viewer)}


async def put_preferences(ctx: Context, *, preferences: list[dict[str, Any]]) -> dict[str, Any]:
    """Answer `server.putPreferences`."""
    viewer = ctx.required_viewer()
    try:
        async with primary(ctx) as connection:
            await kept.put(connection, viewer, preferences)
    except kept.Unstorable as error:
        raise InvalidRequest(str(error)) from None
    return {}
