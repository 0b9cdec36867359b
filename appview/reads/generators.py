"""Feed generators: who answers for one, those of an account, and those that are suggested."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeAlias

from appview.db import Connection
from appview.reads.pages import NEWEST, Moment, Page, newest, within
from appview.reads.visibility import visible

Suggestion: TypeAlias = tuple[int, datetime, str]
"""The keys of a suggested feed: its part (0 ours, 1 everybody else's), its `sort_at` and its uri."""

OF_ONE_ACCOUNT: Final = 3
"""Feeds of an account, its newest, that are suggested: one that publishes hundreds does not push the others out."""

SPARE: Final = 100

_OLDEST: Final[Moment] = (datetime.min.replace(tzinfo=UTC), "")


class Declared(NamedTuple):
    """A feed that is shown: its address, its account as a DID, and the DID of the service that answers for it."""

    uri: str
    service: str


async def declared(connection: Connection, uris: Sequence[str]) -> list[Declared]:
    """Which of these are feeds of visible accounts, and who answers for them? In the order given."""
    rows = await connection.fetch(
        f"""
        select asked.uri, service from unnest($1::text[]) with ordinality as asked (uri, place)
        join generators on generators.uri = asked.uri where {visible("generators.did")} order by place
        """,  # noqa: S608 - a condition of our own
        uris,
    )
    return [Declared(*row) for row in rows]


async def fitting(connection: Connection, tracks: Sequence[str]) -> list[str]:
    """Which of these tracks are shown, in this order, up to where their records grow too large for an answer?"""
    rows = await connection.fetch(
        f"""
        select asked.uri, size from unnest($1::text[]) with ordinality as asked (uri, place)
        join tracks on tracks.uri = asked.uri where {visible("tracks.did")} order by place
        """,  # noqa: S608 - a condition of our own
        tracks,
    )
    kept, _ = within(rows, len(rows))
    return [row["uri"] for row in kept]


async def by_author(connection: Connection, did: str, *, after: Moment | None, limit: int) -> Page[Moment]:
    """Which feeds did this account publish?"""
    return await newest(connection, "generators", did, where="did = $3", after=after, limit=limit)


async def suggested(
    connection: Connection,
    ours: Sequence[str],
    silent: Sequence[str],
    *,
    after: Suggestion | None,
    limit: int,
) -> Page[Suggestion]:
    """Which feeds are there to look at: those of the accounts `ours`, then everybody else's, each newest first?

    Left out are those whose service is among `silent`, and of everybody else's all but the newest OF_ONE_ACCOUNT. No
    more than SPARE are passed over for one page, which may so be short, or empty, though there is more (XR-22).
    """
    part, *moment = after or (0, *NEWEST)
    ours_after, others_after = (moment, NEWEST) if part == 0 else (_OLDEST, moment)
    most = limit + SPARE
    rows = await connection.fetch(
        f"""
        with scanned as (
            select * from (
                (
                    select 0 as part, uri, did, service, sort_at from generators
                    where did = any($1) and (sort_at, uri) < ($3, $4) and {visible("generators.did")}
                    order by sort_at desc, uri desc limit $7
                )
                union all
                (
                    select 1, uri, did, service, sort_at from generators
                    where did <> all($1) and (sort_at, uri) < ($5, $6) and {visible("generators.did")}
                    order by sort_at desc, uri desc limit $7
                )
            ) as parts
            order by part, sort_at desc, uri desc limit $7
        ),
        judged as (
            select part, uri, sort_at, service <> all($2) and (part = 0 or $8 > (
                select count(*) from (
                    select from generators where generators.did = scanned.did
                        and (generators.sort_at, generators.uri) > (scanned.sort_at, scanned.uri) limit $8
                ) as newer
            )) as fits
            from scanned
        )
        select judged.*, octet_length(records.value) as size
        from judged left join records on fits and records.uri = judged.uri
        order by part, sort_at desc, uri desc
        """,  # noqa: S608 - conditions of our own
        ours,
        silent,
        *ours_after,
        *others_after,
        most + 1,
        OF_ONE_ACCOUNT,
    )
    scanned = rows[:most]
    kept, more = within([row for row in scanned if row["fits"]], limit)
    last = kept[-1] if more else scanned[-1] if len(rows) > most else None
    keys = None if last is None else (last["part"], last["sort_at"], last["uri"])
    return Page([row["uri"] for row in kept], keys)
