"""What a sign-in leaves behind: the request while it is under way, and then the grant. Both are secrets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Self

from appview.accounts.oauth.keys import ProofKey


class Party(NamedTuple):
    """Who asks an authorization server: our client, the key it began with (None: public), and the grant's own key."""

    client_id: str
    key_id: str | None
    key: ProofKey


class Begun(NamedTuple):
    """A sign-in under way: where the browser goes, and what must be known when it comes back with `state`."""

    url: str
    state: str
    secret: dict[str, object]
    """JSON-able, to be sealed; good once, and for ten minutes."""

    def __repr__(self) -> str:
        return "Begun(…)"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Granted:
    """What an account has granted us, and the means to use it."""

    did: str
    issuer: str
    """The origin of the authorization server."""
    pds: str
    """The origin of the account's PDS: the only place for the access token."""
    client_id: str
    key_id: str | None
    """Which of our keys it began with, and must go on with (OA-21); None: we were a public client."""
    scope: str
    """As granted (OA-12); `scopes.permits` reads it."""
    access_token: str
    refresh_token: str | None
    expires_at: datetime | None
    """When the access token ends, by what the server said; aware. None: it did not say."""
    dpop_key: str
    """The private JWK that the tokens are bound to, as JSON."""
    asked: str = field(default="")
    """The scope that was asked for."""

    def __repr__(self) -> str:
        return f"Granted(did={self.did!r}, issuer={self.issuer!r}, scope={self.scope!r})"

    @property
    def party(self) -> Party:
        """Who we are to the authorization server of this grant."""
        return Party(self.client_id, self.key_id, ProofKey.from_json(self.dpop_key))

    def as_secret(self) -> dict[str, object]:
        """All of it, JSON-able, to be sealed."""
        return {
            "did": self.did,
            "issuer": self.issuer,
            "pds": self.pds,
            "client_id": self.client_id,
            "key_id": self.key_id,
            "scope": self.scope,
            "access_token": self.access_token,
            "refresh_token": self.refresh_token,
            "expires_at": None if self.expires_at is None else self.expires_at.isoformat(),
            "dpop_key": self.dpop_key,
            "asked": self.asked,
        }

    @classmethod
    def from_secret(cls, secret: Mapping[str, Any]) -> Self:
        """What `as_secret` gave."""
        expires_at = secret["expires_at"]
        return cls(**{**secret, "expires_at": None if expires_at is None else datetime.fromisoformat(expires_at)})
