"""Who calls, as the index knows them: their standing here, their key, and how far their repository is indexed."""

from collections.abc import Sequence
from typing import NamedTuple

from appview.db import Pool


class Standing(NamedTuple):
    """An account that calls; one that is not in the index is active, and nothing else is known of it."""

    active: bool
    """As its host says."""
    status: str | None
    """Why it is not active."""
    taken_down: bool
    """By our own operators."""
    rev: str | None
    """Of the last commit of its repository whose records are all here."""
    document: object | None
    """Its DID document, as JSON."""
    document_at: float
    """When that was fetched, in seconds since the epoch; 0 without one."""


async def standing(pool: Pool, did: str) -> Standing:
    """The standing of the account `did`."""
    row = await pool.fetchrow(
        """
        select coalesce(actors.active, true), actors.status, coalesce(actors.taken_down, false), repos.rev,
            did_documents.document, coalesce(extract(epoch from did_documents.fetched_at), 0)::float8
        from (values ($1::text)) as asked (did)
            left join actors using (did) left join repos using (did) left join did_documents using (did)
        """,
        did,
    )
    if row is None:
        raise RuntimeError("a row that is always there is not")
    return Standing(*row)


async def indexed_revs(pool: Pool, dids: Sequence[str]) -> dict[str, str]:
    """How far the repositories of `dids` are indexed, by DID; those of which nothing is are left out."""
    rows = await pool.fetch("select did, rev from repos where did = any($1) and rev is not null", dids)
    return {row["did"]: row["rev"] for row in rows}
