"""A PLC directory and PDSes made up in this process: accounts by the hundred, and every event just when it is wanted.

Their repositories are those of `tests/writer`; over HTTP and WebSocket they answer what an indexer asks of such hosts.
"""

import asyncio  # noqa: TC003 - a field of the class is made of it
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.system.stream import Stream
from tests.writer.cbor import cid_of
from tests.writer.keys import K256, SigningKey
from tests.writer.repo import CommitEvent, Host, Repo, Write

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

NOW_US = 1_750_000_000_000_000
"""When a network begins, in microseconds since 1970: in June 2025, so that no clock is behind it."""
EVENT_US = 1_000
"""How much later each event is than the one before."""
CAR = "application/vnd.ipld.car"
_SHUTDOWN_SECONDS = 0.05
_REFUSALS = {"deactivated": "RepoDeactivated", "takendown": "RepoTakendown", "suspended": "RepoSuspended"}


def did_of(name: str) -> str:
    """The did:plc that `name` stands for, always the same one."""
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    digest = hashlib.sha256(name.encode()).digest()[:24]
    return "did:plc:" + "".join(letters[byte & 31] for byte in digest)


class Server:
    """Something that answers on a port of the loopback address while its block lasts; `down`, it answers 503."""

    def __init__(self) -> None:
        self.down = False
        self.refuses: set[str] = set()
        """Methods, or other last parts of paths, that it answers 503 for."""
        self.asked: Counter[str] = Counter()
        self.port = 0
        self.late: dict[str, asyncio.Event] = {}
        """By method, what the next answer waits for once it is made: it is then no longer how things stand."""
        self._routes: dict[str, Handler] = {}
        self._server: TestServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def route(self, path: str, handler: Handler) -> None:
        """Answer GET requests for `path`."""
        self._routes[path] = handler

    async def start(self) -> None:
        """Listen, where it listened before if it did."""
        application = web.Application(middlewares=[self._gate])
        for path, handler in self._routes.items():
            application.router.add_get(path, handler)
        self._server = TestServer(application, port=self.port or None)
        await self._server.start_server(shutdown_timeout=_SHUTDOWN_SECONDS)
        self.port = int(self._server.port or 0)

    async def stop(self) -> None:
        """Listen no more, and break off what goes on."""
        server, self._server = self._server, None
        if server is not None:
            await server.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @web.middleware
    async def _gate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        name = request.path.rpartition("/")[2]
        self.asked[name] += 1
        if self.down or name in self.refuses:
            raise web.HTTPServiceUnavailable
        answer = await handler(request)
        if name in self.late:
            await self.late.pop(name).wait()
        return answer


def refusal(error: str, message: str = "") -> web.Response:
    """An XRPC error."""
    return web.json_response({"error": error, "message": message}, status=400)


class Directory(Server):
    """A PLC directory of the accounts on its PDSes: their documents, and since when each says what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.pdses: list[Pds] = []
        self._logs: dict[str, list[dict[str, Any]]] = {}
        self.route("/{did}/log/audit", self._log)
        self.route("/{did}", self._document)

    def register(self, repo: Repo) -> None:
        """Let a DID's document say from now on what its repository does: key, host and handle."""
        self.publish(repo.did_document(), repo.host.time)

    def publish(self, document: dict[str, Any], at: str) -> None:
        """Let a DID's document be this one, since the time `at`."""
        (method,), (service,) = document["verificationMethod"], document["service"]
        operation = {
            "type": "plc_operation",
            "verificationMethods": {"atproto": f"did:key:{method['publicKeyMultibase']}"},
            "alsoKnownAs": document["alsoKnownAs"],
            "services": {"atproto_pds": {"type": service["type"], "endpoint": service["serviceEndpoint"]}},
        }
        did = document["id"]
        entry = {"did": did, "operation": operation, "nullified": False, "createdAt": at, "document": document}
        self._logs.setdefault(did, []).append(entry)

    def give_up(self, did: str, created_at: str) -> None:
        """Let a DID be a tombstone since `created_at`: its log says so, and its document is not there."""
        operation = {"type": "plc_tombstone"}
        entry = {"did": did, "operation": operation, "nullified": False, "createdAt": created_at, "document": None}
        self._logs[did].append(entry)

    def forget(self, did: str) -> None:
        """Let a DID be one that was never registered here."""
        del self._logs[did]

    def _entries(self, request: web.Request) -> list[dict[str, Any]]:
        entries = self._logs.get(request.match_info["did"])
        if entries is None:
            raise web.HTTPNotFound
        return entries

    async def _document(self, request: web.Request) -> web.Response:
        document = self._entries(request)[-1]["document"]
        if document is None:
            raise web.HTTPNotFound  # as the reference directory does it
        return web.json_response(document, content_type="application/did+ld+json")

    async def _log(self, request: web.Request) -> web.Response:
        return web.json_response(self._entries(request))


@dataclass
class Account:
    """An account on a PDS: what it does becomes events of that PDS's stream."""

    pds: "Pds"
    repo: Repo
    active: bool = True
    status: str | None = None
    named_rev: str = ""
    """A rev that its PDS names, where it is newer than that of the commit."""

    @property
    def did(self) -> str:
        return self.repo.did

    @property
    def rev(self) -> str:
        """Where its repository stands, by its PDS's word."""
        return max(self.repo.last.rev if self.repo.last else "", self.named_rev)

    def uri(self, path: str) -> str:
        """The at-uri of a record."""
        return f"at://{self.did}/{path}"

    def write(self, *writes: Write) -> CommitEvent:
        """Make a commit and send its `#commit`."""
        event = self.repo.commit(writes)
        self.emit(event.frame())
        return event

    def emit(self, frame: bytes) -> None:
        """Send a frame about this account, which holds the newest seq of its host."""
        self.pds.stream.append(self.pds.host.seq, frame, self.did)
        self.pds.host.advance(EVENT_US)

    def set_status(self, status: str | None) -> None:
        """Become `deactivated`, `takendown`, `suspended` or `deleted`; None: active, with the `#sync` that follows."""
        self.active, self.status = status is None, status
        self.emit(self.repo.account(active=self.active, status=status))
        if self.active:
            self.emit(self.repo.identity())
            self.emit(self.repo.sync())

    def take_handle(self, handle: str) -> None:
        """Change its handle; below its PDS's domain that names it back."""
        self.repo.handle = handle
        self.pds.directory.register(self.repo)
        self.emit(self.repo.identity())

    def migrate(self, to: "Pds") -> "Account":
        """Move to another PDS, as the reference PDS does it: the #sync there cannot verify, and the rev that it names
        is not the commit's until the next one is made; here, deactivated.
        """
        to.host.now_us = max(to.host.now_us, self.pds.host.now_us + EVENT_US)
        moved = to.accounts[self.did] = Account(to, self.repo)
        frames = self.repo.migrate(to.host, SigningKey.from_seed(f"{self.did} on {to.name}", K256))
        moved.named_rev = to.host.tid()
        to.directory.register(self.repo)
        for seq, frame in enumerate(frames, start=to.host.seq - len(frames) + 1):
            to.stream.append(seq, frame, self.did)
        self.pds.accounts[self.did] = left = Account(self.pds, Repo(self.did, None, self.pds.host))
        left.active, left.status = False, "deactivated"
        left.emit(left.repo.account(active=False, status="deactivated"))
        return moved


class Pds(Server):
    """A PDS. With `by_collection`, it answers listReposByCollection too, which real ones leave to others."""

    def __init__(self, directory: Directory, name: str, *, by_collection: bool = False) -> None:
        super().__init__()
        self.name = name
        self.host = Host(now_us=NOW_US, clock_id=len(directory.pdses))
        self.stream = Stream()
        self.accounts: dict[str, Account] = {}
        self.answers_with: Callable[[bytes], bytes] = bytes
        """What becomes of an export on its way out."""
        self.sends: Callable[[web.Request, bytes], Awaitable[web.StreamResponse]] = send_export
        """How an export is sent."""
        self.gate: asyncio.Event | None = None
        """Where there is one, an export that was made waits for it."""
        self.directory = directory
        directory.pdses.append(self)
        for nsid, handler in (
            ("sync.subscribeRepos", self.stream.serve),
            ("sync.getRepo", self._get_repo),
            ("sync.getRepoStatus", self._get_repo_status),
            ("sync.getLatestCommit", self._get_latest_commit),
            ("sync.listRepos", self._list_repos),
            ("repo.describeRepo", self._describe_repo),
            ("server.describeServer", self._describe_server),
        ):
            self.route(f"/xrpc/com.atproto.{nsid}", handler)
        if by_collection:
            self.route("/xrpc/com.atproto.sync.listReposByCollection", self._list_repos_by_collection)
        self.route("/.well-known/atproto-did", self._well_known)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.host.url = self.url
        return self

    @property
    def handle_domain(self) -> str:
        """Its users' handles end in this."""
        return f".{self.name}.test"

    def create_account(self, name: str, *, did: str | None = None) -> Account:
        """A new account and its four first events, as the reference PDS has them; same name, same DID and key.

        With a `did` of before, one that was deleted elsewhere begins anew here, with nothing in it.
        """
        did = did or did_of(f"{name} {self.name}")
        repo = Repo(did, SigningKey.from_seed(f"{did} {self.name}", K256), self.host, f"{name}{self.handle_domain}")
        self.directory.register(repo)
        account = self.accounts[did] = Account(self, repo)
        account.emit(repo.identity())
        account.emit(repo.account())
        account.write()
        account.emit(repo.sync())
        return account

    def _hosted(self, request: web.Request, parameter: str = "did") -> Account | None:
        account = self.accounts.get(request.query[parameter])
        return None if account is None or account.status == "deleted" else account

    async def _get_repo(self, request: web.Request) -> web.StreamResponse:
        account = self._hosted(request)
        if account is None:
            return refusal("RepoNotFound")
        if not account.active:
            return refusal(_REFUSALS.get(account.status or "", "RepoNotFound"))
        export = self.answers_with(account.repo.export())
        if self.gate is not None:
            await self.gate.wait()
        return await self.sends(request, export)

    async def _get_repo_status(self, request: web.Request) -> web.Response:
        account = self._hosted(request)
        if account is None:
            return refusal("RepoNotFound")
        head = {"rev": account.rev} if account.active and account.repo.last else {}
        status = {"status": account.status} if account.status else {}
        return web.json_response({"did": account.did, "active": account.active} | status | head)

    async def _get_latest_commit(self, request: web.Request) -> web.Response:
        account = self._hosted(request)
        if account is None or account.repo.last is None:
            return refusal("RepoNotFound")
        if not account.active:
            return refusal(_REFUSALS.get(account.status or "", "RepoNotFound"))
        return web.json_response({"cid": str(cid_of(account.repo.last.signed)), "rev": account.rev})

    async def _list_repos(self, request: web.Request) -> web.Response:
        def listed(account: Account) -> dict[str, Any]:
            last = account.repo.last
            head = {"head": str(cid_of(last.signed)), "rev": last.rev} if last else {"head": "", "rev": ""}
            status = {"status": account.status} if account.status else {}
            return {"did": account.did, "active": account.active} | head | status

        there = [did for did, account in self.accounts.items() if account.status != "deleted" and account.repo.last]
        dids, cursor = page(request, there)
        return web.json_response({"repos": [listed(self.accounts[did]) for did in dids]} | cursor)

    async def _list_repos_by_collection(self, request: web.Request) -> web.Response:
        collection = request.query["collection"]
        having = [did for did, account in self.accounts.items() if collection in collections(account.repo)]
        dids, cursor = page(request, having)
        return web.json_response({"repos": [{"did": did} for did in dids]} | cursor)

    async def _describe_repo(self, request: web.Request) -> web.Response:
        account = self._hosted(request, "repo")
        if account is None or not account.active:
            return refusal("InvalidRequest", "Could not find repo")
        described = {"handle": account.repo.handle, "did": account.did, "didDoc": account.repo.did_document()}
        return web.json_response(
            described | {"collections": sorted(collections(account.repo)), "handleIsCorrect": True}
        )

    async def _describe_server(self, _: web.Request) -> web.Response:
        return web.json_response({"did": f"did:web:{self.name}.test", "availableUserDomains": [self.handle_domain]})

    async def _well_known(self, request: web.Request) -> web.Response:
        handle = request.host.partition(":")[0]
        for account in self.accounts.values():
            if account.repo.handle == handle and account.status != "deleted":
                return web.Response(text=account.did)
        raise web.HTTPNotFound


async def send_export(_: web.Request, export: bytes) -> web.StreamResponse:
    """Send an export whole."""
    return web.Response(body=export, content_type=CAR)


def collections(repo: Repo) -> set[str]:
    """The collections in which a repository has a record."""
    return {key.decode().partition("/")[0] for key in repo.leaves}


def page(request: web.Request, dids: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """The page of DIDs that a request's `cursor` and `limit` ask for, and the cursor to the next where there is one."""
    ordered = sorted(did for did in dids if did > request.query.get("cursor", ""))
    limit = int(request.query.get("limit", 500))
    return ordered[:limit], {"cursor": ordered[limit - 1]} if len(ordered) > limit else {}
