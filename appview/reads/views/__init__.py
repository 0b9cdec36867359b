"""Views: what is at given addresses, as a client gets it.

Each is loaded in bulk, in a number of statements that does not depend on how many are asked for, and then presented
without a question to anybody (VW-22). What may not be shown is left out when it is loaded, in SQL.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from appview.db import Connection
from appview.net.policy import Policy
from appview.reads.lists import Item
from appview.reads.views.lists import LoadedLists, list_view, load_lists
from appview.reads.views.media import Media
from appview.reads.views.people import People, detailed, load_details, load_people
from appview.reads.views.responses import comment_view, like_view, load_comments, load_likes
from appview.reads.views.stored import View
from appview.reads.views.tracks import Loaded, TrackViews, load_tracks, people_of

__all__ = ["View", "Views"]


class Views:
    """Views in the terms of the lexicons of `namespace`, with the addresses that `policy` lets be handed out.

    One is enough for a process. All that a call reads is of one moment only within a transaction that sees one.
    """

    def __init__(self, namespace: str, policy: Policy) -> None:
        self._feed_defs: Final = f"{namespace}.feed.defs"
        self._media: Final = Media(policy)

    async def profile(self, connection: Connection, did: str) -> View:
        """One account by itself. Two statements. Raises LookupError when it is not visible."""
        details = await load_details(connection, did)
        people = await self._people(connection, [did])
        basic = people.basic(did)
        if details is None or basic is None:
            raise LookupError(f"{did} is not visible")
        return detailed(details, basic)

    async def tracks(self, connection: Connection, uris: Sequence[str]) -> list[View]:
        """Tracks in this order, without those that are not to be shown. Two statements."""
        tracks = await load_tracks(connection, uris)
        people = await self._people(connection, people_of(tracks.values()))
        return self._tracks(tracks, people).of(uris)

    async def likes(self, connection: Connection, uris: Sequence[str]) -> list[View]:
        """Likes in this order, without those that are not to be shown. Two statements."""
        likes = await load_likes(connection, uris)
        people = await self._people(connection, (like.did for like in likes.values()))
        views = (like_view(likes[uri], people) for uri in uris if uri in likes)
        return [view for view in views if view is not None]

    async def comments(self, connection: Connection, uris: Sequence[str]) -> list[View]:
        """Comments in this order, without those that are not to be shown. Two statements."""
        comments = await load_comments(connection, uris)
        people = await self._people(connection, (comment.did for comment in comments.values()))
        views = (comment_view(comments[uri], people) for uri in uris if uri in comments)
        return [view for view in views if view is not None]

    async def lists(self, connection: Connection, uris: Sequence[str]) -> list[View]:
        """Lists in this order, without those that are not to be shown. Three statements."""
        loaded = await load_lists(connection, uris)
        people = await self._people(connection, (stored.did for stored in loaded.lists.values()))
        return self._lists(loaded, people, uris)

    async def list_with_items(
        self, connection: Connection, uri: str, items: Sequence[Item]
    ) -> tuple[View, list[View]] | None:
        """A list and these items of it; None when it is not to be shown. Four statements."""
        loaded = await load_lists(connection, [uri])
        tracks = await load_tracks(connection, [item.subject for item in items])
        authors = {stored.did for stored in loaded.lists.values()}
        people = await self._people(connection, authors | people_of(tracks.values()))
        heads = self._lists(loaded, people, [uri])
        if not heads:
            return None
        views = self._tracks(tracks, people)
        return heads[0], [_item_view(item, views) for item in items]

    async def _people(self, connection: Connection, dids: Iterable[str]) -> People:
        return await load_people(connection, dids, self._media)

    def _tracks(self, tracks: Mapping[str, Loaded], people: People) -> TrackViews:
        return TrackViews(self._feed_defs, tracks, people, self._media)

    def _lists(self, loaded: LoadedLists, people: People, uris: Iterable[str]) -> list[View]:
        views = (
            list_view(loaded.lists[uri], loaded.summaries.get(uri), people, self._media)
            for uri in uris
            if uri in loaded.lists
        )
        return [view for view in views if view is not None]


def _item_view(item: Item, tracks: TrackViews) -> View:
    """`graph.defs#listItemView`."""
    subject = {"uri": item.subject} | ({"cid": item.cid} if item.cid is not None else {})
    return {"position": item.position, "subject": subject, "track": tracks.in_place(item.subject)}
