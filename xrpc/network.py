"""Whom this process asks: the hosts that strangers name, and the directory that says who a DID is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from appview.config import Config
from appview.net.circuits import CALLS
from appview.net.http import HttpClient, Limits
from appview.net.identity import IdentityResolver
from appview.net.lookup import Dns
from appview.net.policy import Policy

DOCUMENTS: Final = 5_000
"""DID documents in memory, a kilobyte each, ten of a stranger's; those of indexed accounts are in the database."""

# As many connections as there are calls: who waits for one would seem to wait for a generator.
_ALL_AT_ONCE: Final = Limits(connections=CALLS, connections_per_host=CALLS)


class Network(NamedTuple):
    """`http` asks whom strangers name. What is asked of either is asked for a caller who waits: bound it in time."""

    http: HttpClient
    identities: IdentityResolver


@asynccontextmanager
async def network(config: Config) -> AsyncIterator[Network]:
    """The clients of this process; nothing is asked before somebody does."""
    dns = Dns()
    async with (
        HttpClient(config.policy(), lookup=dns.addresses, limits=_ALL_AT_ONCE) as http,
        # Of its own: however many strangers' documents are waited for, generators are reached.
        HttpClient(config.policy(), lookup=dns.addresses) as web_http,
        HttpClient(Policy.trusting(config.plc_url), lookup=dns.addresses) as plc_http,
    ):
        identities = IdentityResolver(web_http, dns, plc_url=config.plc_url, plc_http=plc_http, size=DOCUMENTS)
        try:
            yield Network(http, identities)
        finally:
            await identities.aclose()
