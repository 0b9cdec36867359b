"""Public keys and signatures: text from DID documents, and 64 bytes that anyone may have chosen."""

import random
from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appview.keys import InvalidKey, PublicKey
from tests.fuzz import history
from tests.fuzz.target import Havoc, Target, require
from tests.writer.keys import base58, from_base58, verify

_MESSAGE = b"signed"
_LEGACY = ("EcdsaSecp256r1VerificationKey2019", "EcdsaSecp256k1VerificationKey2019", "Ed25519VerificationKey2020")


def check(data: bytes) -> bool:
    """64 bytes of signature, then a key's text: InvalidKey only; a key's own text reads back; OpenSSL agrees."""
    signature, text = data[:64], data[64:].decode("latin-1")
    for name in _LEGACY:
        try:
            key = PublicKey.from_legacy(name, text)
        except InvalidKey:
            continue
        require(PublicKey.from_multikey(key.multikey()) == key, "a legacy key is not the same as a Multikey")
    try:
        key = PublicKey.from_did_key(text) if text.startswith("did:") else PublicKey.from_multikey(text)
    except InvalidKey:
        return False
    require(PublicKey.from_multikey(key.multikey()) == key, "a key's own text is another key")
    verdict = key.check(_MESSAGE, signature)
    require((verdict == "ok") == verify(key.multikey(), _MESSAGE, signature), "OpenSSL judges a signature otherwise")
    return True


def mutate(data: bytes, rng: random.Random, havoc: Havoc) -> bytes:
    """Change the key's bytes beneath their base58, or anything blindly."""
    text = data[64:].decode("latin-1")
    prefix, multibase = ("did:key:", text[8:]) if text.startswith("did:") else ("", text)
    try:
        raw = from_base58(multibase[1:])
    except ValueError:
        return havoc(data, len(data) + 100)
    if rng.random() < 0.5:
        return havoc(data, len(data) + 100)
    return data[:64] + f"{prefix}z{base58(havoc(raw, 80))}".encode()


def seeds() -> Iterator[bytes]:
    """Genuine signatures and the wrong forms of them, under every spelling of a key."""
    for account in history.histories():
        key = account.key
        for text in (key.multikey, key.did_key):
            yield key.sign(_MESSAGE) + text.encode()
            yield key.sign_high_s(_MESSAGE) + text.encode()
            yield bytes(64) + text.encode()
            yield b"\xff" * 64 + text.encode()
        point = from_base58(key.multikey[1:])[2:]
        whole = ec.EllipticCurvePublicKey.from_encoded_point(key.curve.parameters, point)
        for form in (PublicFormat.CompressedPoint, PublicFormat.UncompressedPoint):
            yield bytes(64) + b"z" + base58(whole.public_bytes(Encoding.X962, form)).encode()


TARGET = Target(check, seeds, mutate, (b"did:key:z", b"zQ3sh", b"zDn", b"\xff" * 32, bytes(32)), max_len=256)
