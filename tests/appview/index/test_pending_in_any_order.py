"""Whatever the order in which a write is shown, comes back, is fetched and settled, the tables end the same.

Random lives of a repository, others each time; the seed is in the name of the failed assertion.
"""

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest

from appview.db import Connection, Pool
from appview.index import actors, check, recount, repos
from appview.index.apply import apply
from appview.index.lock import index_lock
from appview.index.pending import OwnWrite, show
from appview.index.search import differences as search
from appview.index.settling import FETCH_AGAIN_SECONDS, settle
from ingester.differences import HELD, Difference, Held, differences
from ingester.export import Entry
from lexicons.data import CID, encode
from tests.appview.index.filled import MAKERS, change, write
from tests.appview.index.samples import NOW, did, record, rkey
from tests.appview.index.tables import DERIVED, contents

LIVES = 3
STEPS = 50
ALICE, BOB = did(1), did(2)
SONG = f"at://{BOB}/fm.plyr.track/{rkey(5000)}"
TRACKS = tuple(f"at://{ALICE}/fm.plyr.track/{rkey(n)}" for n in (5001, 5002))
LIKES = tuple(f"at://{ALICE}/fm.plyr.like/{rkey(n)}" for n in (5003, 5004))
LIST = f"at://{ALICE}/fm.plyr.list/{rkey(5005)}"
PROFILE = f"at://{ALICE}/fm.plyr.actor.profile/self"
WANTED = "select exists (select from jobs where kind = 'fetch')"
URIS = (*TRACKS, *LIKES, LIST, PROFILE)

Version = Mapping[str, Any] | None
Happening = Callable[[], Awaitable[None]]


class Commit(NamedTuple):
    """What a repository's owner did to one record: its place in the history, and the version, None where it went."""

    rev: str
    uri: str
    value: Version

    def own_write(self) -> OwnWrite:
        """It as one that went through us."""
        _, _, who, collection, key = self.uri.split("/")
        block = None if self.value is None else encode(self.value)
        return OwnWrite(self.uri, who, collection, key, self.rev, None if block is None else CID.of(block), block)


class Life:
    """A repository, what its PDS says, and the index, to which everything comes in some order."""

    def __init__(self, pool: Pool, seed: int, *, honest: bool) -> None:
        self.honest = honest
        """Whether all that the PDS says it took is in the repository."""
        self.random = random.Random(seed)
        self.now = NOW
        self.history: list[Commit] = []
        self._pool = pool
        self._writes: list[tuple[Commit, datetime]] = []
        """What went through us, or so its PDS said, with the time of its answer."""
        self._revs = 0
        self._echoed = 0
        """How many commits the firehose has brought, or a fetch has made up for."""
        self._fetch: AsyncIterator[None] | None = None
        self._newest: dict[str, str] = {}
        """Of each record, the rev of the newest version that has come to us in some way."""

    async def step(self) -> Happening:
        """Something happens; what that was."""
        self.now += timedelta(seconds=self.random.choice([0, 0, 1, 20]))
        happening = self.random.choices(
            [self._commit, self._lie, self._echo, self._show, self._find, self.settle, self.fetch, self._miss],
            [8, 0 if self.honest else 2, 8, 10, 4, 6, 6, 1],
        )[0]
        await happening()
        return happening

    async def end(self) -> None:
        """Everything that is still to come comes, until nothing is pending, nor wanted."""
        for _ in range(8):
            while self._fetch is not None or await self._pool.fetchval(WANTED):
                await self.fetch()
            while self._echoed < len(self.history):
                await self._echo()
            await self.settle()
            self.now += timedelta(seconds=FETCH_AGAIN_SECONDS + 1)

    async def settle(self) -> None:
        """What the worker does each second."""
        await settle(self._pool, MAKERS.types, self.now)

    # --- what the owner and the PDS do ---

    def _rev(self) -> str:
        self._revs += 1
        return rkey(4000 - self._revs)

    async def _commit(self) -> None:
        uri = self.random.choice(URIS)
        there = self.contents().get(uri)
        gone = there is not None and self.random.random() < 0.3
        commit = Commit(self._rev(), uri, None if gone else self._version(uri))
        self.history.append(commit)
        if self.random.random() < 0.7:
            self._writes.append((commit, self.now))
            if self.random.random() < 0.7:
                await self._show_one(commit, self.now)

    async def _lie(self) -> None:
        """The PDS says that it took a write, and has none, or another."""
        uri = self.random.choice(URIS)
        version = None if self.random.random() < 0.3 else self._version(uri)
        rev = self._rev()
        if self.history and self.random.random() < 0.3:
            rev, uri = self.history[-1].rev, self.history[-1].uri
            version = self._version(uri)
        self._writes.append((Commit(rev, uri, version), self.now))

    def _version(self, uri: str) -> Version:
        nsid, n = uri.split("/")[3], self.random.randrange(3)
        match nsid.rpartition(".")[2]:
            case "track":
                return record(nsid, {"title": f"Song {n}", "album": f"Album {n}"})
            case "like":
                return record(nsid, {"subject": {"uri": self.random.choice([SONG, *TRACKS]), "cid": str(CID.of(b""))}})
            case "list":
                items = [{"subject": {"uri": uri, "cid": str(CID.of(b""))}} for uri in (SONG, *TRACKS)[:n]]
                return record(nsid, {"name": f"List {n}", "listType": "album", "items": items})
        return record(nsid, {"bio": f"Bio {n}"})

    def contents(self, count: int | None = None) -> dict[str, Version]:
        """What the repository held after `count` commits, or holds now."""
        found = {commit.uri: commit.value for commit in self.history[:count]}
        return {uri: value for uri, value in found.items() if value is not None}

    # --- what comes to us ---

    async def _show(self) -> None:
        if self._writes:
            await self._show_one(*self.random.choice(self._writes[-6:]))

    async def _find(self) -> None:
        """An answer was lost, and a look tells what the repository has now: whose rev that is it does not tell."""
        uri = self.random.choice(URIS)
        if not any(commit.uri == uri for commit in self.history):
            return
        now = Commit(self.history[-1].rev, uri, self.contents().get(uri))
        if not self.honest and self.random.random() < 0.3:
            now = Commit(self._rev(), uri, self._version(uri))
        before = await believed_too_long(self._pool)
        await show(self._pool, MAKERS, [now.own_write()._replace(is_found=True)], self.now)
        assert await believed_too_long(self._pool) <= before

    async def _show_one(self, commit: Commit, at: datetime) -> None:
        before = await believed_too_long(self._pool)
        await show(self._pool, MAKERS, [commit.own_write()], at)
        assert await believed_too_long(self._pool) <= before
        if self.honest:
            self._heard(commit)

    def _heard(self, commit: Commit) -> None:
        """No older version of this record is to be there from now on."""
        self._newest[commit.uri] = max(self._newest.get(commit.uri, ""), commit.rev)

    async def is_true(self) -> bool:
        """Whether of each record a version is here that its repository had when we last heard of it, or had later."""
        here = {row["uri"]: row["cid"] for row in await self._pool.fetch("select uri, cid from records")}
        return all(
            here.get(uri) in {c.own_write().cid for c in self.history if c.uri == uri and c.rev >= newest}
            for uri, newest in self._newest.items()
        )

    async def _echo(self) -> None:
        if self._fetch is not None or self._echoed == len(self.history):
            return  # it is kept until the fetch is over
        commit = self.history[self._echoed]
        self._echoed += 1
        self._heard(commit)
        await self._take_in([change(commit.uri, commit.value)._replace(rev=commit.rev)], self._chain(commit.rev))

    async def _miss(self) -> None:
        """The stream skips what there is: the repository is fetched."""
        if self._fetch is None and self._echoed < len(self.history):
            self._fetch = self._fetched()
            await self.fetch()

    async def fetch(self) -> None:
        """One step of the fetch that is under way, or of a new one: where it is wanted, and seldom where it is not."""
        if self._fetch is None and (await self._pool.fetchval(WANTED) or self.random.random() < 0.05):
            self._fetch = self._fetched()
        if self._fetch is not None and await anext(self._fetch, "over") == "over":
            self._fetch = None

    async def _fetched(self) -> AsyncIterator[None]:
        count, asked_at = len(self.history), self.now
        if count == 0:
            return
        await self._pool.execute("delete from jobs where kind = 'fetch'")
        rev, there = self.history[count - 1].rev, self.contents(count)
        chain = await self._pool.fetchrow("select rev, data, commit_cid from repos where did = $1", ALICE)
        stood: tuple[Any, Any, Any] = (None, None, None)
        if chain is not None:
            stood = chain["rev"], chain["data"], chain["commit_cid"]
        await self._take_in([], repos.Chain(ALICE, "in_progress", *stood, None, "wanted"))
        yield
        found = await self._differences(there, rev)
        yield
        for some in (found[::2], found[1::2]):
            changes = [
                change(uri := f"at://{ALICE}/{path}", there.get(uri))._replace(rev=rev, proven_by="fetch")
                for path, _ in some
            ]
            await self._take_in(changes, None)
            yield
        await self._take_in([], self._chain(rev, "fetch", asked_at))
        self._echoed = max(self._echoed, count)
        for commit in self.history[:count]:
            self._heard(commit)

    async def _differences(self, there: Mapping[str, Version], rev: str) -> list[Difference]:
        start = f"at://{ALICE}/"

        async def entries() -> AsyncIterator[Entry]:
            for uri in sorted(there):
                yield Entry(uri.removeprefix(start), bytes(CID.of(encode(there[uri]))))

        async def held() -> AsyncIterator[Held]:
            for uri, cid, is_sound in await self._pool.fetch(HELD, start, f"at://{ALICE}0", rev):
                yield Held(uri.removeprefix(start), cid, is_sound)

        return [difference async for difference in differences(entries(), held())]

    def _chain(self, rev: str, by: repos.ProvenBy = "live", fetched_at: datetime | None = None) -> repos.Chain:
        data = CID.of(rev.encode())
        return repos.Chain(ALICE, "synchronized", rev, data, data, None, "in_chain", by, self.now, fetched_at)

    async def _take_in(self, changes: list[Any], chain: repos.Chain | None) -> None:
        """As the ingester's writer does it."""
        async with self._pool.acquire() as connection, connection.transaction():
            await index_lock(connection)
            await actors.see(connection, [ALICE])
            await apply(connection, MAKERS.types, changes, NOW)
            await repos.save(connection, [] if chain is None else [chain], self.now)


async def believed_too_long(pool: Pool) -> set[str]:
    """Records that nothing has proven, though their chain has come to where they should have been."""
    rows = await pool.fetch(
        """
        select uri from records join repos using (did) left join pending using (uri)
        where records.proven_by = 'write' and coalesce(pending.rev, records.rev) <= repos.rev
        """
    )
    return {row["uri"] for row in rows}


async def consistent(connection: Connection) -> list[object]:
    """What is wrong with the index by itself."""
    found: list[object] = [finding async for finding in check.check_records(connection, MAKERS)]
    found += await check.check_orphans(connection, MAKERS)
    found += await check.check_proofs(connection)
    found += await recount.differences(connection)
    found += await search.differences(connection)
    return found


async def state(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """All that a reader may see, times of arrival aside."""
    records = await connection.fetch(
        "select uri, cid, value, verdict, deviations from records where cid is not null order by uri"
    )
    tables = await contents(connection, *(table for table in DERIVED if table != "tracks"))
    tracks = await connection.fetch("select uri, title, album, sort_at, cid, size from tracks order by uri")
    return tables | {"records": [tuple(row) for row in records], "tracks": [tuple(row) for row in tracks]}


@pytest.mark.parametrize("honest", [True, False], ids=["honest", "lying"])
@pytest.mark.parametrize("number", range(LIVES))
async def test_every_order_ends_in_what_the_repository_holds(
    pool: Pool, connection: Connection, number: int, *, honest: bool
) -> None:
    seed = time.time_ns() // 10**9 * LIVES + number
    await write(connection, change(SONG, record("fm.plyr.track")))
    life = Life(pool, seed, honest=honest)
    for step in range(STEPS):
        happened = await life.step()
        assert not await consistent(connection), f"seed {seed}, step {step}"
        if happened == life.settle:
            assert not await believed_too_long(pool), f"seed {seed}, step {step}"
        if honest:
            assert await life.is_true(), f"seed {seed}, step {step}"
    await life.end()
    assert not await connection.fetchval("select count(*) from pending"), f"seed {seed}"
    assert not await consistent(connection), f"seed {seed}"
    ended = await state(connection)

    await connection.execute("truncate records, repos, pending, actors, jobs, " + ", ".join(DERIVED))
    await write(connection, change(SONG, record("fm.plyr.track")))
    for uri, value in life.contents().items():
        await write(connection, change(uri, value))
    assert ended == await state(connection), f"seed {seed}"
