"""The commands of the centre as an operator runs them."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

NOWHERE = Path(tempfile.gettempdir())
"""A folder without a file of settings."""
COMMAND = (sys.executable, "-m", "appview")


class Ran(NamedTuple):
    """What came of a command."""

    code: int
    out: str
    error: str


def environment(**settings: object) -> Mapping[str, str]:
    """Ours without any setting but these, whose names here lack their prefix."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PLYR_")}
    return own | {f"PLYR_{name}": str(value) for name, value in settings.items()}


def appview(*arguments: object, **settings: object) -> Ran:
    """Run `python -m appview` with `arguments` to its end."""
    return appview_in(NOWHERE, *arguments, **settings)


def appview_in(folder: Path, *arguments: object, **settings: object) -> Ran:
    """The same, in `folder`."""
    ran = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=environment(**settings),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)
