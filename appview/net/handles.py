"""From a handle to the DID it names, by DNS or by its host's well-known file (ID-06, ID-07, ID-09)."""

from typing import Final

from appview.net.errors import (
    BadStatus,
    BadSyntax,
    CouldNotCheck,
    NetError,
    NoSuchHost,
    NotFound,
    Unreachable,
    Unsupported,
    Unusable,
)
from appview.net.http import HttpClient
from appview.net.lookup import Dns
from lexicons.formats import is_did, is_handle

_MAX_BODY: Final = 2048
_REDIRECTS: Final = 5


class HandleResolver:
    """Asks DNS, and the host over https when DNS names no DID: DNS wins, so what it says need not be compared."""

    def __init__(self, http: HttpClient, dns: Dns) -> None:
        self._http = http
        self._dns = dns

    async def resolve(self, handle: str) -> str:
        """The DID that `handle` names; whether that DID claims it is the caller's to check. Raises IdentityError."""
        if not is_handle(handle):
            raise BadSyntax("the text is not a handle")
        handle = handle.lower()
        if self._http.policy.names_special(handle):
            raise Unsupported(f"the handle {handle} is under a name that is never resolved")
        silent = None
        if not self._dns.of_machine or self._http.policy.hosts.find(handle) is None:
            try:
                did = await self._ask_dns(handle)
            except Unreachable as error:
                silent = error
            else:
                if did is not None:
                    return did
        try:
            return await self._ask_host(handle)
        except NotFound:
            if silent is None:
                raise
            raise CouldNotCheck(f"no name server answered for the handle {handle}") from silent

    async def _ask_dns(self, handle: str) -> str | None:
        values = await self._dns.texts(f"_atproto.{handle}")
        dids = {value.removeprefix("did=") for value in values if value.startswith("did=")}
        if not dids:
            return None
        if len(dids) > 1:
            raise Unusable(f"the handle {handle} names more than one DID in DNS")
        did = dids.pop()
        if not is_did(did):
            raise Unusable(f"the handle {handle} names in DNS what is not a DID")
        return did

    async def _ask_host(self, handle: str) -> str:
        url = f"https://{handle}/.well-known/atproto-did"
        try:
            answer = await self._http.get(url, max_bytes=_MAX_BODY, redirects=_REDIRECTS, accept="text/plain")
        except NetError as error:
            if error.temporary and not isinstance(error, NoSuchHost):
                pause = error.retry_after if isinstance(error, BadStatus) else None
                raise CouldNotCheck(
                    f"the host of the handle {handle} did not say its DID", retry_after=pause
                ) from error
            raise NotFound(f"the handle {handle} names no DID") from error
        did = answer.body.decode("ascii", "replace").strip()
        if not is_did(did):
            raise NotFound(f"the handle {handle} names no DID")
        return did
