"""Signatures of both curves against the interop fixtures and a second library."""

import base64
import json

import pytest
from atproto_crypto.verify import verify_signature

from tests.shared import fixture
from tests.writer.keys import CURVES, K256, P256, Curve, SigningKey, from_base58, has_low_s, verify

both = pytest.mark.parametrize("curve", CURVES, ids=["p256", "k256"])


def test_signature_fixtures() -> None:
    for case in json.loads(fixture("interop/crypto/signature-fixtures.json").read_text()):
        message, signature = (base64.b64decode(case[name] + "==") for name in ("messageBase64", "signatureBase64"))
        multikey = case["publicKeyDid"].removeprefix("did:key:")
        assert verify(multikey, message, signature) == case["validSignature"], case["comment"]


def test_did_key_fixtures() -> None:
    for case in json.loads(fixture("interop/crypto/w3c_didkey_K256.json").read_text()):
        assert SigningKey(K256, int(case["privateKeyBytesHex"], 16)).did_key == case["publicDidKey"]
    for case in json.loads(fixture("interop/crypto/w3c_didkey_P256.json").read_text()):
        scalar = int.from_bytes(from_base58(case["privateKeyBytesBase58"]), "big")
        assert SigningKey(P256, scalar).did_key == case["publicDidKey"]


@both
def test_signing(curve: Curve) -> None:
    key, other = SigningKey.from_seed("one", curve), SigningKey.from_seed("two", curve)
    assert key == SigningKey.from_seed("one", curve)
    for number in range(20):
        message = bytes([number])
        signature = key.sign(message)
        assert verify(key.multikey, message, signature)
        assert verify_signature(key.did_key, message, signature)
        assert not verify(key.multikey, b"other", signature)
        assert not verify(other.multikey, message, signature)


@both
def test_wrong_forms(curve: Curve) -> None:
    key = SigningKey.from_seed("one", curve)
    high = key.sign_high_s(b"m")
    assert not has_low_s(key.multikey, high)
    assert not verify(key.multikey, b"m", high)
    mirrored = SigningKey.compact(int.from_bytes(high[:32], "big"), curve.order - int.from_bytes(high[32:], "big"))
    assert verify(key.multikey, b"m", mirrored)
    assert not verify(key.multikey, b"m", key.sign_der(b"m"))
    assert not verify(key.multikey, b"m", bytes(64))
    assert not verify(key.multikey, b"m", key.sign(b"m") + b"\x00")
