import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexicons.formats import (
    FORMATS,
    AtUri,
    is_at_uri,
    is_cid,
    is_datetime,
    is_did,
    is_handle,
    is_language,
    is_nsid,
    is_record_key,
    is_tid,
    parse_at_uri,
    tid_from_time_us,
    tid_time_us,
)
from tests.shared import fixture_lines

FIXTURE_NAMES = {
    "atidentifier": "at-identifier",
    "aturi": "at-uri",
    "cid": "cid",
    "datetime": "datetime",
    "did": "did",
    "handle": "handle",
    "language": "language",
    "nsid": "nsid",
    "recordkey": "record-key",
    "tid": "tid",
    "uri": "uri",
}
INVALID = [f"{name}_syntax_invalid" for name in FIXTURE_NAMES] + ["datetime_parse_invalid", "language_parse_invalid"]


def test_every_format_has_a_fixture() -> None:
    assert set(FIXTURE_NAMES.values()) == set(FORMATS)


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_interop_valid(name: str) -> None:
    lines = fixture_lines(f"interop/syntax/{name}_syntax_valid.txt")
    is_valid = FORMATS[FIXTURE_NAMES[name]]
    assert lines
    assert [line for line in lines if not is_valid(line)] == []
    assert [line for line in lines if is_valid(line + "\n")] == []


@pytest.mark.parametrize("name", INVALID)
def test_interop_invalid(name: str) -> None:
    lines = fixture_lines(f"interop/syntax/{name}.txt")
    is_valid = FORMATS[FIXTURE_NAMES[name.partition("_")[0]]]
    assert lines
    assert [line for line in lines if is_valid(line) or is_valid(line + "\n")] == []


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("value", ["", "\n", "\0", "\ud800", "\u0663", "\uff41", "a" * 100_000, "." * 100_000])
def test_no_format_takes_what_none_could_mean(name: str, value: str) -> None:
    assert not FORMATS[name](value)


@pytest.mark.parametrize(
    ("value", "is_valid"),
    [
        ("2020-02-29T00:00:00Z", True),
        ("2000-02-29T00:00:00Z", True),
        ("0000-02-29T00:00:00Z", True),
        ("2021-02-29T00:00:00Z", False),
        ("1900-02-29T00:00:00Z", False),
        ("2020-02-30T00:00:00Z", False),
        ("2020-04-31T00:00:00Z", False),
        ("2020-12-31T00:00:00Z", True),
        ("2020-12-32T00:00:00Z", False),
        ("2020-01-01T24:00:00Z", False),
        ("1990-12-31T23:59:60Z", True),
        ("2020-01-01T00:00:00+24:00", False),
        ("2020-01-01T00:00:00-00:30", True),
        ("2020-01-01T00:00:00.12345678901234567890Z", True),
        ("2020-01-01T00:00:00.123456789012345678901Z", False),
        ("9999-12-31T23:59:59-23:59", True),
        ("0000-01-01T00:30:00+00:30", True),
        ("0000-01-01T00:30:00+00:31", False),
        ("0000-01-01T00:00:00-01:00", True),
        ("0000-01-02T00:00:00+23:59", True),
        ("\uff12020-01-01T00:00:00Z", False),
    ],
)
def test_datetime(value: str, is_valid: bool) -> None:
    assert is_datetime(value) is is_valid


def test_lengths() -> None:
    assert is_did("did:plc:" + "a" * 2040)
    assert not is_did("did:plc:" + "a" * 2041)
    label = "a" * 63
    assert is_handle(f"{label}.{label}.{label}.{'a' * 61}")
    assert not is_handle(f"{label}.{label}.{label}.{'a' * 62}")
    assert not is_handle(f"{label}a.com")
    assert is_nsid(f"a.b.{label}")
    assert not is_nsid(f"a.b.{label}a")
    assert is_nsid(f"{label}.{label}.{label}.{label}.{'a' * 61}")
    assert not is_nsid(f"{label}.{label}.{label}.{label}.{'a' * 62}")
    assert is_record_key("a" * 512)
    assert not is_record_key("a" * 513)


def test_cid_of_version_0_is_refused() -> None:
    assert not is_cid("QmZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ")
    assert is_cid("zdj7WWeQ43G6JJvLWQWZpyHuAMq6uYWRjkBXFad11vE2LHhQ7")


def test_language_of_distinct_variants_and_singletons() -> None:
    assert is_language("sl-rozaj-biske")
    assert not is_language("sl-rozaj-biske-ROZAJ")
    assert is_language("en-a-foo-b-foo-x-a-a")
    assert not is_language("en-a-foo-b-foo-A-foo")


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("at://did:plc:abc", AtUri("did:plc:abc", None, None)),
        ("at://alice.test/fm.plyr.track", AtUri("alice.test", "fm.plyr.track", None)),
        ("at://did:web:a.test/fm.plyr.track/3k:~_.-", AtUri("did:web:a.test", "fm.plyr.track", "3k:~_.-")),
    ],
)
def test_parse_at_uri(uri: str, parts: AtUri) -> None:
    assert parse_at_uri(uri) == parts
    assert is_at_uri(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "at://did:plc:abc/space/fm.plyr.privateMedia/self/did:plc:def/fm.plyr.track/3lfvhszifvc2c",
        "at://did:plc:abc/fm.plyr.track/3lfvhszifvc2c/more",
        "at://did:plc:abc/fm.plyr.track/..",
        "at://did:plc:abc/fm.plyr.track/",
        "at://" + "did:plc:" + "a" * 2041,
        "at://" + "a." * 127 + "com",
        "at://did:plc:abc/" + ("a" * 63 + ".") * 4 + "a" * 62 + "/x",
        "at://did:plc:abc/fm.plyr.track/" + "a" * 513,
        "https://plyr.fm",
    ],
)
def test_parse_at_uri_refuses(uri: str) -> None:
    assert not is_at_uri(uri)
    with pytest.raises(ValueError, match="is not an AT-URI"):
        parse_at_uri(uri)


def test_a_long_at_uri_passes_when_its_parts_do() -> None:
    assert is_at_uri("at://did:plc:" + "a" * 2040 + "/" + ("a" * 63 + ".") * 4 + "a" * 61 + "/" + "a" * 512)


def test_tid_time() -> None:
    # The TID that the protocol's documents show, and its time.
    assert tid_time_us("3jzfcijpj2z2a") == 1_688_137_381_887_007
    assert tid_time_us("2222222222222") == 0
    assert tid_from_time_us(1_688_137_381_887_007, 6) == "3jzfcijpj2z2a"


def test_tid_with_the_top_bit_set_lies_far_ahead() -> None:
    assert is_tid("j222222222222")
    assert tid_time_us("j222222222222") >= 1 << 53


@given(st.integers(0, (1 << 53) - 1), st.integers(0, 1023), st.integers(0, (1 << 53) - 1))
def test_tid_round_trip_and_order(time_us: int, clock_id: int, other_us: int) -> None:
    tid = tid_from_time_us(time_us, clock_id)
    assert is_tid(tid)
    assert tid_time_us(tid) == time_us
    other = tid_from_time_us(other_us, clock_id)
    assert (tid < other) == (time_us < other_us)


@pytest.mark.parametrize(("time_us", "clock_id"), [(-1, 0), (1 << 53, 0), (0, -1), (0, 1024)])
def test_tid_that_does_not_fit(time_us: int, clock_id: int) -> None:
    with pytest.raises(ValueError, match="53 bits"):
        tid_from_time_us(time_us, clock_id)
