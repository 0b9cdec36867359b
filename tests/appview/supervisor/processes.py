"""Small real processes to keep."""

import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from appview.supervisor.output import Output
from appview.supervisor.service import Service
from appview.supervisor.supervisor import Patience

QUICK = Patience(first=0.02, most=0.1, settled=1000.0, loop=3, poll=0.01)

FOREVER = """
import signal, sys, time
def stop(number, frame):
    print("told", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("up", flush=True)
while True:
    time.sleep(60)
"""
STUBBORN = FOREVER.replace("    sys.exit(0)\n", "")


def service(name: str, program: str, *arguments: object, **options: Any) -> Service:
    """One that runs the Python `program`."""
    return Service(name=name, command=(sys.executable, "-I", "-c", program, *map(str, arguments)), **options)


def until(holds: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait until `holds`; it must, within `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Whether the process is there, and not only its remains."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Written:
    """A log that can be read back."""

    def __init__(self) -> None:
        self._stream = io.StringIO()
        self.output = Output(self._stream, "text")

    @property
    def lines(self) -> list[str]:
        """Its lines without their times."""
        return [line[20:] for line in self._stream.getvalue().splitlines()]

    def has(self, process: str, message: str) -> bool:
        """Whether `process` has said something with `message` in it."""
        return any(line.split()[0] == process and message in line for line in self.lines)
