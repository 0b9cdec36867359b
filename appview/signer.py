"""Our own key, and what it signs: service auth, by which another service knows who asks (section 7.6). Pure.

The key follows from PLYR_SECRET_KEY, so that all processes have the same one, a restart keeps it, and nothing more is
to be kept safe. It is on P-256, whose signatures every JWT library checks.
"""

import base64
import secrets
from datetime import datetime
from typing import Final

import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appview.keys import PublicKey

TOKEN_SECONDS: Final = 60
"""How long a token of ours is good for: what it is for happens at once."""

_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_KEY_BYTES: Final = 48
"""Sixteen more than the order has, so that no remainder is likelier than another."""
_PURPOSE: Final = b"plyr-appview: the key #atproto of our DID document, P-256"
_ALGORITHM: Final = ec.ECDSA(SHA256())
_HEADER: Final = {"typ": "JWT", "alg": "ES256"}


class Signer:
    """The key of the service `did`, made of a secret."""

    def __init__(self, did: str, secret: str) -> None:
        self.did: Final = did
        derived = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_PURPOSE).derive(secret.encode())
        self._key = ec.derive_private_key(1 + int.from_bytes(derived) % (_ORDER - 1), ec.SECP256R1())
        point = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        self.public_key: Final = PublicKey("p256", point)

    def token(self, audience: str, method: str, now: datetime, *, subject: str | None = None) -> str:
        """A JWT for one call of `method`, an NSID, at the service `audience`, a DID; at once, and once.

        `subject` is the DID of the account for which we ask, if it is one. The signature is ours, so is the issuer.
        """
        at = int(now.timestamp())
        claims: dict[str, object] = {
            "iss": self.did,
            "aud": audience,
            "lxm": method,
            "iat": at,
            "exp": at + TOKEN_SECONDS,
            "jti": secrets.token_hex(16),
        }
        if subject is not None:
            claims["sub"] = subject
        signed = f"{_encoded(orjson.dumps(_HEADER))}.{_encoded(orjson.dumps(claims))}"
        return f"{signed}.{_encoded(self.sign(signed.encode()))}"

    def sign(self, message: bytes) -> bytes:
        """r and the lower s over the SHA-256 of `message`, 32 bytes each (RD-31, RD-32)."""
        r, s = decode_dss_signature(self._key.sign(message, _ALGORITHM))
        return r.to_bytes(32) + min(s, _ORDER - s).to_bytes(32)


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
