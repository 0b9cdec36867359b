"""What was written through us: real PDSes, our real processes, and a PDS that lies. Whoever writes is played by the
tests, which know what the PDS has answered.
"""

import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from appview import db
from appview.index.pending import OwnWrite, show, track
from lexicons.data import CID, encode, from_json
from lexicons.formats import parse_at_uri, tid_from_time_us
from tests.appview.index.filled import MAKERS
from tests.database import Server
from tests.network import records
from tests.network.launch import Addresses
from tests.network.network import Network
from tests.network.repo import Repo, Written
from tests.network.xrpc import Json
from tests.system.stage import Stage, staged, system_beside
from tests.system.world import System

BSKY_PROFILE = "app.bsky.actor.profile"


@pytest.fixture(scope="module")
def system(network_addresses: Addresses, database_server: Server) -> Iterator[System]:
    """One system for all tests here."""
    with database_server.database() as url, system_beside(network_addresses, url) as system:
        yield system


@pytest.fixture
async def stage(system: System, network: Network) -> AsyncIterator[Stage]:
    async with staged(system, network) as stage:
        yield stage


@pytest.fixture
async def pool(system: System) -> AsyncIterator[db.Pool]:
    async with await db.create_pool(system.database_url, size=2) as pool:
        yield pool


async def shown(pool: db.Pool, uri: str, record: Json | None, rev: str | None, *, ago: float = 0.0) -> None:
    """A PDS has said, so many seconds ago, that it took this from us at `rev`."""
    parts = parse_at_uri(uri)
    block = None if record is None else encode(from_json(record))
    cid = None if block is None else CID.of(block)
    assert parts.collection
    assert parts.rkey
    assert rev
    write = OwnWrite(uri, parts.authority, parts.collection, parts.rkey, rev, cid, block)
    await show(pool, MAKERS, [write], datetime.now(UTC) - timedelta(seconds=ago))


async def written(pool: db.Pool, user: Repo, collection: str, record: Json, *, ago: float = 0.0) -> Written:
    """A write that its PDS took, shown at once."""
    done = await user.create_record(collection, record)
    await shown(pool, done.uri, record, done.rev, ago=ago)
    return done


async def explained(stage: Stage, uri: str) -> Json:
    found: Json = await stage.ask("server.explain", uri=uri)
    return found


async def until_nothing_is_pending(stage: Stage, pool: db.Pool) -> None:
    async def is_settled() -> bool:
        return not await pool.fetchval("select exists (select from pending)")

    await stage.system.until(is_settled, "nothing is pending")


async def until_title(stage: Stage, uri: str, title: str | None) -> None:
    async def is_so() -> bool:
        view = await stage.track(uri)
        return (None if view is None else view["record"]["title"]) == title

    await stage.system.until(is_so, f"{uri} is {title}")


async def test_a_write_is_there_at_once_and_the_firehose_proves_it(stage: Stage, pool: db.Pool) -> None:
    artist = await stage.network.create_account("artist")
    first = await artist.create_record(records.TRACK, records.track())
    await stage.settle()
    stage.system.ingester.freeze()
    try:
        song = await written(pool, artist, records.TRACK, records.track("New"))
        await until_title(stage, song.uri, "New")
        told = await explained(stage, song.uri)
        assert "and was not yet seen on the firehose" in told["explanation"]
        assert (told["state"], told["record"]["provenBy"]) == ("shown", "write")
        gone = await artist.delete_record(records.TRACK, first.uri.rpartition("/")[2])
        await shown(pool, first.uri, None, gone)
        await until_title(stage, first.uri, None)
        by = await stage.ask("actor.getProfile", actor=artist.did)
        assert by["tracksCount"] == 1
    finally:
        stage.system.ingester.thaw()
    await stage.settle()
    await until_nothing_is_pending(stage, pool)
    told = await explained(stage, song.uri)
    assert (told["record"]["provenBy"], told["record"].get("writtenAt")) == ("live", None)
    assert (await explained(stage, first.uri))["state"] == "deleted"
    assert not await stage.audited()
    status, metrics = await stage.client.get("/metrics")
    assert status == 200
    assert 'plyr_own_write_seconds_count{outcome="seen"}' in metrics


async def test_a_lie_is_taken_back_when_the_repository_moves_on(stage: Stage, pool: db.Pool) -> None:
    artist = await stage.network.create_account("artist")
    song = await artist.create_record(records.TRACK, records.track("True"))
    await stage.settle()
    never = f"at://{artist.did}/{records.TRACK}/{now_tid()}"
    stage.system.ingester.freeze()
    try:
        await shown(pool, song.uri, records.track("A lie"), now_tid())
        await shown(pool, never, records.track("Never"), now_tid())
        await until_title(stage, song.uri, "A lie")
        await until_title(stage, never, "Never")
        await artist.create_record(records.TRACK, records.track("Another"))
    finally:
        stage.system.ingester.thaw()
    await stage.settle()
    await until_title(stage, song.uri, "True")
    await until_title(stage, never, None)
    await until_nothing_is_pending(stage, pool)
    await stage.settle()
    assert (await explained(stage, never))["state"] == "never-seen"
    assert (await stage.ask("actor.getProfile", actor=artist.did))["tracksCount"] == 2
    assert not await stage.audited()


async def test_a_lie_is_taken_back_when_a_fetch_does_not_bring_it(stage: Stage, pool: db.Pool) -> None:
    artist = await stage.network.create_account("artist")
    song = await artist.create_record(records.TRACK, records.track("True"))
    await stage.settle()
    await shown(pool, song.uri, records.track("A lie"), now_tid(), ago=40)
    await until_title(stage, song.uri, "True")
    await until_nothing_is_pending(stage, pool)
    assert await pool.fetchval("select fetched_at > now() - interval '1 minute' from repos where did = $1", artist.did)
    await stage.settle()
    assert not await stage.audited()


async def test_who_signs_in_is_followed_at_once(stage: Stage, pool: db.Pool) -> None:
    """With no record of ours: what an account calls itself elsewhere is here, and stays up to date."""
    listener = await stage.network.create_account("listener")
    await listener.put_record(BSKY_PROFILE, "self", {"displayName": "Before"})
    await stage.settle()
    await track(pool, listener.did)

    async def is_called(name: str) -> bool:
        profile: dict[str, Any] = await stage.ask("actor.getProfile", actor=listener.did)
        return profile.get("displayName") == name

    await stage.system.until(lambda: is_called("Before"), "the repository is fetched")
    await stage.settle()
    await listener.put_record(BSKY_PROFILE, "self", {"displayName": "After"})
    await stage.system.until(lambda: is_called("After"), "what came by the firehose is here")
    told = await explained(stage, f"at://{listener.did}/{BSKY_PROFILE}/self")
    assert told["record"]["provenBy"] == "live"


async def test_the_canary_says_that_nothing_comes_back(stage: Stage, pool: db.Pool) -> None:
    network, system = stage.network, stage.system
    users = [await network.create_account(f"user{n}", pds=pds) for n, pds in enumerate(network.pds)]
    for user in users:
        await user.create_record(records.TRACK, records.track())
    await stage.settle()

    async def are_hosts_known() -> bool:
        known = "select count(distinct pds) from actors where did = any($1)"
        return bool(await pool.fetchval(known, [user.did for user in users]) == len(users))

    await system.until(are_hosts_known, "the worker knows where they are")
    system.ingester.kill()
    await pool.execute("delete from echo_hosts")  # what other tests have heard within these seventy seconds
    for user in users:
        await written(pool, user, records.TRACK, records.track("Unheard"), ago=70)
    told = f"Writes through us at {len(users)} PDSes have not come back by the firehose"
    _, body = await stage.client.get("/ready")
    assert any(warning.startswith(told) for warning in body["warnings"]), "so few do not decide"
    # As if they had been heard before, and a third had as well.
    await pool.execute(
        "insert into echo_hosts (pds, seen_at) select distinct pds, now() - interval '1 hour' from actors"
    )
    await pool.execute(
        "insert into echo_hosts (pds, seen_at, missed_at) values ($1, $2::timestamptz, $2 + interval '30 minutes')",
        "https://third.test",
        datetime.now(UTC) - timedelta(hours=1),
    )
    status, body = await stage.client.get("/ready")
    assert status == 503
    assert any(reason.startswith(told) for reason in body["reasons"])
    await pool.execute("delete from echo_hosts")

    system.ingester.start()
    await until_nothing_is_pending(stage, pool)
    for user in users:
        await written(pool, user, records.TRACK, records.track("Heard"))

    async def is_heard() -> bool:
        _, body = await stage.client.get("/ready")
        return not any(said.startswith("Writes") for said in (*body["reasons"], *body["warnings"]))

    await system.until(is_heard, "what is written comes back")
    await until_nothing_is_pending(stage, pool)
    await stage.settle()
    assert not await stage.audited()


def now_tid() -> str:
    return tid_from_time_us(time.time_ns() // 1_000, 7)
