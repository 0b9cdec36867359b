"""Who issues tokens in tests: accounts with a key of either curve, who can also write what no honest one would."""

import base64
import itertools
import json
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appview.keys import Curve, PublicKey

ALGORITHMS: Final[dict[Curve, str]] = {"p256": "ES256", "k256": "ES256K"}
ORDERS: Final[dict[Curve, int]] = {
    "p256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "k256": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
}
_PARAMETERS: Final[dict[Curve, ec.EllipticCurve]] = {"p256": ec.SECP256R1(), "k256": ec.SECP256K1()}
_ABSENT: Final = object()
_nonces = itertools.count(1)


def absent(**parts: object) -> dict[str, Any]:
    """These claims, to be left out."""
    return dict.fromkeys(parts, _ABSENT)


def part(value: object) -> str:
    """A part of a token: bytes as they are, all else as JSON."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Issuer:
    """The account `did`, with a key that follows from `secret`."""

    def __init__(self, did: str, curve: Curve = "k256", *, secret: int = 0xA7170) -> None:
        self.did = did
        self.curve: Curve = curve
        self._key = ec.derive_private_key(secret, _PARAMETERS[curve])
        point = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        self.key = PublicKey(curve, point)

    def document(self, pds: str = "https://pds.test") -> dict[str, Any]:
        """Its DID document."""
        key = {
            "id": f"{self.did}#atproto",
            "type": "Multikey",
            "controller": self.did,
            "publicKeyMultibase": self.key.multikey(),
        }
        service = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": pds}
        return {"id": self.did, "alsoKnownAs": [], "verificationMethod": [key], "service": [service]}

    def token(
        self, audience: str, method: str, now: float, *, header: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        """A token as a PDS mints it, but for `header` and `claims`."""
        at = int(now)
        honest = {"iat": at, "iss": self.did, "aud": audience, "exp": at + 60, "lxm": method, "jti": f"{next(_nonces)}"}
        return self.sign({"typ": "JWT", "alg": ALGORITHMS[self.curve]} | (header or {}), honest | claims)

    def sign(self, header: object, claims: object) -> str:
        """A token of any header and claims; parts that are `absent` are left out."""
        signed = f"{part(_present(header))}.{part(_present(claims))}"
        return f"{signed}.{part(self.signature(signed))}"

    def signature(self, signed: str, *, high: bool = False) -> bytes:
        """A signature over `signed`, whose S is the lower or the higher of the two that are good."""
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(SHA256())))
        low, other = sorted((s, ORDERS[self.curve] - s))
        return r.to_bytes(32) + (other if high else low).to_bytes(32)


def _present(value: object) -> object:
    if not isinstance(value, dict):
        return value
    return {name: item for name, item in value.items() if item is not _ABSENT}
