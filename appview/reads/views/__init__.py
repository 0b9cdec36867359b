"""Views: what is at given addresses, as a client gets it.

Each is loaded in bulk, in a number of statements that does not depend on how many are asked for, and then presented
without a question to anybody (VW-22). What may not be shown is left out when it is loaded, in SQL. Where a viewer is
named, each view says what that account has to do with what is shown, at the cost of one more statement.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import asyncpg

from appview.db import Connection
from appview.net.policy import Policy
from appview.reads.activity import Deed
from appview.reads.lists import Item
from appview.reads.views.activity import activity_views, load_responses
from appview.reads.views.generators import generator_view, load_generators
from appview.reads.views.lists import LoadedLists, list_view, load_lists
from appview.reads.views.media import Media
from appview.reads.views.people import Faces, People, detailed, load_accounts, load_people, load_profiles, profile
from appview.reads.views.responses import comment_view, like_view, load_comments, load_likes
from appview.reads.views.stored import Stored, View
from appview.reads.views.tracks import TrackViews, Versions, load_tracks
from appview.reads.views.viewers import load_ties

__all__ = ["View", "Views"]

MEMORY_OF_FACES: Final = 16 * 1024 * 1024
MEMORY_OF_VERSIONS: Final = 48 * 1024 * 1024
"""In bytes, of a process."""


class Views:
    """Views in the terms of the lexicons of `namespace`, with the addresses that `policy` lets be handed out, and
    `avatars` where the pattern of that name says (None: at the accounts' PDSes).

    One is enough for a process. All that a call reads is of one moment only within a transaction that sees one.
    """

    def __init__(self, namespace: str, policy: Policy, avatars: str | None = None) -> None:
        self._feed_defs: Final = f"{namespace}.feed.defs"
        self._media: Final = Media(policy, avatars)
        self._faces: Final = Faces(self._media, MEMORY_OF_FACES)
        self._versions: Final = Versions(namespace, self._media, MEMORY_OF_VERSIONS)

    async def profile(self, connection: Connection, did: str, viewer: str | None = None) -> View:
        """One account by itself. Two statements. Raises LookupError when it is not visible."""
        found = await self.details(connection, [did], viewer)
        if not found:
            raise LookupError(f"{did} is not visible")
        return found[0]

    async def details(self, connection: Connection, dids: Sequence[str], viewer: str | None = None) -> list[View]:
        """`profileViewDetailed` of accounts in this order, without those that are not visible, nor those whose profile
        records would be too much together. Two statements.
        """
        accounts, people = await self._accounts(connection, dids, viewer)
        shown = [accounts[did] for did in dids if did in accounts]
        records = await load_profiles(connection, shown)
        return [
            detailed(account, view, records.get(account["uri"]))
            for account in shown
            if (account["uri"] is None or account["uri"] in records) and (view := people.basic(account["asked"]))
        ]

    async def profiles(self, connection: Connection, dids: Sequence[str], viewer: str | None = None) -> list[View]:
        """`profileView` of accounts in this order, without those that are not visible. One statement."""
        accounts, people = await self._accounts(connection, dids, viewer)
        return [profile(accounts[did], view) for did in dids if did in accounts and (view := people.basic(did))]

    async def basics(self, connection: Connection, dids: Sequence[str], viewer: str | None = None) -> list[View]:
        """`profileViewBasic` of accounts in this order, without those that are not visible. One statement."""
        accounts, people = await self._accounts(connection, dids, viewer)
        return [view for did in dids if did in accounts and (view := people.basic(did))]

    async def tracks(self, connection: Connection, uris: Sequence[str], viewer: str | None = None) -> list[View]:
        """Tracks in this order, without those that are not to be shown. At most three statements."""
        return (await self.loaded_tracks(connection, uris, viewer)).of(uris)

    async def loaded_tracks(self, connection: Connection, uris: Sequence[str], viewer: str | None = None) -> TrackViews:
        """Tracks, to be found by address. At most three statements."""
        people = People(self._faces)
        tracks = await load_tracks(connection, uris, self._versions, people)
        people.ties = await load_ties(connection, viewer, tracks, people.dids)
        return TrackViews(self._feed_defs, tracks, people)

    async def likes(self, connection: Connection, uris: Sequence[str], viewer: str | None = None) -> list[View]:
        """Likes in this order, without those that are not to be shown. Two statements."""
        likes = await load_likes(connection, uris)
        people = await self._authors(connection, likes, viewer)
        views = (like_view(likes[uri], people) for uri in uris if uri in likes)
        return [view for view in views if view is not None]

    async def comments(self, connection: Connection, uris: Sequence[str], viewer: str | None = None) -> list[View]:
        """Comments in this order, without those that are not to be shown. Two statements."""
        comments = await load_comments(connection, uris)
        people = await self._authors(connection, comments, viewer)
        views = (comment_view(comments[uri], people) for uri in uris if uri in comments)
        return [view for view in views if view is not None]

    async def lists(self, connection: Connection, uris: Sequence[str], viewer: str | None = None) -> list[View]:
        """Lists in this order, without those that are not to be shown. Three statements."""
        loaded = await load_lists(connection, uris)
        people = await self._authors(connection, loaded.lists, viewer)
        return self._lists(loaded, people, uris)

    async def list_with_items(
        self,
        connection: Connection,
        uri: str,
        items: Sequence[Item],
        unplaced: Sequence[str] = (),
        viewer: str | None = None,
    ) -> tuple[View, list[View], list[View]] | None:
        """A list, these items of it, and these tracks that have no place on it; None when it is not to be shown.

        At most six statements.
        """
        heads = await self.lists(connection, [uri], viewer)
        if not heads:
            return None
        tracks = await self.loaded_tracks(connection, [*(item.subject for item in items), *unplaced], viewer)
        return heads[0], [_item_view(item, tracks) for item in items], tracks.of(unplaced)

    async def activity(self, connection: Connection, deeds: Sequence[Deed], viewer: str | None = None) -> list[View]:
        """What was done, in this order, without what is not to be shown. At most eight statements."""
        people = People(self._faces)
        about = [deed.subject or deed.uri for deed in deeds if deed.kind != "list"]
        tracks = await load_tracks(connection, about, self._versions, people)
        responses = await load_responses(connection, [deed.uri for deed in deeds if deed.subject is not None])
        loaded = await load_lists(connection, [deed.uri for deed in deeds if deed.kind == "list"])
        makers = {stored.did for stored in (*responses.values(), *loaded.lists.values())}
        await load_people(connection, people, makers)
        people.ties = await load_ties(connection, viewer, tracks, people.dids)
        lists = {view["uri"]: view for view in self._lists(loaded, people, list(loaded.lists))}
        views = TrackViews(self._feed_defs, tracks, people)
        return list(activity_views(self._feed_defs, deeds, views, responses, lists, people))

    async def generators(self, connection: Connection, uris: Sequence[str], viewer: str | None = None) -> list[View]:
        """Feed generators in this order, without those that are not to be shown. At most two statements."""
        people = People(self._faces)
        loaded = await load_generators(connection, uris, people)
        people.ties = await load_ties(connection, viewer, accounts=people.dids)
        views = (generator_view(loaded[uri], people, self._media) for uri in uris if uri in loaded)
        return [view for view in views if view is not None]

    async def _accounts(
        self, connection: Connection, dids: Sequence[str], viewer: str | None
    ) -> tuple[Mapping[str, asyncpg.Record], People]:
        people = People(self._faces)
        accounts = await load_accounts(connection, people, dids)
        people.ties = await load_ties(connection, viewer, accounts=people.dids)
        return accounts, people

    async def _authors(self, connection: Connection, records: Mapping[str, Stored], viewer: str | None) -> People:
        people = People(self._faces)
        await load_people(connection, people, {stored.did for stored in records.values()})
        people.ties = await load_ties(connection, viewer, accounts=people.dids)
        return people

    def _lists(self, loaded: LoadedLists, people: People, uris: Sequence[str]) -> list[View]:
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
