"""Data folders, with paths short enough for a socket, which pytest's own are not."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="plyr-") as name:
        yield Path(name) / "data"
