"""Keeps services running: starts them, says when they are ready, starts again what dies, and stops all in reverse."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import closing, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from appview.supervisor.output import Output
from appview.supervisor.service import Service, ServiceError, command, options

_MAX_LINE: Final = 65_536
_DRAIN_SECONDS: Final = 1.0
_KILLED_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How soon what died is started again: after `first` seconds, twice as long each time, `most` at the most.

    A process that ran for `settled` seconds begins again with `first`; `loop` short runs on end are called a loop.
    """

    first: float = 1.0
    most: float = 30.0
    settled: float = 60.0
    loop: int = 5
    poll: float = 0.1


class Kept:
    """A service that is kept running: whether it is ready now, and how it came to its last end."""

    def __init__(self, service: Service) -> None:
        self.service: Final = service
        self.ready: Final = asyncio.Event()
        self.ended: Final = asyncio.Event()
        """It has ended at least once."""
        self.end = ""
        self.process: asyncio.subprocess.Process | None = None
        self.task: asyncio.Task[None] | None = None
        self.stopping: Final = asyncio.Event()


class Supervisor:
    """Use it as an async context manager, in the main thread; all that it keeps is stopped on leaving."""

    def __init__(self, output: Output, patience: Patience | None = None) -> None:
        self._output: Final = output
        self._patience: Final = patience or Patience()
        self._kept: Final[list[Kept]] = []
        self._hurry: Final = asyncio.Event()
        self._fault: BaseException | None = None
        self._faulty: Final = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def keep(self, service: Service) -> Kept:
        """Start `service`, and from now on whenever it has ended."""
        kept = Kept(service)
        kept.task = asyncio.create_task(self._keep(kept), name=f"keep {service.name}")
        kept.task.add_done_callback(self._heed)
        self._kept.append(kept)
        return kept

    async def start(self, service: Service) -> None:
        """Keep `service`, and wait until it is ready. Raises ServiceError when it ends before that."""
        kept = self.keep(service)
        await _any(kept.ready.wait(), kept.ended.wait(), self._faulty.wait())
        if self._fault is not None:
            raise self._fault
        if not kept.ready.is_set():
            raise ServiceError(f"{service.name} {kept.end} before it was ready")

    async def stop(self) -> None:
        """Stop everything, the last started first, each once the one before it has ended."""
        while self._kept:
            kept = self._kept.pop()
            kept.stopping.set()
            if kept.process is not None and kept.process.returncode is None:
                await self._stop(kept.service, kept.process)
            if kept.task is not None:
                await asyncio.wait([kept.task])

    async def run(self, stop: asyncio.Event) -> None:
        """Return once `stop` is set; raises what keeps us from keeping a service, which is a fault of ours."""
        await _any(stop.wait(), self._faulty.wait())
        if self._fault is not None:
            raise self._fault

    def kill(self) -> None:
        """Have the stopping, now or later, wait for nobody."""
        self._hurry.set()

    async def _keep(self, kept: Kept) -> None:
        failures = 0
        while not kept.stopping.is_set():
            started = time.monotonic()
            try:
                kept.end = await self._run(kept)
            except OSError as error:
                kept.end = f"could not be started: {error}"
            kept.ready.clear()
            kept.ended.set()
            if kept.stopping.is_set():
                break
            failures = 1 if time.monotonic() - started >= self._patience.settled else failures + 1
            delay = min(self._patience.first * 2 ** (failures - 1), self._patience.most)
            self._say(kept.service, f"{kept.end}; it is started again in {delay:g} s", "warning")
            if failures >= self._patience.loop:
                said = f"it does not stay up: {failures} runs on end lasted less than {self._patience.settled:g} s each"
                self._say(kept.service, f"{said}; what it wrote before it ended says why", "error")
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await kept.stopping.wait()

    async def _run(self, kept: Kept) -> str:
        """One run of the service, from its start to its end; returns how it ended. Raises OSError."""
        service = kept.service
        # Not asyncio's own pipe: with that, a process whose children live on would never be seen to end.
        output, theirs = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(*command(service), stdout=theirs, **options(service))
        except OSError:
            os.close(output)
            raise
        finally:
            os.close(theirs)
        kept.process = process
        pump = asyncio.create_task(self._pump(service, output))
        watch = asyncio.create_task(self._watch(kept, process))
        for task in (pump, watch):
            task.add_done_callback(self._heed)
        if kept.stopping.is_set():
            # It was told to while the process was on its way.
            await self._stop(service, process)
        code = await process.wait()
        _kill_group(process.pid)
        watch.cancel()
        await asyncio.wait([pump], timeout=_DRAIN_SECONDS)
        pump.cancel()
        return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"

    async def _pump(self, service: Service, output: int) -> None:
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(output, "rb")
        )
        with closing(transport):
            async for line in _lines(stream):
                if service.noise is None or not service.noise.search(line.decode(errors="replace")):
                    self._output.relay(service.name, line)

    async def _watch(self, kept: Kept, process: asyncio.subprocess.Process) -> None:
        ready = kept.service.ready
        while ready is not None and not await asyncio.to_thread(ready):  # noqa: ASYNC110 - only asking tells
            await asyncio.sleep(self._patience.poll)
        if process.returncode is None and not kept.stopping.is_set():
            kept.ready.set()
            self._say(kept.service, "started" if ready is None else "ready", "info")

    async def _stop(self, service: Service, process: asyncio.subprocess.Process) -> None:
        if not self._hurry.is_set():
            _signal(process, service.stop)
            await _any(process.wait(), self._hurry.wait(), seconds=service.stop_seconds)
        if process.returncode is None and not self._hurry.is_set():
            self._say(service, f"it has not stopped within {service.stop_seconds:g} s and is killed", "warning")
        for last in (service.kill, signal.SIGKILL):
            if process.returncode is None:
                _signal(process, last)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_KILLED_SECONDS):
                        await process.wait()

    def _heed(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fault = error
            self._faulty.set()

    def _say(self, service: Service, message: str, level: str) -> None:
        self._output.say(service.name, message, level)


async def _any(*waits: Coroutine[Any, Any, Any], seconds: float | None = None) -> None:
    """Wait for the first of `waits`, or until the time is over."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(number)


def _kill_group(leader: int) -> None:
    """Whatever a process started and left behind would hold its port and its memory."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The lines of `stream`, without their ends; what is longer than a line may be comes in pieces."""
    rest = b""
    while chunk := await stream.read(_MAX_LINE):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
        if len(rest) >= _MAX_LINE:
            yield rest
            rest = b""
    if rest:
        yield rest
