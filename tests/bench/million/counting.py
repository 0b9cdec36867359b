"""The counters of a network that was copied in, from its rows: exact, as `appview check` confirms."""

from typing import Final

from appview.db import Connection
from appview.index.records import TABLES

_SUBJECTS: Final = """
    insert into subject_counts (subject, likes, comments, lists)
    select subject, sum(likes), sum(comments), sum(lists) from (
        select subject, count(distinct did) as likes, 0 as comments, 0 as lists
        from likes join actors using (did) where visible group by subject
        union all
        select subject, 0, count(*), 0 from comments join actors using (did) where visible group by subject
        union all
        select subject, 0, 0, count(distinct list)
        from list_items join lists on lists.uri = list join actors using (did) where visible group by subject
    ) as parts group by subject
"""
_ACTORS: Final = """
    insert into actor_counts (did, tracks, lists, likes, followers)
    select did, sum(tracks), sum(lists), sum(likes), sum(followers) from (
        select did, count(*) as tracks, 0 as lists, 0 as likes, 0 as followers from tracks group by did
        union all
        select did, 0, count(*), 0, 0 from lists group by did
        union all
        select did, 0, 0, count(distinct subject), 0 from likes group by did
        union all
        select subject, 0, 0, 0, count(distinct follows.did)
        from follows join actors using (did) where visible group by subject
    ) as parts group by did
"""
_TOTAL: Final = "insert into totals (name, n) select $1, count(*) from {table} join actors using (did) where visible"


async def count(connection: Connection) -> None:
    """Fill the tables of counters, which are empty."""
    await connection.execute("truncate subject_counts, actor_counts, totals")
    await connection.execute(_SUBJECTS)
    await connection.execute(_ACTORS)
    for name, table in TABLES.items():
        await connection.execute(_TOTAL.format(table=table), name)
    await connection.execute("vacuum (freeze, analyze) subject_counts, actor_counts, totals")
