"""A small relay: the streams of several hosts as one, under seqs of its own, and a directory of collections."""

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import Any, Self

import aiohttp
from aiohttp import web
from websockets.exceptions import WebSocketException

from tests.network.frames import subscribe
from tests.system.stream import Stream
from tests.system.synthetic import Server, page
from tests.writer.captured import open_frame
from tests.writer.cbor import encode

RECONNECT_SECONDS = 0.1


class Upstream(Server):
    """Sends what it is given, in that order, under seqs of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stream = Stream()
        self.route("/xrpc/com.atproto.sync.subscribeRepos", self.stream.serve)

    def send(self, frame: bytes) -> None:
        """Send a message, renumbered."""
        seq = self.stream.head + 1
        self.stream.append(seq, renumbered(frame, seq))


class Relay(Upstream):
    """Republishes what `upstreams` (URLs of PDSes, real or not) send from their first event on.

    Of what was there before it came, it asks listRepos and describeRepo; whole repositories it does not keep, and
    sends whoever wants one to the host that has it.
    """

    def __init__(self, *upstreams: str, crawl: bool = True) -> None:
        super().__init__()
        self.collections: dict[str, set[str]] = {}
        self.hosts: dict[str, str] = {}
        self.seen = dict.fromkeys(upstreams, 0)
        """The newest seq of each upstream."""
        self._upstreams = upstreams
        self._crawl = crawl
        self._running = AsyncExitStack()
        for name, handler in (
            ("listReposByCollection", self._list_repos_by_collection),
            ("getRepo", self._pass_on),
            ("getRepoStatus", self._pass_on),
            ("getLatestCommit", self._pass_on),
        ):
            self.route(f"/xrpc/com.atproto.sync.{name}", handler)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        if self._crawl:
            async with aiohttp.ClientSession(raise_for_status=True) as session:
                for url in self._upstreams:
                    await self._ask(session, url)
        for url in self._upstreams:
            following = asyncio.create_task(self._follow(url))
            self._running.push_async_callback(_cancelled, following)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._running.aclose()
        await super().__aexit__()

    async def _ask(self, session: aiohttp.ClientSession, url: str) -> None:
        cursor: dict[str, str] = {}
        while True:
            async with session.get(f"{url}/xrpc/com.atproto.sync.listRepos", params=cursor) as response:
                answer = await response.json()
            for did in (repo["did"] for repo in answer["repos"] if repo["active"]):
                described = session.get(f"{url}/xrpc/com.atproto.repo.describeRepo", params={"repo": did})
                async with described as response:
                    self.collections[did] = set((await response.json())["collections"])
                self.hosts[did] = url
            if "cursor" not in answer:
                return
            cursor = {"cursor": answer["cursor"]}

    async def _follow(self, url: str) -> None:
        while True:
            with suppress(OSError, WebSocketException):
                async with subscribe(url, self.seen[url]) as upstream:
                    while frame := await upstream.next(seconds=86_400):
                        self.seen[url] = max(self.seen[url], frame.seq)
                        self._republish(url, frame.raw)
            await asyncio.sleep(RECONNECT_SECONDS)

    def _republish(self, url: str, frame: bytes) -> None:
        _, payload = open_frame(frame)
        if "seq" not in payload:  # about the stream that it came by, not ours
            return
        did = payload.get("did") or payload["repo"]
        self.hosts[did] = url if payload.get("active", True) else self.hosts.get(did, url)
        for op in payload.get("ops", []):
            if op["action"] != "delete":
                self.collections.setdefault(did, set()).add(op["path"].partition("/")[0])
        self.send(frame)

    async def _list_repos_by_collection(self, request: web.Request) -> web.Response:
        wanted = request.query["collection"]
        dids, cursor = page(request, (did for did, names in self.collections.items() if wanted in names))
        answer: dict[str, Any] = {"repos": [{"did": did} for did in dids]}
        return web.json_response(answer | cursor)

    async def _pass_on(self, request: web.Request) -> web.Response:
        host = self.hosts.get(request.query["did"])
        if host is None:
            return web.json_response({"error": "RepoNotFound", "message": ""}, status=400)
        raise web.HTTPFound(f"{host}{request.rel_url}")


def renumbered(frame: bytes, seq: int) -> bytes:
    """A message under another seq."""
    header, payload = open_frame(frame)
    return encode(header) + encode({**payload, "seq": seq})


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
