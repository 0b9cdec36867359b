"""Those who signed in here: what is kept for them, and the way to their PDSes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry

from appview.accounts.grants import Grants
from appview.accounts.oauth import OAuth
from appview.accounts.vault import Vault
from appview.config import Config
from appview.db import Pool, create_pool
from appview.index.rebuild import Makers
from appview.net.http import HttpClient, Limits
from appview.net.identity import IdentityResolver
from appview.net.lookup import Dns
from appview.writes import Writes
from lexicons.catalog import Catalog

POOL_SIZE: Final = 10
"""Connections that may write; none is held while anybody else is asked."""

STATEMENT_SECONDS: Final = 10.0
"""A write that is shown waits for the ingester's transaction, which may be a large one."""

_AT_ONCE: Final = Limits(connections=1_024, connections_per_host=64)
"""Far more than who writes at once: hosts that say nothing to those who sign in keep nobody from writing."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """What it takes to act for somebody. `pool` is for writing too."""

    pool: Pool
    vault: Vault
    oauth: OAuth
    grants: Grants
    writes: Writes


@asynccontextmanager
async def accounts(
    config: Config, catalog: Catalog, identities: IdentityResolver, registry: CollectorRegistry
) -> AsyncIterator[Accounts | None]:
    """The accounts of this server; None without a secret, by which their tokens would be kept."""
    if config.secret_key is None or config.database_url is None:
        yield None
        return
    dns = Dns()
    async with (
        await create_pool(
            config.database_url, size=POOL_SIZE, command_seconds=STATEMENT_SECONDS, lazy=True, tidy=True
        ) as pool,
        HttpClient(config.policy(), lookup=dns.addresses, limits=_AT_ONCE) as http,
    ):
        vault = Vault((config.secret_key, *config.old_secret_keys))
        oauth = OAuth(config, http, identities, catalog=catalog)
        grants = Grants(pool, vault, oauth)
        writes = Writes(
            pool,
            grants,
            oauth,
            http,
            Makers.of(config.namespace),
            catalog,
            namespace=config.namespace,
            registry=registry,
        )
        try:
            yield Accounts(pool, vault, oauth, grants, writes)
        finally:
            # What a PDS was asked, or a server for new tokens, is heard to its end.
            await writes.aclose()
            await grants.aclose()
            await oauth.aclose()
