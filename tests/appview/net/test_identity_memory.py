"""What the resolver remembers, forgets, refreshes, and reads from the past."""

import asyncio
from datetime import UTC, datetime

import orjson
import pytest

from appview.keys import PublicKey
from appview.net.cache import MAX_AGE, STALE_AFTER
from appview.net.errors import CouldNotCheck, Gone, IdentityError, NotFound, Unusable
from tests.appview.net.servers import Page
from tests.appview.net.world import ALICE, BOB, KEY, NEW_KEY, World, document


async def test_concurrent_lookups_are_one(world: World) -> None:
    gate = asyncio.Event()

    async def slow() -> bytes:
        await gate.wait()
        return document(ALICE)

    world.publish(ALICE, slow)
    callers = [asyncio.create_task(world.resolver.document(ALICE)) for _ in range(20)]
    await asyncio.sleep(0.05)
    callers[0].cancel()
    gate.set()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert {result.did for result in results[1:] if not isinstance(result, BaseException)} == {ALICE}
    assert world.asked(ALICE) == 1


async def test_documents_are_remembered(world: World) -> None:
    world.publish(ALICE, document(ALICE))
    first = await world.resolver.document(ALICE)
    world.publish(ALICE, document(ALICE, key=NEW_KEY))
    world.now += STALE_AFTER - 1
    assert await world.resolver.document(ALICE) == first
    assert world.asked(ALICE) == 1
    assert (await world.resolver.document(ALICE, max_age=600)).signing_key == PublicKey.from_multikey(NEW_KEY)


async def test_a_known_document_outlives_the_directory(world: World) -> None:
    world.publish(ALICE, document(ALICE))
    first = await world.resolver.document(ALICE)
    world.publish(ALICE, 503)
    world.now += MAX_AGE - 1
    assert await world.resolver.document(ALICE) == first
    with pytest.raises(CouldNotCheck):
        await world.resolver.document(ALICE, max_age=0)
    world.now += 1
    with pytest.raises(CouldNotCheck):
        await world.resolver.document(ALICE)


async def test_purge(world: World) -> None:
    world.publish(ALICE, document(ALICE))
    world.name("alice.test", ALICE)
    assert (await world.resolver.resolve(ALICE)).handle == "alice.test"
    world.publish(ALICE, document(ALICE, key=NEW_KEY))
    world.name("alice.test", None)
    world.resolver.purge(ALICE)
    world.resolver.purge(BOB)
    identity = await world.resolver.resolve(ALICE)
    assert identity.signing_key == PublicKey.from_multikey(NEW_KEY)
    assert identity.handle is None


async def test_the_memory_is_bounded(world: World) -> None:
    dids = [f"did:plc:{'a' * 22}{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(52)]
    for did in dids:
        world.publish(did, document(did))
        await world.resolver.document(did)
    await world.resolver.document(dids[-1])
    assert world.asked(dids[-1]) == 1
    await world.resolver.document(dids[0])
    assert world.asked(dids[0]) == 2


# Refreshing


async def test_refresh(world: World) -> None:
    world.publish(ALICE, document(ALICE))
    await world.resolver.document(ALICE)
    world.publish(ALICE, document(ALICE, key=NEW_KEY))
    fresh = await world.resolver.refresh(ALICE)
    assert fresh is not None
    assert fresh.signing_key == PublicKey.from_multikey(NEW_KEY)
    assert await world.resolver.refresh(ALICE) is None
    assert world.asked(ALICE) == 2
    world.now += 60
    assert await world.resolver.refresh(ALICE) == fresh
    assert world.asked(ALICE) == 3


async def test_a_refresh_that_fails_keeps_what_is_known(world: World) -> None:
    world.publish(ALICE, document(ALICE))
    known = await world.resolver.document(ALICE)
    world.publish(ALICE, 503)
    with pytest.raises(CouldNotCheck):
        await world.resolver.refresh(ALICE)
    assert await world.resolver.document(ALICE) == known


async def test_refreshes_of_one_host_are_limited(world: World) -> None:
    dids = [f"did:plc:{'a' * 22}{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(61)]
    for did in dids:
        world.publish(did, document(did))
    world.publish(BOB, document(BOB, pds="https://other.test"))
    outcomes = []
    for did in dids:
        await world.resolver.document(did)
        outcomes.append(await world.resolver.refresh(did))
    assert [outcome is None for outcome in outcomes] == [False] * 60 + [True]
    await world.resolver.document(BOB)
    assert await world.resolver.refresh(BOB) is not None
    assert world.resolver.remembered(ALICE) is None
    assert await world.resolver.refresh(ALICE, pds="https://pds.test") is None, (
        "where nothing is remembered, it is said"
    )
    remembered = world.resolver.remembered(BOB)
    assert remembered is not None
    assert remembered.at == world.now


# At a time


def operation(time: str, **parts: object) -> dict[str, object]:
    kind = {"type": "plc_operation", "alsoKnownAs": [], "services": {}}
    return {"did": ALICE, "operation": {**kind, **parts}, "cid": "b", "nullified": False, "createdAt": time}


async def test_at_a_time(world: World) -> None:
    log = [
        operation("2024-01-01T00:00:00Z", verificationMethods={"atproto": f"did:key:{KEY}"}),
        operation("2024-01-02T00:00:00Z", verificationMethods={"atproto": f"did:key:{NEW_KEY}"}),
        operation("2024-01-03T00:00:00Z", type="plc_tombstone"),
    ]
    world.hosts.pages["plc.test", f"/{ALICE}/log/audit"] = orjson.dumps(log)
    keys = [(await world.resolver.at(ALICE, datetime(2024, 1, day, 12, tzinfo=UTC))).signing_key for day in (1, 2)]
    assert keys == [PublicKey.from_multikey(KEY), PublicKey.from_multikey(NEW_KEY)]
    with pytest.raises(Gone):
        await world.resolver.at(ALICE, datetime(2024, 1, 4, tzinfo=UTC))
    assert world.hosts.asked == [("plc.test", f"/{ALICE}/log/audit")]


async def test_a_document_that_is_not_there_may_be_a_tombstone(world: World) -> None:
    """The reference directory answers 404 for that too; its log tells it from a DID that it never had (ID-02)."""
    made = operation("1970-01-01T00:00:00Z", verificationMethods={"atproto": f"did:key:{KEY}"})
    tombstone = operation("1970-01-02T00:00:00Z", type="plc_tombstone")
    for log, error in (
        ([made, tombstone], Gone),
        ([made, {**tombstone, "nullified": True}], NotFound),
        ([made], NotFound),
        (None, NotFound),
    ):
        resolver = world.another_resolver()
        world.hosts.pages["plc.test", f"/{ALICE}/log/audit"] = orjson.dumps(log) if log else 404
        with pytest.raises(NotFound) as caught:
            await resolver.document(ALICE)
        assert type(caught.value) is error
        await resolver.aclose()
    world.hosts.pages["plc.test", f"/{ALICE}/log/audit"] = 503
    with pytest.raises(CouldNotCheck):
        await world.resolver.document(ALICE)


async def test_at_a_time_of_a_did_web(world: World) -> None:
    did = "did:web:music.test"
    world.hosts.pages["music.test", "/.well-known/did.json"] = document(did)
    assert (await world.resolver.at(did, datetime(2024, 1, 1, tzinfo=UTC))).did == did


@pytest.mark.parametrize(
    ("said", "error"), [(404, NotFound), (503, CouldNotCheck), (b"[]", Unusable), (b"{", CouldNotCheck)]
)
async def test_at_a_time_without_a_log(world: World, said: Page, error: type[IdentityError]) -> None:
    world.hosts.pages["plc.test", f"/{ALICE}/log/audit"] = said
    with pytest.raises(error):
        await world.resolver.at(ALICE, datetime(2024, 1, 1, tzinfo=UTC))
