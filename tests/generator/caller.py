"""Who calls a generator: a token that is optional, and good in every respect where there is one.

The issuer's DID is anybody's word, and its host is asked: where a service can reach more than the world can, it looks
first where that host is.
"""

import base64
import json
import time
from typing import Any, Final

import aiohttp
from atproto_crypto.verify import verify_signature

LEEWAY: Final = 30
"""Seconds by which two clocks may differ."""


class NotACaller(Exception):
    """The token is not good; `name` is what XRPC calls the reason."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class Callers:
    """Those who call the service `did`. The word of the AppView at the origin `appview` is taken for whom it asks."""

    def __init__(self, http: aiohttp.ClientSession, did: str, plc: str, appview: str) -> None:
        self._http = http
        self._audiences = (did, f"{did}#plyr_fg")
        self._plc = plc
        self._appview = appview
        self._used: dict[tuple[str, str], int] = {}

    async def find(self, authorization: str | None, method: str) -> str | None:
        """The DID of the account that asks, which may be nobody. Raises NotACaller.

        An account's token reaches us by way of an AppView; an AppView without one signs a token itself, in which the
        account is the subject.
        """
        if authorization is None:
            return None
        token = authorization.removeprefix("Bearer ")
        try:
            signed, _, signature = token.rpartition(".")
            claims = json.loads(decoded(signed.partition(".")[2]))
            issuer, expires_at, nonce = str(claims["iss"]), int(claims["exp"]), str(claims["jti"])
            raw = decoded(signature)
        except (ValueError, KeyError, TypeError):
            raise NotACaller("BadJwt", "The token is not one of service auth.") from None
        if claims.get("aud") not in self._audiences:
            raise NotACaller("BadJwtAudience", "The token is for another service.")
        if claims.get("lxm") != method:
            raise NotACaller("BadJwtLexiconMethod", "The token is for another method.")
        if not time.time() - LEEWAY < expires_at < time.time() + 3600:
            raise NotACaller("JwtExpired", "The token has expired, or lasts too long.")
        document = await self._document(issuer)
        if not any(verify_signature(key, signed.encode(), raw) for key in signing_keys(document)):
            raise NotACaller("BadJwtSignature", "The token is not signed by its issuer.")
        self._require_first_use(issuer, nonce, expires_at)
        if any(service["id"].endswith("#plyr_appview") for service in document.get("service", ())):
            return claims.get("sub") if await self._is_trusted(issuer) else None
        return issuer

    def _require_first_use(self, issuer: str, nonce: str, expires_at: int) -> None:
        self._used = {used: until for used, until in self._used.items() if until > time.time() - LEEWAY}
        if (issuer, nonce) in self._used:
            raise NotACaller("BadJwt", "The token was used before.")
        self._used[issuer, nonce] = expires_at

    async def _is_trusted(self, appview: str) -> bool:
        document = await self._json(f"{self._appview}/.well-known/did.json")
        return bool(document["id"] == appview)

    async def _document(self, did: str) -> dict[str, Any]:
        """The DID document; a service with many callers remembers those, for a few minutes."""
        if did.startswith("did:plc:"):
            return await self._json(f"{self._plc}/{did}")
        host = did.removeprefix("did:web:").replace("%3A", ":")
        scheme = "http" if host.startswith("localhost:") else "https"
        return await self._json(f"{scheme}://{host}/.well-known/did.json")

    async def _json(self, url: str) -> dict[str, Any]:
        try:
            async with self._http.get(url, raise_for_status=True) as answer:
                return dict(await answer.json(content_type=None))
        except (aiohttp.ClientError, TimeoutError, ValueError):
            raise NotACaller("BadJwtIss", "The issuer of the token is not to be found.") from None


def signing_keys(document: dict[str, Any]) -> list[str]:
    """The keys with which the account or the service signs, as did:key."""
    methods = document.get("verificationMethod", ())
    return [f"did:key:{key['publicKeyMultibase']}" for key in methods if key["id"].endswith("#atproto")]


def decoded(text: str) -> bytes:
    """The bytes of base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
