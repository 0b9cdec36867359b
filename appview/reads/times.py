"""Times as the protocol writes them."""

from datetime import UTC, datetime
from typing import overload


@overload
def instant(at: datetime) -> str: ...
@overload
def instant(at: None) -> None: ...
def instant(at: datetime | None) -> str | None:
    """A time in UTC and milliseconds, `2026-01-15T10:30:00.000Z`; None of None."""
    return (
        at.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z" if at is not None else None
    )
