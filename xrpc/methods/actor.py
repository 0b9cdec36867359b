"""`actor.*`: accounts."""

from typing import Any

from xrpc.context import Context
from xrpc.methods.asking import shown_account, snapshot


async def get_profile(ctx: Context, *, actor: str) -> dict[str, Any]:
    """Answer `actor.getProfile`."""
    async with snapshot(ctx) as connection:
        did = await shown_account(connection, actor)
        return await ctx.views.profile(connection, did)
