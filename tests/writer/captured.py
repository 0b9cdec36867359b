"""Captured frame files, and the directory's record of who could sign when."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.writer.cbor import decode, decode_first


def read_frames(path: Path) -> Iterator[bytes]:
    """The frames of a file: each after its length in four bytes, big-endian."""
    data, at = path.read_bytes(), 0
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def open_frame(frame: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and payload of a frame in canonical form."""
    header, at = decode_first(frame)
    return header, decode(frame[at:])


class Directory:
    """DIDs with their PLC logs."""

    def __init__(self, path: Path) -> None:
        self._entries: dict[str, Any] = json.loads(path.read_bytes())

    def multikey(self, did: str, time: str) -> str:
        """The `#atproto` key of `did` at `time`, as its log has it."""
        key = ""
        for entry in self._entries[did]["log"]:
            if not key or entry["createdAt"] <= time:
                key = entry["operation"]["verificationMethods"]["atproto"]
        return key.removeprefix("did:key:")
