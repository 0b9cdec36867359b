"""Requests to an authorization server: forms, each with a proof and with our credentials, and what it answers."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import orjson

from appview.accounts.oauth.discovery import Server, net_failure
from appview.accounts.oauth.dpop import Dpop, said_error, text_of
from appview.accounts.oauth.errors import OAuthError, ServerRefused, Untrusted
from appview.accounts.oauth.granted import Party
from appview.accounts.oauth.metadata import Client
from appview.net.cache import Clock
from appview.net.errors import BadStatus, NetError
from appview.net.http import Answer, HttpClient

PATIENCE: Final = 45.0
"""Seconds for a request that may have been carried out though no answer came (OA-53)."""

_MAX_ANSWER: Final = 64 * 1024
_HASTE: Final = 15.0
_SECRETS: Final = ("code", "code_verifier", "refresh_token", "state", "token")
"""Fields that nobody may read in a log, though a server repeat them in its refusal."""
_MIME: Final = "application/x-www-form-urlencoded"


class Forms:
    """Posts forms to authorization servers."""

    def __init__(self, http: HttpClient, client: Client, dpop: Dpop, clock: Clock) -> None:
        self._http = http
        self._client = client
        self._dpop = dpop
        self._clock = clock

    async def push(self, server: Server, party: Party, fields: Mapping[str, str]) -> dict[str, Any]:
        """A pushed authorization request (10.2, step 6). Raises OAuthError.

        Here, where nothing is lost by it, a server that gives no nonce is refused (OA-35).
        """
        answer = await self._post(server, server.par_endpoint, party, fields, _HASTE)
        if "DPoP-Nonce" not in answer.headers:
            raise Untrusted(f"{server.issuer} gives no DPoP nonce")
        return _read(server, answer)

    async def token(self, server: Server, party: Party, fields: Mapping[str, str]) -> dict[str, Any]:
        """A token request, waited for patiently: it can be made once. Raises OAuthError."""
        return _read(server, await self._post(server, server.token_endpoint, party, fields, PATIENCE))

    async def revoke(self, server: Server, party: Party, token: str) -> None:
        """End what `token` belongs to, where the server can (RFC 7009). Raises OAuthError."""
        if server.revocation_endpoint is not None:
            await self._post(server, server.revocation_endpoint, party, {"token": token}, _HASTE)

    async def _post(self, server: Server, url: str, party: Party, fields: Mapping[str, str], wait: float) -> Answer:
        async def send(headers: dict[str, str]) -> Answer:
            # Another try is another request, and takes credentials of its own (OA-20).
            credentials = self._client.credentials(party.client_id, party.key_id, server.issuer, self._clock())
            form = urlencode({**fields, **credentials}).encode()
            return await self._http.post(
                url, form, max_bytes=_MAX_ANSWER, content_type=_MIME, headers=headers, total=wait, wait=wait
            )

        try:
            return await self._dpop.send(party.key, "POST", url, send)
        except NetError as error:
            raise _refusal(server, error, fields) from error


def _read(server: Server, answer: Answer) -> dict[str, Any]:
    try:
        said = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        said = None
    if not isinstance(said, dict):
        raise Untrusted(f"{server.issuer} does not answer in JSON")
    return said


def _refusal(server: Server, error: NetError, fields: Mapping[str, str]) -> OAuthError:
    if not isinstance(error, BadStatus) or not 400 <= error.status < 500 or error.temporary:
        return net_failure(server.issuer, error)
    code, description = said_error(error), text_of(error, "error_description")
    if any(fields[name] in code + description for name in _SECRETS if name in fields):
        code, description = "", ""
    return ServerRefused(code or f"status {error.status}", description)
