"""The least XRPC client that a test needs: one server, JSON or bytes, errors as exceptions."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp

Json = dict[str, Any]


class XrpcError(Exception):
    """A server's refusal: its HTTP status, the error's name (`RepoNotFound`) and its message."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(f"{status} {error}: {message}")
        self.status = status
        self.error = error


class Host:
    """One server's XRPC methods.

    `authorization` is the whole header of that name; `proxy` (`did:web:example.com#plyr_appview`) has a PDS pass the
    request on to that service.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def query(
        self, nsid: str, authorization: str | None = None, proxy: str | None = None, **params: str | int
    ) -> Json:
        """GET a query's JSON; XrpcError when it is refused."""
        async with self._request("GET", nsid, authorization, proxy, params=params) as response:
            await _raise_for_error(response)
            return dict(await response.json(content_type=None))

    async def query_bytes(self, nsid: str, **params: str | int) -> bytes:
        """GET a query's body as it is, a CAR or a blob; XrpcError when it is refused."""
        async with self._request("GET", nsid, params=params) as response:
            await _raise_for_error(response)
            return await response.read()

    async def procedure(
        self,
        nsid: str,
        value: Json | bytes | None = None,
        authorization: str | None = None,
        proxy: str | None = None,
        mime: str | None = None,
    ) -> Json:
        """POST JSON, or bytes of the type `mime`; the JSON that comes back, `{}` for none. XrpcError when refused."""
        body: Json = {"data": value, "headers": {"content-type": mime}} if mime else {"json": value}
        async with self._request("POST", nsid, authorization, proxy, **({} if value is None else body)) as response:
            await _raise_for_error(response)
            return dict(await response.json(content_type=None) or {})

    def _request(
        self,
        verb: str,
        nsid: str,
        authorization: str | None = None,
        proxy: str | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        named = {"authorization": authorization, "atproto-proxy": proxy}
        sent = {name: value for name, value in named.items() if value} | dict(headers or {})
        return self.session.request(verb, f"{self.url}/xrpc/{nsid}", headers=sent, **more)


async def _raise_for_error(response: aiohttp.ClientResponse) -> None:
    if response.ok:
        return
    try:
        body = await response.json(content_type=None)
    except ValueError:
        body = {"message": await response.text()}
    raise XrpcError(response.status, body.get("error", "?"), body.get("message", ""))
