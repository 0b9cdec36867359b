"""Whom we ask: hosts, all within one budget, and the directory that says who a DID is."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, NamedTuple

from appview.config import Config
from appview.db import Pool
from appview.index.documents import PostgresDocuments
from appview.net.http import HttpClient, Limits
from appview.net.identity import IdentityResolver
from appview.net.lookup import Dns
from appview.net.policy import Policy
from ingester.budget import Budget, HostClient
from ingester.shard import Shard

DOCUMENTS: Final = 5_000
"""DID documents in memory, a kilobyte each, ten of a stranger's; those that were asked for are in the database too."""

CONNECTIONS: Final = 400
"""To hosts, more than are asked at once: who waits for a connection would seem to wait for a host."""


class Network(NamedTuple):
    """`http` asks whom strangers name; `named`, by origin, each of those whom the operator named."""

    http: HostClient
    named: Mapping[str, HostClient]
    identities: IdentityResolver


@asynccontextmanager
async def network(config: Config, pool: Pool, origins: Iterable[str] = ()) -> AsyncIterator[Network]:
    """The clients of this process; `origins` are those that the operator named. Documents are kept by way of `pool`."""
    dns = Dns()
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            HttpClient(config.policy(), lookup=dns.addresses, limits=Limits(connections=CONNECTIONS))
        )
        # Of its own: however many strangers' documents are waited for, hosts are reached.
        web_http = await stack.enter_async_context(HttpClient(config.policy(), lookup=dns.addresses))
        plc_http = await stack.enter_async_context(HttpClient(Policy.trusting(config.plc_url), lookup=dns.addresses))
        budget = Budget(config.host_rate / Shard.parse(config.shard).total)
        named = {
            origin: HostClient(
                await stack.enter_async_context(HttpClient(Policy.trusting(origin), lookup=dns.addresses)), budget
            )
            for origin in origins
        }
        identities = IdentityResolver(
            web_http, dns, plc_url=config.plc_url, plc_http=plc_http, size=DOCUMENTS, store=PostgresDocuments(pool)
        )
        stack.push_async_callback(identities.aclose)
        yield Network(HostClient(http, budget), named, identities)
