"""Upstreams that mean no good, and frames that nobody can read."""

import asyncio
import random

from tests.chaos.harness import Arena, Toll, World, made_up
from tests.chaos.hostile import Hostile
from tests.chaos.registry import scenario
from tests.writer.cbor import encode

REASONS = 5
"""Kinds of refusal that a hostile upstream meets at least."""
POISON = 8
"""Frames that nobody can read, among those of the only upstream."""
CONNECTS = 3
"""Connections that each of them may cost."""


@scenario("hostile upstream")
async def hostile_upstream(arena: Arena) -> Toll:
    """beside honest ones, an upstream that forges, strips, replays and floods"""
    async with (
        made_up(arena) as world,
        Hostile(world.rng, world.directory, world.pdses, world.life) as hostile,
        world.followed(arena, beside=[hostile.url]),
    ):
        attacking = asyncio.create_task(hostile.attack())
        await world.live(arena.seconds)
        assert not attacking.done(), f"the attack ended: {attacking}"
        attacking.cancel()
        world.hits.update(hostile.done)
        await _is_heard(world, hostile)
        toll = await world.toll()
        refusals = await world.value("select count(distinct reason) from dead_letters")
        assert refusals >= REASONS, f"only {refusals} kinds of refusal"
        toll.hits["kinds of refusal"] = refusals
        return toll


async def _is_heard(world: World, hostile: Hostile) -> None:
    """Wait until what it said last was heard too."""

    async def is_heard() -> bool:
        cursor = await world.value("select cursor from upstreams where url = $1", hostile.url)
        return bool((cursor or 0) >= hostile.stream.head)

    hostile.stream.wire = None
    await world.system.until(is_heard, "the hostile upstream is heard to its end", 90.0)


@scenario("poison")
async def poison(arena: Arena) -> Toll:
    """frames that nobody can read stand in the only stream there is, and come again each time"""
    async with made_up(arena) as world, world.followed(arena):
        host = world.pdses[0]
        async with world.living():
            for number in range(POISON):
                await asyncio.sleep(arena.seconds / POISON)
                host.stream.append(host.host.next_seq(), unreadable(world.rng, host.stream.frames[-1], number))
                world.hits["unreadable frames"] += 1
        toll = await world.toll()
        kept = await world.value("select count(*) from dead_letters where reason = 'unreadable' and frame is not null")
        toll.hits["kept with their bytes"] = kept
        connects = host.asked["com.atproto.sync.subscribeRepos"]
        assert connects <= 1 + CONNECTS * POISON, f"{connects} connections for {POISON} frames"
        return toll


def unreadable(rng: random.Random, frame: bytes, number: int) -> bytes:
    """A frame that is none, after the pattern of one that is."""
    kinds = (frame[: len(frame) // 2], rng.randbytes(100), b"", frame + b"\x00", encode({"op": 1}), b"\xa1" + frame)
    return kinds[number % len(kinds)]
