"""An account's status is its own PDS's word, and an event no more than a reason to ask."""

from dataclasses import replace

import pytest

from tests.ingester.world import World, create, key, like, world
from tests.system.synthetic import Account, Pds


async def likes_of(there: World, track: str) -> int:
    return int(await there.value("select likes from subject_counts where subject = $1", track) or 0)


def pair(there: World) -> tuple[Account, Account, str]:
    """An artist with a track, and a fan who likes it."""
    artist, fan = there.pds.create_account("artist"), there.pds.create_account("fan")
    artist.write(create(artist, 1))
    track = artist.uri(f"fm.plyr.track/{key(artist, 1)}")
    fan.write(create(fan, 2, "fm.plyr.like", **like(track)))
    return artist, fan, track


@pytest.mark.parametrize("status", ["deactivated", "takendown", "suspended"])
async def test_who_is_away_is_hidden_and_comes_back_whole(database_url: str, status: str) -> None:
    async with world(database_url) as there:
        _, fan, track = pair(there)
        async with there.ingesting() as made:
            await there.settled(made)
            assert await likes_of(there, track) == 1
            fan.set_status(status)
            await there.until(f"select status = '{status}' from actors where did = '{fan.did}'")
            assert await likes_of(there, track) == 0
            assert await there.value("select count(*) from likes") == 1
            # What it does meanwhile is not seen; coming back, its repository is compared and fetched.
            fan.repo.commit([create(fan, 3)])
            fan.set_status(None)
            await there.until(f"select active from actors where did = '{fan.did}'")
            await there.settled(made)
            assert await likes_of(there, track) == 1
            assert await there.value("select count(*) from tracks where did = $1", fan.did) == 1


async def test_who_is_deleted_is_forgotten(database_url: str) -> None:
    async with world(database_url) as there:
        _, fan, track = pair(there)
        written = fan.write(create(fan, 9))
        async with there.ingesting() as made:
            await there.settled(made)
            fan.set_status("deleted")
            await there.until(f"select status = 'deleted' from actors where did = '{fan.did}'")
            await there.settled(made)
            assert await likes_of(there, track) == 0
            assert await there.value("select count(*) from records where did = $1", fan.did) == 0
            assert await there.value("select count(*) from repos where did = $1", fan.did) == 0
            assert fan.did not in made.states.tracked
            # An old message of its that comes again brings nothing back.
            fan.emit(replace(written, seq=there.pds.host.next_seq()).frame())
            await there.settled(made)
            assert await there.value("select count(*) from records where did = $1", fan.did) == 0


async def test_what_a_former_host_says_hides_nobody(database_url: str) -> None:
    async with world(database_url) as there, Pds(there.directory, "pds2") as other:
        _, fan, track = pair(there)
        async with there.ingesting() as made:
            await there.settled(made)
            fan.migrate(other)  # the old host says truthfully that it is deactivated there
            await there.settled(made)
            assert await there.value("select active from actors where did = $1", fan.did)
            assert await likes_of(there, track) == 1


async def test_while_nobody_can_be_asked_a_claim_hides_and_is_checked_later(database_url: str) -> None:
    async with world(database_url) as there:
        _, fan, track = pair(there)
        async with there.ingesting() as made:
            await there.settled(made)
            there.pds.refuses = {"com.atproto.sync.getRepoStatus"}
            fan.emit(fan.repo.account(active=False, status="deactivated"))
            await there.until(f"select not active from actors where did = '{fan.did}'")
            assert await likes_of(there, track) == 0
            there.pds.refuses = set()
            await there.connection.execute("update jobs set due_at = now()")
            await there.until(f"select active from actors where did = '{fan.did}'")
            assert await likes_of(there, track) == 1


async def test_a_message_of_one_who_is_thought_to_be_away_makes_us_ask(database_url: str) -> None:
    async with world(database_url) as there:
        _, fan, track = pair(there)
        async with there.ingesting() as made:
            await there.settled(made)
            fan.set_status("deactivated")
            await there.until(f"select not active from actors where did = '{fan.did}'")
            fan.active, fan.status = True, None  # and no event says so
            fan.write(create(fan, 5))
            await there.until(f"select active from actors where did = '{fan.did}'")
            await there.settled(made)
            assert await there.value("select count(*) from tracks where did = $1", fan.did) == 1
            assert await likes_of(there, track) == 1
