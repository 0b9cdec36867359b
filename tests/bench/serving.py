"""Web processes for the figures: ours as an operator starts it, and what it is held against on the same server."""

import os
import re
import subprocess
import sys
import tempfile
import time
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
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with (
            log.open("wb") as output,
            subprocess.Popen([sys.executable, "-m", module], cwd=folder, env=environment, stderr=output) as process,
        ):
            try:
                yield _origin(log, process)
            finally:
                process.kill()


def _origin(log: Path, process: "subprocess.Popen[bytes]") -> str:
    """Where the process says that it listens, once it does."""
    deadline = time.monotonic() + _SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        found = _listening(log.read_text())
        if found is not None:
            return found[1]
        time.sleep(0.05)
    raise RuntimeError(f"the web process does not listen; it said: {log.read_text()}")
