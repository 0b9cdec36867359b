"""A repository made equal to its PDS: exact, whatever the export is like, whatever comes live meanwhile."""

from typing import Any

import pytest
from aiohttp import web

from appview.jobs import rows as jobs
from ingester.engine import Engine
from tests.ingester.world import World, create, key, like, track, world
from tests.system.synthetic import Account
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
            assert await there.value("select status from repos") == "in_progress"
            # What comes live meanwhile is kept, and follows as soon as a whole export was had.
            artist.write(create(artist, 77))
            there.pds.answers_with = whole
            await there.connection.execute("update jobs set due_at = now()")
            await there.settled(made)
            assert len(await there.uris()) == 31
            assert await there.value("select proven_by from records where uri = $1", artist.uri(path(artist, 77)))


async def test_an_export_missing_one_record_changes_nothing(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        artist.write(*(create(artist, number) for number in range(10)))
        async with there.ingesting() as made:
            await there.settled(made)
            artist.repo.records.pop(next(iter(artist.repo.leaves.values())), None)
            await jobs.want(there.connection, "fetch", [artist.did])
            made.workers["fetch"].wake.set()
            await there.until("select error is not null from jobs where kind = 'fetch'")
        assert len(await there.uris()) == 10


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


def _unavailable(_car: bytes) -> bytes:
    raise web.HTTPServiceUnavailable
