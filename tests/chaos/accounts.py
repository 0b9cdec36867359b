"""What befalls accounts while it is hard to follow: new keys, moves, ends, returns."""

from collections.abc import Sequence

from tests.chaos.harness import Arena, Toll, made_up
from tests.chaos.registry import scenario
from tests.system.synthetic import Pds
from tests.writer.repo import Write

NEVER = {"rotate": 0.0, "migrate": 0.0, "delete": 0.0, "return": 0.0}
OFTEN = 25.0
AWAY = 3
"""How often the ingester is away."""


@scenario("key rotation")
async def key_rotation(arena: Arena) -> Toll:
    """signing keys change in mid-stream"""
    async with made_up(arena, favours=NEVER | {"rotate": OFTEN}) as world, world.followed(arena):
        await world.live(arena.seconds)
        world.hits["rotations"] = world.life.done["rotate"]
        return await world.toll()


@scenario("migration")
async def migration(arena: Arena) -> Toll:
    """accounts move between five PDSes in mid-stream, some while we are away"""
    async with (
        made_up(arena, pdses=5, favours=NEVER | {"migrate": OFTEN}) as world,
        world.followed(arena) as system,
    ):
        for _ in range(AWAY):
            await world.live(arena.seconds / AWAY / 2)
            await system.ingester.stop()
            await world.live(arena.seconds / AWAY / 2)
            system.ingester.start()
        world.hits["migrations"] = world.life.done["migrate"]
        return await world.toll()


@scenario("deletes while away")
async def deletes_while_away(arena: Arena) -> Toll:
    """records and accounts deleted while the ingester is down; of the latter the host sends nothing else again"""
    async with made_up(arena, favours={"delete": OFTEN}) as world, world.followed(arena) as system:
        for _ in range(AWAY):
            await world.live(arena.seconds / AWAY / 2)
            await system.ingester.stop()
            await world.live(arena.seconds / AWAY / 4)
            for account in [account for account in world.life.accounts if account.active][::2]:
                paths = [path.decode() for path in account.repo.leaves][::2]
                if paths:
                    account.write(*(Write("delete", path) for path in paths))
                world.hits["records deleted"] += len(paths)
            await world.live(arena.seconds / AWAY / 4)
            system.ingester.start()
        world.hits["accounts deleted"] = world.life.done["delete"]
        return await world.toll()


@scenario("purge and return")
async def purge_and_return(arena: Arena) -> Toll:
    """accounts deleted under load, and some that begin anew elsewhere"""
    async with (
        made_up(arena, pdses=3, favours={"delete": OFTEN, "return": OFTEN, "hide": 3.0}) as world,
        world.followed(arena),
    ):
        await world.live(arena.seconds)
        done = world.life.done
        world.hits.update({"deleted": done["delete"], "begun anew": _returned(world.pdses), "back": done["come back"]})
        return await world.toll()


def _returned(pdses: Sequence[Pds]) -> int:
    """Accounts that were deleted at one host, and are at another."""
    deleted = {account.did for pds in pdses for account in pds.accounts.values() if account.status == "deleted"}
    there = {account.did for pds in pdses for account in pds.accounts.values() if account.status != "deleted"}
    return len(deleted & there)
