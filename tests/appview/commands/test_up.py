"""`python -m appview up`: the real thing, with no relay to be reached."""

import os
import re
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from appview.embedded.folder import Lock, is_held, load_secrets
from appview.embedded.postgres import running_url
from tests.appview.commands.running import COMMAND, NOWHERE, appview, environment
from tests.appview.supervisor.processes import until

SETTINGS = {"BIND": "127.0.0.1:0", "RELAY_URLS": "ws://127.0.0.1:1", "PLC_URL": "http://127.0.0.1:1", "DEV": "1"}


@pytest.fixture
def data() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="plyr-") as folder:
        yield Path(folder) / "data"


class Up:
    """A running `up`: its log so far, and where its API is."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: list[str] = []
        self.origin = self.read_until(r"the API is at (http://[^/]+)/xrpc/")

    def read_until(self, pattern: str) -> str:
        """The group of `pattern` in the first line from here on that has it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if match := re.search(pattern, line):
                return match[1] if match.re.groups else match[0]
        raise AssertionError(f"up ended without it:\n{''.join(self.lines)}")

    def status(self, path: str) -> int:
        """The status of the answer to a GET."""
        connection = HTTPConnection(urlsplit(self.origin).netloc, timeout=10)
        connection.request("GET", path)
        try:
            return connection.getresponse().status
        finally:
            connection.close()


def left_behind(data: Path) -> list[str]:
    """The processes that were told of this data folder, where the machine lets us see what they were told."""
    found = []
    for told in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if os.fsencode(data) in told.read_bytes():
                found.append(told.parent.name)
    return found


@contextmanager
def running(data: Path) -> Iterator[Up]:
    with subprocess.Popen(
        [*COMMAND, "up"],
        env=environment(DATA_DIR=data, **SETTINGS),
        cwd=NOWHERE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield Up(process)
        finally:
            process.kill()


def test_it_serves_without_a_relay_and_stops_in_order(data: Path) -> None:
    with running(data) as up:
        assert up.status("/xrpc/_health") == 200
        assert running_url(data) is not None
        secrets = load_secrets(data)
        second = appview("up", DATA_DIR=data, **SETTINGS)
        assert second.code == 2
        assert second.error == f"python -m appview: up already runs in {data}, started by process {up.process.pid}\n"
        up.process.send_signal(signal.SIGINT)
        up.read_until("up +stopped")
        assert up.process.wait(120) == 0
    assert not any(is_held(data / f"{name}.lock") for name in ("up", "postgres", "redis"))
    assert not left_behind(data)
    assert not any(secret in line for secret in secrets for line in up.lines)


def test_what_dies_comes_back_and_what_is_killed_leaves_nothing(data: Path) -> None:
    with running(data) as up:
        postmaster = int((data / "postgres" / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)
        up.read_until("postgres +ready")
        until(lambda: up.status("/xrpc/_health") == 200)
        up.process.kill()
        up.process.wait()
    for name in ("postgres", "redis", "up"):
        Lock(data / f"{name}.lock", patience=60).close()
    until(lambda: not left_behind(data))
    with running(data) as up:
        up.process.send_signal(signal.SIGTERM)
        assert up.process.wait(120) == 0


def test_an_address_that_is_taken_is_one_sentence(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        ran = appview("up", DATA_DIR=data, **SETTINGS | {"BIND": bind})
    assert ran.code == 2
    assert ran.error == f"python -m appview: PLYR_BIND {bind} cannot be had: Address already in use\n"


def test_a_given_database_that_does_not_answer_stops_the_start(data: Path) -> None:
    ran = appview("up", DATA_DIR=data, DATABASE_URL="postgresql://plyr:hush@127.0.0.1:1/plyr", **SETTINGS)
    assert ran.code == 2
    assert "the database 127.0.0.1:1/plyr cannot be used" in ran.error
    assert not is_held(data / "redis.lock")
