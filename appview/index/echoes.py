"""The canary: whether what is written through us comes back by the firehose, and how soon.

What an ingester says of itself cannot tell that something is missing in what it is sent. A write of ours can: we know
that there is one. A single PDS that is silent says nothing about us, and whoever runs one can make it so; that several
are, and none is heard, does.
"""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from math import inf
from typing import Final, Literal, NamedTuple

from appview.db import Connection, Pool

Outcome = Literal["seen", "fetched", "rolled_back"]
"""What became of a write: the firehose brought it back, or a fetch did, or it was taken back."""
OUTCOMES: Final[tuple[Outcome, ...]] = ("seen", "fetched", "rolled_back")
BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, inf)
"""Seconds between a PDS's answer and the proof."""
LATE_SECONDS: Final = 60.0
"""How long a write may be on its way before somebody is to be told."""
SEVERAL: Final = 2
"""So many PDSes say something about us, rather than about themselves."""
_RECENT_SECONDS: Final = 600.0
_KEPT_SECONDS: Final = 7_200.0
_MAX_HOST: Final = 300
"""Of a key; longer than any host's name."""


class Echo(NamedTuple):
    """What became of a write, after so many seconds, and the PDS that took it, where that is known.

    `is_missed`: the firehose should have brought it, and had not.
    """

    outcome: Outcome
    seconds: float
    pds: str | None
    is_missed: bool = False


class Unheard(NamedTuple):
    """What was written through us and has not come back for longer than LATE_SECONDS, or was missed of late."""

    hosts: int
    """At how many PDSes; 0: nothing was."""
    seconds: float
    """Since when."""
    is_alone: bool
    """Whether nothing of what was written through us has come back since then."""

    @property
    def is_blind(self) -> bool:
        """Whether it is we who do not hear."""
        return self.hosts >= SEVERAL and self.is_alone


class Past(NamedTuple):
    """What became of writes so far, with one outcome."""

    outcome: Outcome
    buckets: tuple[int, ...]
    """How many, in each of BUCKETS."""
    seconds: float
    """In sum."""


async def note(connection: Connection, echoes: Sequence[Echo], now: datetime) -> None:
    """Note what became of writes."""
    if not echoes:
        return
    amounts: dict[tuple[Outcome, float], list[float]] = {}
    for echo in echoes:
        key = echo.outcome, BUCKETS[bisect_left(BUCKETS, echo.seconds)]
        amounts.setdefault(key, []).append(echo.seconds)
    rows = [(*key, len(seconds), sum(seconds)) for key, seconds in sorted(amounts.items())]
    await connection.execute(
        """
        insert into echoes as held (outcome, le, n, seconds)
        select * from unnest($1::text[], $2::float8[], $3::bigint[], $4::float8[])
        on conflict (outcome, le) do update set n = held.n + excluded.n, seconds = held.seconds + excluded.seconds
        """,
        *zip(*rows, strict=True),
    )
    seen = {echo.pds[:_MAX_HOST] for echo in echoes if echo.outcome == "seen" and echo.pds is not None}
    missed = {echo.pds[:_MAX_HOST] for echo in echoes if echo.is_missed and echo.pds is not None}
    if not seen | missed:
        return
    hosts = [(pds, now if pds in seen else None, now if pds in missed else None) for pds in sorted(seen | missed)]
    await connection.execute(
        """
        insert into echo_hosts as held (pds, seen_at, missed_at)
        select * from unnest($1::text[], $2::timestamptz[], $3::timestamptz[])
        on conflict (pds) do update set
            seen_at = greatest(held.seen_at, excluded.seen_at), missed_at = greatest(held.missed_at, excluded.missed_at)
        """,
        *zip(*hosts, strict=True),
    )
    await connection.execute(
        "delete from echo_hosts where greatest(seen_at, missed_at) < $1::timestamptz - make_interval(secs => $2)",
        now,
        _KEPT_SECONDS,
    )


async def unheard(pool: Pool) -> Unheard:
    """Whether what is written through us comes back."""
    row = await pool.fetchrow(
        """
        with late as (
            select coalesce(actors.pds, pending.did) as pds, since
            from pending join records using (uri) join actors on actors.did = pending.did
            where records.proven_by = 'write' and actors.active and since < now() - make_interval(secs => $1)
            union all
            select pds, missed_at from echo_hosts
            where missed_at > now() - make_interval(secs => $2) and (seen_at is null or seen_at < missed_at)
        ), sums as (select count(distinct pds) as hosts, min(since) as since from late)
        select hosts, coalesce(extract(epoch from now() - since), 0)::float8 as seconds,
            not exists (select from echo_hosts where seen_at > since) as is_alone
        from sums
        """,
        LATE_SECONDS,
        _RECENT_SECONDS,
    )
    if row is None:
        raise RuntimeError("a row that is always there is not")
    return Unheard(**row)


async def waiting(pool: Pool) -> tuple[int, float]:
    """How many writes through us have not come back yet, and since when the first, in seconds."""
    row = await pool.fetchrow(
        """
        select count(*), coalesce(extract(epoch from now() - min(since)), 0)::float8
        from pending join records using (uri) where proven_by = 'write'
        """
    )
    if row is None:
        raise RuntimeError("a row that is always there is not")
    return row[0], row[1]


async def past(pool: Pool) -> list[Past]:
    """What became of all writes so far, for each of OUTCOMES."""
    rows = await pool.fetch("select outcome, le, n, seconds from echoes")
    numbers = {(row["outcome"], row["le"]): row["n"] for row in rows}
    return [
        Past(
            outcome,
            tuple(numbers.get((outcome, le), 0) for le in BUCKETS),
            sum(row["seconds"] for row in rows if row["outcome"] == outcome),
        )
        for outcome in OUTCOMES
    ]
