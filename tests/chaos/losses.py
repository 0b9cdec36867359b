"""Frames and exports that do not arrive as they were sent, and frames that are not kept for us."""

import asyncio
import time

from tests.chaos.faulty import Broken, Lossy, Stingy, ended
from tests.chaos.harness import Arena, Toll, World, made_up, release
from tests.chaos.registry import scenario
from tests.system.relay import Relay
from tests.system.synthetic import Account, send_export

SHARE = 0.05
KEPT = 20
"""Frames that a short replay window holds."""
STEADY = 6
"""Accounts that only publish, at the host with the broken exports."""
RECORDS = 40
ROUNDS = 12
AUDIT = {"audit_seconds": "3"}


@scenario("faulty wires")
async def faulty_wires(arena: Arena) -> Toll:
    """5 % of the frames dropped, 5 % sent twice, 5 % out of order: the sweep finds what no chain shows"""
    async with made_up(arena) as world:
        return await _lossy(world, arena, [Lossy(world.rng, SHARE) for _ in world.pdses])


@scenario("two faulty wires")
async def faulty_wires_twice(arena: Arena) -> Toll:
    """the same on every wire of two upstreams that bring the same: PDSes, and a relay of them"""
    async with made_up(arena) as world, Relay(*(pds.url for pds in world.pdses)) as relay:
        world.follow(relay)
        world.upstreams |= {pds.url: pds.stream for pds in world.pdses}
        return await _lossy(world, arena, [Lossy(world.rng, SHARE) for _ in world.upstreams])


async def _lossy(world: World, arena: Arena, wires: list[Lossy]) -> Toll:
    async with world.followed(arena, **AUDIT):
        for stream, wire in zip(world.upstreams.values(), wires, strict=True):
            stream.wire = wire
        await world.live(arena.seconds)
        for stream in world.upstreams.values():
            stream.wire = None
        for wire in wires:
            world.hits.update(wire.done)
        await world.settle()
        await _swept(world)
        return await world.toll(frozenset.union(*(wire.unheard() for wire in wires)))


async def _swept(world: World) -> None:
    """Wait until the sweep has been at every repository since now."""
    since = await world.value("select now()")

    async def is_swept() -> bool:
        left = await world.value(
            "select count(*) from repos join actors using (did)"
            " where active and (audited_at is null or audited_at < $1)",
            since,
        )
        return bool(left == 0)

    await world.system.until(is_swept, "the sweep has been around", 60.0)


@scenario("broken exports")
async def broken_exports(arena: Arena) -> Toll:
    """exports truncated, incomplete, slow, broken off: nothing is deleted for that"""
    async with made_up(arena) as world, world.followed(arena):
        host, broken, wire = world.pdses[0], Broken(world.rng), Stingy()
        steady = [host.create_account(f"steady{number}") for number in range(STEADY)]
        for account in steady:
            for number in range(RECORDS):
                release(account, number)
        async with world.living():
            await world.system.until(lambda: _are_here(world, steady), "the steady ones are here")
            host.answers_with, host.sends, host.stream.wire = broken.cut, broken.send, wire
            end = time.monotonic() + arena.seconds
            while time.monotonic() < end:
                wire.victims = {account.did for account in steady}
                for account in steady:
                    release(account, RECORDS)  # of these two one is lost, and the other shows it
                    release(account, RECORDS)
                await asyncio.sleep(arena.seconds / ROUNDS)
                assert await _are_here(world, steady), "records are gone for an export that was broken"
            host.answers_with, host.sends, host.stream.wire = bytes, send_export, None
        deleted = await world.value("select count(*) from records where cid is null and did = any($1)", _dids(steady))
        assert deleted == 0, f"{deleted} records of accounts that delete nothing were deleted"
        world.speak(wire.hurt)
        world.hits["chains broken"] = wire.dropped
        world.hits.update(broken.done)
        return await world.toll()


async def _are_here(world: World, accounts: list[Account]) -> bool:
    count = await world.value(
        "select count(*) from (select did from tracks where did = any($1) group by did having count(*) >= $2) as whole",
        _dids(accounts),
        RECORDS,
    )
    return bool(count == len(accounts))


def _dids(accounts: list[Account]) -> list[str]:
    return [account.did for account in accounts]


@scenario("replay window")
async def replay_window(arena: Arena) -> Toll:
    """commits lost behind the end of the replay window while the ingester was away: said so, and not said"""
    async with made_up(arena) as world, world.followed(arena) as system:
        unheard: frozenset[str] = frozenset()
        for admits in (True, False):
            await world.live(arena.seconds / 4)
            await system.ingester.stop()
            heads = [pds.stream.head for pds in world.pdses]
            await world.live(arena.seconds / 4)
            for pds, head in zip(world.pdses, heads, strict=True):
                pds.stream.admits_gaps = admits
                lost = [frame for seq, frame in pds.stream.forget(pds.stream.head - KEPT) if seq > head]
                unheard |= ended(lost)
                world.hits["lost, said so" if admits else "lost, not said"] += len(lost)
            system.ingester.start()
        await world.live(arena.seconds / 4)
        return await world.toll(unheard)
