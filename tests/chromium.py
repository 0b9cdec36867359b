"""The Chromium that tests see pages with, where there is one, and where their screenshots go."""

from pathlib import Path
from typing import Final

import pytest

from tests.network.setup import find_browser

SCREENSHOTS: Final = Path(__file__).parents[1] / ".cache" / "screenshots"
CHROMIUM: Final = find_browser()
needs_chromium: Final = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium here; `make setup` installs one as root"
)
FLAGS: Final = (
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
