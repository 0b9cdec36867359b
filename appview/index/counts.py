"""Counts that are exact in every transaction: the difference that a batch of changes makes is added to what was there.

Counters are always written in the order of the tables here and of their keys within, so that the writers of several
shards wait for each other and never in a circle. A transaction that applies one `Changes` keeps to that by itself.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from appview.db import Connection

Pairs: TypeAlias = dict[tuple[str, str], int]

# Columns of actor_counts; what an account made counts there whether or not the account is visible.
_OF_ACTORS: Final = {"track": 0, "list": 1}
_LIKES: Final = 2
_FOLLOWERS: Final = 3

# A pair that is looked for, each as there is an index of it.
_LIKE: Final = "held.did || ' ' || held.subject = pair.did || ' ' || pair.subject"
_FOLLOW: Final = "held.did = pair.did and held.subject = pair.subject"


class Changes:
    """Projection rows that came and went, as far as they are counted; `n` is how many more there are."""

    def __init__(self) -> None:
        self._records: Pairs = defaultdict(int)
        self._likes: Pairs = defaultdict(int)
        self._follows: Pairs = defaultdict(int)
        self._comments: Pairs = defaultdict(int)
        self._listings: Pairs = defaultdict(int)

    def record(self, name: str, did: str, n: int) -> None:
        """`n` rows more of records of the type `name` by `did`."""
        self._records[name, did] += n

    def like(self, did: str, subject: str, n: int) -> None:
        """`n` likes more of `subject` by `did`."""
        self._likes[did, subject] += n

    def follow(self, did: str, subject: str, n: int) -> None:
        """`n` follows more of the account `subject` by `did`."""
        self._follows[did, subject] += n

    def comment(self, did: str, subject: str, n: int) -> None:
        """`n` comments more on `subject` by `did`."""
        self._comments[did, subject] += n

    def listing(self, did: str, subject: str, n: int) -> None:
        """`n` lists more by `did` that hold `subject`, however often each."""
        self._listings[did, subject] += n

    async def apply(self, connection: Connection) -> None:
        """Bring the counters up to date with the tables, where the rows have already come and gone."""
        likes = await _turned(connection, "likes", _LIKE, _moved(self._likes))
        follows = await _turned(connection, "follows", _FOLLOW, _moved(self._follows))
        comments, listings, records = _moved(self._comments), _moved(self._listings), _moved(self._records)
        dids = {did for pairs in (likes, follows, comments, listings) for did, _ in pairs} | {did for _, did in records}
        if not dids:
            return
        visible = await _visible(connection, dids)

        subjects: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        for column, pairs in enumerate((likes, comments, listings)):
            for (did, subject), n in pairs.items():
                if did in visible:
                    subjects[subject][column] += n
        actors: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        totals: dict[str, list[int]] = defaultdict(lambda: [0])
        for (name, did), n in records.items():
            if name in _OF_ACTORS:
                actors[did][_OF_ACTORS[name]] += n
            if did in visible:
                totals[name][0] += n
        for (did, _), n in likes.items():
            actors[did][_LIKES] += n
        for (did, followed), n in follows.items():
            if did in visible:
                actors[followed][_FOLLOWERS] += n
        await _add(connection, "subject_counts", "subject", ("likes", "comments", "lists"), subjects)
        await _add(connection, "actor_counts", "did", ("tracks", "lists", "likes", "followers"), actors)
        await _add(connection, "totals", "name", ("n",), totals)


def _moved(pairs: Pairs) -> Pairs:
    return {pair: n for pair, n in pairs.items() if n}


async def _turned(connection: Connection, table: str, of_pair: str, pairs: Pairs) -> Pairs:
    """Of these pairs, each with how many rows more it has: 1 for those that came to be, -1 for those that are no more.

    How many rows there are is not counted further than it takes to tell: one account may like a track a million times.
    """
    if not pairs:
        return {}
    rows = await connection.fetch(
        f"""
        select pair.did, pair.subject, (there.n > 0)::int - (there.n > pair.n)::int
        from unnest($1::text[], $2::text[], $3::bigint[]) as pair (did, subject, n)
        cross join lateral (
            select count(*) as n from (
                select from {table} as held where {of_pair} limit greatest(pair.n, 0) + 1
            ) as first
        ) as there
        where (there.n > 0) <> (there.n > pair.n)
        """,  # noqa: S608 - our own names
        *zip(*pairs, strict=True),
        pairs.values(),
    )
    return {(did, subject): n for did, subject, n in rows}


async def _visible(connection: Connection, dids: Iterable[str]) -> set[str]:
    rows = await connection.fetch("select did from actors where did = any($1::text[]) and visible", list(dids))
    return {did for (did,) in rows}


async def _add(
    connection: Connection, table: str, key: str, columns: Sequence[str], amounts: Mapping[str, Sequence[int]]
) -> None:
    """Add to the counters of `table`, in the order of their keys; those that are not there yet were 0."""
    rows = [(name, *amounts[name]) for name in sorted(amounts) if any(amounts[name])]
    if not rows:
        return
    arrays = ", ".join(f"${n}::bigint[]" for n in range(2, len(columns) + 2))
    sums = ", ".join(f"{column} = held.{column} + excluded.{column}" for column in columns)
    await connection.execute(
        f"""
        insert into {table} as held ({key}, {", ".join(columns)}) select * from unnest($1::text[], {arrays})
        on conflict ({key}) do update set {sums}
        """,  # noqa: S608 - our own names
        *zip(*rows, strict=True),
    )
