"""The index's tables as the tests look at them."""

from typing import Any

from appview.db import Connection

DERIVED = (
    "tracks",
    "likes",
    "comments",
    "lists",
    "list_items",
    "profiles",
    "bsky_profiles",
    "follows",
    "plays",
    "generators",
    "subject_counts",
    "actor_counts",
    "totals",
    "search_documents",
    "search_names",
    "search_postings",
    "search_words",
)


async def contents(connection: Connection, *tables: str) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of `tables`, in some order that is always the same; counters that are all 0 are as good as absent."""
    found = {}
    for table in tables or DERIVED:
        rows = [tuple(row) for row in await connection.fetch(f"select * from {table}")]
        if table in {"subject_counts", "actor_counts", "totals"}:
            rows = [row for row in rows if any(row[1:])]
        found[table] = sorted(rows, key=repr)
    return found


async def subject_counts(connection: Connection, subject: str) -> tuple[int, int, int]:
    """Likes, comments and lists of `subject`."""
    row = await connection.fetchrow("select likes, comments, lists from subject_counts where subject = $1", subject)
    return tuple(row) if row else (0, 0, 0)


async def actor_counts(connection: Connection, did: str) -> tuple[int, int, int, int]:
    """Tracks, lists, likes and followers of `did`."""
    row = await connection.fetchrow("select tracks, lists, likes, followers from actor_counts where did = $1", did)
    return tuple(row) if row else (0, 0, 0, 0)


async def total(connection: Connection, name: str) -> int:
    """The total of the record type `name`."""
    return await connection.fetchval("select n from totals where name = $1", name) or 0
