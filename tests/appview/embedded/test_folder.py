"""Secrets, locks, and who may pass."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from appview.embedded.folder import Lock, Secrets, admit, is_held, load_secrets, make_folder, servant
from appview.supervisor.service import ServiceError, User

HOLDER = """
import sys, subprocess
from pathlib import Path
from appview.embedded.folder import Lock
lock = Lock(Path(sys.argv[1]), patience=0)
child = subprocess.Popen(["sleep", sys.argv[2]], pass_fds=[lock.descriptor], stdout=subprocess.DEVNULL)
print("held", flush=True)
sys.stdin.read()
"""


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_secrets_are_made_once_and_are_ours_alone(folder: Path) -> None:
    made = load_secrets(make_folder(folder))
    assert load_secrets(folder) == made
    assert len({*made}) == len(Secrets._fields)
    assert all(len(secret) >= 32 for secret in made)
    assert mode(folder / "secrets.json") == 0o600
    assert mode(folder) == 0o700
    assert [file.name for file in folder.iterdir()] == ["secrets.json"]


def test_secrets_made_at_once_are_the_same(folder: Path) -> None:
    make_folder(folder)
    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(load_secrets, [folder] * 32))) == 1


@pytest.mark.parametrize("content", [b"", b"[]", b'{"postgres": "x"}', b"\xff"])
def test_secrets_that_are_none_are_not_replaced(folder: Path, content: bytes) -> None:
    file = make_folder(folder) / "secrets.json"
    file.write_bytes(content)
    with pytest.raises(ServiceError, match=r"secrets\.json does not hold"):
        load_secrets(folder)
    assert file.read_bytes() == content


def test_a_data_folder_that_is_a_file_is_one_sentence(folder: Path) -> None:
    folder.write_text("")
    with pytest.raises(ServiceError, match="cannot be made: File exists"):
        make_folder(folder)


def test_a_lock_is_held_once(folder: Path) -> None:
    path = make_folder(folder) / "redis.lock"
    assert not is_held(path)
    lock = Lock(path, patience=5)
    assert is_held(path)
    with pytest.raises(ServiceError, match=f"redis already runs in .*, started by process {os.getpid()}"):
        Lock(path, patience=5)
    lock.close()
    assert not is_held(path)
    Lock(path, patience=0).close()


def holder(path: Path, seconds: float) -> None:
    """Have a process take the lock, start a server that lives for `seconds`, and be killed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), str(seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        process.kill()


def test_a_server_whose_manager_was_killed_is_waited_for(folder: Path) -> None:
    path = make_folder(folder) / "redis.lock"
    holder(path, 0.5)
    assert is_held(path)
    started = time.monotonic()
    Lock(path, patience=60).close()
    assert time.monotonic() - started > 0.1


def test_a_server_that_does_not_go_is_named(folder: Path) -> None:
    path = make_folder(folder) / "redis.lock"
    holder(path, 2)
    with pytest.raises(ServiceError, match="redis of an earlier run still runs in"):
        Lock(path, patience=0.1)


def test_a_folder_that_lets_nobody_pass_is_opened_for_passing_alone(tmp_path: Path) -> None:
    closed, open_ = tmp_path / "closed", tmp_path / "closed" / "open"
    open_.mkdir(parents=True)
    closed.chmod(0o700)
    open_.chmod(0o755)
    user = User(os.getuid(), os.getgid())
    assert closed in admit(open_ / "file", user)
    assert (mode(closed), mode(open_)) == (0o701, 0o755)
    assert admit(open_ / "file", user) == []


def test_nothing_is_opened_for_ourselves(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert admit(tmp_path / "file", None) == []
    assert mode(tmp_path) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_root_has_a_servant_that_stays_the_same(tmp_path: Path) -> None:
    chosen = servant(tmp_path / "absent")
    assert chosen is not None
    assert chosen.uid != 0
    os.chown(tmp_path, 12345, 54321)
    assert servant(tmp_path) == User(12345, 54321)


@pytest.mark.skipif(os.geteuid() == 0, reason="root has a servant")
def test_others_serve_themselves(tmp_path: Path) -> None:
    assert servant(tmp_path) is None
