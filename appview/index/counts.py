"""Counts that are exact in every transaction: the difference that a batch of changes makes is added to what was there.

Counters are always written in the order of the tables here and of their keys within, so that the writers of several
shards wait for each other and never in a circle. A transaction that writes one `Tally` keeps to that by itself.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias, TypeVar

from appview.db import Connection
from appview.index.counted import counted_of
from appview.index.search.writing import Documents

Pairs: TypeAlias = dict[tuple[str, str], int]
Triples: TypeAlias = dict[tuple[str, str, str], int]
_Key = TypeVar("_Key", tuple[str, str], tuple[str, str, str])

LIKES: Final = 0
COMMENTS: Final = 1
LISTS: Final = 2
"""Columns of subject_counts."""
# Columns of actor_counts; what an account made counts there whether or not the account is visible.
_OF_ACTORS: Final = {"track": 0, "list": 1}
_LIKED: Final = 2
FOLLOWERS: Final = 3

# A pair that is looked for, each as there is an index of it.
_LIKE: Final = "held.did || ' ' || held.subject = pair.did || ' ' || pair.subject"
_FOLLOW: Final = "held.did = pair.did and held.subject = pair.subject"


class Tally:
    """What is to be added to the counters: amounts by column, for each key that is named.

    What is found in a search is found sooner where it is popular: the `documents` that change go with it.
    """

    def __init__(self, documents: Documents | None = None) -> None:
        self._documents = documents or Documents()
        self.subjects: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        self.actors: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        self.totals: dict[str, list[int]] = defaultdict(lambda: [0])

    async def write(self, connection: Connection) -> None:
        """Add all of it."""
        await _add(connection, "subject_counts", "subject", ("likes", "comments", "lists"), self.subjects)
        await _add(connection, "actor_counts", "did", ("tracks", "lists", "likes", "followers"), self.actors)
        await _add(connection, "totals", "name", ("n",), self.totals)
        liked = (subject for subject, amounts in self.subjects.items() if amounts[LIKES])
        await self._documents.apply(connection, [*liked, *self.actors])


class Changes:
    """Projection rows that came and went, as far as they are counted; `n` is how many more there are.

    `documents` are what they are found by.
    """

    def __init__(self) -> None:
        self.documents = Documents()
        self._records: Triples = defaultdict(int)
        self._likes: Pairs = defaultdict(int)
        self._follows: Pairs = defaultdict(int)
        self._comments: Triples = defaultdict(int)
        self._listings: Triples = defaultdict(int)

    def record(self, name: str, uri: str, did: str, n: int) -> None:
        """`n` rows more of the record `uri`, of the type `name`, by `did`."""
        self._records[did, uri, name] += n

    def like(self, did: str, subject: str, n: int) -> None:
        """`n` likes more of `subject` by `did`."""
        self._likes[did, subject] += n

    def follow(self, did: str, subject: str, n: int) -> None:
        """`n` follows more of the account `subject` by `did`."""
        self._follows[did, subject] += n

    def comment(self, uri: str, did: str, subject: str, n: int) -> None:
        """`n` rows more of the comment `uri` on `subject` by `did`."""
        self._comments[did, uri, subject] += n

    def listing(self, uri: str, did: str, subject: str, n: int) -> None:
        """`n` times more that the list `uri` by `did` holds `subject`, at however many places."""
        self._listings[did, uri, subject] += n

    async def apply(self, connection: Connection) -> None:
        """Bring the counters up to date with the tables, where the rows have already come and gone."""
        likes = await _turned(connection, "likes", _LIKE, _moved(self._likes))
        follows = await _turned(connection, "follows", _FOLLOW, _moved(self._follows))
        comments, listings, records = _moved(self._comments), _moved(self._listings), _moved(self._records)
        dids = {did for pairs in (likes, follows) for did, _ in pairs}
        dids |= {did for triples in (comments, listings, records) for did, _, _ in triples}
        if not dids:
            await self.documents.apply(connection)
            return
        counted = await counted_of(connection, dids)

        tally = Tally(self.documents)
        for (did, subject), n in likes.items():
            tally.actors[did][_LIKED] += n
            if counted.has(did, "like", subject):
                tally.subjects[subject][LIKES] += n
        for (did, followed), n in follows.items():
            if counted.has(did, "follow", followed):
                tally.actors[followed][FOLLOWERS] += n
        for column, triples in ((COMMENTS, comments), (LISTS, listings)):
            for (did, uri, subject), n in triples.items():
                if counted.has(did, "row", uri):
                    tally.subjects[subject][column] += n
        for (did, uri, name), n in records.items():
            if name in _OF_ACTORS:
                tally.actors[did][_OF_ACTORS[name]] += n
            if counted.has(did, "row", uri):
                tally.totals[name][0] += n
        await tally.write(connection)


def _moved(amounts: dict[_Key, int]) -> dict[_Key, int]:
    return {key: n for key, n in amounts.items() if n}


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
