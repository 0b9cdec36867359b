"""A running test network, spoken to: its directory, its names, its PDSes."""

import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.network.launch import Addresses
from tests.network.pds import Control, Pds, User
from tests.network.xrpc import Json

_accounts = itertools.count(1)


class Network:
    """The network at `addresses`, through one HTTP session; `pds` are its PDSes in order."""

    def __init__(self, addresses: Addresses, session: aiohttp.ClientSession) -> None:
        self.addresses = addresses
        self.session = session
        self._control = Control(session, addresses.control)
        self.pds = tuple(
            Pds(self._control, session, address, number, addresses.admin_password)
            for number, address in enumerate(addresses.pds, start=1)
        )

    @classmethod
    @asynccontextmanager
    async def connect(cls, addresses: Addresses) -> AsyncIterator["Network"]:
        """Speak to a running network from the event loop that runs now."""
        async with aiohttp.ClientSession() as session:
            yield cls(addresses, session)

    async def create_account(self, name: str = "user", *, pds: Pds | None = None) -> User:
        """Make an account on `pds` (the first, when not said) whose handle starts with `name` and was never used."""
        pds = pds or self.pds[0]
        return await pds.create_account(f"{name}-{next(_accounts)}{pds.handle_domain}")

    async def set_handle(self, handle: str, did: str) -> None:
        """Let DNS name `did` for a handle; an empty `did` takes that back."""
        await self._control.put(f"handles/{handle}", did)

    async def set_txt(self, name: str, text: str) -> None:
        """Set the TXT record of a domain name; an empty text removes it."""
        await self._control.put(f"txt/{name}", text)

    async def set_host(self, host: str, url: str) -> None:
        """Have the PDSes take `https://<host>` for a loopback URL; an empty one takes that back."""
        await self._control.put(f"hosts/{host}", url)

    async def set_crawlers(self, *urls: str) -> None:
        """Have each PDS ask these, and no others, to crawl it: at its next commit, and then no more for 20 minutes."""
        await self._control.put("crawlers", "\n".join(urls))

    async def did_document(self, did: str) -> Json:
        """The directory's document of a DID."""
        document: Json = await self._directory(did)
        return document

    async def identities(self, dids: Iterable[str]) -> dict[str, Json]:
        """DID to `{"doc", "log"}`, its document and audit log, as `python -m ingester verify --dids` reads them."""
        return {
            did: {"doc": await self._directory(did), "log": await self._directory(f"{did}/log/audit")}
            for did in sorted(set(dids))
        }

    async def _directory(self, path: str) -> Any:
        async with self.session.get(f"{self.addresses.plc}/{path}", raise_for_status=True) as response:
            return await response.json(content_type=None)
