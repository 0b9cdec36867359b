"""Counts from the rows themselves, to find what is off.

What each counter counts is said here a second time, as a query, so that `differences` can disagree with `counts`.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Final, NamedTuple

from appview.db import Connection
from appview.index.counted import JOINED, is_counted
from appview.index.lock import index_lock
from appview.index.records import TABLES

_KEYS_AT_ONCE = 500

# All that is counted, or, where {among} is filled in, what is counted of some keys.
_SUBJECTS: Final = f"""
    select subject, sum(likes)::bigint as likes, sum(comments)::bigint as comments, sum(lists)::bigint as lists
    from (
        select subject, count(*) as likes, 0 as comments, 0 as lists
        from (
            select distinct likes.subject, likes.did
            from likes {JOINED} where {is_counted("like", "likes.subject")} {{among}}
        ) as pairs
        group by subject
        union all
        select subject, 0, count(*), 0
        from comments {JOINED} where {is_counted("row", "comments.uri")} {{among}}
        group by subject
        union all
        select subject, 0, 0, count(distinct list_items.list)
        from list_items join lists on lists.uri = list_items.list {JOINED}
        where {is_counted("row", "lists.uri")} {{among}}
        group by subject
    ) as parts
    group by subject
"""  # noqa: S608 - our own names
_ACTORS: Final = f"""
    select did, sum(tracks)::bigint as tracks, sum(lists)::bigint as lists, sum(likes)::bigint as likes,
        sum(followers)::bigint as followers
    from (
        select did, count(*) as tracks, 0 as lists, 0 as likes, 0 as followers
        from tracks where true {{by}} group by did
        union all
        select did, 0, count(*), 0, 0 from lists where true {{by}} group by did
        union all
        select did, 0, 0, count(*), 0
        from (select distinct did, subject from likes where true {{by}}) as pairs
        group by did
        union all
        select subject, 0, 0, 0, count(*)
        from (
            select distinct follows.subject, follows.did
            from follows {JOINED} where {is_counted("follow", "follows.subject")} {{among}}
        ) as pairs
        group by subject
    ) as parts
    group by did
"""  # noqa: S608 - our own names
_TOTALS: Final = " union all ".join(
    f"select '{name}' as name, count(*) as n from {table} {JOINED} where {is_counted('row', f'{table}.uri')}"  # noqa: S608 - our own names
    for name, table in TABLES.items()
)


class Difference(NamedTuple):
    """A counter that is not what the rows come to; the `table` it is in, its `key` and `column` there."""

    table: str
    key: str
    column: str
    held: int
    counted: int

    def __str__(self) -> str:
        return f"{self.table}: {self.column} of {self.key} is {self.held} and should be {self.counted}"


class _Counters(NamedTuple):
    """A table of counters, by its key, and the query that counts anew what is in it."""

    table: str
    key: str
    columns: tuple[str, ...]
    query: str

    def counted(self, *, some: bool) -> str:
        among = "and subject = any($1::text[])" if some else ""
        by = "and did = any($1::text[])" if some else ""
        return self.query.replace("{among}", among).replace("{by}", by)


_ALL: Final = (
    _Counters("subject_counts", "subject", ("likes", "comments", "lists"), _SUBJECTS),
    _Counters("actor_counts", "did", ("tracks", "lists", "likes", "followers"), _ACTORS),
    _Counters("totals", "name", ("n",), _TOTALS),
    _Counters("repo_counts", "status", ("n",), "select status, count(*) as n from repos group by status"),
)


async def differences(connection: Connection) -> list[Difference]:
    """Every counter that is not what the rows come to. Reads all rows, and one state of them for each table."""
    found = []
    for counters in _ALL:
        table, key, columns, _ = counters
        pairs = ", ".join(f"coalesce(held.{column}, 0), coalesce(fresh.{column}, 0)" for column in columns)
        unequal = " or ".join(f"coalesce(held.{column}, 0) <> coalesce(fresh.{column}, 0)" for column in columns)
        rows = await connection.fetch(
            f"select {key}, {pairs} from {table} as held full join ({counters.counted(some=False)}) as fresh"  # noqa: S608 - our own names
            f" using ({key}) where {unequal} order by {key}"
        )
        for name, *numbers in rows:
            for column, held, counted in zip(columns, numbers[::2], numbers[1::2], strict=True):
                if held != counted:
                    found.append(Difference(table, name, column, held, counted))
    return found


async def repair(connection: Connection, found: Sequence[Difference]) -> None:
    """Count anew what `differences` found to be off, in short transactions; outside of any other."""
    for counters in _ALL:
        keys = iter(sorted({difference.key for difference in found if difference.table == counters.table}))
        while some := list(islice(keys, _KEYS_AT_ONCE)):
            async with connection.transaction():
                await index_lock(connection)
                await _recount(connection, counters, some)


async def _recount(connection: Connection, counters: _Counters, keys: Sequence[str]) -> None:
    table, key, columns, _ = counters
    fresh = ", ".join(f"coalesce(fresh.{column}, 0)" for column in columns)
    await connection.execute(
        f"""
        insert into {table} ({key}, {", ".join(columns)})
        select asked.{key}, {fresh}
        from unnest($1::text[]) as asked ({key})
        left join ({counters.counted(some=True)}) as fresh using ({key})
        on conflict ({key}) do update set {", ".join(f"{column} = excluded.{column}" for column in columns)}
        """,  # noqa: S608 - our own names
        keys,
    )
