"""The canary: whether what is written through us comes back by the firehose, and how soon.

What an ingester says of itself cannot tell that something is missing in what it is sent. A write of ours can: we know
that there is one. But anybody can run a PDS that is silent, or ever so many under one name, and one that is dead stays
silent. So it is said that we do not hear (`Unheard.is_blind`) only where nothing at all has come back since, where
those who wrote since had been heard the day before, and where they are SEVERAL sites and most of those that had: few
strangers cannot make it so, and one that is silent for long does not keep it from being seen. In all other cases what
has not come back is no more than a warning. A site is what the last two labels of a host name are, with its port.
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
SEVERAL: Final = 3
"""So many sites say something about us, rather than about themselves."""
_RECENT_SECONDS: Final = 600.0
_HEARD_SECONDS: Final = 86_400.0
_KEPT_SECONDS: Final = 7 * 86_400.0
_MAX_HOST: Final = 300
"""Of a key; longer than any host's name."""
_SITE: Final = "substring(pds from '([^./]+([.][^./]+)?)/*$')"


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
    """Whether nothing of what was written through us has come back since the last of that."""
    sites: int
    """At how many sites of those that were heard within a day before something was written that did not come back, when
    nothing came back any more."""
    heard: int
    """How many sites were heard within a day before anything was heard last."""

    @property
    def is_blind(self) -> bool:
        """Whether it is we who do not hear."""
        return self.sites >= SEVERAL and 2 * self.sites > self.heard


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
    """Whether what is written through us comes back. What comes while its repository is fetched waits for that."""
    row = await pool.fetchrow(
        f"""
        with last as (select max(seen_at) as heard_at from echo_hosts),
        heard as (
            select distinct {_SITE} as site from echo_hosts, last where seen_at > heard_at - make_interval(secs => $3)
        ),
        late as (
            select coalesce(actors.pds, pending.did) as pds, since, true as is_recent
            from pending join records using (uri) join actors on actors.did = pending.did
                join repos on repos.did = pending.did
            where records.proven_by = 'write' and actors.active and repos.status = 'synchronized'
                and since < now() - make_interval(secs => $1)
            union all
            select pds, missed_at, missed_at > now() - make_interval(secs => $2) from echo_hosts
            where seen_at is null or seen_at < missed_at
        )
        select count(distinct pds) filter (where is_recent) as hosts,
            coalesce(extract(epoch from now() - min(since) filter (where is_recent)), 0)::float8 as seconds,
            coalesce(max(since) > (select heard_at from last), true) as is_alone,
            (select count(*) from heard where site in (
                select {_SITE} from late, last where since > heard_at)) as sites,
            (select count(*) from heard) as heard
        from late
        """,  # noqa: S608 - our own expression
        LATE_SECONDS,
        _RECENT_SECONDS,
        _HEARD_SECONDS,
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
