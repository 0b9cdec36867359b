"""Keys of OAuth, all ES256: ours, by which servers know this client, and one for each grant, which binds its tokens.

Our keys follow from the secret keys, so every process has the same ones and nothing more is kept. The first one signs;
the others stay published for grants that began with them (OA-04, OA-21).
"""

import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

ALGORITHM: Final = "ES256"

_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_KEY_BYTES: Final = 48
"""Sixteen more than the order has, so that no remainder is likelier than another."""
_PURPOSE: Final = b"plyr-appview: OAuth client assertions, ES256"


class ClientKeys:
    """The keys of a confidential client, one for each of `secret_keys`, the current one first."""

    def __init__(self, secret_keys: Iterable[str]) -> None:
        self._keys: dict[str, ECKey] = {}
        for secret in secret_keys:
            key = _derive(secret)
            self._keys.setdefault(key.thumbprint(), key)

    @property
    def ids(self) -> tuple[str, ...]:
        """The id (RFC 7638 thumbprint) of each, the current one first."""
        return tuple(self._keys)

    def __contains__(self, key_id: str) -> bool:
        return key_id in self._keys

    def sign(self, key_id: str, claims: Mapping[str, Any]) -> str:
        """A JWT of `claims` by the key `key_id`. Raises KeyError when that is none of ours."""
        return jwt.encode({"alg": ALGORITHM, "kid": key_id}, dict(claims), self._keys[key_id])

    def public(self) -> dict[str, list[dict[str, Any]]]:
        """The JWK set of the public halves."""
        return {
            "keys": [
                {**key.as_dict(private=False), "kid": key_id, "alg": ALGORITHM, "use": "sig"}
                for key_id, key in self._keys.items()
            ]
        }


class ProofKey:
    """The key that a grant's tokens are bound to: never another grant's (OA-30). It has no `repr` of its secret."""

    def __init__(self, key: ECKey) -> None:
        self._key = key
        self.thumbprint: Final = key.thumbprint()

    @classmethod
    def generate(cls) -> "ProofKey":
        """A new one."""
        return cls(ECKey.generate_key("P-256"))

    @classmethod
    def from_json(cls, text: str) -> "ProofKey":
        """The key that `to_json` wrote. Raises ValueError."""
        try:
            return cls(ECKey.import_key(orjson.loads(text)))
        except (JoseError, KeyError, TypeError, ValueError):
            # Neither the text nor what a parser says of it may get into a message.
            raise ValueError("A key is not the JSON of a private JWK.") from None

    def to_json(self) -> str:
        """The private JWK: a secret."""
        return orjson.dumps(self._key.as_dict(private=True)).decode()

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A DPoP proof of `claims`, which carries the public half (OA-31)."""
        header = {"typ": "dpop+jwt", "alg": ALGORITHM, "jwk": self._key.as_dict(private=False)}
        return jwt.encode(header, dict(claims), self._key)


def token_id() -> str:
    """A `jti`, never used before."""
    return secrets.token_urlsafe(16)


def _derive(secret: str) -> ECKey:
    derived = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_PURPOSE).derive(secret.encode())
    return ECKey.import_key(ec.derive_private_key(1 + int.from_bytes(derived) % (_ORDER - 1), ec.SECP256R1()))
