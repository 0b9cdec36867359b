"""Documents that outlive the process, in a real database: what a new process need not ask, and what it must."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest

from appview.db import Pool
from appview.index.documents import PostgresDocuments
from appview.keys import PublicKey
from appview.net.cache import MAX_AGE, STALE_AFTER
from appview.net.did_document import DidDocument, parse_document, render_document
from appview.net.errors import BadSyntax, CouldNotCheck, Gone
from appview.net.identity import IdentityResolver
from appview.net.store import Change
from tests.appview.net.world import ALICE, BOB, KEY, NEW_KEY, World, document


class Processes:
    """Resolvers over one world and one database, each as a process of its own would have it."""

    def __init__(self, world: World, pool: Pool) -> None:
        self.world = world
        self.pool = pool
        self._running: list[IdentityResolver] = []

    def start(self) -> IdentityResolver:
        self._running.append(self.world.another_resolver(PostgresDocuments(self.pool)))
        return self._running[-1]

    async def stop(self) -> None:
        while self._running:
            await self._running.pop().aclose()

    async def kept(self) -> dict[str, str]:
        rows = await self.pool.fetch("select did, document from did_documents order by did")
        return {row["did"]: row["document"]["verificationMethod"][0]["publicKeyMultibase"] for row in rows}


@pytest.fixture
async def processes(world: World, pool: Pool) -> AsyncIterator[Processes]:
    processes = Processes(world, pool)
    yield processes
    await processes.stop()


async def test_a_new_process_asks_nobody_for_what_is_kept(processes: Processes) -> None:
    world = processes.world
    world.publish(ALICE, document(ALICE))
    before = await processes.start().document(ALICE)
    await processes.stop()
    world.now += STALE_AFTER - 1
    assert await processes.start().document(ALICE) == before
    assert world.asked(ALICE) == 1


async def test_what_is_stale_is_given_and_renewed(processes: Processes) -> None:
    world = processes.world
    world.publish(ALICE, document(ALICE))
    await processes.start().document(ALICE)
    await processes.stop()
    world.publish(ALICE, document(ALICE, key=NEW_KEY))
    world.now += STALE_AFTER
    resolver = processes.start()
    assert (await resolver.document(ALICE)).signing_key == PublicKey.from_multikey(KEY)
    assert (await resolver.document(ALICE)).signing_key == PublicKey.from_multikey(KEY)
    while world.asked(ALICE) < 2:
        await asyncio.sleep(0.01)
    assert (await resolver.document(ALICE, max_age=1)).signing_key == PublicKey.from_multikey(NEW_KEY)
    await processes.stop()
    assert await processes.kept() == {ALICE: NEW_KEY}


async def test_what_is_too_old_is_fetched_first(processes: Processes) -> None:
    world = processes.world
    world.publish(ALICE, document(ALICE))
    await processes.start().document(ALICE)
    await processes.stop()
    world.now += MAX_AGE
    world.publish(ALICE, 503)
    resolver = processes.start()
    assert await resolver.preload([ALICE]) == 0
    with pytest.raises(CouldNotCheck):
        await resolver.document(ALICE)


async def test_a_refresh_does_not_take_the_stored_one(processes: Processes) -> None:
    world = processes.world
    world.publish(ALICE, document(ALICE))
    await processes.start().document(ALICE)
    await processes.stop()
    world.publish(ALICE, document(ALICE, key=NEW_KEY))
    fresh = await processes.start().refresh(ALICE)
    assert fresh is not None
    assert fresh.signing_key == PublicKey.from_multikey(NEW_KEY)
    await processes.stop()
    assert await processes.kept() == {ALICE: NEW_KEY}


async def test_one_who_wants_it_fresh_does_not_share_the_flight_of_one_who_does_not(processes: Processes) -> None:
    world = processes.world
    world.publish(ALICE, document(ALICE))
    await processes.start().document(ALICE)
    await processes.stop()
    world.publish(ALICE, document(ALICE, key=NEW_KEY))
    world.now += 1
    resolver = processes.start()
    _, fresh = await asyncio.gather(resolver.document(ALICE), resolver.document(ALICE, max_age=0))
    assert fresh.signing_key == PublicKey.from_multikey(NEW_KEY)
    assert (await resolver.document(ALICE)).signing_key == PublicKey.from_multikey(NEW_KEY)


async def test_a_purge_reaches_the_store(processes: Processes) -> None:
    world = processes.world
    world.publish(ALICE, document(ALICE))
    world.publish(BOB, document(BOB))
    resolver = processes.start()
    await asyncio.gather(resolver.document(ALICE), resolver.document(BOB))
    await processes.stop()
    resolver = processes.start()
    resolver.purge(ALICE)
    resolver.purge("not a DID\0")
    world.publish(ALICE, 503)
    with pytest.raises(CouldNotCheck):
        await resolver.document(ALICE)  # at once: the deletion may still be on its way
    await processes.stop()
    assert await processes.kept() == {BOB: KEY}


async def test_what_is_purged_while_it_is_being_written_is_gone(processes: Processes) -> None:
    world = processes.world
    world.publish(ALICE, document(ALICE))
    resolver = processes.start()
    async with processes.pool.acquire() as other, other.transaction():
        await other.execute("lock table did_documents in share mode")
        await resolver.document(ALICE, max_age=0)
        waits = "select exists (select from pg_locks where not granted and relation = 'did_documents'::regclass)"
        while not await other.fetchval(waits):
            await asyncio.sleep(0.01)
        resolver.purge(ALICE)
    assert resolver._stored is not None
    assert resolver._stored._writer is not None
    await resolver._stored._writer
    assert await processes.kept() == {}


async def test_what_is_fetched_after_a_purge_is_kept(processes: Processes) -> None:
    world = processes.world
    world.publish(ALICE, document(ALICE))
    resolver = processes.start()
    await resolver.document(ALICE)
    world.publish(ALICE, document(ALICE, key=NEW_KEY))
    resolver.purge(ALICE)
    await resolver.document(ALICE)
    await processes.stop()
    assert await processes.kept() == {ALICE: NEW_KEY}


async def test_a_did_that_is_given_up_is_kept_no_longer(processes: Processes) -> None:
    world = processes.world
    world.publish(ALICE, document(ALICE))
    resolver = processes.start()
    await resolver.document(ALICE)
    world.publish(ALICE, 410)
    with pytest.raises(Gone):
        await resolver.document(ALICE, max_age=0)
    await processes.stop()
    assert await processes.kept() == {}


async def test_what_is_no_did_is_not_asked_of_the_store(processes: Processes) -> None:
    with pytest.raises(BadSyntax):
        await processes.start().document("did:plc:\0")


async def test_preload(processes: Processes) -> None:
    world = processes.world
    dids = [f"did:plc:{'a' * 22}{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(40)]
    for did in dids:
        world.publish(did, document(did))
    resolver = processes.start()
    await asyncio.gather(*(resolver.document(did) for did in dids))
    await processes.stop()
    resolver = processes.start()
    assert await resolver.preload([*dids, BOB]) == 40
    await processes.pool.execute("delete from did_documents")
    for did in dids:
        assert (await resolver.document(did)).did == did
    assert world.hosts.asked.count(("plc.test", f"/{dids[0]}")) == 1
    assert len(world.hosts.asked) == 40
    assert await processes.world.resolver.preload(dids) == 0  # a resolver without a store


async def test_of_two_processes_the_newer_document_stays(pool: Pool) -> None:
    documents = PostgresDocuments(pool)
    old, new = (orjson.loads(document(ALICE, key=key)) for key in (KEY, NEW_KEY))
    await documents.write({ALICE: Change(new, 2000.25)})
    await documents.write({ALICE: Change(old, 1000.0), BOB: Change(None, 1000.0)})
    assert await documents.read([ALICE, BOB]) == {ALICE: Change(new, 2000.25)}
    await documents.write({ALICE: Change(None, 1999.0)})
    assert await documents.read([ALICE]) != {}
    await documents.write({ALICE: Change(None, 2000.25)})
    assert await documents.read([ALICE]) == {}


async def test_without_its_database_it_resolves_still(world: World, pool: Pool) -> None:
    world.publish(ALICE, document(ALICE))
    resolver = world.another_resolver(PostgresDocuments(pool))
    await pool.close()
    assert (await resolver.document(ALICE)).did == ALICE
    assert (await resolver.document(ALICE)).did == ALICE
    await resolver.aclose()
    assert world.asked(ALICE) == 1


def test_what_is_rendered_reads_as_it_was() -> None:
    said = {
        "id": ALICE,
        "alsoKnownAs": ["at://Alice.Test", "https://example.com"],
        "verificationMethod": [
            {"id": "#atproto", "type": "Multikey", "controller": ALICE, "publicKeyMultibase": KEY},
            {"id": f"{ALICE}#atproto_label", "type": "Multikey", "controller": ALICE, "publicKeyMultibase": NEW_KEY},
        ],
        "service": [
            {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": "https://pds.test:8443/"},
            {"id": f"{ALICE}#bsky_fg", "type": "BskyFeedGenerator", "serviceEndpoint": {"not": "a URL"}},
        ],
        "more": "\0",
    }
    read = parse_document(ALICE, said)
    assert parse_document(ALICE, render_document(read)) == read
    empty = DidDocument(ALICE)
    assert parse_document(ALICE, render_document(empty)) == empty
