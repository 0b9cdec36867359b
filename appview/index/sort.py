"""When things are said to be: the datetimes of records, and the one time by which a record is ordered."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from lexicons.formats import is_tid, tid_time_us

EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
LATEST: Final = datetime.max.replace(tzinfo=UTC)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
# Wider than the protocol's syntax: real records lack the zone, which then is taken as UTC.
_match_datetime = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,20}))?)?"
    r"(?:[Zz]|([+-])([0-9]{2}):?([0-9]{2}))?"
).fullmatch


def parse_datetime(text: object) -> datetime | None:
    """The instant that a record's datetime names, in UTC; None when it names none.

    What `datetime` cannot hold is clamped: the year 0, and offsets that lead out of the years 1 to 9999; a leap second
    is the next one (DM-22).
    """
    if type(text) is not str or (parts := _match_datetime(text)) is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in parts.groups()[:6])
    fraction, sign, offset_hours, offset_minutes = parts.groups()[6:]
    try:
        # 2000 is a leap year, as the year 0 is.
        wall = datetime(year or 2000, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return None
    if second > 60:
        return None
    if year == 0:
        return EARLIEST
    offset = timedelta(hours=int(offset_hours or 0), minutes=int(offset_minutes or 0))
    exact = timedelta(seconds=second == 60, microseconds=int((fraction or "0")[:6].ljust(6, "0")))
    try:
        return wall + exact + (offset if sign == "-" else -offset)
    except OverflowError:
        return EARLIEST if year == 1 else LATEST


def sort_at(rkey: str, value: Mapping[str, Any] | None, first_seen_at: datetime) -> datetime:
    """The time by which a record is ordered, fixed at first sight: edits rewrite createdAt, and nobody checks it.

    The time of a TID key, unless that lies after `first_seen_at`; else the earlier of createdAt and `first_seen_at`.
    """
    if is_tid(rkey):
        time_us = tid_time_us(rkey)
        # Compared as integers: a TID may claim a year that no datetime holds.
        if time_us <= (first_seen_at - _EPOCH) // _MICROSECOND:
            return _EPOCH + time_us * _MICROSECOND
    claimed = parse_datetime(value.get("createdAt")) if value is not None else None
    return first_seen_at if claimed is None else min(claimed, first_seen_at)
