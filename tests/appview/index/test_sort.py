"""The one time by which a record is ordered."""

from datetime import UTC, datetime, timedelta

import pytest

from appview.index.sort import EARLIEST, LATEST, parse_datetime, sort_at
from lexicons.formats import tid_from_time_us
from tests.appview.index.samples import NOW, TIME

SECOND = timedelta(seconds=1)


def tid(when: datetime) -> str:
    return tid_from_time_us((when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1), 7)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TIME, datetime(2026, 2, 27, 16, 8, 13, 146107, UTC)),
        ("2026-01-01T00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T00:00:00.1Z", datetime(2026, 1, 1, 0, 0, 0, 100_000, UTC)),
        ("2026-01-01T00:00:00.12345678901234567890Z", datetime(2026, 1, 1, 0, 0, 0, 123_456, UTC)),
        ("2026-01-01T00:00:00+02:00", datetime(2025, 12, 31, 22, tzinfo=UTC)),
        ("2026-01-01T00:00:00-02:30", datetime(2026, 1, 1, 2, 30, tzinfo=UTC)),
        ("2026-01-01T00:00:00+00:00", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T00:00:00", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01 00:00", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-12-31T23:59:60Z", datetime(2027, 1, 1, tzinfo=UTC)),
        ("0000-02-29T00:00:00Z", EARLIEST),
        ("0001-01-01T00:00:00+05:00", EARLIEST),
        ("9999-12-31T23:59:59-05:00", LATEST),
        ("9999-12-31T23:59:60.9Z", LATEST),
        ("0001-01-01T00:00:00Z", EARLIEST),
        ("2026-02-29T00:00:00Z", None),
        ("0000-02-30T00:00:00Z", None),
        ("2026-13-01T00:00:00Z", None),
        ("2026-01-01T24:00:00Z", None),
        ("2026-01-01T00:00:61Z", None),
        ("2026-01-01", None),
        ("yesterday", None),
        ("", None),
        ("\u0662\u0660\u0662\u0666-01-01T00:00:00Z", None),
        ("2026-01-01T00:00:00Z\n", None),
        (None, None),
        (1767225600, None),
    ],
)
def test_datetimes(text: object, expected: datetime | None) -> None:
    assert parse_datetime(text) == expected


def test_a_key_that_is_a_time_is_the_time() -> None:
    then = NOW - 300 * SECOND
    assert sort_at(tid(then), {"createdAt": "2020-01-01T00:00:00Z"}, NOW) == then
    assert sort_at(tid(NOW), None, NOW) == NOW
    assert sort_at("2222222222222", {}, NOW) == datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("key", [tid(NOW + timedelta(microseconds=1)), "jzzzzzzzzzzzz", "self", "latest"])
def test_any_other_key_leaves_it_to_the_record_and_to_us(key: str) -> None:
    claimed = datetime(2026, 1, 1, tzinfo=UTC)
    assert sort_at(key, {"createdAt": "2026-01-01T00:00:00Z"}, NOW) == claimed
    assert sort_at(key, {"createdAt": "2099-01-01T00:00:00Z"}, NOW) == NOW
    assert sort_at(key, {"createdAt": "garbage"}, NOW) == NOW
    assert sort_at(key, {"createdAt": 7}, NOW) == NOW
    assert sort_at(key, {}, NOW) == NOW
    assert sort_at(key, None, NOW) == NOW
    assert sort_at(key, {"createdAt": "0000-01-01T00:00:00Z"}, NOW) == EARLIEST
