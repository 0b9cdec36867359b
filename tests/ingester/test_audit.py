"""The sweep: what differs from a PDS is found, counted and repaired, whatever it is, and nothing else is."""

import asyncio

import pytest

from appview.index.repos import Chain
from appview.jobs import rows as jobs
from ingester.audit import Outcome, Said, _compare
from ingester.engine import Engine
from ingester.hosts import LatestCommit
from ingester.shard import Shard
from tests.ingester.planted import PLANTS
from tests.ingester.world import SECONDS, World, create, key, world
from tests.system.synthetic import NOW_US, Account, Pds
from tests.writer.cbor import cid_of
from tests.writer.repo import Write, tid

OLDER, HELD, NEWER = (tid(1_750_000_000_000_000 + number, 7) for number in range(3))
SAME, OTHER = b"\x01\x71\x12\x20" + bytes(32), b"\x01\x71\x12\x20" + bytes([1] * 32)
AROUND = "0.1"
"""The second look at what differs comes a hundredth of a second after the first."""
RECORDS = "select uri, cid, value, verdict from records where cid is not null order by uri"


@pytest.mark.parametrize(
    ("active", "said", "outcome"),
    [
        (True, Said(None, LatestCommit(SAME, HELD)), "equal"),
        # So it is with an account that moved, until it writes again (both revs are of the same commit).
        (True, Said(None, LatestCommit(SAME, NEWER)), "equal"),
        (True, Said(None, LatestCommit(OTHER, NEWER)), "behind"),
        (True, Said(None, LatestCommit(OTHER, HELD)), "differs"),
        (True, Said(None, LatestCommit(OTHER, OLDER)), "ahead"),
        (True, Said("takendown", None), "away"),
        (True, Said("deleted", None), "gone"),
        (False, Said("deactivated", None), "equal"),
        (False, Said(None, None), "back"),
    ],
)
def test_how_we_stand_to_what_a_pds_says(active: bool, said: Said, outcome: Outcome) -> None:
    chain = Chain("did:web:artist.test", "synchronized", HELD, b"", SAME, None, "fetched")
    assert _compare(chain, said, active=active) == outcome


async def audited(there: World, made: Engine, outcome: Outcome) -> None:
    """Wait until that has come of an audit once more, and what followed is done."""
    before = made.metrics.audited[outcome]
    async with asyncio.timeout(SECONDS):
        while made.metrics.audited[outcome] == before:
            await asyncio.sleep(0.01)
    await made.writer.durable()
    await there.settled(made)


async def an_artist(there: World, made: Engine, name: str = "artist") -> Account:
    """One with three tracks, which are here by a fetch."""
    await there.followed(made)
    artist = there.pds.create_account(name)
    artist.write(*(create(artist, number) for number in range(3)))
    await jobs.want(there.connection, "fetch", [artist.did])
    made.workers["fetch"].wake.set()
    await there.settled(made)
    return artist


def records(artist: Account) -> set[str]:
    """What the repository has at its PDS."""
    return {artist.uri(path.decode()) for path in artist.repo.leaves}


async def test_one_that_is_equal_is_noted_and_left_alone(database_url: str) -> None:
    async with world(database_url) as there, there.ingesting(PLYR_AUDIT_SECONDS=AROUND) as made:
        artist = await an_artist(there, made)
        before = await there.value("select fetched_at from repos")
        await audited(there, made, "equal")
        await audited(there, made, "equal")
        assert not made.metrics.drift.total()
        assert await there.value("select audited_at > now() - interval '5 seconds' from repos")
        assert await there.value("select fetched_at from repos") == before
        assert made.audit.oldest_seconds < 5
        await there.until("select metrics like '%plyr_audit_oldest_seconds%' from shards")
        assert await there.uris() == records(artist)


async def test_what_no_message_brought_is_fetched(database_url: str) -> None:
    async with world(database_url) as there, there.ingesting(PLYR_AUDIT_SECONDS=AROUND) as made:
        artist = await an_artist(there, made)
        artist.repo.commit([create(artist, 7), Write("delete", f"fm.plyr.track/{key(artist, 0)}")])
        await audited(there, made, "behind")
        assert made.metrics.drift.keys() == {"behind"}
        assert await there.uris() == records(artist)
        drift = made.metrics.drift.total()
        await audited(there, made, "equal")
        assert made.metrics.drift.total() == drift


async def test_what_the_stream_brings_meanwhile_is_no_drift(database_url: str) -> None:
    async with world(database_url) as there, there.ingesting() as made:
        artist = await an_artist(there, made)
        event = artist.repo.commit([create(artist, 7)])
        first = await made.audit._look(artist.did)
        assert first is not None
        assert first.outcome == "behind"
        artist.emit(event.frame())
        await there.settled(made)
        second = await made.audit._look(artist.did, first)
        assert second is not None
        assert second.outcome == "equal"
        # It is written to all the time: what was there at the first look is here at the second.
        artist.repo.commit([create(artist, 8)])
        third = await made.audit._look(artist.did, first)
        assert third is not None
        assert third.outcome == "equal"
        assert await made.audit._look(artist.did) == third._replace(outcome="behind")


@pytest.mark.parametrize(
    ("plant", "outcome"),
    [
        ("update repos set rev = '3222222222222', commit_cid = '\\x00', data = '\\x00'", "behind"),
        ("update repos set commit_cid = '\\x00'", "differs"),
    ],
)
async def test_a_head_that_is_not_its_pds_is_found_and_repaired(
    database_url: str, plant: str, outcome: Outcome
) -> None:
    async with world(database_url) as there, there.ingesting(PLYR_AUDIT_SECONDS=AROUND) as made:
        artist = await an_artist(there, made)
        await there.connection.execute(plant)
        await audited(there, made, outcome)
        assert made.metrics.drift[outcome] >= 1
        last = artist.repo.last
        assert last is not None
        row = await there.connection.fetchrow("select rev, commit_cid, data, status from repos")
        assert tuple(row or ()) == (last.rev, bytes(cid_of(last.signed)), bytes(last.data), "synchronized")


@pytest.mark.parametrize("plant", PLANTS)
async def test_records_that_differ_under_the_same_head_are_found_once_a_month(database_url: str, plant: str) -> None:
    async with world(database_url) as there, there.ingesting(PLYR_AUDIT_SECONDS=AROUND) as made:
        artist = await an_artist(there, made)
        before = await there.connection.fetch(RECORDS)
        await there.connection.execute(PLANTS[plant].format(did=artist.did))
        assert await there.connection.fetch(RECORDS) != before
        await there.connection.execute("update repos set fetched_at = now() - interval '31 days'")
        await there.until("select fetched_at > now() - interval '1 minute' from repos")
        await there.settled(made)
        assert made.metrics.drift == {"records": 1}
        assert await there.connection.fetch(RECORDS) == before
        assert await there.value("select count(*) from tracks") == 3
        assert await there.value("select tracks from actor_counts") == 3


async def test_what_is_older_than_what_was_proven_is_reported_and_not_followed(database_url: str) -> None:
    async with world(database_url) as there, there.ingesting(PLYR_AUDIT_SECONDS=AROUND) as made:
        artist = await an_artist(there, made)
        event = artist.repo.commit([create(artist, 7)])
        held = await there.connection.fetch(RECORDS)
        # As a PDS that was set back: what it says now was long ago.
        await there.connection.execute("update repos set rev = $1, commit_cid = '\\x00'", tid(NOW_US * 2, 1))
        await audited(there, made, "ahead")
        assert made.metrics.drift.keys() == {"ahead"}
        assert event.rev
        assert await there.connection.fetch(RECORDS) == held
        assert await there.value("select count(*) from jobs where kind = 'fetch'") == 0


async def test_a_head_that_its_pds_does_not_give_is_fetched_for_once(database_url: str) -> None:
    async with world(database_url) as there, there.ingesting(PLYR_AUDIT_SECONDS=AROUND) as made:
        artist = await an_artist(there, made)
        export = artist.repo.export()
        there.pds.answers_with = lambda _: export
        before = there.pds.asked["com.atproto.sync.getRepo"]
        artist.repo.commit([create(artist, 3)])
        await audited(there, made, "behind")
        for _ in range(3):
            await audited(there, made, "unreachable")
        assert there.pds.asked["com.atproto.sync.getRepo"] == before + 1
        assert made.metrics.drift == {"behind": 1}
        # What it writes is followed all the same.
        there.pds.answers_with = bytes
        artist.write(create(artist, 4))
        await there.settled(made)
        assert await there.uris() == records(artist)


async def test_an_account_that_went_or_came_back_without_a_word(database_url: str) -> None:
    async with world(database_url) as there, there.ingesting(PLYR_AUDIT_SECONDS=AROUND) as made:
        artist = await an_artist(there, made)
        for status, outcome in (("deactivated", "away"), (None, "back"), ("deleted", "gone")):
            artist.active, artist.status = status is None, status
            await audited(there, made, outcome)  # type: ignore[arg-type]
            await there.until(f"select active = {artist.active} from actors")
            assert made.metrics.drift[outcome] >= 1
            assert await there.value("select status from actors") == status
        # One that is away on both sides is as it should be.
        drift = made.metrics.drift.total()
        await audited(there, made, "equal")
        await audited(there, made, "equal")
        assert made.metrics.drift.total() == drift


async def test_one_that_has_moved_is_asked_about_where_it_is(database_url: str) -> None:
    async with world(database_url) as there, Pds(there.directory, "pds2") as other, there.ingesting() as made:
        artist = await an_artist(there, made)
        await there.connection.execute("update actors set pds = $1", other.url)
        first = await made.audit._look(artist.did)
        assert first is not None
        assert first.outcome == "gone"
        second = await made.audit._look(artist.did, first)
        assert second is not None
        assert second.outcome == "equal"


async def test_a_host_that_does_not_answer_holds_up_nobody_else(database_url: str) -> None:
    async with (
        world(database_url) as there,
        Pds(there.directory, "pds2") as other,
        there.ingesting(PLYR_AUDIT_SECONDS=AROUND) as made,
    ):
        artist = await an_artist(there, made)
        elsewhere = other.create_account("elsewhere")
        elsewhere.write(create(elsewhere, 1))
        await jobs.want(there.connection, "fetch", [elsewhere.did])
        await there.settled(made)
        other.down = True
        await audited(there, made, "unreachable")
        await audited(there, made, "equal")
        assert not made.metrics.drift.total()
        assert await there.value("select count(*) from repos where audited_at is not null") == 2
        assert await there.uris() == records(artist) | records(elsewhere)


async def test_a_repository_whose_job_was_lost_is_fetched(database_url: str) -> None:
    async with world(database_url) as there, there.ingesting(PLYR_AUDIT_SECONDS=AROUND) as made:
        artist = await an_artist(there, made)
        await there.connection.execute("delete from records")
        await there.connection.execute("update repos set status = 'desynchronized', reason = 'planted'")
        made.states.forget(artist.did)
        await audited(there, made, "unfetched")
        assert made.metrics.drift.keys() == {"unfetched"}
        assert await there.uris() == records(artist)


async def test_each_shard_audits_its_own(database_url: str) -> None:
    async with world(database_url) as there:
        async with there.ingesting() as made:
            artists = [await an_artist(there, made, f"artist{number}") for number in range(6)]
        async with there.ingesting(PLYR_SHARD="1/2", PLYR_AUDIT_SECONDS=AROUND) as made:
            await audited(there, made, "equal")
            async with asyncio.timeout(SECONDS):
                while made.metrics.audited["equal"] < 6:
                    await asyncio.sleep(0.01)
            await made.writer.durable()
        rows = await there.connection.fetch("select did from repos where audited_at is not null")
        assert {row["did"] for row in rows} == {a.did for a in artists if Shard(1, 2).owns(a.did)}
