"""Our processes as an operator runs them: children with settings in the environment, a log each, killed at will."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import asyncpg

from appview.embedded.folder import free_port
from tests.network.launch import Addresses
from tests.network.xrpc import Json, XrpcError

PATIENCE: Final = 30.0
"""Seconds that something may take: far more than it does, and less than a test's timeout."""
STOP_SECONDS: Final = 15.0
_POLL_SECONDS: Final = 0.02
_LOG_LINES: Final = 40

Condition = Callable[[], Awaitable[object]]


class Child:
    """One process; started, killed and started again. Its log holds all of its lives."""

    def __init__(self, name: str, command: Iterable[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = list(command)
        self._environment = dict(environment)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._running().pid

    def start(self) -> None:
        """Start it; in a session of its own, so that a signal to the tests does not reach it first."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        """`kill -9`, with no chance to say a word; whatever it has started goes with it."""
        process, self._process = self._running(), None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def freeze(self) -> None:
        """Have it do nothing more, until it is thawed or killed."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    async def stop(self) -> int:
        """SIGTERM, and the code that it ends with; TimeoutError when it takes too long."""
        os.kill(self.pid, signal.SIGTERM)
        return await self.ended()

    async def ended(self, seconds: float = STOP_SECONDS) -> int:
        """The code with which it ends by itself."""
        deadline = time.monotonic() + seconds
        while (code := self._running().poll()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} did not end; the last it said:\n{self.last_words()}")
            await asyncio.sleep(_POLL_SECONDS)
        self._process = None
        return code

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def has_died(self) -> bool:
        """Whether it was started, and has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def last_words(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(f"{self.name}: {line}" for line in lines[-_LOG_LINES:])

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process


class System:
    """The whole system on one database: `ingester`, `web` and `worker` are there to be started, none runs yet.

    `settings` are those of the environment, without their prefix: `relay_urls="…"` is PLYR_RELAY_URLS.
    """

    def __init__(self, folder: Path, database_url: str, **settings: str) -> None:
        self.folder = folder
        self.database_url = database_url
        self.settings = {
            "dev": "1",
            "data_dir": str(folder / "data"),
            "database_url": database_url,
            "bind": f"127.0.0.1:{free_port()}",
            "host_rate": "1000",
        } | settings
        self.url = f"http://{self.settings['bind']}"
        self.children: list[Child] = []
        self.ingester = self.child("ingester", "-m", "ingester", "run")
        self.web = self.child("web", "-m", "xrpc")
        self.worker = self.child("worker", "-m", "dramatiq", "appview.jobs", "--processes", "1")

    def child(self, name: str, *command: str, **settings: str) -> Child:
        """Another process of the system, with `settings` of its own beside those of the system."""
        child = Child(name, (sys.executable, *command), self.environment(**settings), self.folder)
        self.children.append(child)
        return child

    def environment(self, **settings: str) -> dict[str, str]:
        """What a process finds in its environment: nothing of ours but these settings."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PLYR_")}
        ours = {f"PLYR_{name.upper()}": value for name, value in (self.settings | settings).items()}
        return inherited | ours

    async def command(self, *arguments: str, code: int = 0) -> str:
        """Run `python -m …` to its end; what it printed. AssertionError when it ends with another code."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *arguments,
            env=self.environment(),
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, error = await process.communicate()
        said = f"{' '.join(arguments)} ended with {process.returncode}:\n{out.decode()}\n{error.decode()}"
        assert process.returncode == code, said
        return out.decode()

    async def until(self, condition: Condition, what: str, seconds: float = PATIENCE) -> None:
        """Wait until `condition` answers with something true.

        A database or server that is not to be reached yet counts as not true. AssertionError, with the logs, when that
        takes too long, or one of the processes has died.
        """
        deadline = time.monotonic() + seconds
        while True:
            dead = [child.name for child in self.children if child.has_died]
            assert not dead, f"{what}: {' and '.join(dead)} died\n{self.last_words()}"
            try:
                if await condition():
                    return
            except (OSError, aiohttp.ClientError, asyncpg.PostgresError, asyncpg.InterfaceError, XrpcError):
                pass
            assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s\n{self.last_words()}"
            await asyncio.sleep(_POLL_SECONDS)

    def last_words(self) -> str:
        """The ends of all logs."""
        return "\n".join(child.last_words() for child in self.children)

    def close(self) -> None:
        """Kill what still runs."""
        for child in self.children:
            if child.is_running:
                child.kill()


@asynccontextmanager
async def running(folder: Path, database_url: str, **settings: str) -> AsyncIterator[System]:
    """A system that has ended, whichever way, when the block does."""
    system = System(folder, database_url, **settings)
    try:
        yield system
    finally:
        system.close()


class Client:
    """What anybody may ask of our API, over HTTP."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url

    async def ask(self, nsid: str, **params: str | int | list[str]) -> Json:
        """GET a query of `fm.plyr` (`feed.getTracks`) or of another group (`com.atproto…`). Raises XrpcError."""
        name = nsid if nsid.startswith("com.") else f"fm.plyr.{nsid}"
        async with self._session.get(f"{self.url}/xrpc/{name}", params=params) as response:
            body = await response.json(content_type=None)
            if response.status != 200:
                raise XrpcError(response.status, body.get("error", "?"), body.get("message", ""))
            return dict(body)

    async def get(self, path: str) -> tuple[int, Any]:
        """The status and the body of anything else: JSON where it is, else text."""
        async with self._session.get(self.url + path) as response:
            is_json = "json" in response.content_type
            return response.status, await (response.json() if is_json else response.text())


def resolve_setting(addresses: Addresses, *domains: str) -> str:
    """PLYR_RESOLVE for a test network: its PDSes' handles, and those below `domains`, which its control answers for."""
    control = urlsplit(addresses.control).port
    pdses = [f"*{pds.handle_domain}=127.0.0.1:{urlsplit(pds.url).port}" for pds in addresses.pds]
    return ",".join([*pdses, *(f"*.{domain}=127.0.0.1:{control}" for domain in domains)])
