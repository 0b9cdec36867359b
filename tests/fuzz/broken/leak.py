"""Keeps something of every input, though never much."""

import time

from tests.fuzz.target import Target

_kept: list[bytes] = []


def check(data: bytes) -> bool:
    """Any bytes; 40 MB a second are kept, however fast the machine."""
    time.sleep(0.005)
    _kept.append(b"\x01" * 200_000)
    return len(data) % 2 == 0


TARGET = Target(check, lambda: [b"seed"], max_len=16)
