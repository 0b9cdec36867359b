"""The installation: done when the lock says so, and told in a sentence when it cannot be."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.network import setup


def test_an_installation_holds_for_one_lock_and_one_runtime(tmp_path: Path) -> None:
    lock, installed = tmp_path / "lock", tmp_path / "installed"
    lock.write_text("a 1")
    installed.mkdir()
    assert not setup._is_stamped(installed, lock, "node 22")
    setup._stamp(installed, lock, "node 22")
    assert setup._is_stamped(installed, lock, "node 22")
    assert not setup._is_stamped(installed, lock, "node 24")
    lock.write_text("a 2")
    assert not setup._is_stamped(installed, lock, "node 22")


def test_setup_is_done_at_once_when_nothing_changed() -> None:
    begun = time.monotonic()
    subprocess.run([sys.executable, "-m", "tests.network.setup"], check=True)
    assert time.monotonic() - begun < 30


def test_a_failing_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(setup.SetupError, match=r"false-alarm.* failed with code 3"):
        setup._run([sys.executable, "-c", "print('false-alarm'); raise SystemExit(3)"])
    assert "false-alarm" in capsys.readouterr().err


def test_a_missing_compiler_is_said_plainly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(setup.SetupError, match=r"there is no g\+\+ and no make: install a C"):
        setup._require_compiler()


def test_locks_name_no_registry() -> None:
    assert '"resolved"' not in setup.NODE_LOCK.read_text()
    assert "://" not in setup.ARROBA_LOCK.read_text()
