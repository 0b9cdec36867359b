"""Signing keys of both curves over OpenSSL: seeded, low-S, 64-byte compact; and the wrong forms of a signature."""

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ECDSA = ec.ECDSA(hashes.SHA256())


class Curve(NamedTuple):
    """An elliptic curve of the protocol: its group order and the multicodec prefix of its public keys."""

    parameters: ec.EllipticCurve
    order: int
    multicodec: bytes


P256 = Curve(ec.SECP256R1(), 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551, b"\x80\x24")
K256 = Curve(ec.SECP256K1(), 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141, b"\xe7\x01")
CURVES = (P256, K256)


def base58(data: bytes) -> str:
    """Bitcoin's base58: a leading zero byte is a leading `1`."""
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\x00"))) + text


def from_base58(text: str) -> bytes:
    """The bytes of a base58 text; ValueError for a character outside the alphabet."""
    number = 0
    for letter in text:
        number = number * 58 + _BASE58.index(letter)
    zeros = len(text) - len(text.lstrip("1"))
    return b"\x00" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")


@dataclass(frozen=True)
class SigningKey:
    """One private key. Signatures are randomised, so two of one message differ and both verify."""

    curve: Curve
    scalar: int

    @classmethod
    def from_seed(cls, seed: str, curve: Curve = K256) -> "SigningKey":
        """The key that `seed` names: the same one each time."""
        return cls(curve, 1 + int.from_bytes(hashlib.sha512(seed.encode()).digest(), "big") % (curve.order - 1))

    @cached_property
    def _private(self) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(self.scalar, self.curve.parameters)

    @cached_property
    def multikey(self) -> str:
        """`publicKeyMultibase` of a Multikey: base58 of the curve's prefix and the compressed point."""
        point = self._private.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        return "z" + base58(self.curve.multicodec + point)

    @property
    def did_key(self) -> str:
        return f"did:key:{self.multikey}"

    def sign_der(self, message: bytes) -> bytes:
        """The signature in DER, low-S: right mathematics in the wrong dress."""
        r, s = self._sign(message)
        return encode_dss_signature(r, min(s, self.curve.order - s))

    def sign(self, message: bytes) -> bytes:
        """r and the lower s, 32 bytes each, over the SHA-256 of `message` (RD-31, RD-32)."""
        r, s = self._sign(message)
        return self.compact(r, min(s, self.curve.order - s))

    def sign_high_s(self, message: bytes) -> bytes:
        """As `sign`, with the higher s: valid mathematics, refused by the protocol."""
        r, s = self._sign(message)
        return self.compact(r, max(s, self.curve.order - s))

    @staticmethod
    def compact(r: int, s: int) -> bytes:
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def _sign(self, message: bytes) -> tuple[int, int]:
        return decode_dss_signature(self._private.sign(message, _ECDSA))


@lru_cache(maxsize=1024)
def _public_key(multikey: str) -> tuple[Curve, ec.EllipticCurvePublicKey]:
    raw = from_base58(multikey[1:])
    curve = next(curve for curve in CURVES if curve.multicodec == raw[:2])
    return curve, ec.EllipticCurvePublicKey.from_encoded_point(curve.parameters, raw[2:])


def verify(multikey: str, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is compact, low-S and right for `message` under the key `z…`."""
    _, public = _public_key(multikey)
    if len(signature) != 64 or not has_low_s(multikey, signature):
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        public.verify(encode_dss_signature(r, s), message, _ECDSA)
    except InvalidSignature:
        return False
    return True


def has_low_s(multikey: str, signature: bytes) -> bool:
    """Whether the second half of a signature is at most half the order of the key's curve."""
    return int.from_bytes(signature[32:64], "big") <= _public_key(multikey)[0].order // 2
