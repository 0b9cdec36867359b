"""The assertion by which a confidential client proves itself to an authorization server (OA-20, RFC 7523)."""

from typing import Final

from appview.accounts.oauth.keys import ClientKeys, token_id

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFE: Final = 60
"""Seconds: the reference server takes none that is older."""

_EARLY: Final = 5
"""Seconds that `iat` is set back: to a server whose clock is behind ours, it would lie in the future."""


def assertion(keys: ClientKeys, key_id: str, client_id: str, issuer: str, now: float) -> str:
    """A JWT for one request to `issuer`, which is its audience whatever endpoint it goes to; `now` in seconds."""
    issued = int(now) - _EARLY
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": issuer,
        "jti": token_id(),
        "iat": issued,
        "exp": issued + LIFE,
    }
    return keys.sign(key_id, claims)
