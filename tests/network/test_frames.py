"""Frames files."""

from pathlib import Path

import libipld
import pytest

from tests.network.frames import Frame, read_frames, write_frames

ACCOUNT = libipld.encode_dag_cbor({"op": 1, "t": "#account"}) + libipld.encode_dag_cbor({"seq": 7, "did": "did:plc:a"})
ERROR = libipld.encode_dag_cbor({"op": -1}) + libipld.encode_dag_cbor({"error": "FutureCursor"})


def test_a_frame_says_what_it_is() -> None:
    account, error = Frame.read(ACCOUNT), Frame.read(ERROR)
    assert (account.kind, account.seq, account.did) == ("#account", 7, "did:plc:a")
    assert (error.kind, error.seq, error.did) == ("error", 0, None)


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "frames.bin"
    write_frames(path, [ACCOUNT, ERROR])
    assert path.read_bytes()[:4] == len(ACCOUNT).to_bytes(4, "big")
    assert [frame.raw for frame in read_frames(path)] == [ACCOUNT, ERROR]


@pytest.mark.parametrize("cut", [1, len(ERROR) + 1])
def test_a_file_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "frames.bin"
    write_frames(path, [ACCOUNT, ERROR])
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ValueError, match="ends within a frame"):
        read_frames(path)
