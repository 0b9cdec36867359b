"""DID documents in Postgres: what the identity resolver keeps below its memory."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import asyncpg

from appview.db import AWAY, Pool
from appview.net.store import Change, StoreError


class PostgresDocuments:
    """The table `did_documents` as a `DocumentStore`, shared by all processes."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self, dids: Sequence[str]) -> Mapping[str, Change]:
        """What is kept of `dids`. Raises StoreError."""
        with _store_errors():
            rows = await self._pool.fetch(
                "select did, document, fetched_at from did_documents where did = any($1)", dids
            )
        return {row["did"]: Change(row["document"], row["fetched_at"].timestamp()) for row in rows}

    async def write(self, changes: Mapping[str, Change]) -> None:
        """Keep and delete as `changes` says, in key order, so that processes never deadlock. Raises StoreError."""
        kept = sorted((did, change) for did, change in changes.items() if change.document is not None)
        void = sorted((did, change) for did, change in changes.items() if change.document is None)
        with _store_errors():
            if kept:
                await self._pool.execute(
                    """
                    insert into did_documents (did, document, fetched_at)
                    select * from unnest($1::text[], $2::jsonb[], $3::timestamptz[])
                    on conflict (did) do update set document = excluded.document, fetched_at = excluded.fetched_at
                    where did_documents.fetched_at <= excluded.fetched_at
                    """,
                    [did for did, _ in kept],
                    [change.document for _, change in kept],
                    [_time(change.at) for _, change in kept],
                )
            if void:
                await self._pool.execute(
                    """
                    with void as materialized (
                        select did from did_documents join unnest($1::text[], $2::timestamptz[]) as old (did, at)
                            using (did)
                        where fetched_at <= old.at order by did for update of did_documents
                    )
                    delete from did_documents using void where did_documents.did = void.did
                    """,
                    [did for did, _ in void],
                    [_time(change.at) for _, change in void],
                )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except (asyncpg.PostgresError, *AWAY) as error:
        raise StoreError(f"the store of DID documents did not answer ({type(error).__name__})") from error
