"""The protocol's interop fixtures and captured frames, which stand beside the checkout and are no part of it."""

from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[2] / "shared" / "fixtures"


def fixture(path: str) -> Path:
    """The file or folder `path` under the shared fixtures; the asking test skips, saying so, where they are absent."""
    found = FIXTURES / path
    if not found.exists():
        pytest.skip(f"shared fixture {path} is not beside this checkout")
    return found


def fixture_lines(path: str) -> list[str]:
    """The entries of a syntax fixture: split on newlines only, never stripped; blank lines and # comments left out."""
    text = fixture(path).read_bytes().decode("utf-8")
    return [line for line in text.split("\n") if line and not line.startswith("#")]
