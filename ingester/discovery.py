"""Which repositories hold records of ours: asked of those who know. Each is then wanted, as a job, and fetched."""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from appview.db import AWAY, Connection, Pool
from appview.jobs import rows as jobs
from appview.net.http import HttpClient
from ingester.hosts import HostError, NotServed, Page, collections_of, list_by_collection, list_repos

AGAIN_SECONDS: Final = 6 * 3600.0
"""How often all is asked again, for what every stream has left out (RD-68)."""
RETRY_SECONDS: Final = 30.0
MAX_SILENT: Final = 20
"""Repositories in a row that a host does not describe, after which it is taken not to describe any."""

log = logging.getLogger("plyr.discovery")


class Discovery:
    """Finds repositories through `sources` (origins, and the client for each): by collection, or one by one."""

    def __init__(self, pool: Pool, sources: Mapping[str, HttpClient], signal: Sequence[str]) -> None:
        self.sources = sources
        self.looked_at = 0
        """Repositories listed since the start, the same one perhaps several times."""
        self.found = 0
        """Of these, how many were new."""
        self._pool = pool
        self._signal = signal

    async def run(self, source: str) -> None:
        """Ask `source` until it has answered in full, and then every few hours."""
        while True:
            try:
                await self.once(source)
            except HostError as error:
                log.warning("%s cannot be asked which repositories there are: %s", source, error)
                await asyncio.sleep(AGAIN_SECONDS if isinstance(error, NotServed) else RETRY_SECONDS)
            except AWAY as error:
                log.warning("discovery at %s broke off: %s", source, error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                await asyncio.sleep(AGAIN_SECONDS)

    async def once(self, source: str, collections: Sequence[str] = ()) -> None:
        """Ask `source` for all repositories with records of ours (or of `collections`), from where the last try ended.

        Raises HostError.
        """
        try:
            for collection in collections or self._signal:
                await self._all_pages(source, collection)
        except NotServed:
            log.info("%s lists no repositories by collection; asking for each of them", source)
            await self._pool.execute("delete from discoveries where source = $1 and collection <> ''", source)
            await self._all_pages(source, "")

    async def _all_pages(self, source: str, collection: str) -> None:
        cursor = await self._resume(source, collection)
        while True:
            page = await self._page(source, collection, cursor)
            self.looked_at += len(page.dids)
            found = page.dids if collection else await self._with_records(source, page.dids)
            count = await self.want(found, "discovered")
            # A cursor that does not move would be asked for ever (XR-23).
            is_last = page.cursor is None or page.cursor == cursor
            cursor = page.cursor
            await self._save(source, collection, None if is_last else cursor, count, is_last=is_last)
            if is_last:
                return

    async def _page(self, source: str, collection: str, cursor: str | None) -> Page:
        if collection:
            return await list_by_collection(self.sources[source], source, collection, cursor)
        return await list_repos(self.sources[source], source, cursor)

    async def _with_records(self, source: str, dids: Sequence[str]) -> list[str]:
        """Those of `dids` that have records of ours, as their host describes them."""
        found, silent = [], 0
        async with self._pool.acquire() as connection:
            new = await _unknown(connection, dids)
        for did in new:
            try:
                collections = await collections_of(self.sources[source], source, did)
            except NotServed:
                # One that is deactivated is not described either.
                silent += 1
                if silent >= MAX_SILENT:
                    raise
                continue
            silent = 0
            if not set(self._signal).isdisjoint(collections):
                found.append(did)
        return found

    async def want(self, dids: Iterable[str], reason: str) -> int:
        """Have those of these repositories fetched that are not followed yet; returns how many that is."""
        async with self._pool.acquire() as connection:
            new = await _unknown(connection, list(dids))
            await jobs.want(connection, "fetch", new, note=reason)
        self.found += len(new)
        return len(new)

    async def _resume(self, source: str, collection: str) -> str | None:
        """Where the last try ended, None where it came to the end or there was none."""
        async with self._pool.acquire() as connection:
            cursor: str | None = await connection.fetchval(
                """
                insert into discoveries (source, collection) values ($1, $2)
                on conflict (source, collection) do update set
                    started_at = case when discoveries.finished_at is null then discoveries.started_at else now() end,
                    found = case when discoveries.finished_at is null then discoveries.found else 0 end,
                    finished_at = null
                returning cursor
                """,
                source,
                collection,
            )
        return cursor

    async def _save(self, source: str, collection: str, cursor: str | None, count: int, *, is_last: bool) -> None:
        async with self._pool.acquire() as connection:
            await connection.execute(
                """
                update discoveries set cursor = $3, found = found + $4, finished_at = case when $5 then now() end
                where source = $1 and collection = $2
                """,
                source,
                collection,
                cursor,
                count,
                is_last,
            )


async def _unknown(connection: Connection, dids: Sequence[str]) -> list[str]:
    """Those of `dids` that are not followed, and whose account is not known to be away."""
    rows = await connection.fetch(
        """
        select did from unnest($1::text[]) as listed (did)
        where not exists (select from repos where repos.did = listed.did)
            and not exists (select from actors where actors.did = listed.did and not active)
        """,
        dids,
    )
    return [row["did"] for row in rows]
