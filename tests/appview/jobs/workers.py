"""Real worker processes, and what a test wants to know of them."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from appview.db import Pool
from tests.appview.net.world import World, document

PATIENCE = 60.0
"""Tells a hang from slowness."""


class Workers:
    """Starts worker processes over one world, one database and one Redis."""

    def __init__(self, world: World, pool: Pool, database_url: str, broker_url: str, folder: Path) -> None:
        self._folder = folder
        self.world = world
        self.pool = pool
        self.broker_url = broker_url
        self._origin = f"127.0.0.1:{world.hosts.port}"
        self.environment = {
            "PATH": os.environ["PATH"],
            "PLYR_DATABASE_URL": database_url,
            "PLYR_REDIS_URL": broker_url,
            "PLYR_PLC_URL": f"http://{self._origin}",
            "PLYR_DEV": "1",
            "PLYR_RESOLVE": f"*.test={self._origin}",
        }
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, module: str = "tests.appview.jobs.quick_worker", *, processes: int = 1, threads: int = 2) -> None:
        """Start a worker, as the leader of a group of processes."""
        command = [sys.executable, "-m", "dramatiq", module, "-p", str(processes), "-t", str(threads)]
        with (self._folder / f"worker-{len(self._started)}.log").open("wb") as output:
            self._started.append(
                subprocess.Popen(
                    command, env=self.environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
                )
            )

    def said(self) -> str:
        """All that they said."""
        return "".join(log.read_text() for log in sorted(self._folder.glob("worker-*.log")))

    async def ended(self) -> list[int]:
        """Wait for them to end by themselves; their exit codes."""
        return [await asyncio.to_thread(worker.wait, PATIENCE) for worker in self._started]

    async def stop(self) -> list[int]:
        """Stop them as an operator would; their exit codes."""
        for worker in self._started:
            if worker.poll() is None:
                worker.terminate()
        return await self.ended()

    def kill(self) -> None:
        """Kill them and their children as they are."""
        for worker in self._started:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()

    def publish(self, did: str, handle: str, said: "int | Callable[[], Awaitable[bytes]] | None" = None) -> None:
        """An account that the directory knows, and whose handle agrees."""
        self.world.hosts.pages[self._origin, f"/{did}"] = document(did, handle=handle) if said is None else said
        self.world.name(handle, did)

    def asked(self, did: str) -> int:
        """How often the directory was asked for `did`."""
        return self.world.hosts.asked.count((self._origin, f"/{did}"))

    async def until(self, happened: Callable[[], Awaitable[bool]]) -> None:
        """Wait for something that other processes do."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not await happened():
            assert asyncio.get_running_loop().time() < deadline, self.said()
            await asyncio.sleep(0.02)

    async def no_jobs(self) -> bool:
        """Whether everything is done."""
        return not await self.pool.fetchval("select exists (select from jobs)")

    async def handles(self) -> dict[str, str | None]:
        """What the index says of everybody."""
        return {row["did"]: row["handle"] for row in await self.pool.fetch("select did, handle from actors")}
