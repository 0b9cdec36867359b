"""Jobs as rows: wanted in the transaction that needs them, taken under a lease, gone only when done.

There is at most one row of a kind for a subject. Wanting it again while it is being done counts `wanted` up, and then
`done` leaves the row for another round. A taker that dies loses nothing: its lease runs out and the job is due again.
"""

import random
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from appview.db import Connection

CHANNEL: Final = "jobs"
"""Where Postgres notifies, with the kind as payload, once a transaction that wants jobs is committed."""
LEASE: Final = 300.0
"""Seconds after which a job that was taken, and neither done nor failed, is due again."""
HEARSAY: Final = ("status", "identity")
"""The kinds that are wanted whenever a stranger says so."""
PATIENCE: Final = 3
"""How often such a job is done again at once, having been wanted again while it was done; then after `PAUSE`."""
PAUSE: Final = 10.0
MAX_ERROR: Final = 500
"""Characters kept of the reason of a failure."""


class Job(NamedTuple):
    """A job as it was when it was read."""

    kind: str
    subject: str
    """A DID; of a ranking, its name."""
    wanted: int
    """How often it was asked for; what `done` compares."""
    attempts: int
    """How often it was taken, this time included."""
    note: str | None
    """Why it was last wanted."""


class Claim(NamedTuple):
    """Whose jobs are taken: those of shard `number` of `total` (`shard_of`), while it is led under `epoch`.

    Whoever was paused, and woke after another took over, takes none that nobody would give back.
    """

    number: int
    total: int
    epoch: int


_MAY: Final = """
    ({number}::integer is null or shard_of(subject, {total}::integer) = {number} and exists (
        select from shards where shard = {number} || '/' || {total}::integer and epoch = {epoch}::bigint))
"""
_ANYBODY: Final = (None, None, None)
_COLUMNS: Final = "kind, subject, wanted, attempts, note"


async def want(
    connection: Connection, kind: str, subjects: Iterable[str], *, note: str | None = None, delay: float = 0.0
) -> None:
    """Ask for the job `kind` of every subject, in `delay` seconds at the latest, and wake those who wait for it.

    A job that is being done is done once more after that; otherwise the earlier time holds. The last note counts, but
    none displaces `deleted`: that it was said is half of what it takes to purge an account, and another host may say
    something else after it. Any number of subjects, repeated or not; rows are locked in key order, so that two callers
    cannot deadlock.
    """
    keys = sorted(set(subjects))
    if not keys:
        return
    await connection.execute(
        """
        with wanted as (
            insert into jobs (kind, subject, note, due_at)
            select $1, subject, $3, now() + make_interval(secs => $4)
            from unnest($2::text[]) with ordinality as key (subject, place) order by place
            on conflict (kind, subject) do update set
                wanted = jobs.wanted + 1,
                note = case when jobs.note = 'deleted' then jobs.note else coalesce(excluded.note, jobs.note) end,
                due_at = case when jobs.leased then jobs.due_at else least(jobs.due_at, excluded.due_at) end
            returning 1
        )
        select pg_notify($5, $1) from (select count(*) from wanted) as rows
        """,
        kind,
        keys,
        note,
        delay,
        CHANNEL,
    )


async def due(connection: Connection, kind: str, limit: int) -> list[Job]:
    """The jobs of `kind` that are due, the longest overdue first. Nothing is claimed."""
    rows = await connection.fetch(
        f"select {_COLUMNS} from jobs where kind = $1 and due_at <= now() order by due_at limit $2",  # noqa: S608 - a constant
        kind,
        limit,
    )
    return [Job(*row) for row in rows]


async def find(connection: Connection, kind: str, subject: str) -> Job | None:
    """The job, due or not; None when nobody wants it any more."""
    row = await connection.fetchrow(
        f"select {_COLUMNS} from jobs where kind = $1 and subject = $2",  # noqa: S608 - a constant
        kind,
        subject,
    )
    return Job(*row) if row else None


async def take(
    connection: Connection, kind: str, limit: int, *, lease: float = LEASE, claim: Claim | None = None
) -> list[Job]:
    """Take at most `limit` jobs that are due, the longest overdue first, for `lease` seconds; only what is in `claim`.

    Takers at the same time never wait for each other and never share a job.
    """
    rows = await connection.fetch(
        f"""
        with due as materialized (
            select kind, subject from jobs
            where kind = $1 and due_at <= now() and {_MAY.format(number="$4", total="$5", epoch="$6")}
            order by due_at limit $2 for update skip locked
        )
        update jobs set due_at = now() + make_interval(secs => $3), leased = true, attempts = attempts + 1
        from due where jobs.kind = due.kind and jobs.subject = due.subject
        returning jobs.kind, jobs.subject, jobs.wanted, jobs.attempts, jobs.note
        """,  # noqa: S608 - our own words
        kind,
        limit,
        lease,
        *(claim or _ANYBODY),
    )
    return [Job(*row) for row in rows]


async def release(
    connection: Connection, kinds: Sequence[str], *, but: Iterable[str] = (), claim: Claim | None = None
) -> None:
    """Make due at once what was taken of `kinds` in `claim`, by takers known to be gone; not the subjects in `but`.

    That they went is no failure of the jobs: the next failure waits no longer for it.
    """
    await connection.execute(
        f"""
        update jobs set leased = false, due_at = now(), attempts = greatest(attempts - 1, 0)
        where kind = any($1::text[]) and leased and subject <> all ($2::text[])
            and {_MAY.format(number="$3", total="$4", epoch="$5")}
        """,  # noqa: S608 - our own words
        list(kinds),
        list(but),
        *(claim or _ANYBODY),
    )


async def hurry(connection: Connection, kind: str, subject: str) -> None:
    """Make due at once what waits after a failure; what is being done, and what nobody wants, stays as it is."""
    await connection.execute(
        "update jobs set due_at = now() where kind = $1 and subject = $2 and not leased", kind, subject
    )


async def done(connection: Connection, job: Job, *, claim: Claim | None = None) -> bool:
    """The job is done: its row goes and True is returned; or it was wanted again meanwhile, and is due at once.

    One of `HEARSAY` that is wanted without end is done now and then. Here as in `failed` and `postpone`, what one says
    that is not in its `claim` any more is not heard.
    """
    gone = await connection.execute(
        f"""
        delete from jobs where kind = $1 and subject = $2 and wanted = $3
            and {_MAY.format(number="$4", total="$5", epoch="$6")}
        """,  # noqa: S608 - our own words
        job.kind,
        job.subject,
        job.wanted,
        *(claim or _ANYBODY),
    )
    if gone == "DELETE 1":
        return True
    await connection.execute(
        f"""
        with again as (
            update jobs set leased = false, attempts = 0, error = null,
                due_at = case when wanted > $5 and kind = any($6::text[]) then now() + make_interval(secs => $7)
                    else now() end
            where kind = $1 and subject = $2 and attempts = $3
                and {_MAY.format(number="$8", total="$9", epoch="$10")}
            returning 1
        )
        select pg_notify($4, $1) from again
        """,  # noqa: S608 - our own words
        job.kind,
        job.subject,
        job.attempts,
        CHANNEL,
        PATIENCE + 1,
        HEARSAY,
        PAUSE,
        *(claim or _ANYBODY),
    )
    return False


async def failed(connection: Connection, job: Job, error: str, *, retry_in: float, claim: Claim | None = None) -> None:
    """The job could not be done for the reason `error`; it is due again in `retry_in` seconds.

    Does nothing when the lease ran out and the job was taken by another, or was done meanwhile.
    """
    await connection.execute(
        f"""
        update jobs set due_at = now() + make_interval(secs => $4), leased = false, error = $5
        where kind = $1 and subject = $2 and attempts = $3 and {_MAY.format(number="$6", total="$7", epoch="$8")}
        """,  # noqa: S608 - our own words
        job.kind,
        job.subject,
        job.attempts,
        retry_in,
        error.replace("\0", "")[:MAX_ERROR],
        *(claim or _ANYBODY),
    )


async def postpone(connection: Connection, job: Job, *, due_in: float, claim: Claim | None = None) -> None:
    """The job was taken and not begun: it is due again in `due_in` seconds, and nothing has failed.

    Does nothing when the lease ran out and the job was taken by another, or was done meanwhile.
    """
    await connection.execute(
        f"""
        update jobs set due_at = now() + make_interval(secs => $4), leased = false, attempts = attempts - 1
        where kind = $1 and subject = $2 and attempts = $3 and {_MAY.format(number="$5", total="$6", epoch="$7")}
        """,  # noqa: S608 - our own words
        job.kind,
        job.subject,
        job.attempts,
        due_in,
        *(claim or _ANYBODY),
    )


def back_off(attempts: int, *, base: float = 5.0, cap: float = 3600.0) -> float:
    """Seconds to wait after the failure number `attempts`: anywhere up to `base` doubled each time, at most `cap`.

    The whole range is drawn from, so that what failed together does not come back together.
    """
    ceiling = min(cap, base * 2.0 ** min(attempts - 1, 30))
    return random.uniform(0.0, ceiling)  # noqa: S311 - spreads load, guards nothing


async def next_due(connection: Connection, kinds: Sequence[str]) -> float | None:
    """Seconds until the first job of `kinds` is due, by the database's clock; None when there is none."""
    seconds: float | None = await connection.fetchval(
        """
        select min(greatest(0.0, extract(epoch from first.due_at - now())))::float8
        from unnest($1::text[]) as wanted (kind),
            lateral (select due_at from jobs where jobs.kind = wanted.kind order by due_at limit 1) as first
        """,
        list(kinds),
    )
    return seconds
