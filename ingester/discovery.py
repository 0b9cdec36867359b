"""Which repositories hold records of ours: asked of those who know. Each is then wanted, as a job, and fetched."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from appview.db import AWAY, Connection, Pool
from appview.jobs import rows as jobs
from ingester.budget import HostClient
from ingester.hosts import HostError, NoRepo, NotServed, Page, collections_of, list_by_collection, list_repos

AGAIN_SECONDS: Final = 6 * 3600.0
"""How often all is asked again, for what every stream has left out (RD-68)."""
LOOK_SECONDS: Final = 60.0
"""How often it is looked whether another ingester, or a command, wants a source asked again."""
RETRY_SECONDS: Final = 30.0
MAX_FAILED: Final = 5
"""Failures in a row, after which a host is taken to be down."""
MAX_SILENT: Final = 20
"""Repositories in a row that a host does not describe, after which it is taken not to describe any."""
MAX_CURSOR: Final = 1_024
"""Bytes of a cursor."""
PAUSE_SECONDS: Final = 1.0
"""Between a page without repositories and the next: a host may have such pages without end."""

log = logging.getLogger("plyr.discovery")


class Discovery:
    """Finds repositories through `sources` (origins, and a patient client for each): by collection, or one by one."""

    def __init__(
        self,
        pool: Pool,
        sources: Mapping[str, HostClient],
        signal: Sequence[str],
        on_wanted: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_wanted` is called when jobs were wanted."""
        self.sources = sources
        self._on_wanted = on_wanted
        self.looked_at = 0
        """Repositories listed since the start, the same one perhaps several times."""
        self.found = 0
        """Of these, how many were new."""
        self._pool = pool
        self._signal = signal
        self._describing: set[str] = set()
        """Sources that have described a repository."""
        self._again = {source: asyncio.Event() for source in sources}

    async def run(self, source: str) -> None:
        """Ask `source` every few hours since it last answered in full, and once more where that is wanted meanwhile.

        What it has answered is in the table `discoveries`: whoever deletes its rows there, or marks them, in whatever
        process, has it asked again within a minute.
        """
        again = self._again[source]
        while True:
            try:
                wait = min(await self._due_in(source), LOOK_SECONDS)
                if not wait:
                    await self.once(source)
                    continue
            except HostError as error:
                log.warning("%s cannot be asked which repositories there are: %s", source, error)
                wait = AGAIN_SECONDS if isinstance(error, NotServed) else RETRY_SECONDS
            except AWAY as error:
                log.warning("discovery at %s broke off: %s", source, error)
                wait = RETRY_SECONDS
            # Not wait_for, which in Python 3.11 forgets that it was cancelled when both come together.
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await again.wait()
            again.clear()

    def again(self, source: str) -> None:
        """Let `run` look whether `source` is to be asked again, which its rows of `discoveries` say."""
        self._again[source].set()

    async def once(self, source: str, collections: Sequence[str] = ()) -> None:
        """Ask `source` for all repositories with records of ours (or of `collections`), from where the last try ended.

        Raises HostError, and what is raised when the database is away.
        """
        try:
            for collection in collections or self._signal:
                await self._all_pages(source, collection)
        except NotServed:
            log.info("%s lists no repositories by collection; asking for each of them", source)
            await self._pool.execute("delete from discoveries where source = $1 and collection <> ''", source)
            try:
                await self._all_pages(source, "")
            except NotServed:
                # There is nothing here that could be finished.
                await self._pool.execute("delete from discoveries where source = $1", source)
                raise
        else:
            if not collections:
                # It may not always have listed by collection.
                await self._pool.execute("delete from discoveries where source = $1 and collection = ''", source)

    async def _all_pages(self, source: str, collection: str) -> None:
        cursor = landmark = await self._resume(source, collection)
        pages, reach = 0, 1
        while True:
            page = await self._page(source, collection, cursor)
            self.looked_at += len(page.dids)
            found = page.dids if collection else await self._with_records(source, page.dids)
            count = await self.want(found, "discovered")
            # A cursor that was there before would be asked for ever (XR-23). One is remembered, and moves up at each
            # power of two: sooner or later it lies on the circle, and the circle is shorter than the way to the next.
            is_last = not page.cursor or page.cursor in (cursor, landmark)
            if is_last and page.cursor:
                log.warning("%s gives the same cursor again; what it has listed till then is taken to be all", source)
            cursor = page.cursor
            pages += 1
            if pages == reach:
                landmark, reach = cursor, 2 * reach
            await self._save(source, collection, None if is_last else cursor, count, is_last=is_last)
            if is_last:
                return
            if not page.dids:
                await asyncio.sleep(PAUSE_SECONDS)

    async def _page(self, source: str, collection: str, cursor: str | None) -> Page:
        try:
            if collection:
                page = await list_by_collection(self.sources[source], source, collection, cursor)
            else:
                page = await list_repos(self.sources[source], source, cursor)
        except NotServed as error:
            if cursor is None:
                raise
            # It did serve this, and gave the cursor out: the cursor is what it does not know any more.
            await self._save(source, collection, None, 0, is_last=False)
            raise HostError(f"{source} does not go on from where it stopped: {error}", temporary=True) from error
        if page.cursor and (len(page.cursor.encode()) > MAX_CURSOR or not page.cursor.isprintable()):
            raise HostError(f"{source} gives a cursor that is none", temporary=True)
        return page

    async def _with_records(self, source: str, dids: Sequence[str]) -> list[str]:
        """Those of `dids` that have records of ours, as their host describes them."""
        found, silent, failed = [], 0, 0
        async with self._pool.acquire() as connection:
            new = await _unknown(connection, dids)
        for did in new:
            try:
                collections = await collections_of(self.sources[source], source, did)
            except NoRepo:
                continue  # it is away; should it come back, its next commit or the next round brings it
            except NotServed:
                # One that is deactivated is not described either.
                silent += 1
                if silent >= MAX_SILENT and source not in self._describing:
                    raise
                continue
            except HostError as error:
                # One that its host cannot describe must not hide all that come after it.
                failed += 1
                if failed >= MAX_FAILED:
                    raise
                log.warning("%s is left to the next round: %s", did, error)
                continue
            failed = 0
            self._describing.add(source)
            if not set(self._signal).isdisjoint(collections):
                found.append(did)
        return found

    async def want(self, dids: Iterable[str], reason: str) -> int:
        """Have those of these repositories fetched that are not followed yet; returns how many that is.

        Of one that was forgotten when it was deleted, its own PDS is asked first whether it is back.
        """
        async with self._pool.acquire() as connection:
            new = await _unknown(connection, list(dids))
            rows = await connection.fetch("select did from actors where did = any($1) and not active", new)
            away = {row["did"] for row in rows}
            new = [did for did in new if did not in away]
            await jobs.want(connection, "status", away, note=reason)
            await jobs.want(connection, "fetch", new, note=reason)
        self._on_wanted()
        self.found += len(new)
        return len(new)

    async def _due_in(self, source: str) -> float:
        """Seconds until `source` is to be asked; 0 where it never answered in full, for all that is asked of it, or
        has to once more.
        """
        rows = await self._pool.fetch(
            """
            select collection, again, extract(epoch from now() - finished_at)::float8 as seconds
            from discoveries where source = $1 and finished_at is not null
            """,
            source,
        )
        ago: dict[str, float] = {row["collection"]: row["seconds"] for row in rows if not row["again"]}
        asked = [""] if "" in ago else self._signal
        if not all(collection in ago for collection in asked):
            return 0.0
        return max(0.0, AGAIN_SECONDS - max(ago[collection] for collection in asked))

    async def _resume(self, source: str, collection: str) -> str | None:
        """Where the last try ended, None where it came to the end or there was none."""
        async with self._pool.acquire() as connection:
            cursor: str | None = await connection.fetchval(
                """
                insert into discoveries (source, collection) values ($1, $2)
                on conflict (source, collection) do update set
                    started_at = case when discoveries.finished_at is null then discoveries.started_at else now() end,
                    found = case when discoveries.finished_at is null then discoveries.found else 0 end,
                    again = discoveries.again and discoveries.finished_at is null,
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
    """Those of `dids` that are not followed, but for who asked to be forgotten here: they come back by themselves."""
    rows = await connection.fetch(
        """
        select did from unnest($1::text[]) as listed (did)
        where not exists (select from repos where repos.did = listed.did)
            and not exists (select from erasures where erasures.did = listed.did)
        """,
        dids,
    )
    return [row["did"] for row in rows]
