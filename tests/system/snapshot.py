"""Everything of the index that may not depend on the order in which the same messages came.

Left out, and why:

- times of arrival (`first_seen_at`, `indexed_at`, `status_at`, `proven_at`, `fetched_at`) and `proven_by`: they tell
  how a version came to us, live or fetched;
- `records.rev`: a version that was fetched is proven by the repository's head, not by the commit that wrote it;
- tombstones: a fetch cannot see what went before;
- `sort_at` of records whose key is no TID: of those the time at first sight counts, and its version's createdAt;
- what a list inherited: a fetch cannot see a name that only an older version had. Left is what the record itself says;
- what a search finds lists and accounts by: the names that lists inherited, and handles, which no message carries;
- records of accounts that their own host hides: they are kept if they came before, and nobody is shown them;
- what was kept of them to be judged, for the same reason: it waits until they are back;
- accounts that are gone: they are purged when we hear of it, and no more than hidden when we did not know them then;
- dead letters: what was refused because a key had changed, a fetch has made good.
"""

from typing import Any

from appview.db import Connection

_VISIBLE = "where did in (select did from actors where visible)"
_QUERIES = {
    "actors": """
        select did, active, status, taken_down from actors
        where did in (select did from repos) and status is distinct from 'deleted'""",
    "repos": "select did, status, rev, data, commit_cid, needs_rev from repos @visible",
    "records": """
        select uri, cid, value, verdict, deviations, case when uri ~ '/[234567a-j][234567a-z]{12}$' then sort_at end
        from records @visible and cid is not null""",
    "tracks": """
        select uri, did, title, artist, album, duration, image_url, gated, sort_at, cid, size from tracks @visible""",
    "likes": "select * from likes @visible",
    "comments": "select * from comments @visible",
    "lists": """
        select uri, did, case when not 'name' = any(inherited) then name end,
            case when not 'listType' = any(inherited) then list_type end, item_count, sort_at
        from lists @visible""",
    "list_items": "select list_items.* from list_items join lists on uri = list @visible",
    "profiles": "select * from profiles @visible",
    "bsky_profiles": "select * from bsky_profiles @visible",
    "follows": "select * from follows @visible",
    "plays": "select * from plays @visible",
    "generators": "select uri, did, service, display_name from generators @visible",
    "subject_counts": "select * from subject_counts where (likes, comments, lists) <> (0, 0, 0)",
    "actor_counts": "select * from actor_counts @visible and (tracks, lists, likes, followers) <> (0, 0, 0, 0)",
    "totals": "select * from totals where n <> 0",
    "search_documents": "select key, level, names, words from search_documents @visible and kind = 2",
    "held_frames": "select did, frame from held_frames @visible",
}


async def snapshot(connection: Connection) -> dict[str, set[tuple[Any, ...]]]:
    """The rows, by table."""
    found = {}
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        for name, sql in _QUERIES.items():
            found[name] = {tuple(map(_plain, row)) for row in await connection.fetch(sql.replace("@visible", _VISIBLE))}
    return found


async def empty(connection: Connection) -> None:
    """Leave nothing in any table of the index."""
    tables = await connection.fetch(
        "select quote_ident(tablename) from pg_tables where schemaname = 'public' and tablename <> 'schema_migrations'"
    )
    await connection.execute("truncate " + ", ".join(name for (name,) in tables))


def changes(one: dict[str, set[tuple[Any, ...]]], other: dict[str, set[tuple[Any, ...]]]) -> list[str]:
    """What only the one has, and what only the other has, a line each."""
    lines = []
    for name, rows in one.items():
        lines += [f"{name}: only here {row}" for row in sorted(rows - other[name], key=str)]
        lines += [f"{name}: only there {row}" for row in sorted(other[name] - rows, key=str)]
    return lines


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, list | dict) else value
