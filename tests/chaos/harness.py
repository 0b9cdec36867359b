"""A made-up network with a life on it, our system beside it, and the servers it stands on, which can be stopped."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Container, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg

from tests.network import records
from tests.system.life import Life
from tests.system.oracle import audit
from tests.system.relay import Relay
from tests.system.settled import KINDS, hurry, is_discovered, is_settled, left_to_do
from tests.system.stream import Stream  # noqa: TC001 - a field's annotation
from tests.system.synthetic import Account, Directory, Pds
from tests.system.world import System, running
from tests.writer.repo import Write

PAUSE: Final = 0.003
"""Seconds between two things that happen."""
ACCOUNTS: Final = 40
"""So many that to none of them more happens than hosts may be asked about."""
CATCH_UP_SECONDS: Final = 90.0
FOUND_SECONDS: Final = 120.0
"""What is wanted of discovery is looked at once a minute."""
HOST_RATE: Final = "1000"
"""Here two hosts have everybody, and are asked as if they were many."""


class Missed(AssertionError):
    """A fault that was to happen did not, so that what was compared shows nothing."""


@dataclass(frozen=True)
class Arena:
    """Where a scenario takes place: a database of its own, a folder, and for how long life goes on."""

    seed: int
    database_url: str
    folder: Path
    seconds: float
    kills: int
    patience: float = 15.0
    """Seconds that what failed is left to its back-off, in the end; then, as if that were over, it is due."""


@dataclass
class Toll:
    """What was done, how often; and what came of it."""

    hits: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    """Sent by the hosts in all."""
    differences: list[str] = field(default_factory=list)

    @property
    def missed(self) -> list[str]:
        """What was to be done and was not."""
        return [f"it did not hit: {name}" for name, count in self.hits.items() if not count]


class Backend:
    """A server of this machine that can be stopped and started: `Backend(lambda: postgres(folder))`.

    It is started from the main thread, with whose end it ends: meanwhile everything here stands still.
    """

    def __init__(self, run: Callable[[], AbstractContextManager[str]]) -> None:
        self._run = run
        self._stack = ExitStack()

    def start(self) -> str:
        """Start it; its URL, the same each time."""
        return self._stack.enter_context(self._run())

    def stop(self) -> None:
        """Stop it, if it runs."""
        self._stack.close()


class World:
    """The network and the system that follows it. `hits` counts what a scenario has done; none may be 0 in the end."""

    def __init__(self, arena: Arena, directory: Directory, pdses: Sequence[Pds], life: Life) -> None:
        self.rng = life.rng
        self.directory = directory
        self.pdses = pdses
        self.life = life
        self.hits: Counter[str] = Counter()
        self.upstreams: dict[str, Stream] = {pds.url: pds.stream for pds in pdses}
        """What the system follows, by URL."""
        self.relay: Relay | None = None
        self._beacons = [pds.create_account("beacon") for pds in pdses]
        self._patience = arena.patience
        self.is_still = False
        """Whether nothing happens any more that nobody asks for."""
        self._system: System | None = None

    def follow(self, relay: Relay) -> None:
        """Let the system follow this relay of the PDSes, and nothing else."""
        self.relay, self.upstreams = relay, {relay.url: relay.stream}

    @property
    def system(self) -> System:
        if self._system is None:
            raise RuntimeError("There is no system in this world yet.")
        return self._system

    @asynccontextmanager
    async def followed(self, arena: Arena, *, beside: Sequence[str] = (), **settings: str) -> AsyncIterator[System]:
        """A system that has begun to follow `upstreams`, and follows those `beside` them; its ingester runs."""
        urls = ",".join([*self.upstreams, *beside])
        network = {"plc_url": self.directory.url, "relay_urls": urls, "host_rate": HOST_RATE}
        async with running(arena.folder, arena.database_url, **(network | settings)) as system:
            self._system = system
            system.ingester.start()
            await system.until(self._is_followed, "every upstream is followed")
            yield system

    async def _is_followed(self) -> bool:
        self.beat()
        found = await self.value("select count(*) from upstreams where url = any($1) and cursor > 0", [*self.upstreams])
        return bool(found == len(self.upstreams))

    def beat(self) -> None:
        """Let every PDS say something that must be heard."""
        for account in () if self.is_still else self._beacons:
            release(account, len(account.repo.leaves))

    def speak(self, dids: Container[str]) -> None:
        """Let each of these accounts write once more, so that it shows what was lost of it before."""
        for account in self.life.accounts:
            if account.did in dids and account.active:
                release(account, len(account.repo.leaves))

    @asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """Life goes on while the block lasts."""
        task = asyncio.create_task(self._live())
        try:
            yield
            if task.done():
                await task
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def live(self, seconds: float) -> None:
        """Life goes on for so long."""
        async with self.living():
            await asyncio.sleep(seconds)

    async def _live(self) -> None:
        while True:
            account = self.life.step()
            if account.status == "deleted":
                account.pds.stream.purge(account.did)
            await asyncio.sleep(PAUSE)

    async def value(self, sql: str, *arguments: object) -> Any:
        """The one value that a query of the index gives."""
        connection = await asyncpg.connect(self.system.database_url)
        try:
            return await connection.fetchval(sql, *arguments)
        finally:
            await connection.close()

    async def settle(self, kinds: tuple[str, ...] = KINDS) -> None:
        """Wait until all that was sent is in the index, and no job of these `kinds` is left."""
        self.beat()
        await self.system.until(self._is_relayed, "the relay has what the PDSes have sent")
        sources = [*self.upstreams]
        await self.system.until(lambda: is_discovered(self.system.database_url, sources), "all is found", FOUND_SECONDS)
        url, heads = self.system.database_url, {url: stream.head for url, stream in self.upstreams.items()}
        patience = time.monotonic() + self._patience

        async def is_caught_up() -> bool:
            if time.monotonic() > patience:
                await hurry(url)
            return await is_settled(url, heads, kinds)

        try:
            await self.system.until(is_caught_up, "it catches up", CATCH_UP_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{await self._standing(heads, kinds)}") from None

    async def _is_relayed(self) -> bool:
        return self.relay is None or all(self.relay.seen[pds.url] == pds.stream.head for pds in self.pdses)

    async def _standing(self, heads: Mapping[str, int], kinds: tuple[str, ...]) -> str:
        connection = await asyncpg.connect(self.system.database_url)
        try:
            rows = await connection.fetch("select url, min(cursor) from upstreams group by url")
            left = await left_to_do(connection, kinds)
        finally:
            await connection.close()
        cursors = {row["url"]: row["min"] for row in rows}
        behind = [f"{url}: at {cursors.get(url)} of {head}" for url, head in heads.items() if cursors.get(url) != head]
        return "\n".join([*behind, *left[:20]])

    async def toll(self, unheard: frozenset[str] = frozenset()) -> Toll:
        """What came of it, once all has settled. `unheard`: deleted accounts of whose end the system was never told."""
        await self.settle()
        hosts = [pds.url for pds in self.pdses]
        found = await audit(self.directory.url, hosts, self.system.database_url, unheard)
        return Toll(self.hits, sum(pds.host.seq for pds in self.pdses), found)

    async def restart(self) -> None:
        """Start what has ended by itself, as whoever supervises it would; counted as `restarts`."""
        for child in self.system.children:
            if child.has_died:
                self.hits["restarts"] += 1
                child.start()


def release(account: Account, number: int) -> None:
    """Publish a track of that number."""
    path = f"{records.TRACK}/{account.pds.host.tid()}"
    account.write(Write("create", path, records.track(f"Song {number}")))


@asynccontextmanager
async def made_up(
    arena: Arena,
    *,
    pdses: int = 2,
    accounts: int = ACCOUNTS,
    quiet: bool = False,
    favours: Mapping[str, float] | None = None,
) -> AsyncIterator[World]:
    """A network of so many PDSes with a life on them."""
    rng = random.Random(arena.seed)
    async with AsyncExitStack() as stack:
        directory = await stack.enter_async_context(Directory())
        hosts = [await stack.enter_async_context(Pds(directory, f"pds{number + 1}")) for number in range(pdses)]
        yield World(arena, directory, hosts, Life(rng, hosts, accounts, quiet=quiet, favours=favours))
