import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from appview.keys import Curve, InvalidKey, PublicKey
from tests.shared import fixture

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
CODECS = {"p256": b"\x80\x24", "k256": b"\xe7\x01"}
PARAMETERS: dict[str, ec.EllipticCurve] = {"p256": ec.SECP256R1(), "k256": ec.SECP256K1()}
LEGACY = {"p256": "EcdsaSecp256r1VerificationKey2019", "k256": "EcdsaSecp256k1VerificationKey2019"}
ORDERS = {
    "p256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "k256": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
}
CURVES: tuple[Curve, ...] = ("p256", "k256")
MESSAGE = b"\xa1dsongfsilent"


def base58(raw: bytes) -> str:
    number, text = int.from_bytes(raw), ""
    while number:
        number, digit = divmod(number, 58)
        text = ALPHABET[digit] + text
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + text


def private_key(curve: str, scalar: int = 0xA7170) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(scalar, PARAMETERS[curve])


def point(curve: str, form: PublicFormat = PublicFormat.CompressedPoint, scalar: int = 0xA7170) -> bytes:
    return private_key(curve, scalar).public_key().public_bytes(Encoding.X962, form)


def public_key(curve: str) -> PublicKey:
    return PublicKey.from_multikey("z" + base58(CODECS[curve] + point(curve)))


def signature(curve: str, message: bytes = MESSAGE) -> tuple[int, int]:
    """r and the lower s of a signature."""
    r, s = decode_dss_signature(private_key(curve).sign(message, ec.ECDSA(SHA256())))
    return r, min(s, ORDERS[curve] - s)


def compact(r: int, s: int) -> bytes:
    return r.to_bytes(32) + s.to_bytes(32)


def fixtures(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(fixture(f"interop/crypto/{name}.json").read_bytes())
    return found


def test_the_signatures_of_the_interop_suite() -> None:
    cases = fixtures("signature-fixtures")
    assert len(cases) == 6
    for case in cases:
        key = PublicKey.from_did_key(case["publicKeyDid"])
        assert PublicKey.from_legacy(case["didDocSuite"], case["publicKeyMultibase"]) == key
        message = base64.b64decode(case["messageBase64"] + "==")
        verdict = key.check(message, base64.b64decode(case["signatureBase64"] + "=="))
        assert (verdict == "ok") is case["validSignature"], case["comment"]
        assert (verdict == "high_s_signature") is ("high-s" in case["tags"]), case["comment"]


def test_the_did_keys_of_the_w3c() -> None:
    keys = [
        *(("k256", bytes.fromhex(case["privateKeyBytesHex"]), case) for case in fixtures("w3c_didkey_K256")),
        *(("p256", unbase58(case["privateKeyBytesBase58"]), case) for case in fixtures("w3c_didkey_P256")),
    ]
    assert len(keys) == 6
    for curve, private, case in keys:
        did_key = "did:key:z" + base58(CODECS[curve] + point(curve, scalar=int.from_bytes(private)))
        assert did_key == case["publicDidKey"]
        key = PublicKey.from_did_key(did_key)
        assert (key.curve, "did:key:" + key.multikey()) == (curve, did_key)


def unbase58(text: str) -> bytes:
    number = 0
    for letter in text:
        number = number * 58 + ALPHABET.index(letter)
    return number.to_bytes(32)


@pytest.mark.parametrize("curve", CURVES)
def test_a_key_is_the_same_in_each_of_its_forms(curve: str) -> None:
    key = public_key(curve)
    assert key.compressed == point(curve)
    assert PublicKey.from_multikey(key.multikey()) == key
    assert PublicKey.from_did_key("did:key:" + key.multikey()) == key
    for form in (PublicFormat.CompressedPoint, PublicFormat.UncompressedPoint):
        assert PublicKey.from_legacy(LEGACY[curve], "z" + base58(point(curve, form))) == key
    assert hash(PublicKey.from_multikey(key.multikey())) == hash(key)


@pytest.mark.parametrize("curve", CURVES)
def test_other_bytes_are_no_multikey(curve: str) -> None:
    codec, compressed = CODECS[curve], point(curve)
    whole = point(curve, PublicFormat.UncompressedPoint)
    refused = [
        b"",
        codec,
        compressed,
        codec[:1] + compressed,
        codec + compressed[:-1],
        codec + compressed + b"\0",
        b"\0" + codec + compressed,
        codec + whole,  # a Multikey is compressed
        codec + b"\x04" + whole[1:33],
        b"\xed\x01" + compressed[1:],
        b"\xed\x01" + compressed,
        b"\x00\x00" + compressed,
        b"\xff\xff" + compressed,
        codec + b"\x02" + b"\xff" * 32,  # beyond the field
        codec + b"\0" * 33,  # the point at infinity, in a way
        *(codec + bytes((first,)) + compressed[1:] for first in (0, 1, 4, 5, 6, 7, 0x82, 255)),
    ]
    for raw in refused:
        with pytest.raises(InvalidKey):
            PublicKey.from_multikey("z" + base58(raw))
    assert PublicKey.from_multikey("z" + base58(codec + compressed)).curve == curve


@pytest.mark.parametrize("curve", CURVES)
def test_half_of_all_abscissas_are_of_no_point(curve: str) -> None:
    refused = 0
    for x in range(1, 65):
        try:
            PublicKey.from_multikey("z" + base58(CODECS[curve] + b"\x02" + x.to_bytes(32)))
        except InvalidKey:
            refused += 1
    assert 10 < refused < 54


@pytest.mark.parametrize("curve", CURVES)
def test_other_bytes_are_no_legacy_key(curve: str) -> None:
    compressed, whole = point(curve), point(curve, PublicFormat.UncompressedPoint)
    refused = [
        b"",
        CODECS[curve] + compressed,  # a Multikey under the legacy name
        compressed[1:],
        whole[1:],
        b"\x06" + whole[1:],  # the hybrid forms
        b"\x07" + whole[1:],
        b"\x04" + compressed[1:],
        b"\x02" + whole[1:],
        whole[:-1],
        whole + b"\0",
        whole[:-1] + bytes((whole[-1] ^ 1,)),  # off the curve
        b"\x04" + bytes(64),
        b"\x02" + b"\xff" * 32,
    ]
    for raw in refused:
        with pytest.raises(InvalidKey):
            PublicKey.from_legacy(LEGACY[curve], "z" + base58(raw))
    for type_name in ("", "Multikey", "Ed25519VerificationKey2018", LEGACY[curve].lower()):
        with pytest.raises(InvalidKey):
            PublicKey.from_legacy(type_name, "z" + base58(compressed))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "z",
        "z1",
        "z" + "1" * 35,
        "z" + "1" * 119,
        "zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJw0",  # 0, O, I and l are not of the alphabet
        "zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwO",
        "zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwI",
        "zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwl",
        "zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc ",
        "zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc\n",
        "zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwé",
        "z\ud800",
        "zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJw",
        "z1Q3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc",
        "ZQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc",
        "Q3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc",
        "fe70102" + "00" * 32,
        "z" + "z" * 1_000_000,
    ],
    ids=lambda text: repr(text)[:40],
)
def test_other_texts_are_no_key(text: str) -> None:
    for read in (
        PublicKey.from_multikey,
        lambda text: PublicKey.from_did_key("did:key:" + text),
        lambda text: PublicKey.from_legacy(LEGACY["k256"], text),
    ):
        with pytest.raises(InvalidKey):
            read(text)


def test_a_did_key_says_so() -> None:
    multikey = public_key("k256").multikey()
    for text in ("", multikey, "did:key:", "did:web:" + multikey, "DID:KEY:" + multikey, "did:key:did:key:" + multikey):
        with pytest.raises(InvalidKey):
            PublicKey.from_did_key(text)


@pytest.mark.parametrize("curve", CURVES)
def test_a_signature_is_of_one_key_over_one_message(curve: str) -> None:
    key, (r, s) = public_key(curve), signature(curve)
    assert key.check(MESSAGE, compact(r, s)) == "ok"
    assert key.check(MESSAGE + b"\0", compact(r, s)) == "bad_signature"
    assert key.check(b"", compact(r, s)) == "bad_signature"
    stranger = PublicKey.from_multikey("z" + base58(CODECS[curve] + point(curve, scalar=2)))
    assert stranger.check(MESSAGE, compact(r, s)) == "bad_signature"
    assert key.check(b"", compact(*signature(curve, b""))) == "ok"


@pytest.mark.parametrize("curve", CURVES)
def test_every_bit_of_a_signature_counts(curve: str) -> None:
    key, good = public_key(curve), compact(*signature(curve))
    for bit in range(0, 512, 5):
        flipped = int.from_bytes(good) ^ 1 << bit
        assert key.check(MESSAGE, flipped.to_bytes(64)) != "ok"


@pytest.mark.parametrize("curve", CURVES)
def test_numbers_out_of_range_are_refused_and_nothing_raises(curve: str) -> None:
    key, n = public_key(curve), ORDERS[curve]
    r, s = signature(curve)
    top = 2**256 - 1
    for odd_r, odd_s in [(0, s), (n, s), (n + 1, s), (top, s), (r, 0), (0, 0), (1, 1), (r, 1), (1, s), (n - 1, n // 2)]:
        assert key.check(MESSAGE, compact(odd_r, odd_s)) == "bad_signature"
    for high in (n - s, n // 2 + 1, n - 1, n, n + 1, top):
        assert key.check(MESSAGE, compact(r, high)) == "high_s_signature"
    if r + n <= top:
        assert key.check(MESSAGE, compact(r + n, s)) == "bad_signature"
    assert key.check(MESSAGE, compact(r, s)) == "ok"


@pytest.mark.parametrize("curve", CURVES)
def test_another_length_is_no_signature(curve: str) -> None:
    key, (r, s) = public_key(curve), signature(curve)
    good = compact(r, s)
    der = private_key(curve).sign(MESSAGE, ec.ECDSA(SHA256()))
    for other in (b"", good[:63], good + b"\0", b"\0" + good, good * 2, der, bytes(63), bytes(65)):
        assert key.check(MESSAGE, other) == "bad_signature"


@pytest.mark.parametrize("curve", CURVES)
def test_der_that_is_as_long_as_a_signature_is_none_either(curve: str) -> None:
    der = encode_dss_signature(2**230, 2**230 + 1)
    assert len(der) == 64
    assert public_key(curve).check(MESSAGE, der) == "bad_signature"


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(CURVES), st.binary(min_size=64, max_size=64), st.binary(max_size=40))
def test_random_signatures_are_refused(curve: Curve, raw: bytes, message: bytes) -> None:
    assert public_key(curve).check(message, raw) in ("bad_signature", "high_s_signature")


@settings(deadline=None, max_examples=100)
@given(
    st.binary(max_size=70)
    | st.sampled_from(list(CODECS.values())).flatmap(lambda c: st.binary(max_size=34).map(c.__add__))
)
def test_random_bytes_are_a_key_or_an_invalid_key(raw: bytes) -> None:
    text = "z" + base58(raw)
    try:
        key = PublicKey.from_multikey(text)
    except InvalidKey:
        return
    assert key.multikey() == text


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=60))
def test_random_text_is_a_key_or_an_invalid_key(text: str) -> None:
    for read in (PublicKey.from_multikey, PublicKey.from_did_key):
        with pytest.raises(InvalidKey):
            read(text)
