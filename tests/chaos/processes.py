"""Our own processes killed, paused, and several at once."""

import asyncio
import random

import asyncpg

from tests.chaos.harness import HOST_RATE, Arena, Missed, Toll, World, made_up
from tests.chaos.registry import scenario
from tests.system.kill import WRITER, kill_often, synthetic_source
from tests.system.snapshot import changes, empty, snapshot
from tests.system.world import Child, System, running

FENCED = 3
"""The exit code of an ingester that another has taken over from."""
SHARDS = 2
KILLS_OF_A_SHARD = 10
_ATTEMPTS = 1_000
_OPEN = """
    select count(*) from pg_stat_activity
    where application_name = $1 and xact_start is not null and datname = current_database()
"""


@scenario("paused leader")
async def paused_leader(arena: Arena) -> Toll:
    """a leader paused within a transaction wakes after its standby took over"""
    async with made_up(arena) as world, world.followed(arena) as system:
        leader, standby = system.ingester, system.child("standby", "-m", "ingester", "run")
        async with world.living():
            standby.start()
            await _stands_by(system, standby)
            await asyncio.sleep(arena.seconds / 2)
            epoch = await world.value("select max(epoch) from shards")
            await _freeze_within_a_transaction(world, leader)
            world.hits["paused within a transaction"] += 1

            async def is_taken_over() -> bool:
                return bool(await world.value("select max(epoch) from shards") > epoch)

            await system.until(is_taken_over, "the standby takes over")
            await asyncio.sleep(arena.seconds / 2)
            leader.thaw()
            world.hits["fenced off"] += await leader.ended() == FENCED
        return await world.toll()


@scenario("shards")
async def shards(arena: Arena) -> Toll:
    """two shards killed in turn; then the same life replayed into one"""
    async with made_up(arena) as world:
        halves = [{"shard": f"{number}/{SHARDS}"} for number in range(SHARDS)]
        async with world.followed(arena, **halves[0]) as system:
            both = [system.ingester, system.child("other", "-m", "ingester", "run", **halves[1])]
            both[1].start()
            async with world.living():
                for number in range(KILLS_OF_A_SHARD):
                    await asyncio.sleep(arena.seconds / KILLS_OF_A_SHARD)
                    child = both[number % SHARDS]
                    child.freeze()
                    world.hits["within a transaction"] += await world.value(_OPEN, WRITER)
                    child.kill()
                    child.start()
                    world.hits["kills"] += 1
            await _both_stand(world)
            toll = await world.toll()
            toll.hits["of the second shard"] = await world.value(
                "select count(*) from repos where shard_of(did, $1) = 1", SHARDS
            )
            for child in both:
                await child.stop()
        toll.differences += await _replayed(world, arena)
        return toll


@scenario("kills", seconds=720.0)
async def kills(arena: Arena) -> Toll:
    """the ingester killed (kill -9) with work in flight"""
    rng = random.Random(arena.seed)
    async with (
        synthetic_source(rng) as source,
        running(
            arena.folder,
            arena.database_url,
            plc_url=source.plc,
            relay_urls=",".join(source.hosts),
            host_rate=HOST_RATE,
        ) as system,
    ):
        found = await kill_often(system, source, arena.kills, rng)
    toll = Toll(messages=found.messages, differences=found.differences)
    share = found.in_transaction / max(1, found.kills)
    toll.hits.update({"kills": found.kills, f"({share:.0%}) within an open transaction": found.in_transaction})
    return toll


async def _both_stand(world: World) -> None:
    async def have_cursors() -> bool:
        world.beat()
        count = await world.value("select count(*) from upstreams where cursor > 0")
        return bool(count == SHARDS * len(world.upstreams))

    await world.system.until(have_cursors, "both shards have taken something in")


async def _replayed(world: World, arena: Arena) -> list[str]:
    """The same from the first message on into one ingester: what is not the same then."""
    connection = await asyncpg.connect(arena.database_url)
    world.is_still = True
    try:
        made = await snapshot(connection)
        await empty(connection)
        await connection.execute("insert into upstreams select '0/1', *, 0 from unnest($1::text[])", [*world.upstreams])
        async with world.followed(arena):
            await world.settle()
        return changes(await snapshot(connection), made)
    finally:
        await connection.close()


async def _freeze_within_a_transaction(world: World, child: Child) -> None:
    connection = await asyncpg.connect(world.system.database_url)
    try:
        for _ in range(_ATTEMPTS):
            child.freeze()
            if await connection.fetchval(_OPEN, WRITER):
                return
            child.thaw()
            await asyncio.sleep(world.rng.uniform(0.0, 0.02))
    finally:
        await connection.close()
    raise Missed("the leader was never caught within a transaction")


async def _stands_by(system: System, child: Child) -> None:
    async def is_said() -> bool:
        return "standing by" in child.log.read_text()

    await system.until(is_said, "the other one stands by")
