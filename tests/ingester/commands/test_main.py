"""What every command does about an output that cannot be written, and a pipe that waits for its answer."""

import os
import struct
import subprocess
from pathlib import Path

import pytest

from lexicons.frames import encode_error, encode_frame
from tests.ingester.commands.running import COMMAND, ROOT


def framed(*frames: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(frame)) + frame for frame in frames)


@pytest.fixture
def frames_file(tmp_path: Path) -> Path:
    path = tmp_path / "frames.bin"
    path.write_bytes(framed(encode_error("FutureCursor"), encode_frame("#info", {"name": "OutdatedCursor"})))
    return path


@pytest.mark.parametrize("command", ["verify", "verify-car"])
def test_a_full_disk_is_one_sentence(command: str, frames_file: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [*COMMAND, command, frames_file], stdout=full, stderr=subprocess.PIPE, cwd=ROOT, check=False
        )
    assert ran.returncode == 2
    assert b"cannot be written: No space left" in ran.stderr
    assert b"Traceback" not in ran.stderr


@pytest.mark.parametrize("command", ["verify", "verify-car"])
def test_no_output_at_all_is_one_sentence(command: str, frames_file: Path) -> None:
    ran = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *COMMAND, command, frames_file],
        stderr=subprocess.PIPE,
        cwd=ROOT,
        check=False,
    )
    assert ran.returncode == 2
    assert b"no standard output" in ran.stderr
    assert b"Traceback" not in ran.stderr


def test_a_pipe_is_answered_frame_by_frame() -> None:
    process = subprocess.Popen(
        [*COMMAND, "verify", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        for name in (b"one", b"two"):
            process.stdin.write(framed(encode_error(name.decode())))
            process.stdin.flush()
            assert name in os.read(process.stdout.fileno(), 4_096)


def test_what_has_no_message_gets_none() -> None:
    message = framed(encode_frame("#info", {"name": "OutdatedCursor"}))
    ran = subprocess.run([*COMMAND, "verify", "-"], input=message, capture_output=True, cwd=ROOT, check=True)
    assert b'"detail":"OutdatedCursor"' in ran.stdout


def test_a_frame_of_another_op_has_no_type() -> None:
    ours = encode_frame("#commit", {})
    theirs = ours.replace(b"bop\x01", b"bop\x07")
    assert theirs != ours
    ran = subprocess.run([*COMMAND, "verify", "-"], input=framed(theirs), capture_output=True, cwd=ROOT, check=True)
    assert b'"type":null' in ran.stdout
    assert b'"reason":"unknown_type"' in ran.stdout
