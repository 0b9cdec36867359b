"""Which tracks are top, and which are trending: computed ahead and kept as rankings, each of an instant.

A ranking says the same whenever it is made of the same records for the same instant: it asks for no time of arrival,
and sums whole numbers. Whoever pages through one that is overtaken meanwhile can do so for an hour. Places go to
tracks that were shown at that instant, and count accounts that were; readers leave out what is not shown any more.

**Top** orders tracks by how many accounts like them, of these the ones whose like is within the window; of as many,
the newer track is first.

**Trending** orders tracks by points. An account that liked a track or played it within a week has one vote for it, as
old as the last time that it did. A vote is worth `1 / 2^(age / 24 h)`, in millionths, rounded down; a tenth of that
when it is for a track of the account's own, and a quarter when the account was new: when it had made nothing here a
day before. (What an account made is a like, track, comment, list or play. A record may claim to be older than it is;
but nothing else says how old an account is that does not depend on when we heard of it.) Of an account's tracks, the
two that have the most points take part. All votes decay alike, so that time alone changes no order, but by what leaves
the week.
"""

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from appview.db import Connection
from appview.reads.visibility import visible

PLACES: Final = 1_000
"""How long a ranking is at most."""
KEPT: Final = timedelta(hours=1)
"""For how long a ranking that another has overtaken can still be read."""
HALF_LIFE: Final = timedelta(hours=24)
OWN: Final = 0.1
NEW: Final = 0.25
NEW_FOR: Final = timedelta(days=1)
PER_ACCOUNT: Final = 2
VOTES: Final = 300_000
"""Of likes and of plays, so many of the newest take part in trending: what a ranking costs has an end."""

_WINDOWS: Final[Mapping[str, timedelta]] = {
    "top-day": timedelta(days=1),
    "top-week": timedelta(days=7),
    "top-month": timedelta(days=30),
}
_TRENDING_WINDOW: Final = timedelta(days=7)

NAMES: Final = ("trending", *_WINDOWS, "top-all")
"""The rankings there are."""

SECONDS: Final = 150.0
"""That one may take."""

# A few seconds of sorting, for which a hundred of them would be too much memory, and one is not.
_WORK_MEMORY: Final = "64MB"

# In order of their votes before it is known which are shown: of a million, a thousand are then looked at.
_TOP: Final = f"""
    select tracks.uri, liked.votes
    from (
        select subject, count(*) as votes
        from (select distinct subject, did from likes where sort_at > $1::timestamptz - $2::interval and sort_at <= $1)
            as pair
        where {visible("pair.did")}
        group by subject order by votes desc
    ) as liked join tracks on tracks.uri = liked.subject
    where {visible("tracks.did")}
    order by liked.votes desc, tracks.sort_at desc, tracks.uri desc limit $3
"""  # noqa: S608 - conditions of our own

_TOP_OF_ALL: Final = f"""
    select tracks.uri, liked.votes
    from (select subject, likes as votes from subject_counts where likes > 0 order by likes desc)
        as liked join tracks on tracks.uri = liked.subject
    where {visible("tracks.did")}
    order by liked.votes desc, tracks.sort_at desc, tracks.uri desc limit $1
"""  # noqa: S608 - a condition of our own

_HEARD: Final = """
    (select subject, did, sort_at from {table}
    where subject is not null and sort_at > $1::timestamptz - $2::interval and sort_at <= $1
    order by sort_at desc, uri desc limit $3)
"""
# Asked of the few who were not here before all votes.
_FIRST: Final = "(select sort_at from {table} where {table}.did = voter.did order by sort_at, uri limit 1)"
_MADE: Final = ("likes", "tracks", "comments", "lists", "plays")

_TRENDING: Final = f"""
    with votes as materialized (
        select subject, did, max(sort_at) as at
        from ({_HEARD.format(table="likes")} union all {_HEARD.format(table="plays")}) as heard
        group by subject, did
    ), voters as materialized (
        select did, case when (
            select true from likes
            where likes.did = voter.did and likes.sort_at < $1 - $2 - $7::interval
            order by likes.sort_at limit 1
        ) then '-infinity' else least({", ".join(_FIRST.format(table=table) for table in _MADE)}) end as since
        from (select distinct did from votes) as voter where {visible("voter.did")}
    ), scored as materialized (
        select votes.subject, count(*) as votes, sum(floor(
            1e6::float8 * power(0.5::float8, extract(epoch from $1 - votes.at)::float8 / $4)
            * case when votes.did = split_part(votes.subject, '/', 3) then $5::float8
                when voters.since > votes.at - $7::interval then $6::float8 else 1 end
        )::bigint) as points
        from votes join voters on voters.did = votes.did
        group by votes.subject
    ), placed as (
        select tracks.uri, tracks.sort_at, scored.votes, scored.points, row_number() over (
            partition by tracks.did order by scored.points desc, tracks.sort_at desc, tracks.uri desc
        ) as place_of_its_own
        from scored join tracks on tracks.uri = scored.subject
        where {visible("tracks.did")} and scored.points > 0
    )
    select uri, votes from placed where place_of_its_own <= $8
    order by points desc, sort_at desc, uri desc limit $9
"""  # noqa: S608 - our own words


async def make(connection: Connection, name: str, now: datetime) -> bool:
    """Make the ranking `name` of the instant `now`; returns whether it is another than the one before.

    One that came out the same goes on, and is noted as checked: an index in which nothing happens is not written to.
    Raises KeyError when there is no ranking of that name.
    """
    begun = time.monotonic()
    async with connection.transaction():
        await connection.execute(
            "select set_config('work_mem', $1, true), set_config('statement_timeout', $2, true)",
            _WORK_MEMORY,
            f"{SECONDS:.0f}s",
        )
        places = await _places(connection, name, now)
        seconds = time.monotonic() - begun
        newest = await connection.fetchval(
            "select id from rankings where name = $1 and at <= $2 order by at desc limit 1", name, now
        )
        if newest is not None and await _stored(connection, newest) == places:
            await connection.execute(
                "update rankings set checked_at = now(), seconds = $2 where id = $1", newest, seconds
            )
            return False
        await _store(connection, name, now, places, seconds)
    return True


async def drop_overtaken(connection: Connection, name: str, now: datetime) -> None:
    """Forget the rankings `name` that have been overtaken for so long that nobody is paging through them any more."""
    await connection.execute(
        """
        delete from rankings where name = $1 and at < (
            select max(at) from rankings where name = $1 and at <= $2::timestamptz - $3::interval
        )
        """,
        name,
        now,
        KEPT,
    )


async def _places(connection: Connection, name: str, now: datetime) -> list[tuple[str, int]]:
    """The tracks of the ranking in order, with their votes."""
    if name == "trending":
        weights = HALF_LIFE.total_seconds(), OWN, NEW, NEW_FOR, PER_ACCOUNT
        rows = await connection.fetch(_TRENDING, now, _TRENDING_WINDOW, VOTES, *weights, PLACES, timeout=SECONDS)
    elif name == "top-all":
        rows = await connection.fetch(_TOP_OF_ALL, PLACES, timeout=SECONDS)
    else:
        rows = await connection.fetch(_TOP, now, _WINDOWS[name], PLACES, timeout=SECONDS)
    return [(row["uri"], row["votes"]) for row in rows]


async def _stored(connection: Connection, ranking: int) -> list[tuple[str, int]]:
    rows = await connection.fetch("select uri, votes from ranked where ranking = $1 order by place", ranking)
    return [(row["uri"], row["votes"]) for row in rows]


async def _store(
    connection: Connection, name: str, now: datetime, places: list[tuple[str, int]], seconds: float
) -> None:
    await connection.execute(
        """
        with made as (
            insert into rankings (name, at, checked_at, seconds) values ($1, $2, now(), $3)
            on conflict do nothing returning id
        )
        insert into ranked (ranking, place, uri, votes)
        select made.id, placed.place, placed.uri, placed.votes
        from made, unnest($4::text[], $5::bigint[]) with ordinality as placed (uri, votes, place)
        """,
        name,
        now,
        seconds,
        [uri for uri, _ in places],
        [votes for _, votes in places],
    )
