"""Likes and comments as views."""

from collections.abc import Sequence

from appview.db import Connection
from appview.index.records.comment import read as read_comment
from appview.reads.views.people import People
from appview.reads.views.stored import COLUMNS, Stored, View, open_records
from appview.reads.visibility import visible


async def load_likes(connection: Connection, uris: Sequence[str]) -> dict[str, Stored]:
    """Which of these are likes that may be shown?"""
    rows = await connection.fetch(
        f"""
        select {COLUMNS} from unnest($1::text[]) as asked (uri)
        join likes on likes.uri = asked.uri join records on records.uri = likes.uri
        where {visible("likes.did")}
        """,  # noqa: S608 - names of our own
        uris,
    )
    return open_records(rows, uris)


async def load_comments(connection: Connection, uris: Sequence[str]) -> dict[str, Stored]:
    """Which of these are comments that may be shown?"""
    rows = await connection.fetch(
        f"""
        select {COLUMNS} from unnest($1::text[]) as asked (uri)
        join comments on comments.uri = asked.uri join records on records.uri = comments.uri
        where {visible("comments.did")}
        """,  # noqa: S608 - names of our own
        uris,
    )
    return open_records(rows, uris)


def like_view(like: Stored, people: People) -> View | None:
    """`feed.defs#likeView`."""
    author = people.basic(like.did)
    return None if author is None else like.by(author)


def comment_view(comment: Stored, people: People) -> View | None:
    """`feed.defs#commentView`."""
    author = people.basic(comment.did)
    if author is None:
        return None
    said = read_comment(comment.value)
    return comment.by(author) | {"text": said.text, "timestampMs": said.timestamp_ms}
