"""Finding the repositories that were there before us."""

import asyncio
import logging
from collections.abc import Callable

import pytest
from aiohttp import web

from ingester.hosts import HostError
from tests.ingester.world import SECONDS, World, create, world
from tests.system.synthetic import Account, Pds, Server, refusal
from tests.writer.cbor import encode


def people(there: World, count: int) -> list[Account]:
    """Accounts of which every second one has a track."""
    accounts = [there.pds.create_account(f"someone{number}") for number in range(count)]
    for account in accounts[::2]:
        account.write(create(account, 1))
    return accounts


async def test_each_with_records_of_ours_is_found_by_describing_all(database_url: str) -> None:
    async with world(database_url) as there:
        accounts = people(there, 30)
        async with there.ingesting() as made:
            await there.settled(made)
        assert {row["did"] for row in await there.connection.fetch("select did from repos")} == {
            account.did for account in accounts[::2]
        }
        assert len(await there.uris()) == 15
        assert await there.value("select count(*) from discoveries") == 1


async def test_a_host_that_lists_by_collection_is_asked_nothing_else(database_url: str) -> None:
    async with world(database_url) as there, Pds(there.directory, "pds2", by_collection=True) as other:
        there.pds = other
        people(there, 10)
        async with there.ingesting() as made:
            await there.settled(made)
        assert len(await there.uris()) == 5
        assert "describeRepo" not in " ".join(other.asked)
        assert await there.value("select sum(found) from discoveries") == 5


async def test_one_that_is_known_is_not_fetched_again(database_url: str) -> None:
    async with world(database_url) as there:
        people(there, 6)
        async with there.ingesting() as made:
            await there.settled(made)
        before = there.pds.asked["com.atproto.sync.getRepo"]
        await there.connection.execute("update discoveries set finished_at = null")
        async with there.ingesting() as made:
            await there.settled(made)
            await there.until("select bool_and(finished_at is not null) from discoveries")
        assert there.pds.asked["com.atproto.sync.getRepo"] == before


async def test_it_goes_on_where_it_was_broken_off(database_url: str) -> None:
    async with world(database_url) as there:
        accounts = sorted(people(there, 12), key=lambda account: account.did)
        await there.connection.execute(
            "insert into discoveries (source, collection, cursor, found) values ($1, '', $2, 0)",
            there.pds.url,
            accounts[5].did,
        )
        await there.connection.execute(
            "insert into upstreams values ('0/1', $1, $2)", there.pds.url, there.pds.stream.head
        )
        async with there.ingesting() as made:
            await there.settled(made)
        found = {row["did"] for row in await there.connection.fetch("select did from repos")}
        assert found == {account.did for account in accounts[6:] if account.repo.leaves}


async def test_a_host_that_is_down_is_asked_again_later(database_url: str) -> None:
    async with world(database_url) as there:
        people(there, 4)
        there.pds.down = True
        async with there.ingesting(live=False) as made:
            asking = asyncio.create_task(made.discovery.run(there.pds.url))
            async with asyncio.timeout(SECONDS):
                while not there.pds.asked:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            assert not asking.done()
            asking.cancel()
        assert await there.value("select count(*) from repos") == 0


async def test_it_is_asked_again_a_while_after_the_last_time_over_a_restart_too(database_url: str) -> None:
    async with world(database_url) as there:
        known, _ = people(there, 2)
        async with there.ingesting() as made:
            await there.followed(made)
            known.write(create(known, 2))
            await there.settled(made)
        late = there.pds.create_account("late")
        late.write(create(late, 1))
        # All that came meanwhile was lost.
        await there.connection.execute("update upstreams set cursor = $1", there.pds.stream.head)
        before = there.pds.asked["com.atproto.sync.listRepos"]
        async with there.ingesting() as made:
            await there.followed(made)
            await asyncio.sleep(0.3)
            assert there.pds.asked["com.atproto.sync.listRepos"] == before
        await there.connection.execute("update discoveries set finished_at = now() - interval '7 hours'")
        async with there.ingesting():
            await there.until(f"select exists (select from repos where did = '{late.did}' and status = 'synchronized')")


async def test_collections_that_were_not_begun_before_a_crash_are_asked_for(database_url: str) -> None:
    async with world(database_url) as there, Pds(there.directory, "pds2", by_collection=True) as other:
        there.pds = other
        accounts = people(there, 4)
        await there.connection.execute(
            "insert into discoveries (source, collection, finished_at) values ($1, 'fm.plyr.actor.profile', now())",
            other.url,
        )
        await there.connection.execute("insert into upstreams values ('0/1', $1, $2)", other.url, other.stream.head)
        async with there.ingesting():
            await there.until(f"select count(*) = {len(accounts) // 2} from repos where status = 'synchronized'")


async def test_a_gap_in_the_stream_makes_it_ask_again_at_once(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "plyr")
    async with world(database_url) as there:
        people(there, 2)
        async with there.ingesting() as made:
            await there.settled(made)
            late = there.pds.create_account("late")
            late.repo.commit([create(late, 1)])
            for _ in range(3):
                info = encode({"op": 1, "t": "#info"}) + encode({"name": "OutdatedCursor"})
                there.pds.stream.append(there.pds.host.next_seq(), info)
            await there.until(f"select exists (select from repos where did = '{late.did}' and status = 'synchronized')")
        assert sum("OutdatedCursor" in record.getMessage() for record in caplog.records) == 1


class Lister(Server):
    """A host that lists repositories page by page: of the cursor asked with, the next one."""

    def __init__(self, following: Callable[[str], str]) -> None:
        super().__init__()
        self.following = following
        self.cursors: list[str] = []
        self.route("/xrpc/com.atproto.sync.listReposByCollection", self._list)

    async def _list(self, request: web.Request) -> web.Response:
        cursor = request.query.get("cursor", "")
        self.cursors.append(cursor)
        if cursor == "refused":
            return refusal("InvalidRequest", "No such cursor.")
        return web.json_response({"repos": [{"did": "did:web:a.test"}], "cursor": self.following(cursor)})


@pytest.mark.parametrize("cycle", ["A", "AB", "ABCDEFG"])
async def test_cursors_that_lead_round_come_to_an_end(cycle: str, database_url: str) -> None:
    def following(cursor: str) -> str:
        return cycle[(cycle.find(cursor) + 1) % len(cycle)] if cursor else cycle[0]

    async with world(database_url) as there, Lister(following) as lister:
        async with there.ingesting(live=False, PLYR_DISCOVERY_URL=lister.url) as made:
            await asyncio.wait_for(made.discovery.once(lister.url, ["fm.plyr.track"]), SECONDS)
        assert await there.value("select finished_at is not null and cursor is null from discoveries")
        assert len(lister.cursors) <= 1 + 3 * len(cycle)


async def test_after_an_empty_page_it_takes_its_time(database_url: str) -> None:
    async def empty(request: web.Request) -> web.Response:
        return web.json_response({"repos": [], "cursor": request.query.get("cursor", "") + "x"})

    lister = Server()
    lister.route("/xrpc/com.atproto.sync.listReposByCollection", empty)
    async with (
        world(database_url) as there,
        lister,
        there.ingesting(live=False, PLYR_DISCOVERY_URL=lister.url) as made,
    ):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(made.discovery.once(lister.url, ["fm.plyr.track"]), 0.5)
    assert lister.asked["com.atproto.sync.listReposByCollection"] == 1


@pytest.mark.parametrize("cursor", ["a\0b", "a\nb", "x" * 1_025, "ü" * 600])
async def test_a_cursor_that_is_none_is_a_fault_of_the_host(cursor: str, database_url: str) -> None:
    async with (
        world(database_url) as there,
        Lister(lambda _: cursor) as lister,
        there.ingesting(live=False, PLYR_DISCOVERY_URL=lister.url) as made,
    ):
        with pytest.raises(HostError, match="cursor"):
            await made.discovery.once(lister.url, ["fm.plyr.track"])


async def test_where_a_host_does_not_go_on_from_it_is_asked_from_the_start(database_url: str) -> None:
    async with world(database_url) as there, Lister(lambda _: "") as lister:
        await there.connection.execute(
            "insert into discoveries (source, collection, cursor) values ($1, 'fm.plyr.track', 'refused')", lister.url
        )
        async with there.ingesting(live=False, PLYR_DISCOVERY_URL=lister.url) as made:
            with pytest.raises(HostError, match="does not go on"):
                await made.discovery.once(lister.url, ["fm.plyr.track"])
            await made.discovery.once(lister.url, ["fm.plyr.track"])
        assert lister.cursors == ["refused", ""]


async def test_it_ends_when_it_is_told_to_at_the_moment_at_which_it_is_to_ask_again(database_url: str) -> None:
    async with world(database_url) as there, there.ingesting() as made:
        await there.settled(made)
        for ticks in range(5):
            running = asyncio.create_task(made.discovery.run(there.pds.url))
            await asyncio.sleep(0.05)
            made.discovery.again(there.pds.url)
            for _ in range(ticks):
                await asyncio.sleep(0)
            running.cancel()
            done, _ = await asyncio.wait({running}, timeout=2)
            assert done
            assert running.cancelled()
