"""Somebody who signed in at a real PDS, a faulty wire to it, and all that writes for them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from prometheus_client import CollectorRegistry

from appview.accounts.grants import Grants
from appview.accounts.oauth import OAuth
from appview.accounts.vault import Vault
from appview.config import Config
from appview.db import Pool
from appview.index.rebuild import Makers
from appview.net.http import HttpClient
from appview.net.identity import IdentityResolver
from appview.net.lookup import Dns
from appview.net.policy import HostMap, Policy
from appview.writes import Repo, Writes
from appview.writes.attempts import Patience
from appview.writes.settling import settle
from lexicons.catalog import shipped
from tests.appview.writes.proxy import Proxy, proxy
from tests.network.network import Network
from tests.network.pds import User
from tests.network.sign_in import consent
from tests.network.xrpc import Json, XrpcError

SECRET: Final = "0123456789abcdef0123456789abcdef"
QUICK: Final = Patience(answer=1.0, pauses=(0.0, 0.02, 0.05), write=8.0, same=6.0)
NAMESPACE: Final = "fm.plyr"

catalog = cache(shipped)
makers = cache(Makers.of)


def config(plc: str, **more: str) -> Config:
    return Config.load({"PLYR_DEV": "1", "PLYR_PLC_URL": plc, "PLYR_SECRET_KEY": SECRET} | more, dotenv=None)


@dataclass
class Stand:
    """`repo` is the user's, reached by way of `wire`; `http` goes by way of it too."""

    network: Network
    pool: Pool
    user: User
    wire: Proxy
    http: HttpClient
    identities: IdentityResolver
    oauth: OAuth
    by_wire: OAuth
    grants: Grants
    grant: int
    writes: Writes
    registry: CollectorRegistry

    @property
    def repo(self) -> Repo:
        return self.writes.of(self.user.did, self.grant)

    async def record(self, uri: str) -> Json | None:
        """What the PDS has there."""
        _, _, did, collection, rkey = uri.split("/")
        try:
            return await self.user.pds.query("com.atproto.repo.getRecord", repo=did, collection=collection, rkey=rkey)
        except XrpcError as error:
            if error.error != "RecordNotFound":
                raise
            return None

    async def records(self, collection: str) -> list[Json]:
        """All that the PDS has of a collection."""
        answer = await self.user.pds.query(
            "com.atproto.repo.listRecords", repo=self.user.did, collection=collection, limit=100
        )
        return list(answer["records"])

    async def rev(self) -> str:
        """Of the repository, now."""
        answer = await self.user.pds.query("com.atproto.sync.getLatestCommit", did=self.user.did)
        return str(answer["rev"])

    async def journal(self) -> list[Mapping[str, Any]]:
        return list(await self.pool.fetch("select * from write_intents order by id"))

    async def states(self) -> list[str]:
        return [row["state"] for row in await self.journal()]

    async def shown(self) -> dict[str, str]:
        """What the index has, by URI: the CID's hex."""
        rows = await self.pool.fetch("select uri, cid from records where cid is not null")
        return {row["uri"]: row["cid"].hex() for row in rows}

    async def lapse(self) -> None:
        """Time goes by, until nobody is at any write any more."""
        await self.pool.execute("update write_intents set held_until = now() - interval '1 s'")

    async def settle(self) -> None:
        await settle(self.pool, self.http, self.identities, makers(NAMESPACE), self.user.did)

    def counted(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    async def other(self, *tokens: str) -> Repo:
        """The same repository by another grant of the user's, of which we believe that it has these scopes."""
        granted = replace(await self.grants.fresh(self.grant), scope=" ".join(("atproto", *tokens)))
        return self.writes.of(self.user.did, await self.grants.save(granted, "session"))

    async def greet(self, grant: int) -> None:
        """Have the PDS's nonce for a grant, so that its next request is let in at once."""
        granted = await self.grants.fresh(grant)
        await self.by_wire.request(granted, "GET", f"{granted.pds}/xrpc/com.atproto.server.getSession")


async def signed_in(network: Network, oauth: OAuth, grants: Grants, user: User) -> int:
    """A grant of `user`'s, of everything."""
    begun = await oauth.begin(user.did, scope=oauth.asking.one_by_one)
    callback = await consent(network.session, begun.url, user)
    granted = await oauth.complete(begun.secret, dict(parse_qsl(urlsplit(callback).query)))
    return await grants.save(granted, "session")


@asynccontextmanager
async def stand(network: Network, pool: Pool, *, patience: Patience = QUICK) -> AsyncIterator[Stand]:
    """Everything, with a new account on the first PDS."""
    async with AsyncExitStack() as stack:
        user = await network.create_account("writer")
        settings = config(network.addresses.plc)
        dns = Dns()
        plain = await stack.enter_async_context(HttpClient(Policy.development(), lookup=dns.addresses))
        wire = await stack.enter_async_context(proxy(user.pds.url))
        mapped = Policy.development(HostMap.parse(f"localhost=127.0.0.1:{wire.port}"))
        http = await stack.enter_async_context(HttpClient(mapped, lookup=dns.addresses))
        identities = IdentityResolver(plain, dns, plc_url=network.addresses.plc)
        stack.push_async_callback(identities.aclose)
        oauth = OAuth(settings, plain, identities)
        grants = Grants(pool, Vault([SECRET]), oauth)
        grant = await signed_in(network, oauth, grants, user)
        registry = CollectorRegistry()
        by_wire = OAuth(settings, http, identities)
        writes = Writes(
            pool,
            grants,
            by_wire,
            http,
            makers(NAMESPACE),
            catalog(NAMESPACE),
            namespace=NAMESPACE,
            registry=registry,
            patience=patience,
        )
        stack.push_async_callback(writes.aclose)
        here = Stand(network, pool, user, wire, http, identities, oauth, by_wire, grants, grant, writes, registry)
        await here.greet(grant)
        yield here
