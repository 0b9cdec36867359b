"""The commands as a user runs them: their output and exit code, in another process or, for less, in this one."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ingester.__main__ import main

ROOT = Path(__file__).parents[3]
COMMAND = (sys.executable, "-X", "dev", "-W", "error", "-m", "ingester")


class Ran(NamedTuple):
    """What came of a command."""

    code: int
    out: bytes
    error: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The lines of JSON that were printed."""
        return [json.loads(line) for line in self.out.splitlines()]


def ingester(*arguments: object, stdin: bytes = b"") -> Ran:
    """Run `python -m ingester` with `arguments` to its end. Warnings are errors there too."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], input=stdin, capture_output=True, cwd=ROOT, timeout=120, check=False
    )
    return Ran(done.returncode, done.stdout, done.stderr.decode())


def called(capture: pytest.CaptureFixture[bytes], *arguments: object) -> Ran:
    """What `python -m ingester` does with `arguments`, done here."""
    code = main([str(argument) for argument in arguments])
    out, error = capture.readouterr()
    return Ran(code, out, error.decode())
