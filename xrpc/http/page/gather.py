"""The samples that the pages ask about, from the index."""

from appview.db import Connection
from appview.reads import feeds
from appview.reads.pages import newest
from xrpc.built_in import address
from xrpc.context import Context
from xrpc.http.page.examples import Samples


async def gather(ctx: Context, connection: Connection, tracks: int) -> Samples:
    """The newest `tracks` tracks, list and feed, and who liked something last; all as anybody sees them."""
    newest_tracks = await feeds.latest(connection, after=None, limit=tracks)
    lists = await newest(connection, "lists", after=None, limit=1)
    generators = await newest(connection, "generators", after=None, limit=1)
    likes = await newest(connection, "likes", after=None, limit=1)
    list_views = await ctx.views.lists(connection, lists.uris)
    generator_views = await ctx.views.generators(connection, generators.uris)
    return Samples(
        await ctx.views.tracks(connection, newest_tracks.uris),
        list_views[0] if list_views else None,
        generator_views[0] if generator_views else None,
        next((uri.split("/")[2] for uri in likes.uris), None),
        address(ctx, "latest"),
    )
