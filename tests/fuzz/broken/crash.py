"""Raises for a rare input, which only step by step can be come by."""

from tests.fuzz.target import Target, require


def check(data: bytes) -> bool:
    """Any bytes but a few."""
    if data[:1] == b"f" and data[1:2] == b"m":
        require(data[2:3] != b"!", "the deliberate defect")
    return True


TARGET = Target(check, lambda: [b"seed", b"fun"], max_len=16)
