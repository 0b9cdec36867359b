"""`actor.*`: accounts."""

from typing import Any

from appview.reads import names
from xrpc.context import Context
from xrpc.methods.asking import reading, shown_account, snapshot


async def get_profile(ctx: Context, *, actor: str) -> dict[str, Any]:
    """Answer `actor.getProfile`."""
    async with snapshot(ctx) as connection:
        did = await shown_account(connection, actor)
        return await ctx.views.profile(connection, did, ctx.viewer)


async def get_profiles(ctx: Context, *, actors: list[str]) -> dict[str, Any]:
    """Answer `actor.getProfiles`."""
    async with reading(ctx) as connection:
        dids = await names.dids(connection, actors)
        return {"profiles": await ctx.views.details(connection, dids, ctx.viewer)}
