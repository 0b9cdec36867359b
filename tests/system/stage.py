"""The system on the test network, as one person with a client, a few accounts and the oracle sees it."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp

from appview.embedded.redis import redis
from tests.network.launch import Addresses
from tests.network.network import Network
from tests.network.xrpc import Json, XrpcError
from tests.system.oracle import audit
from tests.system.settled import is_discovered, is_settled
from tests.system.world import Client, System, resolve_setting
from xrpc.hot import HOT_SECONDS

DOMAIN = "music-test.net"
"""Handles below it are whose the network's control says they are."""


class Stage:
    """A running system, and what one does with it. `upstreams` are what it follows: the PDSes where nothing is said."""

    def __init__(self, system: System, network: Network, client: Client, before: dict[str, int]) -> None:
        """`before` is where each PDS stood when it was followed already: what is newer comes by the stream."""
        self.system = system
        self.network = network
        self.client = client
        self._before = before

    async def settle(self) -> None:
        """Wait until everything that the PDSes have written by now is in the index."""
        heads = await _heads(self.network)
        heads = {url: seq for url, seq in heads.items() if seq > self._before[url]}
        await self.system.until(lambda: is_settled(self.system.database_url, heads), f"the index is at {heads}")
        # An answer that was asked for before may be this old.
        await asyncio.sleep(HOT_SECONDS)

    async def ask(self, nsid: str, **params: str | int | list[str]) -> Json:
        """What the API answers."""
        return await self.client.ask(nsid, **params)

    async def refusal(self, nsid: str, **params: str | int | list[str]) -> str:
        """The name of the error that the API answers with."""
        try:
            answer = await self.client.ask(nsid, **params)
        except XrpcError as error:
            return error.error
        raise AssertionError(f"{nsid} answered {answer}")

    async def track(self, uri: str) -> Json | None:
        """The view of a track; None where it is not shown."""
        found: list[Json] = (await self.ask("feed.getTracks", uris=[uri]))["tracks"]
        return found[0] if found else None

    async def latest(self) -> list[str]:
        """The tracks of the feed `latest`, to its last page: other tests have left some on the PDSes too."""
        found: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            answer = await self.ask("feed.getFeed", feed="latest", limit=100, **cursor)
            found += [item["track"]["uri"] for item in answer["feed"]]
            if "cursor" not in answer:
                return found
            cursor = {"cursor": answer["cursor"]}

    async def likers(self, uri: str) -> list[str]:
        """The DIDs of who likes a track, in order of the answer."""
        return [like["author"]["did"] for like in (await self.ask("feed.getLikes", uri=uri))["likes"]]

    async def verdict(self, uri: str) -> tuple[str, str | None]:
        """What `server.explain` says of a record: its state, and its verdict."""
        answer = await self.ask("server.explain", uri=uri)
        return answer["state"], answer.get("record", {}).get("verdict")

    async def handle(self, did: str) -> str:
        """The handle under which the API shows an account."""
        return str((await self.ask("actor.getProfile", actor=did))["handle"])

    async def until_handle(self, did: str, handle: str) -> None:
        """Wait until the account is shown under `handle`: the worker looks it up."""

        async def is_shown() -> bool:
            return await self.handle(did) == handle

        await self.system.until(is_shown, f"{did} is {handle}")

    async def audited(self) -> list[str]:
        """What is wrong with the index, by the oracle."""
        urls = [pds.url for pds in self.network.pds]
        return await audit(self.network.addresses.plc, urls, self.system.database_url)


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for a socket in it."""
    folder = Path(tempfile.mkdtemp(prefix="plyr-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def system_beside(addresses: Addresses, database_url: str, *more: str, **settings: str) -> Iterator[System]:
    """Ingester, web and worker of a system that follows the PDSes of a network, and `more`, on that database.

    `settings` are more of its settings, or others than these.
    """
    upstreams = [*(pds.url for pds in addresses.pds), *more]
    with ExitStack() as stack:
        folder = stack.enter_context(short_folder())
        ours = {
            "redis_url": stack.enter_context(redis(folder / "redis")),
            "plc_url": addresses.plc,
            "relay_urls": ",".join(upstreams),
            "resolve": resolve_setting(addresses, DOMAIN),
            "secret_key": "of a system that is gone in a minute",
        }
        system = System(folder, database_url, **(ours | settings))
        stack.callback(system.close)
        for child in (system.ingester, system.web, system.worker):
            child.start()
        yield system


@asynccontextmanager
async def staged(system: System, network: Network) -> AsyncIterator[Stage]:
    """The stage on a running system, once its API answers and it follows every upstream."""
    async with aiohttp.ClientSession() as session:
        client = Client(session, system.url)

        async def is_up() -> bool:
            return (await client.get("/xrpc/_health"))[0] == 200

        async def is_live() -> bool:
            _, body = await client.get("/ready")
            said = [shard["status"] for shard in body["shards"] if shard["status"] is not None]
            states = [upstream["state"] for status in said for upstream in status["upstreams"]]
            return bool(states) and set(states) == {"live"}

        await system.until(is_up, "the API answers")
        await system.until(is_live, "every upstream is followed")
        # What other tests have left on the PDSes is found by asking, not by the stream.
        hosts = [pds.url for pds in network.pds]
        await system.until(lambda: is_discovered(system.database_url, hosts), "every PDS was asked what it has")
        stage = Stage(system, network, client, await _heads(network))
        await stage.settle()
        yield stage


async def _heads(network: Network) -> dict[str, int]:
    return {pds.url: await pds.last_seq() for pds in network.pds}
