import base64
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrpc.cursors import MAX_LENGTH, decode, encode
from xrpc.errors import InvalidRequest

NOON = datetime(2026, 1, 2, 12, 0, 0, 123457, tzinfo=UTC)
URI = "at://did:plc:abcdefghijklmnopqrstuvwx/fm.plyr.track/3lab2c3d4e5f2"


def forged(held: object) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(held)).rstrip(b"=").decode()


def test_a_cursor_gives_back_its_keys_to_the_microsecond() -> None:
    assert decode("latest", encode("latest", NOON, URI), datetime, str) == (NOON, URI)
    assert decode("items", encode("items", 3), int) == (3,)
    assert decode("ranked", encode("ranked", -(1 << 63), NOON, "x"), int, datetime, str) == (-(1 << 63), NOON, "x")


def test_no_cursor_is_the_first_page() -> None:
    assert decode("latest", None, datetime, str) is None


@given(
    st.datetimes(timezones=st.just(UTC)),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    st.integers(-(1 << 63), (1 << 63) - 1),
)
def test_any_keys_survive(time: datetime, text: str, number: int) -> None:
    assert decode("k", encode("k", time, text, number), datetime, str, int) == (time, text, number)


def test_a_time_in_another_zone_is_the_same_instant() -> None:
    east = NOON.astimezone(tz=None)
    assert decode("k", encode("k", east), datetime) == (NOON,)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "latest",
        "====",
        "\0",
        "é",
        "\ud800",
        "AAAA" * 4000,
        "W" * (MAX_LENGTH + 1),
        encode("likes", NOON, URI),
        encode("latest", NOON),
        encode("latest", URI, NOON),
        encode("latest", NOON, URI, 1),
        forged(None),
        forged({}),
        forged("latest"),
        forged([]),
        forged([1]),
        forged([2, "latest", 0, URI]),
        forged([1, "latest", None, URI]),
        forged([1, "latest", True, URI]),
        forged([1, "latest", 1.5, URI]),
        forged([1, "latest", 1e300, URI]),
        forged([1, "latest", "0", URI]),
        forged([1, "latest", 0, 0]),
        forged([1, "latest", 0, None]),
        forged([1, "latest", 0, [URI]]),
        forged([1, "latest", 0, "a\0b"]),
        forged([1, "latest", (1 << 63), URI]),
        forged([1, "latest", (1 << 63) - 1, URI]),
        forged([1, "latest", -(1 << 63), URI]),
        base64.urlsafe_b64encode(b'[1,"latest",0,"\\ud800"]').decode(),
        base64.urlsafe_b64encode(b'[1,"latest",0,"\xff"]').decode(),
        base64.urlsafe_b64encode(b"[" * 3000).decode(),
        base64.urlsafe_b64encode(b'[1,"latest",' + b"9" * 6000 + b',"x"]').decode(),
    ],
)
def test_a_cursor_of_no_page_of_this_kind_is_malformed(cursor: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^Malformed cursor$"):
        decode("latest", cursor, datetime, str)


@given(st.text() | st.binary().map(lambda data: base64.urlsafe_b64encode(data).decode()))
def test_garbage_is_malformed_and_nothing_worse(cursor: str) -> None:
    with pytest.raises(InvalidRequest):
        decode("latest", cursor, datetime, str)


def test_the_largest_uri_fits() -> None:
    uri = "x" * 8192
    cursor = encode("a.method.with.a.long.name", NOON + timedelta(days=1), uri)
    assert decode("a.method.with.a.long.name", cursor, datetime, str) == (NOON + timedelta(days=1), uri)
