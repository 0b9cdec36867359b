"""Times as records have them, from tables: there are millions to be written."""

from datetime import UTC, datetime
from functools import cache
from typing import Final

_DAY_MS: Final = 86_400_000
_SECONDS: Final = [b"T%02d:%02d:%02d." % (n // 3600, n // 60 % 60, n % 60) for n in range(86_400)]
_MILLISECONDS: Final = [b"%03dZ" % n for n in range(1_000)]


@cache
def _day(number: int) -> bytes:
    return datetime.fromtimestamp(number * _DAY_MS / 1_000, UTC).date().isoformat().encode()


def written(time_ms: int) -> bytes:
    """Milliseconds since the epoch as `2026-01-15T10:30:00.000Z`."""
    day, rest = divmod(time_ms, _DAY_MS)
    second, millisecond = divmod(rest, 1_000)
    return _day(day) + _SECONDS[second] + _MILLISECONDS[millisecond]


def instant(time_ms: int) -> datetime:
    """Milliseconds since the epoch as a datetime."""
    return datetime.fromtimestamp(time_ms / 1_000, UTC)
