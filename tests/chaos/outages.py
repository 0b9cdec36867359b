"""What we stand on, and whom we ask, gone and back in mid-stream: upstream, PDS, directory, Postgres, Redis."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace

import aiohttp
import asyncpg
import httpx
from redis import Redis

from appview import db
from appview.embedded.postgres import postgres
from appview.embedded.redis import redis
from tests.chaos.faulty import Stingy
from tests.chaos.harness import Arena, Backend, Toll, World, made_up
from tests.chaos.registry import scenario
from tests.system.relay import Relay
from tests.system.settled import KINDS
from tests.system.stage import short_folder
from tests.system.world import Client

TIMES = 4
"""How often each goes."""
QUESTIONS = {
    "com.atproto.sync.getRepo",
    "com.atproto.sync.getRepoStatus",
    "com.atproto.sync.getLatestCommit",
    "com.atproto.repo.describeRepo",
}
FLUSHES = 200
"""How often Redis is flushed at most, until there was something in it."""
EVERY_KIND = (*KINDS, "identity")

Step = Callable[[], Awaitable[None]]


async def in_turn(world: World, arena: Arena, go: Step, come: Step) -> None:
    """Let something go and come back a few times while life goes on, away for as long as it is there."""
    async with world.living():
        for _ in range(TIMES):
            await asyncio.sleep(arena.seconds / TIMES / 2)
            await go()
            await asyncio.sleep(arena.seconds / TIMES / 2)
            await come()


@scenario("upstream")
async def upstream(arena: Arena) -> Toll:
    """the only upstream, a relay, stopped and started"""
    async with made_up(arena) as world, Relay(*(pds.url for pds in world.pdses)) as relay:
        world.follow(relay)
        heads: list[int] = []

        async def go() -> None:
            await relay.stop()
            world.hits["stops"] += 1
            heads.append(relay.stream.head)

        async def come() -> None:
            world.hits["messages meanwhile"] += relay.stream.head - heads[-1]
            await relay.start()

        async with world.followed(arena):
            await in_turn(world, arena, go, come)
            return await world.toll()


@scenario("PDS")
async def pds(arena: Arena) -> Toll:
    """a PDS stopped, and one that answers nothing, while repositories are to be fetched from it"""
    async with made_up(arena) as world, Relay(*(pds.url for pds in world.pdses)) as relay:
        world.follow(relay)
        relay.stream.wire = wire = Stingy()
        host = world.pdses[0]
        asked: list[int] = []

        async def go() -> None:
            wire.victims = {account.did for account in world.life.accounts if account.pds is host}
            asked.append(sum(host.asked[name] for name in QUESTIONS))
            if len(asked) % 2:
                host.refuses = QUESTIONS
                world.hits["silences"] += 1
            else:
                await host.stop()
                world.hits["stops"] += 1

        async def come() -> None:
            if host.refuses:
                world.hits["questions in vain"] += sum(host.asked[name] for name in QUESTIONS) - asked[-1]
                host.refuses = set()
            else:
                await host.start()

        async with world.followed(arena):
            await in_turn(world, arena, go, come)
            wire.victims = set()
            world.speak(wire.hurt)
            world.hits["chains broken"] = wire.dropped
            return await world.toll()


@scenario("directory")
async def directory(arena: Arena) -> Toll:
    """the directory stopped, while keys change and accounts join"""
    async with made_up(arena, favours={"rotate": 8.0, "delete": 8.0}) as world, world.followed(arena):

        async def go() -> None:
            await world.directory.stop()
            world.hits["stops"] += 1

        async def come() -> None:
            world.hits["messages kept"] += await world.value("select count(*) from held_frames")
            await world.directory.start()

        await in_turn(world, arena, go, come)
        world.hits["rotations"] = world.life.done["rotate"]
        return await world.toll()


@scenario("Postgres")
async def postgres_gone(arena: Arena) -> Toll:
    """Postgres stopped, and crashed, under ingester and web"""
    async with made_up(arena) as world:
        with short_folder() as folder:
            server = Backend(lambda: postgres(folder))
            arena = replace(arena, database_url=server.start(), folder=folder)
            try:
                return await _on_postgres(world, arena, server)
            finally:
                server.stop()


async def _on_postgres(world: World, arena: Arena, server: Backend) -> Toll:
    head = 0

    async def go() -> None:
        nonlocal head
        if world.hits["stops"] > world.hits["crashes"]:
            pid = (arena.folder / "postgres" / "postmaster.pid").read_text().splitlines()[0]
            os.kill(int(pid), signal.SIGQUIT)
            world.hits["crashes"] += 1
        else:
            world.hits["stops"] += 1
        server.stop()
        head = sum(pds.stream.head for pds in world.pdses)

    async def come() -> None:
        world.hits["messages meanwhile"] += sum(pds.stream.head for pds in world.pdses) - head
        server.start()
        await world.restart()

    connection = await db.connect(arena.database_url)
    await db.migrate(connection)
    await connection.close()
    async with world.followed(arena) as system:
        system.web.start()
        await in_turn(world, arena, go, come)
        toll = await world.toll()
        async with aiohttp.ClientSession() as session:
            client = Client(session, system.url)
            did = await world.value("select did from actors where visible and did in (select did from tracks) limit 1")
            shown = await client.ask("actor.getProfile", actor=did)
        assert shown["did"] == did
        return toll


@scenario("Redis")
async def redis_gone(arena: Arena) -> Toll:
    """Redis flushed, stopped and crashed under the worker: handles too are as they must be"""
    async with made_up(arena, favours={"identity": 8.0, "delete": 4.0}) as world:
        with short_folder() as folder:
            server = Backend(lambda: redis(folder))
            try:
                return await _on_redis(world, arena, server)
            finally:
                server.stop()


async def _on_redis(world: World, arena: Arena, server: Backend) -> Toll:
    url, is_away = server.start(), False

    async def go() -> None:
        nonlocal is_away
        with Redis.from_url(url) as client:
            for _ in range(FLUSHES):
                waiting = int(client.hlen("dramatiq:jobs.msgs"))
                client.flushall()
                world.hits["flushes"] += 1
                world.hits["jobs flushed"] += waiting
                if waiting:
                    break
                await asyncio.sleep(0.005)
        is_away = world.rng.random() < 0.5 or not world.hits["stops"]
        if is_away:
            server.stop()
            world.hits["stops"] += 1

    async def come() -> None:
        if is_away:
            server.start()
        await world.restart()

    names = ",".join(f"*{pds.handle_domain}=127.0.0.1:{pds.port}" for pds in world.pdses)
    async with world.followed(arena, redis_url=url, resolve=names) as system:
        system.worker.start()
        await in_turn(world, arena, go, come)
        # What was flushed is sent again when its lease runs out; as if that were now.
        await world.value("update jobs set due_at = now() where kind = 'identity'")
        await world.settle(EVERY_KIND)
        toll = await world.toll()
        wrong, right = await _handles(world)
        toll.hits["handles right"] = right
        toll.differences += wrong
        return toll


async def _handles(world: World) -> tuple[list[str], int]:
    """The accounts that are shown under another handle than their directory and host say, and how many are not."""
    connection = await asyncpg.connect(world.system.database_url)
    try:
        rows = await connection.fetch("select did, handle from actors where visible and did in (select did from repos)")
    finally:
        await connection.close()
    ports = {pds.handle_domain: pds.port for pds in world.pdses}
    wrong, right = [], 0
    async with httpx.AsyncClient() as client:
        for did, handle in rows:
            document = (await client.get(f"{world.directory.url}/{did}")).json()
            name = document["alsoKnownAs"][0].removeprefix("at://")
            port = ports["." + name.partition(".")[2]]
            address = f"http://127.0.0.1:{port}/.well-known/atproto-did"
            answer = await client.get(address, headers={"host": name})
            must = name if answer.text == did else None
            right += must is not None and handle == must
            if handle != must:
                wrong.append(f"handle of {did}: must be {must}, is {handle}")
    return wrong, right
