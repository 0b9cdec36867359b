"""Instants that the protocol's identifiers name."""

from datetime import UTC, datetime, timedelta
from typing import Final

from lexicons.formats import tid_time_us

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def tid_datetime(tid: str) -> datetime:
    """The instant that a TID was made at, by its own word."""
    return EPOCH + timedelta(microseconds=tid_time_us(tid))
