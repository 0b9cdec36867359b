"""What accounts did, as views: each deed with the track that it is about."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from appview.db import Connection
from appview.reads.activity import Deed
from appview.reads.times import instant
from appview.reads.views.people import People
from appview.reads.views.responses import comment_view, like_view
from appview.reads.views.stored import COLUMNS, Stored, View, open_records
from appview.reads.views.tracks import TrackViews
from appview.reads.visibility import visible


async def load_responses(connection: Connection, uris: Sequence[str]) -> dict[str, Stored]:
    """Which of these are likes or comments that may be shown? In one statement."""
    rows = await connection.fetch(
        f"""
        select {COLUMNS} from unnest($1::text[]) as asked (uri)
        left join likes on likes.uri = asked.uri left join comments on comments.uri = asked.uri
        join records on records.uri = coalesce(likes.uri, comments.uri)
        where {visible("records.did")}
        """,  # noqa: S608 - names of our own
        uris,
    )
    return open_records(rows, uris)


def activity_views(
    defs: str,
    deeds: Iterable[Deed],
    tracks: TrackViews,
    responses: Mapping[str, Stored],
    lists: Mapping[str, View],
    people: People,
) -> Iterator[View]:
    """`feed.defs#trackActivity` and its kin, in the order of `deeds`, without those that are not to be shown."""
    for deed in deeds:
        about: View = {}
        if deed.kind == "list":
            about["list"] = lists.get(deed.uri)
        else:
            about["track"] = tracks.find(deed.subject or deed.uri)
        if deed.kind in {"like", "comment"}:
            response = responses.get(deed.uri)
            view = like_view if deed.kind == "like" else comment_view
            about[deed.kind] = response and view(response, people)
        if None not in about.values():
            yield {"$type": f"{defs}#{deed.kind}Activity", "at": instant(deed.at), **about}
