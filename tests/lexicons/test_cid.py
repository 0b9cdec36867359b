import base64
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexicons.cid import CID, DAG_CBOR, MAX_HASH_BYTES, RAW, DataError, checked_cid
from tests.shared import fixture_lines

SHA256 = b"\x12\x20"
DIGEST = hashlib.sha256(b"block").digest()
BLESSED = b"\x01\x71" + SHA256 + DIGEST
TEXT = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a"

ACCEPTED = {
    "DAG-CBOR, sha-256": BLESSED,
    "raw, sha-256": b"\x01\x55" + SHA256 + DIGEST,
    "a codec of two bytes": b"\x01\xb2\x01" + SHA256 + DIGEST,
    "sha-512": b"\x01\x71\x13\x40" + bytes(64),
    "an identity hash of nothing": b"\x01\x55\x00\x00",
    "the longest hash": b"\x01\x55\x00" + bytes((MAX_HASH_BYTES,)) + bytes(MAX_HASH_BYTES),
}
REFUSED = {
    "nothing": b"",
    "version 0, a bare multihash": SHA256 + DIGEST,
    "version 2": b"\x02\x71" + SHA256 + DIGEST,
    "version 0 in a byte": b"\x00\x71" + SHA256 + DIGEST,
    "the version alone": b"\x01",
    "no hash": b"\x01\x71",
    "no digest length": b"\x01\x71\x12",
    "a digest one byte short": BLESSED[:-1],
    "a byte behind the digest": BLESSED + b"\x00",
    "a digest shorter than it says": b"\x01\x71\x12\x21" + DIGEST,
    "a version that is not minimal": b"\x81\x00\x71" + SHA256 + DIGEST,
    "a codec that is not minimal": b"\x01\xf1\x00" + SHA256 + DIGEST,
    "a codec that does not end": b"\x01" + b"\xff" * 9 + b"\x01" + SHA256 + DIGEST,
    "a length that is not minimal": b"\x01\x71\x12\xa0\x00" + DIGEST,
    "a huge digest length": b"\x01\x71\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    "a hash one byte too long": b"\x01\x55\x00" + bytes((MAX_HASH_BYTES + 1,)) + bytes(MAX_HASH_BYTES + 1),
    "more bytes than any": b"\x01\x55\x00\x7f" + bytes(127),
}


@pytest.mark.parametrize("raw", ACCEPTED.values(), ids=ACCEPTED)
def test_a_cid_of_any_kind_is_kept_as_it_is(raw: bytes) -> None:
    cid = checked_cid(raw)
    assert (type(cid), bytes(cid)) == (CID, raw)
    assert CID.parse(str(cid)) == cid


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
def test_what_is_no_cid_is_refused(raw: bytes) -> None:
    with pytest.raises(DataError):
        checked_cid(raw)
    with pytest.raises(DataError):
        CID.parse("b" + base64.b32encode(raw).decode().rstrip("=").lower())


@pytest.mark.parametrize("cut", range(36))
def test_a_cid_cut_anywhere_is_refused(cut: int) -> None:
    with pytest.raises(DataError):
        checked_cid(BLESSED[:cut])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        TEXT.upper(),
        TEXT.replace("f", "F", 1),
        "B" + TEXT[1:].upper(),
        TEXT[1:],
        TEXT + "=",
        TEXT + "\n",
        " " + TEXT,
        TEXT[:-1],
        TEXT + "a",
        TEXT[:-1] + "b",  # bits beyond the last byte that are not zero
        TEXT[:-1] + "1",  # not of the alphabet, though lenient decoders take it for an l
        TEXT[:-1] + "é",
        TEXT[:-1] + "\ud800",
        "z" + TEXT[1:],
        "f01711220" + DIGEST.hex(),
        "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG",
        "b" + "a" * 200,
        "b" * 1_000_000,
    ],
)
def test_a_text_that_is_not_the_one_spelling_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        CID.parse(text)


def test_the_invalid_cids_of_the_interop_suite_are_refused() -> None:
    lines = fixture_lines("interop/syntax/cid_syntax_invalid.txt")
    assert len(lines) == 10
    for text in lines:
        with pytest.raises(DataError):
            CID.parse(text)


def test_the_two_kinds_that_the_protocol_writes() -> None:
    cbor, raw = CID.of(b"block"), CID.of(b"block", RAW)
    assert str(cbor) == "bafyrei" + str(cbor)[7:]
    assert str(raw) == "bafkrei" + str(raw)[7:]
    assert (cbor.codec, raw.codec) == (DAG_CBOR, RAW)
    assert cbor.is_blessed
    assert raw.is_blessed
    assert bytes(cbor) == BLESSED
    assert len(str(cbor)) == 59
    assert repr(cbor) == f"CID({cbor})"


@pytest.mark.parametrize("name", list(ACCEPTED)[2:])
def test_the_other_kinds_are_not_blessed(name: str) -> None:
    assert not CID(ACCEPTED[name]).is_blessed


def test_a_codec_may_take_more_than_a_byte() -> None:
    assert checked_cid(ACCEPTED["a codec of two bytes"]).codec == 0xB2


def test_a_link_and_its_bytes_are_equal_but_not_of_one_type() -> None:
    cid = CID.of(b"block")
    assert cid == bytes(cid)
    assert hash(cid) == hash(bytes(cid))
    assert type(cid) is not bytes


@settings(deadline=None)
@given(st.binary(max_size=120))
def test_random_bytes_are_a_cid_or_a_data_error(raw: bytes) -> None:
    try:
        cid = checked_cid(raw)
    except DataError:
        return
    assert CID.parse(str(cid)) == raw


@settings(deadline=None)
@given(st.text(max_size=80) | st.text("abcdefghijklmnopqrstuvwxyz234567=", max_size=80).map(lambda tail: "b" + tail))
def test_random_text_is_a_cid_or_a_data_error(text: str) -> None:
    try:
        cid = CID.parse(text)
    except DataError:
        return
    assert str(cid) == text
