"""Public keys as DID documents and did:key write them, and the one ECDSA check of the protocol, for both curves. Pure.

A signature is 64 bytes, r and s big-endian, low-S, over the SHA-256 of the message; nothing else is accepted, DER
least of all (RD-31, RD-32). Only a token's may have the high S (7.6).
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Protocol

from coincurve import PublicKey as Secp256k1Key
from coincurve._libsecp256k1 import ffi, lib
from coincurve.context import GLOBAL_CONTEXT
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

Curve = Literal["p256", "k256"]
Verdict = Literal["ok", "bad_signature", "high_s_signature"]

_CODECS: dict[bytes, Curve] = {b"\x80\x24": "p256", b"\xe7\x01": "k256"}
_LEGACY_TYPES: dict[str, Curve] = {
    "EcdsaSecp256r1VerificationKey2019": "p256",
    "EcdsaSecp256k1VerificationKey2019": "k256",
}
_ORDER: dict[Curve, int] = {
    "p256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "k256": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
}
_HALF_ORDER: dict[Curve, int] = {curve: order >> 1 for curve, order in _ORDER.items()}
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE58_VALUE = {letter: value for value, letter in enumerate(_BASE58)}
_MAX_MULTIBASE = 120
"""Longer than any key here; keeps the quadratic base58 arithmetic away from hostile documents."""


class InvalidKey(ValueError):
    """The text is no public key of a curve that the protocol has."""


class _Verifier(Protocol):
    def __call__(self, digest: bytes, signature: bytes, /) -> bool: ...


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A point on one of the two curves. Equal by value; the parsed form is shared between equal keys."""

    curve: Curve
    compressed: bytes
    """33 bytes, SEC 1 compressed."""

    @classmethod
    def from_multikey(cls, multibase: str) -> "PublicKey":
        """The key in a `Multikey`: `z`, base58btc of a codec and 33 bytes (ID-20). Raises InvalidKey."""
        raw = _base58_multibase(multibase)
        curve = _CODECS.get(raw[:2])
        if curve is None or len(raw) != 35:
            raise InvalidKey("a Multikey is of no curve that the protocol has, or of a wrong length")
        return cls._checked(curve, raw[2:])

    @classmethod
    def from_did_key(cls, did: str) -> "PublicKey":
        """The key in a `did:key:z…`. Raises InvalidKey."""
        if not did.startswith("did:key:"):
            raise InvalidKey("a key does not start with did:key:")
        return cls.from_multikey(did.removeprefix("did:key:"))

    @classmethod
    def from_legacy(cls, type_name: str, multibase: str) -> "PublicKey":
        """The key of an `EcdsaSecp256…VerificationKey2019`: no codec, 33 or 65 bytes (ID-21). Raises InvalidKey."""
        curve = _LEGACY_TYPES.get(type_name)
        if curve is None:
            raise InvalidKey("a verification method is of a type that the protocol does not know")
        raw = _base58_multibase(multibase)
        if (len(raw), raw[:1]) not in ((65, b"\x04"), (33, b"\x02"), (33, b"\x03")):
            raise InvalidKey("a legacy key is neither 33 nor 65 bytes of SEC 1")
        return cls._checked(curve, raw)

    @classmethod
    def _checked(cls, curve: Curve, point: bytes) -> "PublicKey":
        try:
            if curve == "k256":
                return cls(curve, Secp256k1Key(point).format(compressed=True))
            key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        except ValueError:
            raise InvalidKey("a key is not a point on its curve") from None
        return cls(curve, key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint))

    def multikey(self) -> str:
        """The `publicKeyMultibase` that spells this key."""
        codec = next(codec for codec, curve in _CODECS.items() if curve == self.curve)
        return "z" + _base58_encode(codec + self.compressed)

    def check(self, message: bytes, signature: bytes) -> Verdict:
        """Whether `signature` is this key's over `message`, and if not, whether a high S is to blame."""
        if len(signature) != 64:
            return "bad_signature"
        if int.from_bytes(signature[32:]) > _HALF_ORDER[self.curve]:
            return "high_s_signature"
        verify = _verifier(self.curve, self.compressed)
        return "ok" if verify(hashlib.sha256(message).digest(), signature) else "bad_signature"

    def check_lenient(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's over `message`, its S low or high: JWT libraries write either (7.6 #9)."""
        s = int.from_bytes(signature[32:])
        if len(signature) == 64 and _HALF_ORDER[self.curve] < s < _ORDER[self.curve]:
            # (r, s) and (r, n - s) are valid for the same messages.
            signature = signature[:32] + (_ORDER[self.curve] - s).to_bytes(32)
        return self.check(message, signature) == "ok"


@lru_cache(maxsize=4_096)
def _verifier(curve: Curve, compressed: bytes) -> _Verifier:
    """A check against one key, parsed once: decompressing a point costs a third of a verification. Each takes a kB."""
    return _k256_verifier(compressed) if curve == "k256" else _p256_verifier(compressed)


def _k256_verifier(compressed: bytes) -> _Verifier:
    context = GLOBAL_CONTEXT.ctx
    point = Secp256k1Key(compressed).public_key
    new, parse, verify = ffi.new, lib.secp256k1_ecdsa_signature_parse_compact, lib.secp256k1_ecdsa_verify

    # coincurve's own verify takes DER only; the library beneath it takes the 64 bytes as they are.
    def check(digest: bytes, signature: bytes) -> bool:
        parsed: Any = new("secp256k1_ecdsa_signature *")
        return bool(parse(context, parsed, signature)) and bool(verify(context, parsed, digest, point))

    return check


def _p256_verifier(compressed: bytes) -> _Verifier:
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), compressed)
    algorithm = ec.ECDSA(Prehashed(SHA256()))

    def check(digest: bytes, signature: bytes) -> bool:
        der = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
        try:
            key.verify(der, digest, algorithm)
        except InvalidSignature:
            return False
        return True

    return check


def _base58_multibase(text: str) -> bytes:
    if type(text) is not str or not text.startswith("z") or len(text) > _MAX_MULTIBASE:
        raise InvalidKey("a key is not in base58btc multibase")
    number = 0
    for letter in text[1:]:
        value = _BASE58_VALUE.get(letter)
        if value is None:
            raise InvalidKey("a key is not in base58btc multibase")
        number = number * 58 + value
    zeros = len(text) - 1 - len(text[1:].lstrip("1"))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8)


def _base58_encode(raw: bytes) -> str:
    number, letters = int.from_bytes(raw), ""
    while number:
        number, value = divmod(number, 58)
        letters = _BASE58[value] + letters
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + letters
