"""The web process, started as an operator would."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals

ROOT = Path(__file__).parents[2]
SECONDS = 60.0
"""For what takes one or two: the machine may be busy."""

_is_listening = re.compile(r".*listening on (http://\S+)").match


class Process:
    """A running web process, its address and what it has logged."""

    def __init__(self, module: str, environ: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-W", "error", "-m", module],
            cwd=ROOT,
            env=environment(environ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        if not self._listening.wait(SECONDS) or self._process.poll() is not None:
            self.stop(SIGKILL)
            raise AssertionError(f"{module} does not listen: {''.join(self.lines)}")

    @property
    def url(self) -> str:
        """Where it listens."""
        return next(match[1] for line in self.lines if (match := _is_listening(line)))

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return "".join(self.lines)

    def signal(self, number: Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def stop(self, number: Signals = SIGTERM) -> int:
        """Stop it, if it still runs; its exit code."""
        self.signal(number)
        code = self._process.wait(SECONDS)
        self._reader.join(SECONDS)
        return code

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stderr:
            for line in stderr:
                self.lines.append(line)
                if _is_listening(line):
                    self._listening.set()
        self._listening.set()


def environment(settings: dict[str, str]) -> dict[str, str]:
    """Ours without its settings, and these."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PLYR_")}
    return {**inherited, "PLYR_BIND": "127.0.0.1:0", "PLYR_DEV": "1", **settings}


@contextmanager
def web(database_url: str, *, module: str = "tests.xrpc.sample_server") -> Iterator[Process]:
    """A web process on `database_url`, by default with the sample methods; stopped after the block."""
    process = Process(module, {"PLYR_DATABASE_URL": database_url})
    try:
        yield process
    finally:
        process.stop(SIGKILL)
