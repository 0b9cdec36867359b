"""What was written through us, beside an ingester at work: it proves it without knowing of it."""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from appview import db
from appview.index.pending import OwnWrite, show, track
from appview.index.settling import UNSEEN, settle
from appview.jobs import rows as jobs
from ingester.commands.audit import audit
from ingester.engine import Engine
from lexicons.data import CID, encode
from tests.appview.index.filled import MAKERS
from tests.ingester.world import SECONDS, World, config, create, key, world
from tests.ingester.world import track as song
from tests.system.synthetic import Account
from tests.writer.repo import CommitEvent, Write, tid

PROFILE = "app.bsky.actor.profile/self"


def profile(name: str) -> dict[str, Any]:
    return {"$type": "app.bsky.actor.profile", "displayName": name}


def path(account: Account, number: int) -> str:
    return f"fm.plyr.track/{key(account, number)}"


async def shown(there: World, account: Account, where: str, record: Mapping[str, Any] | None, rev: str) -> None:
    block = None if record is None else encode(record)
    collection, _, rkey = where.partition("/")
    cid = None if block is None else CID.of(block)
    write = OwnWrite(account.uri(where), account.did, collection, rkey, rev, cid, block)
    async with await db.create_pool(there.url, size=1) as pool:
        await show(pool, MAKERS, [write], datetime.now(UTC))


async def settled(there: World) -> None:
    async with await db.create_pool(there.url, size=1) as pool:
        await settle(pool, MAKERS.types, datetime.now(UTC))


async def evidence(there: World, uri: str) -> str | None:
    found: str | None = await there.value("select proven_by from records where uri = $1", uri)
    return found


async def fetched(there: World, made: Engine, account: Account, note: str) -> None:
    await jobs.want(there.connection, "fetch", [account.did], note=note)
    made.workers["fetch"].wake.set()
    await there.until("select not exists (select from jobs where kind = 'fetch')")


async def an_artist(there: World, made: Engine) -> Account:
    """One with three tracks, which are here."""
    artist = there.pds.create_account("artist")
    artist.write(*(create(artist, number) for number in range(3)))
    await fetched(there, made, artist, "wanted")
    return artist


def committed(account: Account, *writes: Write) -> CommitEvent:
    """A commit that nobody has heard of yet."""
    return account.repo.commit(writes)


async def test_the_firehose_proves_it(database_url: str) -> None:
    async with world(database_url) as there, there.ingesting() as made:
        await there.followed(made)
        artist = await an_artist(there, made)
        event = committed(artist, create(artist, 9))
        uri = artist.uri(path(artist, 9))
        await shown(there, artist, path(artist, 9), song("Song 9"), event.rev)
        assert await there.value("select title from tracks where uri = $1", uri) == "Song 9"
        assert await evidence(there, uri) == "write"
        artist.emit(event.frame())
        await there.until(f"select proven_by = 'live' from records where uri = '{uri}'")
        await settled(there)
        assert await there.value("select outcome from echoes") == "seen"
        assert not await there.value("select count(*) from pending")


async def test_a_fetch_proves_what_is_the_same_and_what_is_gone(database_url: str) -> None:
    async with world(database_url) as there, there.ingesting(live=False) as made:
        artist = await an_artist(there, made)
        new, gone = artist.uri(path(artist, 9)), artist.uri(path(artist, 1))
        event = committed(artist, create(artist, 9), Write("delete", path(artist, 1)))
        await shown(there, artist, path(artist, 9), song("Song 9"), event.rev)
        await shown(there, artist, path(artist, 1), None, event.rev)
        assert [await evidence(there, uri) for uri in (new, gone)] == ["write", "write"]
        await fetched(there, made, artist, UNSEEN)
        assert [await evidence(there, uri) for uri in (new, gone)] == ["fetch", "fetch"]
        assert await there.uris() == {artist.uri(key_.decode()) for key_ in artist.repo.leaves}
        await settled(there)
        assert not await there.value("select count(*) from pending")


async def test_what_is_on_its_way_is_no_difference(database_url: str) -> None:
    async with world(database_url) as there:
        async with there.ingesting(live=False) as made:
            artist = await an_artist(there, made)
            later = tid(time.time_ns() // 1_000, 1)
            await shown(there, artist, path(artist, 0), song("Renamed"), later)
            await shown(there, artist, path(artist, 1), None, later)
            await shown(there, artist, path(artist, 9), song("New"), later)
            await fetched(there, made, artist, "audit")
            assert not made.metrics.drift
            assert await there.value("select array_agg(title order by title) from tracks") == [
                "New",
                "Renamed",
                "Song 2",
            ]
        work = audit(
            config(there.directory, there.pds), there.url, [artist.did], sample=None, repair=False, patience=SECONDS
        )
        assert await asyncio.wait_for(work, SECONDS) == 0


async def test_what_never_was_is_gone_when_the_chain_has_passed_by(database_url: str) -> None:
    async with world(database_url) as there, there.ingesting() as made:
        await there.followed(made)
        artist = await an_artist(there, made)
        lie = committed(artist).rev
        await shown(there, artist, path(artist, 0), song("A lie"), lie)
        await shown(there, artist, path(artist, 9), song("Another"), lie)
        artist.write(create(artist, 10))
        await there.settled(made)
        await settled(there)
        await there.settled(made)
        assert await there.uris() == {artist.uri(key_.decode()) for key_ in artist.repo.leaves}
        assert await there.value("select title from tracks where uri = $1", artist.uri(path(artist, 0))) == "Song 0"
        assert await there.value("select tracks from actor_counts") == 4
        assert await there.value("select sum(n)::int from echoes where outcome = 'rolled_back'") == 2


async def test_who_signs_in_is_followed_by_an_ingester_at_work(database_url: str) -> None:
    """One without a record of ours, of whom no message counted until then."""
    async with world(database_url) as there, there.ingesting() as made:
        await there.followed(made)
        listener, stranger = there.pds.create_account("listener"), there.pds.create_account("stranger")
        for account in (listener, stranger):
            account.write(Write("create", PROFILE, profile("Before")))
        async with await db.create_pool(there.url, size=1) as pool:
            await track(pool, listener.did)
        await there.until("select status = 'synchronized' from repos")
        assert await evidence(there, listener.uri(PROFILE)) == "fetch"
        assert listener.did in made.states.tracked
        for account in (listener, stranger):
            account.write(Write("update", PROFILE, profile("After")))
        await there.until("select display_name = 'After' from bsky_profiles")
        assert await evidence(there, listener.uri(PROFILE)) == "live"
        assert await there.value("select array_agg(did) from repos") == [listener.did]
    async with there.ingesting() as made:
        assert listener.did in made.states.tracked


async def test_who_signs_in_while_nobody_ingests_is_fetched_later(database_url: str) -> None:
    async with world(database_url) as there:
        listener = there.pds.create_account("listener")
        listener.write(Write("create", PROFILE, profile("Listener")))
        async with await db.create_pool(there.url, size=1) as pool:
            await track(pool, listener.did)
        await there.connection.execute("delete from jobs")
        async with there.ingesting(live=False):
            await there.until("select display_name = 'Listener' from bsky_profiles")


async def test_a_write_of_who_was_never_seen_is_proven_by_the_fetch(database_url: str) -> None:
    async with world(database_url) as there, there.ingesting() as made:
        await there.followed(made)
        artist = there.pds.create_account("artist")
        artist.write(Write("create", PROFILE, profile("Artist")))
        event = committed(artist, create(artist, 1))
        uri = artist.uri(path(artist, 1))
        await shown(there, artist, path(artist, 1), song("Song 1"), event.rev)
        assert await there.value("select title from tracks") == "Song 1"
        artist.emit(event.frame())
        await there.until("select status = 'synchronized' from repos")
        assert await evidence(there, uri) in {"fetch", "live"}
        assert artist.did in made.states.tracked
        await settled(there)
        assert not await there.value("select count(*) from pending")
