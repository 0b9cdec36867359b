"""`audit`: what differs from a PDS is found to the record, and repaired where that is asked for."""

import asyncio

import pytest

from appview.commands.check import _check
from appview.index.rebuild import Makers
from appview.jobs import rows as jobs
from ingester.commands.audit import audit
from ingester.leader import leaders
from tests.ingester.planted import PLANTS
from tests.ingester.world import SECONDS, World, config, create, world
from tests.system.synthetic import Account
from tests.writer.repo import Write

RECORDS = "select uri, cid, value, verdict from records where cid is not null order by uri"
SAID = {
    "lost": "is not here",
    "deleted": "is deleted here",
    "spoiled": "with bytes that are not those of its CID",
    "another": "in its repository",
    "added": "is here, and is not in its repository",
}


async def audited(
    there: World, *dids: str, sample: int | None = None, repair: bool = False, patience: float = SECONDS
) -> int:
    settings = config(there.directory, there.pds)
    work = audit(settings, there.url, dids, sample=sample, repair=repair, patience=patience)
    return await asyncio.wait_for(work, SECONDS)


async def an_artist(there: World, name: str = "artist") -> Account:
    """One with three tracks, which are here."""
    artist = there.pds.create_account(name)
    artist.write(*(create(artist, number) for number in range(3)))
    await jobs.want(there.connection, "fetch", [artist.did])
    async with there.ingesting() as made:
        await there.settled(made)
    return artist


Capture = pytest.CaptureFixture[str]


async def test_without_a_difference_it_says_so(database_url: str, capsys: Capture) -> None:
    async with world(database_url) as there:
        for name in ("artist", "another", "third"):
            await an_artist(there, name)
        assert await audited(there) == 0
        assert capsys.readouterr().out == "3 repositories compared, 0 differences\n"
        assert await audited(there, sample=2) == 0
        assert capsys.readouterr().out == "2 repositories compared, 0 differences\n"
        assert not await there.value("select count(*) from jobs where kind in ('fetch', 'status')")


@pytest.mark.parametrize("plant", PLANTS)
async def test_a_planted_difference_is_found_and_repaired(database_url: str, capsys: Capture, plant: str) -> None:
    async with world(database_url) as there:
        artist = await an_artist(there)
        before = await there.connection.fetch(RECORDS)
        await there.connection.execute(PLANTS[plant].format(did=artist.did))
        assert await audited(there, artist.did) == 1
        found = capsys.readouterr().out.splitlines()
        assert f"at://{artist.did}/fm.plyr.track/" in found[0]
        assert SAID[plant] in found[0]
        assert await there.connection.fetch(RECORDS) != before
        assert await audited(there, repair=True) == 1
        assert capsys.readouterr().out.endswith("once more:\n1 repositories compared, 0 differences\n")
        assert await there.connection.fetch(RECORDS) == before
        assert await there.value("select tracks from actor_counts") == 3
        assert await audited(there) == 0
        assert not await leaders(there.connection)


async def test_a_head_set_back_is_found_and_repaired_beside_an_ingester(database_url: str, capsys: Capture) -> None:
    async with world(database_url) as there:
        artist = await an_artist(there)
        async with there.ingesting():
            await there.connection.execute("update repos set commit_cid = '\\x00'")
            assert await audited(there, artist.did, repair=True) == 1
            assert f"{artist.did}: its head at {artist.repo.last.rev if artist.repo.last else ''} is another" in (
                capsys.readouterr().out
            )
            assert await audited(there, artist.did) == 0


async def test_while_it_is_written_to_nothing_differs(database_url: str, capsys: Capture) -> None:
    async with world(database_url) as there:
        artist = await an_artist(there)
        async with there.ingesting() as made:
            await there.followed(made)

            async def write() -> None:
                for number in range(100, 125):
                    artist.write(create(artist, number))
                    await asyncio.sleep(0.03)

            writing = asyncio.create_task(write())
            for _ in range(2):
                assert await audited(there, artist.did) == 0, capsys.readouterr().out
            await writing


async def test_one_that_lags_behind_and_one_that_is_not_followed(database_url: str, capsys: Capture) -> None:
    async with world(database_url) as there:
        artist = await an_artist(there)
        artist.repo.commit([create(artist, 9), Write("delete", next(iter(artist.repo.leaves)).decode())])
        stranger = there.pds.create_account("stranger")
        stranger.repo.commit([create(stranger, 1)])
        assert await audited(there, artist.did, stranger.did, patience=0.1) == 1
        out = capsys.readouterr().out
        assert f"{artist.did}: it is at " in out
        assert f"{stranger.did}: it has records of ours, and is not followed here" in out
        assert await audited(there, artist.did, stranger.did, repair=True, patience=0.1) == 1
        assert await audited(there) == 0
        assert len(await there.uris()) == 4


async def test_an_account_that_is_away_or_back_is_a_difference(database_url: str, capsys: Capture) -> None:
    async with world(database_url) as there:
        artist = await an_artist(there)
        artist.active, artist.status = False, "takendown"
        assert await audited(there, repair=True) == 1
        assert "its account is active here, and takendown at its PDS" in capsys.readouterr().out
        assert await there.value("select status from actors") == "takendown"
        assert await audited(there) == 0
        artist.active, artist.status = True, None
        assert await audited(there, repair=True) == 1
        assert "its account is not active here, and it is at its PDS" in capsys.readouterr().out
        assert await audited(there) == 0


async def test_what_is_derived_is_looked_at_too(database_url: str, capsys: Capture) -> None:
    async with world(database_url) as there:
        artist = await an_artist(there)
        await there.connection.execute("delete from tracks where uri = (select min(uri) from tracks)")
        assert await audited(there, artist.did) == 1
        assert "it has no row in tracks (python -m appview check --repair)" in capsys.readouterr().out
        await there.connection.execute(
            "update records set rev = '3zzzzzzzzzzzz' where uri = (select max(uri) from records)"
        )
        assert await audited(there, artist.did) == 1
        assert "it is of rev 3zzzzzzzzzzzz, and its repository at " in capsys.readouterr().out
        await _check(there.url, Makers.of("fm.plyr"), repair=True)
        assert await audited(there, artist.did) == 0


async def test_a_host_that_does_not_answer_is_named(database_url: str, capsys: Capture) -> None:
    async with world(database_url) as there:
        artist = await an_artist(there)
        there.pds.down = True
        assert await audited(there) == 1
        out = capsys.readouterr().out
        assert f"{artist.did}: could not be compared: " in out
        assert "0 repositories compared, 0 differences; 1 could not be compared" in out
