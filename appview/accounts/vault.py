"""What nobody may read in the database is sealed before it goes there: AES-256-GCM, under keys that are not in it.

Each secret key gives each purpose a key of its own. Whose a value is and what it is for are sealed along, so that one
copied to another row does not open there. It begins with the name of its secret key: the current one seals, all of them
open. A nonce is 96 random bits, so a key is good for 2^32 values: five years of a hundred thousand busy accounts.
"""

import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_NAME: Final = 9
"""How many bytes of a sealed value name its secret key: one of the format, eight that follow from the key."""

_FORMAT: Final = b"\x01"
_NONCE: Final = 12
_NAMING: Final = "plyr-appview: the name of a secret key"
_SEALING: Final = "plyr-appview: sealing, AES-256-GCM: "


class Unopenable(Exception):
    """A sealed value does not open: no key of ours made it, or it was made for another row, or it was changed."""

    def __init__(self) -> None:
        super().__init__("what is sealed does not open with any key of PLYR_SECRET_KEY and PLYR_OLD_SECRET_KEYS")


class Vault:
    """Seals and opens with the keys that follow from `secrets`, of which the first is the current one."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = {_FORMAT + _derived(secret, _NAMING, KEY_NAME - 1): secret for secret in secrets}
        self.key_names: Final = tuple(self._secrets)
        """What the values begin with that each of the secrets seals, the current one's first."""
        # A handful: each purpose has one for each secret.
        self._cipher = lru_cache(maxsize=64)(self._make_cipher)

    def seal(self, secret: object, *, purpose: str, owner: str) -> bytes:
        """`secret`, which JSON can say, for the row `owner` and the column `purpose` alone."""
        name, nonce = self.key_names[0], os.urandom(_NONCE)
        sealed = self._cipher(name, purpose).encrypt(nonce, orjson.dumps(secret), _bound(name, purpose, owner))
        return name + nonce + sealed

    def open(self, sealed: bytes, *, purpose: str, owner: str) -> Any:
        """What was sealed for `purpose` and `owner`. Raises Unopenable."""
        name = sealed[:KEY_NAME]
        if name not in self._secrets or len(sealed) < KEY_NAME + _NONCE:
            raise Unopenable
        nonce, rest = sealed[KEY_NAME : KEY_NAME + _NONCE], sealed[KEY_NAME + _NONCE :]
        try:
            return orjson.loads(self._cipher(name, purpose).decrypt(nonce, rest, _bound(name, purpose, owner)))
        except InvalidTag:
            raise Unopenable from None

    def is_current(self, sealed: bytes) -> bool:
        """Whether it is the current secret key that `sealed` was made with."""
        return sealed[:KEY_NAME] == self.key_names[0]

    def _make_cipher(self, name: bytes, purpose: str) -> AESGCM:
        return AESGCM(_derived(self._secrets[name], f"{_SEALING}{purpose}", 32))


def digest(token: str) -> bytes:
    """How a token of 256 random bits is kept: nobody finds it from its SHA-256, which needs no salt therefore."""
    return hashlib.sha256(token.encode()).digest()


def _derived(secret: str, info: str, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info.encode()).derive(secret.encode())


def _bound(name: bytes, purpose: str, owner: str) -> bytes:
    """What is sealed along without being kept."""
    return orjson.dumps([name.hex(), purpose, owner])
