"""The installation: done when the lock says so, and told in a sentence when it cannot be."""

import os
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
    assert not setup.is_stamped(installed, lock, "node 22")
    setup.stamp(installed, lock, "node 22")
    assert setup.is_stamped(installed, lock, "node 22")
    assert not setup.is_stamped(installed, lock, "node 24")
    lock.write_text("a 2")
    assert not setup.is_stamped(installed, lock, "node 22")


def test_setup_is_done_at_once_when_nothing_changed() -> None:
    begun = time.monotonic()
    subprocess.run([sys.executable, "-m", "tests.network.setup"], check=True)
    assert time.monotonic() - begun < 30


def test_a_failing_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(setup.SetupError, match=r"false-alarm.* failed with code 3"):
        setup.run([sys.executable, "-c", "print('false-alarm'); raise SystemExit(3)"])
    assert "false-alarm" in capsys.readouterr().err


def test_a_missing_compiler_is_said_plainly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(setup.SetupError, match=r"there is no g\+\+ and no make: install a C"):
        setup._require_compiler()


def test_a_missing_browser_is_said_plainly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert setup.find_browser() is None
    with pytest.raises(setup.SetupError, match=r"there is none, and only root can install it"):
        setup.install_browser()


def test_a_browser_that_could_not_be_installed_is_not_tried_each_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failing = tmp_path / "apt-get"
    failing.write_text("#!/bin/sh\nexit 100\n")
    failing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr(setup, "BROWSER_TRIED", tmp_path / "tried")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(setup.SetupError, match=r"apt-get update -qq failed with code 100"):
        setup.install_browser()
    with pytest.raises(setup.SetupError, match=r"could not be installed before; remove .* to try again"):
        setup.install_browser()


def test_locks_name_no_registry() -> None:
    assert '"resolved"' not in setup.NODE_LOCK.read_text()
    assert "://" not in setup.ARROBA_LOCK.read_text()
