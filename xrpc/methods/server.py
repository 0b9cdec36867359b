"""`server.*`: this server itself, and what it knows and does not know."""

from typing import Any

from appview.index.records import record_types
from appview.reads.explain import Unexplainable
from appview.reads.explain import explain as explanation_of
from appview.reads.stats import stats
from xrpc.context import Context
from xrpc.errors import InvalidRequest
from xrpc.methods.asking import snapshot


async def get_stats(ctx: Context) -> dict[str, Any]:
    """Answer `server.getStats`."""
    async with snapshot(ctx) as connection:
        return await stats(connection)


async def explain(ctx: Context, *, uri: str) -> dict[str, Any]:
    """Answer `server.explain`."""
    async with snapshot(ctx) as connection:
        try:
            return await explanation_of(connection, uri, record_types(ctx.config.namespace))
        except Unexplainable as error:
            raise InvalidRequest(str(error)) from None
