"""Lists as views."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple

import asyncpg

from appview.db import Connection
from appview.reads.views.media import Media
from appview.reads.views.people import People
from appview.reads.views.stored import COLUMNS, Stored, View, open_record
from appview.reads.visibility import visible

MAX_IMAGES: Final = 4
# Some may be addresses that are not handed out.
_CANDIDATES: Final = 3 * MAX_IMAGES


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
    summaries = await connection.fetch(
        f"""
        with shown as (
            select list, position, tracks.uri, duration, image_url, image_url is not null
                and row_number() over (partition by list, image_url order by position) = 1 as is_new
            from list_items join tracks on tracks.uri = list_items.subject
            where list_items.list = any($1) and {visible("tracks.did")}
        )
        select list, coalesce(sum(duration), 0) as duration,
            (array_agg(uri order by position) filter (where is_new))[1:$2] as covered,
            (array_agg(image_url order by position) filter (where is_new))[1:$2] as images
        from shown group by list
        """,  # noqa: S608 - names of our own
        [row["uri"] for row in rows],
        _CANDIDATES,
    )
    return LoadedLists({row["uri"]: open_record(row) for row in rows}, {row["list"]: row for row in summaries})


def list_view(stored: Stored, summary: asyncpg.Record | None, people: People, media: Media) -> View | None:
    """`graph.defs#listView`; without a summary no track on the list is to be shown."""
    author = people.basic(stored.did)
    if author is None:
        return None
    row = stored.row
    view = stored.by(author) | {
        "itemCount": row["item_count"],
        "images": list(_images(summary, media)) if summary is not None else [],
        "duration": int(summary["duration"]) if summary is not None else 0,
    }
    optional = {"name": row["name"], "listType": row["list_type"], "inherited": row["inherited"]}
    return view | {name: part for name, part in optional.items() if part}


def _images(summary: asyncpg.Record, media: Media) -> Iterable[View]:
    covers = zip(summary["covered"] or (), summary["images"] or (), strict=True)
    return islice(({"url": url, "track": track} for track, url in covers if media.link(url) is not None), MAX_IMAGES)
