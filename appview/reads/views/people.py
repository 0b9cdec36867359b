"""Accounts as views: those that stand beside a record, and one by itself."""

from collections.abc import Iterable
from typing import Final

import asyncpg

from appview.db import Connection
from appview.index.records import fields
from appview.reads.views.media import Media
from appview.reads.views.stored import COLUMNS, View, open_record
from appview.reads.visibility import hidden, visible

NO_HANDLE: Final = "handle.invalid"
"""Stands where an account has no handle that verifies (VW-23)."""


class People:
    """Accounts, by DID. Those that are not visible are not among them; those that were never seen are, by DID alone."""

    def __init__(self, rows: Iterable[asyncpg.Record], media: Media) -> None:
        self._rows = {row["asked"]: row for row in rows}
        self._media = media
        self._basic: dict[str, View] = {}

    def basic(self, did: str) -> View | None:
        """`actor.defs#profileViewBasic`, one object for all who ask; None when the account is not visible."""
        if did not in self._basic and did in self._rows:
            self._basic[did] = self._present(self._rows[did])
        return self._basic.get(did)

    def pds(self, did: str) -> str | None:
        """Where the account's repository is."""
        return self._rows[did]["pds"] if did in self._rows else None

    def _present(self, row: asyncpg.Record) -> View:
        did = row["asked"]
        view: View = {"did": did, "handle": row["handle"] or NO_HANDLE}
        if row["display_name"]:
            view["displayName"] = row["display_name"]
        avatar = self._media.link(row["avatar"])
        if avatar is None and row["avatar_cid"] is not None:
            avatar = self._media.blob(row["pds"], did, row["avatar_cid"])
        if avatar is not None:
            view["avatar"] = avatar
        if row["value"] is not None:
            profile = open_record(row)
            labels = profile.labels(fields.labels(profile.value))
            if labels:
                view["labels"] = labels
        return view


async def load_people(connection: Connection, dids: Iterable[str], media: Media) -> People:
    """Who are these accounts? In one statement, however many they are."""
    rows = await connection.fetch(
        f"""
        select asked.did as asked, actors.handle, actors.pds, profiles.avatar,
            bsky_profiles.display_name, bsky_profiles.avatar_cid, {COLUMNS}
        from unnest($1::text[]) as asked (did)
        left join actors on actors.did = asked.did
        left join profiles on profiles.did = actors.did
        left join bsky_profiles on bsky_profiles.did = actors.did
        left join records on records.uri = bsky_profiles.uri
        where not {hidden("asked.did")}
        """,  # noqa: S608 - names of our own
        sorted(set(dids)),
    )
    return People(rows, media)


async def load_details(connection: Connection, did: str) -> asyncpg.Record | None:
    """What is there to say of a visible account alone: its words about itself, its own profile record, its counts?"""
    return await connection.fetchrow(
        f"""
        select coalesce(nullif(profiles.bio, ''), bsky_profiles.description) as bio, {COLUMNS},
            coalesce(actor_counts.tracks, 0) as tracks, coalesce(actor_counts.lists, 0) as lists,
            coalesce(actor_counts.likes, 0) as likes, coalesce(actor_counts.followers, 0) as followers
        from actors
        left join profiles using (did) left join bsky_profiles using (did) left join actor_counts using (did)
        left join records on records.uri = profiles.uri
        where actors.did = $1 and {visible("actors.did")}
        """,  # noqa: S608 - names of our own
        did,
    )


def detailed(details: asyncpg.Record, basic: View) -> View:
    """`actor.defs#profileViewDetailed`."""
    view = {
        **basic,
        "tracksCount": details["tracks"],
        "listsCount": details["lists"],
        "likesCount": details["likes"],
        "followersCount": details["followers"],
    }
    if details["bio"]:
        view["bio"] = details["bio"]
    return view if details["value"] is None else view | open_record(details).version()
