"""A service-auth token (7.6): the JWT by which an account, or its PDS for it, calls one method of one service. Pure.

`read_token` makes every check that needs no key, `ServiceToken.is_signed_by` the one that does; whether the token was
used before, and whether the account is welcome, is for whoever knows.
"""

import base64
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from appview.keys import Curve, PublicKey
from lexicons.formats import is_did

MAX_LENGTH: Final = 8192
"""In characters; room for the longest DID three times."""

LEEWAY: Final = 5
"""Seconds by which a token may be past its `exp`, or before its `nbf`."""

MAX_SKEW: Final = 300
"""Seconds by which the issuer's clock, which wrote `iat`, may be ahead of ours."""

MAX_LIFE: Final = 3600
"""Seconds between `iat` and `exp`: the longest that getServiceAuth grants (XR-52)."""

ErrorName = Literal["BadJwt", "BadJwtType", "BadJwtAudience", "BadJwtLexiconMethod", "JwtExpired", "BadJwtIss"]

_CURVES: Final[Mapping[str, Curve]] = {"ES256": "p256", "ES256K": "k256"}
_OTHER_TYPES: Final = frozenset({"at+jwt", "refresh+jwt", "dpop+jwt"})
_split = re.compile(r"([\w-]+)\.([\w-]+)\.([\w-]+)", re.ASCII).fullmatch


class BadToken(Exception):
    """The token is none of ours; `name` is what XRPC calls the reason (XR-08), the message one sentence."""

    def __init__(self, name: ErrorName, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, slots=True)
class ServiceToken:
    """What a token claims, which is nobody's word until `is_signed_by` says whose."""

    issuer: str
    """The DID of the account that calls."""
    nonce: str
    """Its `jti`: no other token of the issuer has the same."""
    expires_at: int
    """Seconds since the epoch."""
    curve: Curve
    signed: bytes
    signature: bytes

    def is_signed_by(self, key: PublicKey | None) -> bool:
        """Whether `key`, which must be of the curve that the token's `alg` names, made the signature."""
        return key is not None and key.curve == self.curve and key.check_lenient(self.signed, self.signature)


def read_token(token: str, *, audiences: Collection[str] | None, method: str, now: float) -> ServiceToken:
    """The claims of `token`, which was sent to call `method` at `now`; `audiences` are the forms of our own DID, or
    None where it may be for any service.

    Checks 1 to 7 of section 7.6, in that order. Raises BadToken.
    """
    parts = _split(token) if len(token) <= MAX_LENGTH else None
    if parts is None:
        raise BadToken("BadJwt", "The token is not a JWT.")
    header, claims, signature = _object(parts[1]), _object(parts[2]), _decoded(parts[3])
    curve = _curve(header)
    audience = claims.get("aud")
    if type(audience) is not str or (audiences is not None and audience not in audiences):
        raise BadToken("BadJwtAudience", "The token is for another service: its aud is not our DID.")
    if claims.get("lxm") != method:
        raise BadToken("BadJwtLexiconMethod", f"The token is not for this method: its lxm is not {method}.")
    expires_at = _check_times(claims, now)
    issuer = claims.get("iss")
    if type(issuer) is not str or not is_did(issuer) or not issuer.startswith(("did:plc:", "did:web:")):
        raise BadToken("BadJwtIss", "The token's iss is not a DID of an account.")
    nonce = claims.get("jti")
    if type(nonce) is not str or not nonce:
        raise BadToken("BadJwt", "The token has no jti.")
    return ServiceToken(issuer, nonce, expires_at, curve, token.rpartition(".")[0].encode(), signature)


def _curve(header: Mapping[str, Any]) -> Curve:
    algorithm, type_ = header.get("alg"), header.get("typ", "JWT")
    curve = _CURVES.get(algorithm) if type(algorithm) is str else None
    if curve is None:
        raise BadToken("BadJwt", "The token's alg is neither ES256 nor ES256K.")
    if type(type_) is not str or type_.lower().removeprefix("application/") in _OTHER_TYPES:
        raise BadToken("BadJwtType", "The token is not one of service auth, but of a session with a PDS.")
    if header.get("kid", "#atproto") != "#atproto":
        raise BadToken("BadJwt", "The token's kid is not #atproto.")
    if "crit" in header:
        raise BadToken("BadJwt", "The token has a crit, and no extension is known here.")
    return curve


def _check_times(claims: Mapping[str, Any], now: float) -> int:
    """When the token expires, in seconds since the epoch."""
    issued_at, expires_at, not_before = claims.get("iat"), claims.get("exp"), claims.get("nbf", 0)
    if type(issued_at) is not int or type(expires_at) is not int or type(not_before) is not int:
        raise BadToken("BadJwt", "The token has no iat or no exp, or a time of it is not a whole number.")
    if expires_at < now - LEEWAY:
        raise BadToken("JwtExpired", "The token has expired.")
    if issued_at > now + MAX_SKEW or not_before > now + LEEWAY:
        raise BadToken("JwtExpired", "The token is not valid yet.")
    if expires_at - issued_at > MAX_LIFE:
        raise BadToken("JwtExpired", f"The token is to last for more than {MAX_LIFE} seconds.")
    return expires_at


def _object(part: str) -> dict[str, Any]:
    try:
        value = orjson.loads(_decoded(part))
    except orjson.JSONDecodeError:
        value = None
    if type(value) is not dict:
        raise BadToken("BadJwt", "A part of the token is not a JSON object.")
    return value


def _decoded(part: str) -> bytes:
    """The bytes of `part`, base64url without padding, in the one way that it may be written."""
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raw = b""
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != part.encode():
        raise BadToken("BadJwt", "A part of the token is not base64url.")
    return raw
