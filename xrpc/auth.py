"""Who calls, from the headers of a request, and how far the index must know what they did."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from prometheus_client import CollectorRegistry
from starlette.datastructures import Headers

from appview.config import Config
from appview.db import Pool
from appview.net.identity import IdentityResolver
from xrpc.errors import Unauthenticated
from xrpc.revs import Revs, read_rev
from xrpc.service_auth import Caller, ServiceAuth

PERSONAL: Final[Mapping[str, str]] = {"Cache-Control": "private, max-age=0"}
"""What an answer to somebody says: it is not for others (XR-36)."""


class Authentication:
    """The check of every request."""

    def __init__(self, service_auth: ServiceAuth, revs: Revs) -> None:
        self._service_auth = service_auth
        self._revs = revs

    async def caller(self, headers: Headers, nsid: str) -> Caller | None:
        """Who calls the method `nsid`, or None; with `atproto-min-rev`, once their repository is indexed to that rev,
        or WAIT_SECONDS have passed. Raises InvalidRequest, Unauthenticated, Unavailable.
        """
        text = headers.get("atproto-min-rev")
        rev = None if text is None else read_rev(text)
        caller = await self._service_auth.caller(headers, nsid)
        if rev is None:
            return caller
        if caller is None:
            raise Unauthenticated("AuthMissing", "atproto-min-rev is a rev of the caller's, and nobody said who calls.")
        return caller._replace(rev=await self._revs.reached(caller.did, rev, caller.rev))


@asynccontextmanager
async def authentication(
    config: Config, pool: Pool, identities: IdentityResolver, registry: CollectorRegistry
) -> AsyncIterator[Authentication]:
    """The check, with what lives as long as it does."""
    service_auth, revs = ServiceAuth(config, pool, identities, registry), Revs(pool)
    try:
        yield Authentication(service_auth, revs)
    finally:
        await revs.aclose()
        await service_auth.aclose()


def about(caller: Caller | None) -> dict[str, str]:
    """The headers by which an answer says whom it is for (XR-34, XR-36)."""
    if caller is None:
        return {}
    return dict(PERSONAL) if caller.rev is None else {**PERSONAL, "Atproto-Repo-Rev": caller.rev}
