"""A service for as long as a block lasts: what a command or a test wants of a server; `up` supervises instead."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appview.supervisor.service import Service, ServiceError, command, options

_READY_SECONDS = 60.0
_POLL_SECONDS = 0.02


@contextmanager
def running(service: Service, log: Path) -> Iterator[None]:
    """Run `service` while the block lasts, its output in the file `log`. Raises ServiceError when it does not start."""
    with log.open("wb") as output:
        process = subprocess.Popen(command(service), stdout=output, **options(service))  # noqa: S603 - ours
    try:
        _wait(service, process, log)
        yield
    finally:
        _stop(service, process)


def _wait(service: Service, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while service.ready is not None and not service.ready():
        if process.poll() is not None:
            said = log.read_text(errors="replace").strip().rpartition("\n")[2] or "nothing"
            raise ServiceError(f"{service.name} ended with code {process.returncode}; the last it said was: {said}")
        if time.monotonic() > deadline:
            raise ServiceError(f"{service.name} was not ready within {_READY_SECONDS:.0f} seconds; {log} may say why")
        time.sleep(_POLL_SECONDS)


def _stop(service: Service, process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is not None:
        return
    os.kill(process.pid, service.stop)
    try:
        process.wait(service.stop_seconds)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, service.kill)
        process.wait()
