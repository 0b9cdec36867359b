"""What a token endpoint answers, checked; how a grant is refreshed and revoked (OA-50 to OA-58)."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from appview.accounts.oauth.asking import Asking
from appview.accounts.oauth.discovery import Discovery, Server
from appview.accounts.oauth.errors import GrantEnded, NotAnAccount, OAuthError, ServerRefused, Untrusted
from appview.accounts.oauth.forms import Forms
from appview.accounts.oauth.granted import Granted, Party
from appview.accounts.oauth.scopes import ATPROTO, MAX_GIVEN, tokens
from appview.net.cache import Clock
from lexicons.formats import is_did

_log = logging.getLogger(__name__)

_MAX_LIFE: Final = 10 * 365 * 86_400
_is_token = re.compile(r"[!-~]{1,8192}").fullmatch


@dataclass(frozen=True, slots=True, repr=False)
class Tokens:
    """A token endpoint's answer, of which nothing but its form is known to be right."""

    access: str
    refresh: str | None
    did: str
    scope: str | None
    expires_at: datetime | None


def read_tokens(answer: Mapping[str, Any], now: float) -> Tokens:
    """The tokens of an answer at `now`, in seconds (10.2, step 10). Raises Untrusted."""
    token_type, access, refresh = (answer.get(name) for name in ("token_type", "access_token", "refresh_token"))
    if not isinstance(token_type, str) or token_type.lower() != "dpop":
        raise Untrusted("the server gives a token that is not bound to our key")
    if not isinstance(access, str) or not _is_token(access):
        raise Untrusted("the server gives no access token")
    if refresh is not None and (not isinstance(refresh, str) or not _is_token(refresh)):
        raise Untrusted("the server gives a refresh token that cannot be used")
    did, scope, life = answer.get("sub"), answer.get("scope"), answer.get("expires_in")
    if not isinstance(did, str) or not is_did(did):
        raise Untrusted("the server does not say whose token it gives")
    if scope is not None and (not isinstance(scope, str) or ATPROTO not in tokens(scope)):
        raise Untrusted("the server gives a token that is not for this protocol")
    if scope is not None and len(scope) > MAX_GIVEN:
        raise Untrusted("the server gives a scope of unheard-of length")
    expires_at = None
    if isinstance(life, int) and not isinstance(life, bool) and 0 <= life <= _MAX_LIFE:
        expires_at = datetime.fromtimestamp(now + life, UTC)
    return Tokens(access, refresh, did, scope, expires_at)


class TokenService:
    """Refreshes and revokes. Exactly one refresh of a grant may be under way at a time: its caller's to see to."""

    def __init__(self, forms: Forms, discovery: Discovery, asking: Asking, clock: Clock) -> None:
        self._forms = forms
        self._discovery = discovery
        self._asking = asking
        self._clock = clock

    async def refresh(self, granted: Granted) -> Granted:
        """The grant with new tokens; the old ones are used up, whatever comes of it. Raises OAuthError.

        GrantEnded when there is nothing to refresh, the server says `invalid_grant` or gives what cannot be taken, or
        the account has moved to another server (OA-56). After ServerAway nobody knows whether it was carried out
        (OA-55).
        """
        if granted.refresh_token is None:
            raise GrantEnded("the grant cannot be refreshed")
        try:
            home = await self._discovery.home(granted.did)
        except NotAnAccount as error:
            raise GrantEnded(f"{granted.did} is not an account any more") from error
        if home.server.issuer != granted.issuer:
            raise GrantEnded(f"{granted.did} has moved from {granted.issuer} to {home.server.issuer}")
        party = granted.party
        fields = {"grant_type": "refresh_token", "refresh_token": granted.refresh_token}
        began = self._clock()
        try:
            answer = await self._forms.token(home.server, party, fields)
        except ServerRefused as error:
            if error.error == "invalid_grant":
                raise GrantEnded(f"{granted.issuer} has ended the grant") from error
            raise
        try:
            new = read_tokens(answer, began)
            if new.did != granted.did:
                raise Untrusted(f"{granted.issuer} answers with a token for another account than {granted.did}")
        except Untrusted as error:
            # The old tokens are used up, and these are not taken.
            await self.reject(home.server, party, answer)
            raise GrantEnded(str(error)) from error
        return replace(
            granted,
            pds=home.pds,
            scope=granted.scope if new.scope is None else self._asking.as_granted(new.scope),
            access_token=new.access,
            refresh_token=new.refresh or granted.refresh_token,
            expires_at=new.expires_at,
        )

    async def revoke(self, granted: Granted) -> None:
        """End the grant at its server, by both tokens: some servers end but the one (OA-58). Raises OAuthError."""
        server = await self._discovery.server(granted.issuer)
        party = granted.party
        try:
            if granted.refresh_token is not None:
                await self._forms.revoke(server, party, granted.refresh_token)
        finally:
            await self._forms.revoke(server, party, granted.access_token)

    async def reject(self, server: Server, party: Party, answer: Mapping[str, Any]) -> None:
        """End the tokens of an answer that is not accepted, whatever they are, as far as that can be done now."""
        for name in ("refresh_token", "access_token"):
            token = answer.get(name)
            if isinstance(token, str) and _is_token(token):
                try:
                    await self._forms.revoke(server, party, token)
                except OAuthError as error:
                    _log.warning("a token that is not accepted could not be revoked at %s: %s", server.issuer, error)
