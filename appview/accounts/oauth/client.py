"""The OAuth client as the rest of the app has it: begin, complete, refresh, revoke, and ask a PDS by a grant."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Literal, TypeVar

from appview.accounts.oauth.asking import Asking
from appview.accounts.oauth.discovery import Discovery
from appview.accounts.oauth.dpop import Dpop, challenges, said_error
from appview.accounts.oauth.errors import OAuthError, TokenExpired
from appview.accounts.oauth.flow import Flow
from appview.accounts.oauth.forms import Forms
from appview.accounts.oauth.granted import Begun, Granted
from appview.accounts.oauth.keys import ProofKey
from appview.accounts.oauth.metadata import Client
from appview.accounts.oauth.scopes import Need
from appview.accounts.oauth.tokens import TokenService
from appview.config import Config
from appview.net.bodies import Body
from appview.net.cache import Clock
from appview.net.errors import BadStatus
from appview.net.http import Answer, HttpClient
from appview.net.identity import IdentityResolver
from appview.net.policy import parse_url
from lexicons.catalog import Catalog, shipped

T = TypeVar("T")

MAX_ANSWER: Final = 1024 * 1024


class OAuth:
    """One a process. `http` asks servers that strangers name, under its policy; `clock` gives seconds since the epoch.

    Our keys come from `secrets`, the current one first: the configured ones unless said otherwise. Raises ValueError
    for a client on https without any.
    """

    def __init__(
        self,
        config: Config,
        http: HttpClient,
        identities: IdentityResolver,
        *,
        secrets: Sequence[str] | None = None,
        catalog: Catalog | None = None,
        clock: Clock = time.time,
    ) -> None:
        if secrets is None:
            secrets = (*([config.secret_key] if config.secret_key else []), *config.old_secret_keys)
        self.asking: Final = Asking(catalog or shipped(config.namespace), config.namespace)
        self._http = http
        self._client = Client(config, secrets, self.asking.superset)
        self._dpop = Dpop(clock)
        discovery = Discovery(http, identities, clock)
        forms = Forms(http, self._client, self._dpop, clock)
        self._tokens = TokenService(forms, discovery, self.asking, clock)
        self._flow = Flow(self._client, self.asking, discovery, forms, self._tokens, clock)
        self._under_way: set[asyncio.Task[Any]] = set()

    def client_metadata(self) -> dict[str, Any] | None:
        """What is served at `/oauth/client-metadata.json`; None for the client on loopback."""
        return self._client.metadata()

    def jwks(self) -> dict[str, Any]:
        """What is served at `/oauth/jwks.json`: public keys only."""
        return self._client.jwks()

    async def begin(self, account: str | None, *, scope: str | None = None, server: str | None = None) -> Begun:
        """Begin a sign-in for `account`, as it was typed: a handle, a DID, or a server's URL; or at `server` (OA-11).

        `scope` is what to ask for: everything, unless it is one that `step_up` or `again` gave, or tokens of
        `asking.superset`. Raises OAuthError; ValueError for another scope, or when neither or both are named.
        """
        if (account is None) == (server is None):
            raise ValueError("A sign-in begins at an account or at a server.")
        if server is not None and "://" not in server:
            server = f"https://{server}"
        return await self._flow.begin(account or server or "", scope)

    async def complete(self, secret: Mapping[str, Any], params: Mapping[str, str]) -> Granted:
        """The grant for the callback's `params` and the `secret` of its Begun, which must not be used again.

        Every check of 10.2, steps 8 to 10, is made, the account resolved anew. A caller that leaves does not stop it:
        its grant is then revoked. Raises OAuthError; the server's own `error` as ServerRefused.
        """
        return await self._to_the_end(self._flow.complete(secret, params), self.revoke)

    async def refresh(self, granted: Granted) -> Granted:
        """The grant with new tokens; its old ones are used up, whatever comes of it. One at a time for each grant
        (OA-51), in a task that stores them before anybody uses them (OA-54).

        Once begun it goes to its end, though the caller leaves (OA-52): what nobody takes is revoked. Raises
        OAuthError: GrantEnded when only a new sign-in helps; after ServerAway nobody knows whether it was carried out.
        """
        return await self._to_the_end(self._tokens.refresh(granted), self.revoke)

    async def revoke(self, granted: Granted) -> None:
        """End the grant at its server (OA-58). Raises OAuthError, after which it may be tried again."""
        await self._tokens.revoke(granted)

    def step_up(self, held: str, needs: Sequence[Need]) -> str | None:
        """What `begin` is to ask for so that the grant covers what is held and what is needed, or None when this app
        never asks for such a thing.
        """
        return self.asking.step_up(held, needs)

    def again(self, granted: Granted) -> str | None:
        """What `begin` may ask for after a grant of nothing, by a server that may know no better terms; mostly None."""
        return self.asking.again(granted.asked, granted.scope)

    async def request(  # noqa: PLR0913 - those of HttpClient.post, and by which grant
        self,
        granted: Granted,
        method: Literal["GET", "POST"],
        url: str,
        *,
        body: Body = b"",
        content_type: str = "application/json",
        length: int | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = MAX_ANSWER,
        total: float = 30.0,
        wait: float | None = None,
    ) -> Answer:
        """The PDS's answer to a request by the grant, sent again with a new proof where it asks for a nonce (OA-34):
        so a `body` in chunks must be made anew when called for. The rest is as for `HttpClient.get` and `post`.

        Raises TokenExpired when the access token is not taken any more, and NetError; ValueError for a URL elsewhere
        than at the grant's PDS, where its token has no business.
        """
        if str(parse_url(url).origin()) != granted.pds:
            raise ValueError("A grant's token is for its PDS alone.")

        async def send(proof: dict[str, str]) -> Answer:
            sent = {**(headers or {}), **proof}
            if method == "GET":
                return await self._http.get(url, max_bytes=max_bytes, headers=sent, total=total)
            return await self._http.post(
                url,
                body,
                max_bytes=max_bytes,
                content_type=content_type,
                length=length,
                headers=sent,
                total=total,
                wait=wait,
            )

        key = ProofKey.from_json(granted.dpop_key)
        try:
            return await self._dpop.send(key, method, url, send, token=granted.access_token)
        except BadStatus as error:
            if _is_expired(error):
                raise TokenExpired(f"{granted.pds} does not take the access token any more") from error
            raise

    async def aclose(self) -> None:
        """Wait for what was left to itself: a sign-in or a refresh must not be cut short."""
        while self._under_way:
            await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _to_the_end(
        self, work: Coroutine[Any, Any, Granted], unwanted: Callable[[Granted], Coroutine[Any, Any, None]]
    ) -> Granted:
        """What `work` brings; it goes on when the caller leaves, and then `unwanted` has what it brought."""
        task = self._start(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled():
                self._start(_give(task, unwanted))
            raise

    def _start(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task


async def _give(task: "asyncio.Task[Granted]", unwanted: Callable[[Granted], Coroutine[Any, Any, None]]) -> None:
    """Let `unwanted` have what the task brings, if anything; nobody else is there to hear what goes wrong."""
    with suppress(OAuthError):
        await unwanted(await task)


def _is_expired(error: BadStatus) -> bool:
    """Whether the PDS refuses the token itself (WR-16), and not what was asked with it."""
    said = said_error(error)
    if error.status == 401:
        return said in ("invalid_token", "InvalidToken", "ExpiredToken") or challenges(error, "invalid_token")
    return error.status == 400 and said == "ExpiredToken"
