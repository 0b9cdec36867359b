"""Who calls, from the headers of a request, and how far the index must know what they did.

Three may say so: a PDS by a token that it signed (xrpc/service_auth.py), the account itself by a developer token of
ours, and a browser by the cookie of a session here, which counts for our own pages alone.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from prometheus_client import CollectorRegistry
from starlette.datastructures import Headers
from starlette.requests import cookie_parser

from appview.accounts import developer_tokens, sessions
from appview.config import Config
from appview.db import Pool
from appview.net.identity import IdentityResolver
from appview.reads.callers import standing
from xrpc.accounts import Accounts
from xrpc.availability import within
from xrpc.callers import Caller
from xrpc.cookies import session_cookie
from xrpc.errors import Unauthenticated
from xrpc.origins import is_asked_by_us, may_be_read_by
from xrpc.revs import Revs, read_rev
from xrpc.service_auth import QUERY_SECONDS, ServiceAuth, bearer, require_welcome

PERSONAL: Final[Mapping[str, str]] = {"Cache-Control": "private, max-age=0"}
"""What an answer to somebody says: it is not for others (XR-36)."""


class Authentication:
    """The check of every request."""

    def __init__(
        self, config: Config, pool: Pool, accounts: Accounts | None, service_auth: ServiceAuth, revs: Revs
    ) -> None:
        self._cookie = session_cookie(config)
        self._pool = pool
        self._accounts = accounts
        self._service_auth = service_auth
        self._revs = revs

    async def caller(self, headers: Headers, nsid: str, *, writes: bool = False) -> Caller | None:
        """Who calls the method `nsid`, which `writes` or only reads, or None; with `atproto-min-rev`, once their
        repository is indexed to that rev, or WAIT_SECONDS have passed. Raises InvalidRequest, Unauthenticated,
        Unavailable.
        """
        text = headers.get("atproto-min-rev")
        rev = None if text is None else read_rev(text)
        caller = await self._caller(headers, nsid, writes=writes)
        if rev is None:
            return caller
        if caller is None:
            raise Unauthenticated("AuthMissing", "atproto-min-rev is a rev of the caller's, and nobody said who calls.")
        return caller._replace(rev=await self._revs.reached(caller.did, rev, caller.rev))

    async def _caller(self, headers: Headers, nsid: str, *, writes: bool) -> Caller | None:
        text = bearer(headers)
        if text is not None:
            if text.startswith(developer_tokens.PREFIX):
                return await self._holder(text)
            return await self._service_auth.caller(text, nsid)
        if self._accounts is None or "cookie" not in headers:
            return None
        cookie = cookie_parser(headers["cookie"]).get(self._cookie)
        if not cookie or not (is_asked_by_us(headers) if writes else may_be_read_by(headers)):
            return None
        session = await within(QUERY_SECONDS, sessions.find(self._accounts.pool, cookie))
        if session is None or session.current is None:
            return None
        return await self._welcome(session.current.did, session.current.grant)

    async def _holder(self, text: str) -> Caller:
        """Whose the developer token `text` is."""
        found = None
        if self._accounts is not None:
            found = await within(QUERY_SECONDS, developer_tokens.find(self._accounts.pool, text))
        if found is None:
            raise Unauthenticated("InvalidToken", "The developer token is not known here, has expired or was revoked.")
        return await self._welcome(found.did, found.grant)

    async def _welcome(self, did: str, grant: int) -> Caller:
        stands = await within(QUERY_SECONDS, standing(self._pool, did))
        require_welcome(stands)
        return Caller(did, stands.rev, grant=grant)


@asynccontextmanager
async def authentication(
    config: Config,
    pool: Pool,
    accounts: Accounts | None,
    identities: IdentityResolver,
    registry: CollectorRegistry,
) -> AsyncIterator[Authentication]:
    """The check, with what lives as long as it does."""
    service_auth, revs = ServiceAuth(config, pool, identities, registry), Revs(pool)
    try:
        yield Authentication(config, pool, accounts, service_auth, revs)
    finally:
        await revs.aclose()
        await service_auth.aclose()


def about(caller: Caller | None) -> dict[str, str]:
    """The headers by which an answer says whom it is for (XR-34, XR-36)."""
    if caller is None:
        return {}
    return dict(PERSONAL) if caller.rev is None else {**PERSONAL, "Atproto-Repo-Rev": caller.rev}
