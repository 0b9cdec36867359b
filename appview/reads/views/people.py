"""Accounts as views: those that stand beside a record, and those that are asked for themselves."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import asyncpg

from appview.db import Connection
from appview.index.records import fields
from appview.reads.times import instant
from appview.reads.views.media import Media
from appview.reads.views.memory import Memory
from appview.reads.views.stored import COLUMNS, Stored, View, labels_of, open_records
from appview.reads.visibility import hidden, visible
from lexicons.data import decode

if TYPE_CHECKING:
    from appview.reads.views.viewers import Ties

NO_HANDLE: Final = "handle.invalid"
"""Stands where an account has no handle that verifies (VW-23)."""

PERSON: Final = """
    actors.handle, actors.pds, profiles.avatar, bsky_profiles.display_name, bsky_profiles.avatar_cid,
    labelling.uri as labelling_uri, labelling.cid as labelling_cid, labelling.value as labelling_value,
    labelling.sort_at as labelling_sort_at
"""
"""What a basic view needs of a row, where PROFILES are joined to `actors`."""

PROFILES: Final = """
    left join profiles on profiles.did = actors.did
    left join bsky_profiles on bsky_profiles.did = actors.did
    left join records as labelling on labelling.uri = case when bsky_profiles.labelled then bsky_profiles.uri end
"""

_WEIGHT: Final = 1_500
"""Of a basic view in memory, in bytes, more or less."""


class Faces:
    """Makes basic views, as `media` lets them be; what was made once is remembered for as long as nothing changed."""

    def __init__(self, media: Media, most: int) -> None:
        self._media = media
        self._memory: Memory[View] = Memory(most)

    def of(self, did: str, row: asyncpg.Record) -> View:
        """`actor.defs#profileViewBasic` of the account in a row with PERSON, whoever asks."""
        name, picture = (row["handle"], row["display_name"]), (row["avatar"], row["avatar_cid"], row["pds"])
        key = did, name, picture, row["labelling_cid"]
        view = self._memory.get(key)
        if view is None:
            view = self._present(did, row)
            self._memory.put(key, view, _WEIGHT)
        return view

    def _present(self, did: str, row: asyncpg.Record) -> View:
        view: View = {"did": did, "handle": row["handle"] or NO_HANDLE}
        if row["display_name"]:
            view["displayName"] = row["display_name"]
        avatar = self._media.link(row["avatar"])
        if avatar is None and row["avatar_cid"] is not None:
            avatar = self._media.avatar(row["pds"], did, row["avatar_cid"])
        if avatar is not None:
            view["avatar"] = avatar
        if row["labelling_value"] is not None:
            labels = labels_of(
                row["labelling_uri"],
                row["labelling_cid"],
                row["labelling_sort_at"],
                fields.labels(decode(row["labelling_value"])),
            )
            if labels:
                view["labels"] = labels
        return view


class People:
    """Accounts, by DID. Those that are not visible are not among them; those that were never seen are, by DID alone."""

    def __init__(self, faces: Faces) -> None:
        self._faces = faces
        self._rows: dict[str, asyncpg.Record] = {}
        self._views: dict[str, View] = {}
        self.ties: Ties | None = None

    def add(self, did: str, row: asyncpg.Record) -> None:
        """The account in a row with PERSON."""
        self._rows[did] = row

    def __contains__(self, did: str) -> bool:
        return did in self._rows

    @property
    def dids(self) -> Iterable[str]:
        """The accounts that are here."""
        return self._rows.keys()

    def pds(self, did: str) -> str | None:
        """Where the account's repository is."""
        return self._rows[did]["pds"] if did in self._rows else None

    def basic(self, did: str) -> View | None:
        """`actor.defs#profileViewBasic`, one object for all who ask; None when the account is not visible."""
        if did not in self._views and did in self._rows:
            view = self._faces.of(did, self._rows[did])
            self._views[did] = view if self.ties is None else {**view, "viewer": self.ties.to_account(did)}
        return self._views.get(did)


async def load_people(connection: Connection, people: People, dids: Iterable[str]) -> None:
    """Who are these accounts? In one statement, however many they are; in none when there are none to be asked for."""
    asked = sorted({did for did in dids if did not in people})
    if not asked:
        return
    for row in await connection.fetch(
        f"""
        select asked.did as asked, {PERSON}
        from unnest($1::text[]) as asked (did) left join actors on actors.did = asked.did {PROFILES}
        where not {hidden("asked.did")}
        """,  # noqa: S608 - names of our own
        asked,
    ):
        people.add(row["asked"], row)


async def load_accounts(connection: Connection, people: People, dids: Sequence[str]) -> Mapping[str, asyncpg.Record]:
    """What is there to say of these accounts, as far as they are visible: their words about themselves, their counts,
    which profile records of their own they have?
    """
    rows = await connection.fetch(
        f"""
        select actors.did as asked, {PERSON}, records.uri, records.indexed_at,
            coalesce(nullif(profiles.bio, ''), bsky_profiles.description) as bio,
            coalesce(actor_counts.tracks, 0) as tracks, coalesce(actor_counts.lists, 0) as lists,
            coalesce(actor_counts.likes, 0) as likes, coalesce(actor_counts.followers, 0) as followers
        from unnest($1::text[]) as asked (did) join actors on actors.did = asked.did {PROFILES}
        left join actor_counts on actor_counts.did = actors.did
        left join records on records.uri = profiles.uri
        where {visible("asked.did")}
        """,  # noqa: S608 - names of our own
        list(set(dids)),
    )
    for row in rows:
        people.add(row["asked"], row)
    return {row["asked"]: row for row in rows}


def profile(account: asyncpg.Record, basic: View) -> View:
    """`actor.defs#profileView`."""
    view = dict(basic)
    if account["bio"]:
        view["bio"] = account["bio"]
    if account["uri"] is not None:
        view["indexedAt"] = instant(account["indexed_at"])
    return view


async def load_profiles(connection: Connection, accounts: Iterable[asyncpg.Record]) -> dict[str, Stored]:
    """The profile records of these accounts, by URI, as far as they are not too much together."""
    uris = [account["uri"] for account in accounts if account["uri"] is not None]
    rows = await connection.fetch(
        f"select {COLUMNS} from records where uri = any($1::text[]) and value is not null",  # noqa: S608 - names of our own
        uris,
    )
    return open_records(rows, uris)


def detailed(account: asyncpg.Record, basic: View, stored: Stored | None) -> View:
    """`actor.defs#profileViewDetailed`; `stored` is the account's own profile record, if it has one."""
    view = {
        **profile(account, basic),
        "tracksCount": account["tracks"],
        "listsCount": account["lists"],
        "likesCount": account["likes"],
        "followersCount": account["followers"],
    }
    return view if stored is None else view | stored.version()
