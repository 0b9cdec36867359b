"""Web processes for the figures: ours as an operator starts it, and what it is held against on the same server."""

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.bench.rig import NOWHERE

OURS: Final = "xrpc"
SERVICE_DID: Final = "did:web:appview.bench.test"
ROOT: Final = Path(__file__).parents[2]
_SECONDS: Final = 60.0
_listening = re.compile(r"listening on (http://\S+)").search


@contextmanager
def serving(url: str, module: str = OURS, **settings: str) -> Iterator[str]:
    """The origin of `python -m {module}` on the database at `url`, with the settings of production and these."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PLYR_")}
    environment = {
        **inherited,
        "PYTHONPATH": str(ROOT),
        "PLYR_DATABASE_URL": url,
        "PLYR_BIND": "127.0.0.1:0",
        "PLYR_PLC_URL": NOWHERE,
        "PLYR_SERVICE_DID": SERVICE_DID,
        **settings,
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, "-m", module], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        log = _Log(process)
        try:
            yield log.origin()
        finally:
            process.kill()


class _Log:
    """What a process says, read for as long as it runs, lest it wait for a reader."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._lines: list[str] = []
        self._found = threading.Event()
        self._origin: str | None = None
        threading.Thread(target=self._read, daemon=True).start()

    def origin(self) -> str:
        """Where it listens, once it does."""
        self._found.wait(_SECONDS)
        if self._origin is None:
            raise RuntimeError(f"the web process does not listen; it said: {''.join(self._lines)}")
        return self._origin

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._lines.append(line)
            found = _listening(line)
            if found is not None:
                self._origin = found[1]
                self._found.set()
        self._found.set()
