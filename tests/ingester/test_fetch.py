"""A repository made equal to its PDS: exact, whatever the export is like, whatever comes live meanwhile."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from appview.index.recount import differences
from appview.jobs import rows as jobs
from ingester.batch import Batch
from ingester.engine import Engine, engine
from ingester.fetch import COMPARED, STEP
from tests.ingester.world import SECONDS, World, config, create, key, like, track, world
from tests.system.synthetic import Account, Pds
from tests.writer.car import Block, section
from tests.writer.keys import P256, SigningKey
from tests.writer.repo import Write


def path(account: Account, number: int, collection: str = "fm.plyr.track") -> str:
    return f"{collection}/{key(account, number)}"


async def fetched(there: World, made: Engine, account: Account) -> None:
    await jobs.want(there.connection, "fetch", [account.did])
    made.workers["fetch"].wake.set()
    await there.settled(made)


async def test_creates_updates_and_deletes_exactly(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        artist.write(*(create(artist, number) for number in range(30)))
        async with there.ingesting() as made:
            await there.settled(made)
            assert len(await there.uris()) == 30
        # What happens while nobody listens.
        artist.write(Write("delete", path(artist, 3)), Write("delete", path(artist, 29)))
        artist.write(Write("update", path(artist, 4), track("Renamed")), create(artist, 40))
        await there.connection.execute("update upstreams set cursor = $1", there.pds.stream.head)
        async with there.ingesting() as made:
            await fetched(there, made, artist)
        assert await there.uris() == {artist.uri(key_.decode()) for key_ in artist.repo.leaves}
        assert await there.value("select title from tracks where uri = $1", artist.uri(path(artist, 4))) == "Renamed"
        assert await there.value("select tracks from actor_counts") == 29
        tombstone = await there.connection.fetchrow("select * from records where uri = $1", artist.uri(path(artist, 3)))
        assert tombstone is not None
        assert (tombstone["cid"], tombstone["rev"]) == (None, artist.repo.last.rev if artist.repo.last else None)


async def test_collections_that_are_not_ours_stay_out(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        post: dict[str, Any] = {"$type": "app.bsky.feed.post", "text": "hi", "createdAt": "2025-06-01T12:00:00Z"}
        profile = {"$type": "app.bsky.actor.profile", "displayName": "Artist"}
        artist.write(
            create(artist, 1),
            create(artist, 2, "app.bsky.feed.post", **post),
            create(artist, 3, "fm.plyr.dev.track", **(track() | {"$type": "fm.plyr.dev.track"})),
            Write("create", "app.bsky.actor.profile/self", profile),
        )
        async with there.ingesting() as made:
            await there.settled(made)
        assert await there.uris() == {artist.uri(path(artist, 1)), artist.uri("app.bsky.actor.profile/self")}


@pytest.mark.parametrize("cut", [1, 50, 400])
async def test_an_export_that_is_cut_off_deletes_nothing(database_url: str, cut: int) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        artist.write(*(create(artist, number) for number in range(30)))
        async with there.ingesting() as made:
            await there.settled(made)
            whole = there.pds.answers_with
            there.pds.answers_with = lambda car: car[:-cut]
            await jobs.want(there.connection, "fetch", [artist.did])
            made.workers["fetch"].wake.set()
            await there.until("select error is not null from jobs where kind = 'fetch'")
            assert len(await there.uris()) == 30
            # What was whole before still is: what comes live waits for no better export.
            artist.write(create(artist, 77))
            await there.until("select count(*) = 31 from records")
            assert await there.value("select count(*) from jobs where kind = 'fetch'") == 1
            there.pds.answers_with = whole
            await there.connection.execute("update jobs set due_at = now()")
            await there.settled(made)
            assert len(await there.uris()) == 31


async def test_an_export_missing_one_record_changes_nothing(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        artist.write(*(create(artist, number) for number in range(10)))
        async with there.ingesting() as made:
            await there.settled(made)
            cid = next(iter(artist.repo.leaves.values()))
            block = section(Block(cid, artist.repo.records[cid]))
            there.pds.answers_with = lambda car: car.replace(block, b"")
            await jobs.want(there.connection, "fetch", [artist.did])
            made.workers["fetch"].wake.set()
            await there.until("select error like '%not among the blocks' from jobs where kind = 'fetch'")
        assert len(await there.uris()) == 10


async def test_nothing_is_written_before_all_of_an_export_is_known_to_be_there(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        artist.write(create(artist, 0))
        async with there.ingesting() as made:
            await there.settled(made)
            artist.repo.commit([create(artist, number) for number in range(1, 2 * STEP)])  # never sent
            cid = artist.repo.leaves[max(artist.repo.leaves)]
            block = section(Block(cid, artist.repo.records[cid]))
            there.pds.answers_with = lambda car: car.replace(block, b"")
            await jobs.want(there.connection, "fetch", [artist.did])
            made.workers["fetch"].wake.set()
            await there.until("select error like '%not among the blocks' from jobs where kind = 'fetch'")
        assert len(await there.uris()) == 1


async def test_an_older_export_than_what_was_proven_is_not_taken(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        artist.write(create(artist, 1))
        old = artist.repo.export()
        artist.write(create(artist, 2))
        async with there.ingesting() as made:
            await there.settled(made)
            there.pds.answers_with = lambda _car: old
            await jobs.want(there.connection, "fetch", [artist.did])
            made.workers["fetch"].wake.set()
            await there.until("select error like '%older%' from jobs where kind = 'fetch'")
        assert len(await there.uris()) == 2


async def test_a_chain_that_broke_is_fetched_at_least_to_where_it_did(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        artist.write(create(artist, 1))
        async with there.ingesting() as made:
            await there.settled(made)
            old = artist.repo.export()
            there.pds.answers_with = lambda _car: old  # no older than the last commit that was taken in
            artist.repo.commit([create(artist, 2)])  # never sent
            artist.write(create(artist, 3))
            await there.until("select error like '%older%' from jobs where kind = 'fetch'")
            there.pds.answers_with = bytes
            await there.connection.execute("update jobs set due_at = now()")
            await there.settled(made)
        assert len(await there.uris()) == 3


async def test_an_export_signed_by_another_key_is_not_taken(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        artist.write(create(artist, 1))
        async with there.ingesting() as made:
            await there.settled(made)
            artist.repo.key = SigningKey.from_seed("a thief", P256)
            artist.repo.commit([create(artist, 2)])
            await jobs.want(there.connection, "fetch", [artist.did])
            made.workers["fetch"].wake.set()
            await there.until("select error like '%not signed%' from jobs where kind = 'fetch'")
        assert await there.uris() == {artist.uri(path(artist, 1))}


async def test_an_account_that_moved_is_fetched_with_its_former_key(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        artist.write(create(artist, 1))
        # The very move of a PDS to itself: a new key in the directory, the old one under the head.
        artist.repo.key = SigningKey.from_seed("the new host", P256)
        there.pds.host.advance()
        there.directory.register(artist.repo)
        async with there.ingesting() as made:
            await fetched(there, made, artist)
            assert made.metrics.deviations["export_signed_by_former_key"] >= 1
        assert await there.uris() == {artist.uri(path(artist, 1))}


async def test_a_first_record_is_there_at_once_and_the_older_ones_follow(database_url: str) -> None:
    async with world(database_url) as there:
        listener = there.pds.create_account("listener")
        listener.write(create(listener, 1))
        async with there.ingesting(PLYR_DISCOVERY_URL="http://127.0.0.1:1") as made:
            await there.followed(made)
            there.pds.answers_with = _unavailable
            listener.write(create(listener, 2, "fm.plyr.like", **like(listener.uri(path(listener, 1)))))
            await there.until("select count(*) = 1 from likes")
            assert await there.value("select count(*) from tracks") == 0
            listener.write(create(listener, 3))
            await there.until("select count(*) = 1 from held_frames")
            there.pds.answers_with = bytes
            await there.connection.execute("update jobs set due_at = now()")
            await there.settled(made)
        assert await there.uris() == {listener.uri(key_.decode()) for key_ in listener.repo.leaves}
        assert await there.value("select likes from subject_counts") == 1


async def test_a_host_that_gives_nothing_holds_up_no_repository_that_is_whole(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        artist.write(create(artist, 1))
        async with there.ingesting() as made:
            await there.settled(made)
            there.pds.gate = asyncio.Event()
            there.pds.answers_with = _unavailable
            before = there.pds.asked["com.atproto.sync.getRepo"]
            await jobs.want(there.connection, "fetch", [artist.did])
            made.workers["fetch"].wake.set()
            async with asyncio.timeout(SECONDS):
                while there.pds.asked["com.atproto.sync.getRepo"] == before:
                    await asyncio.sleep(0.01)
            artist.write(create(artist, 2))
            await there.until("select count(*) = 2 from tracks")
            assert await there.value("select count(*) from jobs where kind = 'fetch'") == 1
            artist.write(create(artist, 3))
            await there.until("select count(*) = 3 from tracks")
        assert await there.value("select count(*) from held_frames") == 0


async def test_more_than_is_compared_at_once_is_made_equal(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        artist.write(*(create(artist, number) for number in range(0, 2 * COMPARED + 100, 2)))
        async with there.ingesting(live=False) as made:
            await fetch_once(there, made, artist)
            assert await there.uris() == {artist.uri(key_.decode()) for key_ in artist.repo.leaves}
            gone = [Write("delete", path(artist, number)) for number in range(0, 2 * COMPARED + 100, 6)]
            artist.write(*gone, *(create(artist, number) for number in range(1, 2 * COMPARED, 10)))
            await fetch_once(there, made, artist)
        assert await there.uris() == {artist.uri(key_.decode()) for key_ in artist.repo.leaves}
        assert await differences(there.connection) == []


async def test_an_audit_counts_what_it_had_to_change_and_mends_bytes_that_are_not_their_own(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        artist.write(*(create(artist, number) for number in range(10)))
        async with there.ingesting(live=False) as made:
            await fetch_once(there, made, artist)
            await fetch_once(there, made, artist, "audit")
            assert not made.metrics.drift
            at = [artist.uri(path(artist, number)) for number in range(4)]
            await there.connection.execute("delete from records where uri = $1", at[0])
            await there.connection.execute("update records set value = value || '\\x00' where uri = $1", at[1])
            await there.connection.execute("update records set cid = $2 where uri = $1", at[2], bytes(36))
            await there.connection.execute(
                """
                insert into records
                    (uri, did, collection, rev, cid, value, verdict, first_seen_at, indexed_at, proven_by)
                select uri || 'x', did, collection, rev, cid, value, verdict, now(), now(), 'live' from records
                where uri = $1
                """,
                at[3],
            )
            await fetch_once(there, made, artist, "audit")
            assert made.metrics.drift == {"records": 4}
            assert await there.value(
                "select bool_and(sha256(value) = substr(cid, 5)) from records where cid is not null"
            )
            # What a newer rev explains is none.
            artist.repo.commit([create(artist, 20)])
            await fetch_once(there, made, artist, "audit")
            assert made.metrics.drift == {"records": 4}
        assert await there.uris() == {artist.uri(key_.decode()) for key_ in artist.repo.leaves}


async def test_one_that_has_moved_meanwhile_is_fetched_where_it_is(database_url: str) -> None:
    async with world(database_url) as there, Pds(there.directory, "pds2") as other:
        artist = there.pds.create_account("artist")
        artist.write(create(artist, 1))
        async with there.ingesting(live=False) as made:
            await fetch_once(there, made, artist)
            moved = artist.migrate(other)
            moved.write(create(moved, 2))
            await fetch_once(there, made, moved)
            assert made.metrics.fetches == {"ok": 2, "host": 1, "upstream_no_repo": 1}
        assert await there.uris() == {moved.uri(key_.decode()) for key_ in moved.repo.leaves}
        assert other.asked["com.atproto.sync.getRepo"] == 1
        assert await there.value("select active from actors where did = $1", artist.did)


async def test_killed_between_any_two_batches_it_ends_right(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        artist.write(*(create(artist, number) for number in range(0, 900, 2)))
        async with there.ingesting(live=False) as made:
            await fetch_once(there, made, artist)
        deaths = 0
        while True:
            writes = [Write("delete", path_.decode()) for path_ in list(artist.repo.leaves)[:150]]
            numbers = range(1 + deaths * 2_000, 301 + deaths * 2_000, 2)
            artist.write(*writes, *(create(artist, number + 1_000) for number in numbers))
            await jobs.want(there.connection, "fetch", [artist.did])
            if not await killed_after(there, deaths + 1):
                break
            deaths += 1
            async with there.ingesting(live=False) as made:
                await fetch_once(there, made, artist)
            assert await there.uris() == {artist.uri(key_.decode()) for key_ in artist.repo.leaves}, deaths
        assert deaths >= 3  # how many batches a fetch comes to is a matter of time
        assert await differences(there.connection) == []


async def killed_after(there: World, batches: int) -> bool:
    """Let an ingester work until it has written so many batches; False where it was done with all before that."""
    async with engine(config(there.directory, there.pds), there.url) as made:
        running = asyncio.create_task(made.run(live=False))
        written = 0

        def count(_batch: Batch) -> None:
            nonlocal written
            written += 1
            if written == batches:
                running.cancel()

        made.writer.on_commit.append(count)
        async with asyncio.timeout(SECONDS):
            while not running.done() and await there.value("select exists (select from jobs where kind = 'fetch')"):
                made.writer.wake()
        was_killed = running.done() or running.cancelling() > 0
        running.cancel()
        await asyncio.wait({running})
        return was_killed


async def fetch_once(there: World, made: Engine, account: Account, note: str | None = None) -> None:
    """Fetch a repository, however often that has to be tried."""
    await jobs.want(there.connection, "fetch", [account.did], note=note)
    made.workers["fetch"].wake.set()
    await there.until("select not exists (select from jobs where kind = 'fetch')")


def _unavailable(_car: bytes) -> bytes:
    raise web.HTTPServiceUnavailable


async def test_it_is_known_as_of_when_its_pds_was_asked(database_url: str) -> None:
    """What the PDS says while the export is on its way is newer than that, and none of it is thereby refuted."""
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        artist.write(create(artist, 1))
        there.pds.gate = asyncio.Event()
        async with there.ingesting() as made:
            async with asyncio.timeout(SECONDS):
                while not there.pds.asked["com.atproto.sync.getRepo"]:
                    await asyncio.sleep(0.01)
            meanwhile = await there.value("select clock_timestamp()")
            there.pds.gate.set()
            await there.settled(made)
        assert await there.value("select fetched_at < $1 and proven_at > $1 from repos", meanwhile)
