"""Never ends for some inputs."""

from tests.fuzz.target import Target


def check(data: bytes) -> bool:
    """Any bytes, unless they begin high."""
    while len(data) > 3 and data[0] > 0xF0:
        pass
    return True


TARGET = Target(check, lambda: [b"seed"], max_len=16)
