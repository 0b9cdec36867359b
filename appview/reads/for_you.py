"""The for-you feed: what those like who like what somebody likes.

For an instant, from the likes up to then and nothing that came later:

1. the *seeds* are the tracks that the caller liked last, those that are not shown left out;
2. the *fellows* are the accounts that liked a seed last. A seed joins the more, the fewer these are: by
   `1 / ln(e + n)`. An account is the closer, the more it has in common with the caller, and the less it likes whatever
   there is: by that sum divided by `sqrt(its likes)`. The closest take part;
3. what a fellow liked last gets that much, less with the like's age: divided by `1 + age / 30 days`;
4. the sum, for the tracks with the most of it, is divided by `likes^0.3`, so that what everybody likes does not stand
   before everything else.

What the caller likes or made is left out, and of one account there are two tracks at most. Amounts are whole numbers,
so that a sum is the same in whichever order it is made. All steps are bounded, so that no account costs more than
another.
"""

from datetime import datetime
from typing import Final, NamedTuple, TypeAlias

from appview.db import Connection
from appview.reads.pages import within
from appview.reads.visibility import visible

SEEDS: Final = 30
LIKERS: Final = 20
"""Of each seed."""
FELLOWS: Final = 60
LIKES: Final = 25
"""Of each fellow."""
CANDIDATES: Final = 150
PER_ACCOUNT: Final = 2
BECAUSE: Final = 3
"""A reason names at most so many accounts, and so many tracks."""

Score: TypeAlias = tuple[datetime, int, str]
"""The keys of a row: the instant of the ranking, the track's points, and its uri."""

_FIRST: Final = (1 << 63) - 1

# How many likes there were at $2 is what is counted now, less those that came since: they are few within the life of a
# cursor, and none on a first page.
_FOR_YOU: Final = f"""
    with since as materialized (
        select distinct did, subject from likes as later
        where sort_at > $2 and {visible("later.did")} and not exists (
            select from likes as before
            where before.did || ' ' || before.subject = later.did || ' ' || later.subject and before.sort_at <= $2
        )
    ), seeds as materialized (
        select subject from (
            select distinct subject from (
                select subject from likes where did = $1 and sort_at <= $2 order by sort_at desc, uri desc limit {SEEDS}
            ) as latest
        ) as liked join tracks on tracks.uri = liked.subject
        where {visible("tracks.did")}
    ), shared as materialized (
        select did, subject,
            floor(1e9::float8 / ln(exp(1::float8) + count(*) over (partition by subject)))::bigint as weight
        from (
            select distinct liker.did, seeds.subject
            from seeds cross join lateral (
                select did from likes where likes.subject = seeds.subject and sort_at <= $2
                order by sort_at desc, uri desc limit {LIKERS}
            ) as liker
        ) as likers
    ), fellows as materialized (
        select closest.did, closest.seeds,
            floor(closest.weight / sqrt(greatest(1, actor_counts.likes - coalesce(grown.likes, 0))::float8))::bigint
                as weight
        from (
            select did, sum(weight) as weight, (array_agg(subject order by weight desc, subject))[1:{BECAUSE}] as seeds
            from shared where did <> $1 and {visible("shared.did")}
            group by did order by sum(weight) desc, did limit {FELLOWS}
        ) as closest
        left join actor_counts on actor_counts.did = closest.did
        left join (select did, count(*) as likes from since group by did) as grown on grown.did = closest.did
    ), paths as (
        select liked.subject, fellows.did, max(floor(
            fellows.weight / (1 + extract(epoch from $2 - liked.sort_at)::float8 / 2592000)
        ))::bigint as points
        from fellows cross join lateral (
            select subject, sort_at from likes where likes.did = fellows.did and sort_at <= $2
            order by sort_at desc, uri desc limit {LIKES}
        ) as liked
        where liked.subject not in (select subject from seeds)
        group by liked.subject, fellows.did
    ), candidates as materialized (
        select subject, sum(points) as points, (array_agg(did order by points desc, did))[1:{BECAUSE}] as accounts
        from paths group by subject order by sum(points) desc, subject limit {CANDIDATES}
    ), scored as (
        select tracks.uri, tracks.did, tracks.size, candidates.accounts, floor(
            candidates.points / power(greatest(1, subject_counts.likes - coalesce(grown.likes, 0))::float8, 0.3)
        )::bigint as points
        from candidates join tracks on tracks.uri = candidates.subject
        left join subject_counts on subject_counts.subject = tracks.uri
        left join (select subject, count(*) as likes from since group by subject) as grown on grown.subject = tracks.uri
        where tracks.did <> $1 and {visible("tracks.did")} and not exists (
            select from likes where likes.did || ' ' || likes.subject = $1 || ' ' || tracks.uri and sort_at <= $2
        )
    ), placed as (
        select *, row_number() over (partition by did order by points desc, uri desc) as place_of_its_own from scored
    ), page as (
        select uri, accounts, points, size from placed
        where place_of_its_own <= {PER_ACCOUNT} and (points, uri) < ($3::bigint, $4)
        order by points desc, uri desc limit $5
    )
    select page.*, array(
        select seed from fellows, unnest(fellows.seeds) as seed where fellows.did = any(page.accounts)
        group by seed order by count(*) desc, seed limit {BECAUSE}
    ) as tracks
    from page order by page.points desc, page.uri desc
"""  # noqa: S608 - our own words


class Suggestion(NamedTuple):
    """A track, the closest of the accounts that led to it, and what these and the caller both like."""

    uri: str
    accounts: list[str]
    tracks: list[str]


class Suggestions(NamedTuple):
    """Tracks in order, and the keys of the last of them where more follow."""

    tracks: list[Suggestion]
    last: Score | None


async def for_you(
    connection: Connection, viewer: str, now: datetime, *, after: Score | None, limit: int
) -> Suggestions:
    """What comes behind `after` for `viewer`, or first at the instant `now`? Nothing where too little is known.

    What did not change its points meanwhile is neither skipped nor repeated: at the same instant, these change only
    when a record of before that goes or comes.
    """
    at, points, uri = after or (now, _FIRST, "")
    rows = await connection.fetch(_FOR_YOU, viewer, at, points, uri, limit + 1)
    kept, more = within(rows, limit)
    tracks = [Suggestion(row["uri"], row["accounts"], row["tracks"]) for row in kept]
    return Suggestions(tracks, (at, kept[-1]["points"], kept[-1]["uri"]) if more else None)
