"""Somebody who signed in at a real PDS, a faulty wire to it, and all that writes for them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from prometheus_client import CollectorRegistry

from appview.accounts.grants import Grants
from appview.accounts.oauth import Granted, OAuth
from appview.accounts.oauth.errors import OAuthError
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
from appview.writes.tids import Tids
from lexicons.catalog import shipped
from tests.appview.writes.proxy import Proxy, proxy
from tests.network.network import Network
from tests.network.pds import User
from tests.network.repo import delete
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
    """`repo` is the user's, reached by way of `wire`; `http` and `by_wire` go by way of it too, the others do not."""

    network: Network
    pool: Pool
    user: User
    wire: Proxy
    plain: HttpClient
    http: HttpClient
    identities: IdentityResolver
    oauth: OAuth
    by_wire: OAuth
    grants: Grants
    grant: int
    writes: Writes
    registry: CollectorRegistry
    tids: Tids = field(default_factory=Tids)

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

    async def journal(self) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.pool.fetch("select * from write_intents order by id")]

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


@dataclass
class Known:
    """Somebody who signed in before, for a test that is over."""

    did: str
    handle: str
    token: str
    granted: Granted


_known: dict[int, list[Known]] = {}
"""Those of a network, by its process: an account and a sign-in take longer than most tests."""


async def sign_in(network: Network, oauth: OAuth, user: User) -> Granted:
    """A grant of `user`'s, of everything."""
    begun = await oauth.begin(user.did, scope=oauth.asking.one_by_one)
    callback = await consent(network.session, begun.url, user)
    return await oauth.complete(begun.secret, dict(parse_qsl(urlsplit(callback).query)))


async def somebody(network: Network, oauth: OAuth) -> tuple[User, Granted]:
    """An account on the first PDS without any record, and a grant of it."""
    known = _known.setdefault(network.addresses.pid, [])
    if not known:
        user = await network.create_account("writer")
        return user, await sign_in(network, oauth, user)
    one = known.pop()
    user = User(network.pds[0], one.did, one.handle, one.token)
    repo = await user.pds.query("com.atproto.repo.describeRepo", repo=user.did)
    for collection in repo["collections"]:
        there = await user.pds.query("com.atproto.repo.listRecords", repo=user.did, collection=collection, limit=100)
        await user.apply_writes(*(delete(collection, record["uri"].split("/")[-1]) for record in there["records"]))
    return user, one.granted


async def leave(network: Network, user: User, grants: Grants, grant: int) -> None:
    """Let another test have the account, with the tokens that it has now."""
    with suppress(OAuthError):
        granted = await grants.fresh(grant)
        _known[network.addresses.pid].append(Known(user.did, user.handle, user.token, granted))


def writes_of(
    pool: Pool,
    grants: Grants,
    oauth: OAuth,
    http: HttpClient,
    registry: CollectorRegistry | None = None,
    patience: Patience = QUICK,
) -> Writes:
    """All that writes, in this process."""
    return Writes(
        pool,
        grants,
        oauth,
        http,
        makers(NAMESPACE),
        catalog(NAMESPACE),
        namespace=NAMESPACE,
        registry=registry or CollectorRegistry(),
        patience=patience,
    )


@asynccontextmanager
async def stand(network: Network, pool: Pool, *, patience: Patience = QUICK) -> AsyncIterator[Stand]:
    """Everything, for somebody on the first PDS."""
    async with AsyncExitStack() as stack:
        settings = config(network.addresses.plc)
        dns = Dns()
        plain = await stack.enter_async_context(HttpClient(Policy.development(), lookup=dns.addresses))
        wire = await stack.enter_async_context(proxy(network.pds[0].url))
        mapped = Policy.development(HostMap.parse(f"localhost=127.0.0.1:{wire.port}"))
        http = await stack.enter_async_context(HttpClient(mapped, lookup=dns.addresses))
        identities = IdentityResolver(plain, dns, plc_url=network.addresses.plc)
        stack.push_async_callback(identities.aclose)
        oauth = OAuth(settings, plain, identities)
        grants = Grants(pool, Vault([SECRET]), oauth)
        user, granted = await somebody(network, oauth)
        grant = await grants.save(granted, "session")
        stack.push_async_callback(leave, network, user, grants, grant)
        registry = CollectorRegistry()
        by_wire = OAuth(settings, http, identities)
        writes = writes_of(pool, grants, by_wire, http, registry, patience)
        stack.push_async_callback(writes.aclose)
        here = Stand(
            network, pool, user, wire, plain, http, identities, oauth, by_wire, grants, grant, writes, registry
        )
        await here.greet(grant)
        yield here
