"""An account's status is its own PDS's word, and an event no more than a reason to ask."""

import itertools
from dataclasses import replace

import pytest
from aiohttp import web

from appview.accounts.erasure import want_open
from appview.index import actors
from appview.index.lock import index_lock
from appview.jobs.identity import MOVED
from appview.jobs.rows import want
from ingester.engine import Engine
from tests.ingester.world import World, create, key, like, world
from tests.system.synthetic import Account, Pds, refusal

INACTIVE = ["takendown", "suspended", "deactivated", "desynchronized", "throttled", "a word of days to come", None]


async def likes_of(there: World, track: str) -> int:
    return int(await there.value("select likes from subject_counts where subject = $1", track) or 0)


def pair(there: World, pds: Pds | None = None) -> tuple[Account, Account, str]:
    """An artist with a track, and a fan who likes it."""
    artist, fan = there.pds.create_account("artist"), (pds or there.pds).create_account("fan")
    artist.write(create(artist, 1))
    track = artist.uri(f"fm.plyr.track/{key(artist, 1)}")
    fan.write(create(fan, 2, "fm.plyr.like", **like(track)))
    return artist, fan, track


def say(account: Account, *, active: bool, status: str | None) -> None:
    """Have its PDS say this of an account, in an event and when it is asked."""
    account.active, account.status = active, status
    account.emit(account.repo.account(active=active, status=status))


async def status_of(there: World, account: Account) -> tuple[bool, str | None]:
    row = await there.connection.fetchrow("select active, status from actors where did = $1", account.did)
    return (row["active"], row["status"]) if row is not None else (False, "unknown")


async def ask_again(there: World, made: Engine, account: Account) -> None:
    """Have everything that waits for a host done now, and an account asked about."""
    await want(there.connection, "status", [account.did], note="recheck")
    await hurry(there, made)
    await there.settled(made)


async def hurry(there: World, made: Engine) -> None:
    """Have everything that waits done now."""
    await there.connection.execute("update jobs set due_at = now() where not leased")
    for worker in made.workers.values():
        worker.wake.set()


async def are_of(there: World, account: Account, table: str) -> int:
    """How many rows of an account a table has."""
    return int(await there.value(f"select count(*) from {table} where did = $1", account.did))


@pytest.mark.parametrize("status", INACTIVE)
async def test_who_is_away_is_hidden_and_comes_back_whole(database_url: str, status: str | None) -> None:
    async with world(database_url) as there:
        _, fan, track = pair(there)
        async with there.ingesting() as made:
            await there.settled(made)
            assert await likes_of(there, track) == 1
            say(fan, active=False, status=status)
            await there.until(f"select not active from actors where did = '{fan.did}'")
            await there.settled(made)
            assert await status_of(there, fan) == (False, status)
            assert await likes_of(there, track) == 0
            assert await there.value("select count(*) from likes") == 1
            # What it does meanwhile is not seen; coming back, its repository is compared and fetched.
            fan.repo.commit([create(fan, 3)])
            fan.set_status(None)
            await there.until(f"select active from actors where did = '{fan.did}'")
            await there.settled(made)
            assert await likes_of(there, track) == 1
            assert await are_of(there, fan, "tracks") == 1


@pytest.mark.parametrize("status", ["desynchronized", "throttled", "a word of days to come"])
async def test_who_is_active_is_shown_whatever_the_status(database_url: str, status: str) -> None:
    async with world(database_url) as there:
        _, fan, track = pair(there)
        async with there.ingesting() as made:
            await there.settled(made)
            fan.repo.commit([create(fan, 3)])  # and no event says so
            say(fan, active=True, status=status)
            await there.until(f"select status = '{status}' from actors where did = '{fan.did}'")
            await there.settled(made)
            assert await status_of(there, fan) == (True, status)
            assert await likes_of(there, track) == 1
            assert await are_of(there, fan, "tracks") == 1


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
            assert await are_of(there, fan, "records") == await are_of(there, fan, "repos") == 0
            assert fan.did not in made.states.tracked
            # An old message of its that comes again brings nothing back.
            fan.emit(replace(written, seq=there.pds.host.next_seq()).frame())
            await heard(there, made, there.pds)
            assert await are_of(there, fan, "records") == await are_of(there, fan, "repos") == 0
            await there.until(f"select count(*) = 0 from did_documents where did = '{fan.did}'")


async def test_who_was_forgotten_and_is_back_is_found_again(database_url: str) -> None:
    async with world(database_url) as there:
        _, fan, track = pair(there)
        async with there.ingesting() as made:
            await there.settled(made)
            fan.set_status("deleted")
            await there.until(f"select status = 'deleted' from actors where did = '{fan.did}'")
            await there.settled(made)
            fan.active, fan.status = True, None
            await made.discovery.want([fan.did], "discovered")
            await there.until(f"select active from actors where did = '{fan.did}'")
            await there.settled(made)
            assert await likes_of(there, track) == 1


async def erase(there: World, account: Account) -> None:
    """Have the account forgotten, as if it had asked for that; all but what the ingester does is done."""
    await there.connection.execute(
        "insert into erasures (did, state, records) values ($1, 'purging', false)", account.did
    )
    await want(there.connection, "erase", [account.did])
    await there.until(f"select state = 'done' from erasures where did = '{account.did}'")


async def test_who_asked_to_be_forgotten_is_and_stays_so_until_they_come_back(database_url: str) -> None:
    async with world(database_url) as there:
        _, fan, track = pair(there)
        async with there.ingesting() as made:
            await there.settled(made)
            assert await likes_of(there, track) == 1
            await erase(there, fan)
            assert await likes_of(there, track) == 0
            for table in ("records", "repos", "actors", "did_documents"):
                assert await are_of(there, fan, table) == 0, table
            assert fan.did not in made.states.tracked
            await made.discovery.want([fan.did], "discovered")
            await made.discovery.once(there.pds.url)
            await there.settled(made)
            assert await are_of(there, fan, "repos") == 0, "what lists it brings nobody back"
            fan.write(create(fan, 9))
            await there.until(f"select exists (select from repos where did = '{fan.did}')")
            await there.settled(made)
            assert await likes_of(there, track) == 1, "all that it has is here again"
            assert await are_of(there, fan, "erasures") == 0


async def test_a_purge_that_was_asked_for_before_one_came_back_is_not_done_again(database_url: str) -> None:
    async with world(database_url) as there:
        _, fan, track = pair(there)
        async with there.ingesting() as made:
            await there.settled(made)
            await want(there.connection, "erase", [fan.did])
            await there.settled(made)
            assert await likes_of(there, track) == 1
            assert await are_of(there, fan, "repos") == 1


async def test_a_purge_goes_on_where_another_process_was_stopped(database_url: str) -> None:
    async with world(database_url) as there:
        _, fan, track = pair(there)
        async with there.ingesting() as made:
            await there.settled(made)
        await there.connection.execute(
            "insert into erasures (did, state, records) values ($1, 'purging', false)", fan.did
        )
        async with there.connection.transaction():
            await index_lock(there.connection)
            assert not await actors.purge(there.connection, fan.did, limit=1)
        async with there.ingesting():
            await want_open(there.connection)
            await there.until(f"select state = 'done' from erasures where did = '{fan.did}'")
            assert await are_of(there, fan, "records") == 0
            assert await likes_of(there, track) == 0


# Hosts that speak for others


def both(there: World, other: Pds) -> str:
    """The setting with which two PDSes are followed."""
    return f"{there.pds.url},{other.url}"


async def heard(there: World, made: Engine, *hosts: Pds) -> None:
    """Wait until all is in that these PDSes have sent, which is something since they are followed."""
    for host in hosts:
        await there.until(
            f"select coalesce((select cursor from upstreams where url = '{host.url}'), 0) >= {host.stream.head}"
        )
    await there.settled(made)


@pytest.mark.parametrize("status", ["deactivated", "deleted"])
async def test_what_a_former_host_says_hides_nobody(database_url: str, status: str) -> None:
    async with world(database_url) as there, Pds(there.directory, "pds2") as other:
        _, fan, track = pair(there)
        other.create_account("somebody").write()
        async with there.ingesting(PLYR_RELAY_URLS=both(there, other)) as made:
            await there.settled(made)
            fan.migrate(other)  # the old host says truthfully that it is deactivated there
            there.pds.accounts[fan.did].set_status(status)
            await heard(there, made, there.pds, other)
            assert await status_of(there, fan) == (True, None)
            assert await likes_of(there, track) == 1
            assert await are_of(there, fan, "records") == 1


async def test_after_a_migration_the_state_stays_and_the_next_commit_chains(database_url: str) -> None:
    """The new host's #sync cannot verify, and the rev that it names is not that of its commit: nothing is fetched."""
    async with world(database_url) as there, Pds(there.directory, "pds2") as other:
        _, fan, track = pair(there)
        other.create_account("somebody").write()
        async with there.ingesting(PLYR_RELAY_URLS=both(there, other)) as made:
            await there.settled(made)
            before = await there.connection.fetchrow("select rev, data, status from repos where did = $1", fan.did)
            fetched = there.pds.asked["com.atproto.sync.getRepo"] + other.asked["com.atproto.sync.getRepo"]
            moved = fan.migrate(other)
            await heard(there, made, there.pds, other)
            for _ in range(3):
                await ask_again(there, made, moved)
            assert (
                await there.connection.fetchrow("select rev, data, status from repos where did = $1", fan.did) == before
            )
            assert made.metrics.frames["#sync", "invalid", "rev_mismatch"] == 1
            moved.write(create(moved, 5))
            await heard(there, made, other)
            assert await are_of(there, fan, "tracks") == 1
            assert await likes_of(there, track) == 1
            assert there.pds.asked["com.atproto.sync.getRepo"] + other.asked["com.atproto.sync.getRepo"] == fetched


async def test_who_had_written_before_the_move_was_heard_of_is_fetched(database_url: str) -> None:
    async with world(database_url) as there, Pds(there.directory, "pds2") as other:
        _, fan, _ = pair(there)
        async with there.ingesting() as made:
            await there.settled(made)
            moved = fan.migrate(other)  # which is no upstream
            moved.write(create(moved, 5))
            await want(there.connection, "status", [fan.did], note=MOVED)
            await hurry(there, made)
            await there.until(f"select count(*) = 1 from tracks where did = '{fan.did}'")


async def test_a_host_that_never_had_the_account(database_url: str) -> None:
    """A DID document that names a wrong host hides the account, and takes nothing from it."""
    async with world(database_url) as there, Pds(there.directory, "pds2") as other:
        _, fan, track = pair(there)
        async with there.ingesting() as made:
            await there.settled(made)
            here, fan.repo.host = fan.repo.host, other.host
            there.directory.register(fan.repo)
            fan.repo.host = here
            made.signers.purge(fan.did)
            await ask_again(there, made, fan)
            assert await status_of(there, fan) == (False, "deleted")
            assert await are_of(there, fan, "records") == 1
            there.directory.register(fan.repo)
            made.signers.purge(fan.did)
            await ask_again(there, made, fan)
            assert await status_of(there, fan) == (True, None)
            assert await likes_of(there, track) == 1


@pytest.mark.parametrize("claims", list(itertools.permutations(["deleted", "deactivated", "active"])))
@pytest.mark.parametrize("truth", ["suspended", None])
async def test_the_order_of_hearsay_does_not_matter(
    database_url: str, claims: tuple[str, ...], truth: str | None
) -> None:
    async with world(database_url) as there:
        _, fan, track = pair(there)
        async with there.ingesting() as made:
            await there.settled(made)
            fan.active, fan.status = truth is None, truth
            for claim in claims:
                fan.emit(fan.repo.account(active=claim == "active", status=None if claim == "active" else claim))
            await heard(there, made, there.pds)
            assert await status_of(there, fan) == (truth is None, truth)
            assert await are_of(there, fan, "records") == 1
            assert await likes_of(there, track) == (truth is None)


# Hosts that cannot be asked


@pytest.mark.parametrize("status", [*INACTIVE, "deleted"])
async def test_while_nobody_can_be_asked_a_claim_hides_and_is_checked_later(
    database_url: str, status: str | None
) -> None:
    async with world(database_url) as there:
        _, fan, track = pair(there)
        async with there.ingesting() as made:
            await there.settled(made)
            there.pds.refuses = {"com.atproto.sync.getRepoStatus"}
            # That it was wanted before for another reason, and in vain, changes nothing.
            await want(there.connection, "status", [fan.did], note="recheck")
            await hurry(there, made)
            await there.until("select error is not null and not leased from jobs where kind = 'status'")
            fan.emit(fan.repo.account(active=False, status=status))
            await there.until("select wanted > 1 from jobs where kind = 'status'")
            await hurry(there, made)
            await there.until(f"select not active from actors where did = '{fan.did}'")
            assert await status_of(there, fan) == (False, status or "inactive")
            assert await likes_of(there, track) == 0
            assert await are_of(there, fan, "records") == 1
            there.pds.refuses = set()
            await ask_again(there, made, fan)
            assert await status_of(there, fan) == (True, None)
            assert await likes_of(there, track) == 1


async def test_nothing_is_forgotten_before_the_host_says_so_too(database_url: str) -> None:
    async with world(database_url) as there:
        _, fan, _ = pair(there)
        async with there.ingesting() as made:
            await there.settled(made)
            there.pds.down = True
            made.signers.purge(fan.did)
            fan.set_status("deleted")
            await there.until(f"select not active from actors where did = '{fan.did}'")
            assert await are_of(there, fan, "records") == 1
        async with there.ingesting() as made:
            there.pds.down = False
            await hurry(there, made)
            await there.settled(made)
            assert await are_of(there, fan, "records") == 0


async def test_a_silent_host_changes_nothing(database_url: str) -> None:
    async with world(database_url) as there:
        _, fan, track = pair(there)
        async with there.ingesting() as made:
            await there.settled(made)
            there.pds.refuses = {"com.atproto.sync.getRepoStatus"}
            fan.emit(fan.repo.account())
            await want(there.connection, "status", [fan.did])
            await hurry(there, made)
            await there.until("select error is not null from jobs where kind = 'status'")
            assert await status_of(there, fan) == (True, None)
            assert await likes_of(there, track) == 1


class OldPds(Pds):
    """A PDS from before getRepoStatus."""

    async def _get_repo_status(self, request: web.Request) -> web.Response:
        return refusal("MethodNotImplemented")


async def test_a_host_that_says_no_more_than_where_the_head_is(database_url: str) -> None:
    async with world(database_url) as there, OldPds(there.directory, "old") as old:
        _, fan, track = pair(there, old)
        async with there.ingesting(PLYR_RELAY_URLS=both(there, old)) as made:
            await there.until(f"select likes = 1 from subject_counts where subject = '{track}'")
            fan.set_status("takendown")
            await there.until(f"select status = 'takendown' from actors where did = '{fan.did}'")
            fan.set_status(None)
            await there.until(f"select active from actors where did = '{fan.did}'")
            await heard(there, made, old)
            assert await likes_of(there, track) == 1


# What was not said


async def test_a_head_that_a_host_does_not_give_is_fetched_for_once(database_url: str) -> None:
    async with world(database_url) as there:
        _, fan, _ = pair(there)
        async with there.ingesting() as made:
            await there.settled(made)
            export = fan.repo.export()
            there.pds.answers_with = lambda _: export
            before = there.pds.asked["com.atproto.sync.getRepo"]
            for number in range(3):
                for _ in range(2):
                    await ask_again(there, made, fan)
                    await ask_again(there, made, fan)
                # Naming another makes no difference.
                fan.repo.commit([create(fan, 10 + number)])
            assert there.pds.asked["com.atproto.sync.getRepo"] == before + 1


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
            assert await are_of(there, fan, "tracks") == 1
            assert await likes_of(there, track) == 1


async def test_what_was_kept_of_one_who_is_away_is_let_go(database_url: str) -> None:
    """It would be kept for as long as the account is away, and there is room for so much only."""
    async with world(database_url) as there:
        _, fan, track = pair(there)
        async with there.ingesting() as made:
            await there.settled(made)
            there.pds.refuses = {"com.atproto.sync.getRepo"}
            fan.repo.commit([create(fan, 4)])
            fan.write(create(fan, 5))  # does not follow: it is to be fetched
            fan.write(create(fan, 6))
            await there.until(f"select count(*) = 1 from held_frames where did = '{fan.did}'")
            fan.set_status("suspended")
            await there.until(f"select not active from actors where did = '{fan.did}'")
            await there.settled(made)
            assert await are_of(there, fan, "held_frames") == made.effects.held[fan.did] == 0
            there.pds.refuses = set()
            fan.set_status(None)
            await there.until(f"select active from actors where did = '{fan.did}'")
            await there.settled(made)
            assert await are_of(there, fan, "tracks") == 3
            assert await likes_of(there, track) == 1
