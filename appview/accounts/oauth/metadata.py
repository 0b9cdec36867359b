"""Who we are as an OAuth client: confidential, with documents at our own address, or on loopback in development.

A confidential client proves itself with a key of ours and its grants last for months; one on loopback is public, needs
nothing to be reachable, and its grants last two weeks at most (OA-50).
"""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote, urlsplit

from appview.accounts.oauth.assertion import ASSERTION_TYPE, assertion
from appview.accounts.oauth.errors import GrantEnded
from appview.accounts.oauth.keys import ALGORITHM, ClientKeys
from appview.config import Config

METADATA_PATH: Final = "/oauth/client-metadata.json"
JWKS_PATH: Final = "/oauth/jwks.json"
CALLBACK_PATH: Final = "/oauth/callback"
NAME: Final = "plyr AppView"


class Client:
    """This app as authorization servers see it. `scope` is all that it may ever ask for."""

    def __init__(self, config: Config, secret_keys: Sequence[str], scope: str) -> None:
        """Raises ValueError for a client on https without a secret key."""
        self._url = config.public_url
        self._scope = scope
        self._is_public = urlsplit(self._url).scheme == "http"
        self._keys = ClientKeys(() if self._is_public else secret_keys)
        if self._is_public:
            port = urlsplit(self._url).port
            # Servers take loopback by its address alone (OA-05), whatever name our own URL has.
            self.redirect_uri = f"http://127.0.0.1{f':{port}' if port else ''}{CALLBACK_PATH}"
            self.id = f"http://localhost?redirect_uri={quote(self.redirect_uri, '')}&scope={quote(scope, '')}"
        elif not self._keys.ids:
            raise ValueError("A client on https needs a secret key: PLYR_SECRET_KEY.")
        else:
            self.redirect_uri = self._url + CALLBACK_PATH
            self.id = self._url + METADATA_PATH

    @property
    def key_ids(self) -> tuple[str | None, ...]:
        """The keys with which a grant may begin, the best first; None for a public client."""
        return self._keys.ids or (None,)

    def metadata(self) -> dict[str, Any] | None:
        """The document at `METADATA_PATH` (OA-01, OA-02); None for a client on loopback, which is its own document."""
        if self._is_public:
            return None
        return {
            "client_id": self.id,
            "client_name": NAME,
            "client_uri": self._url,
            "application_type": "web",
            "redirect_uris": [self.redirect_uri],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "scope": self._scope,
            "dpop_bound_access_tokens": True,
            "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_signing_alg": ALGORITHM,
            "jwks_uri": self._url + JWKS_PATH,
        }

    def jwks(self) -> dict[str, Any]:
        """The document at `JWKS_PATH`: the public halves of all our keys (OA-04)."""
        return self._keys.public()

    def credentials(self, client_id: str, key_id: str | None, issuer: str, now: float) -> dict[str, str]:
        """The form fields by which a request to `issuer` is this client's, with the key of its grant (OA-20, OA-21).

        To be made anew for each request. Raises GrantEnded when the key is none of ours any more.
        """
        if key_id is None:
            return {"client_id": client_id}
        if key_id not in self._keys:
            raise GrantEnded("the grant began with a key that this app does not have any more")
        return {
            "client_id": client_id,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion(self._keys, key_id, client_id, issuer, now),
        }
