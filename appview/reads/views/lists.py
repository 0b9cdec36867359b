"""Lists as views."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple

import asyncpg

from appview.db import Connection
from appview.reads.views.media import Media
from appview.reads.views.people import People
from appview.reads.views.stored import COLUMNS, Stored, View, open_records
from appview.reads.visibility import visible

MAX_IMAGES: Final = 4
# Some may be addresses that are not handed out.
_CANDIDATES: Final = 3 * MAX_IMAGES
_LOOKED_AT: Final = 100
"""Tracks with a cover, of a list: many an album has one for all of them."""


class LoadedLists(NamedTuple):
    """Lists by uri, and what their visible tracks come to."""

    lists: Mapping[str, Stored]
    summaries: Mapping[str, asyncpg.Record]


async def load_lists(connection: Connection, uris: Sequence[str]) -> LoadedLists:
    """Which of these are lists that may be shown, and how long and with which covers are the tracks on them?"""
    rows = await connection.fetch(
        f"""
        select lists.name, lists.list_type, lists.inherited, lists.item_count, {COLUMNS}
        from unnest($1::text[]) as asked (uri)
        join lists on lists.uri = asked.uri join records on records.uri = lists.uri
        where {visible("lists.did")}
        """,  # noqa: S608 - names of our own
        uris,
    )
    lists = open_records(rows, uris)
    summaries = await connection.fetch(
        f"""
        select asked.uri as list, covers.covered, covers.images, (
            select sum(duration) from list_items join tracks on tracks.uri = list_items.subject
            where list_items.list = asked.uri and {visible("tracks.did")}
        ) as duration
        from unnest($1::text[]) as asked (uri) cross join lateral (
            select (array_agg(uri order by position))[1:$2] as covered,
                (array_agg(image_url order by position))[1:$2] as images
            from (
                select distinct on (image_url) image_url, position, uri from (
                    select image_url, position, tracks.uri
                    from list_items join tracks on tracks.uri = list_items.subject
                    where list_items.list = asked.uri and image_url is not null and {visible("tracks.did")}
                    order by position limit {_LOOKED_AT}
                ) as first order by image_url, position
            ) as different
        ) as covers
        """,  # noqa: S608 - names of our own
        list(lists),
        _CANDIDATES,
    )
    return LoadedLists(lists, {row["list"]: row for row in summaries})


def list_view(stored: Stored, summary: asyncpg.Record | None, people: People, media: Media) -> View | None:
    """`graph.defs#listView`; without a summary no track on the list is to be shown."""
    author = people.basic(stored.did)
    if author is None:
        return None
    row = stored.row
    view = stored.by(author) | {
        "itemCount": row["item_count"],
        "images": list(_images(summary, media)) if summary is not None else [],
        "duration": int(summary["duration"] or 0) if summary is not None else 0,
    }
    optional = {"name": row["name"], "listType": row["list_type"], "inherited": row["inherited"]}
    return view | {name: part for name, part in optional.items() if part}


def _images(summary: asyncpg.Record, media: Media) -> Iterable[View]:
    covers = zip(summary["covered"] or (), summary["images"] or (), strict=True)
    return islice(({"url": url, "track": track} for track, url in covers if media.link(url) is not None), MAX_IMAGES)
