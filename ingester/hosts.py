"""What is asked of PDSes and relays over HTTP: repositories whole, their status, and which there are.

Every answer is bounded, and read as what a stranger says. Nobody is asked more often than the client's budget allows.
"""

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any, Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import orjson

from appview.net.errors import BadAnswer, BadStatus, NetError, Redirected
from ingester.budget import Exhausted, HostClient
from lexicons.cid import CID, DataError
from lexicons.formats import is_did, is_nsid, is_tid

MAX_REPO_BYTES: Final = 1_000_000_000
MAX_PAGE_BYTES: Final = 4_000_000
PAGE: Final = 500
_WRITE_BYTES: Final = 1_000_000


class HostError(Exception):
    """A host did not give what was asked for. `temporary`: it may later. `retry_after` in seconds, if named."""

    def __init__(self, message: str, *, temporary: bool, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.temporary = temporary
        self.retry_after = retry_after


class Busy(HostError):
    """The host was not asked, since it is not to be asked as often; `wait` in seconds until that is worth a try."""

    def __init__(self, message: str, wait: float) -> None:
        super().__init__(message, temporary=True, retry_after=wait)
        self.wait = wait


class NotServed(HostError):
    """The host does not have this method."""


class NoRepo(HostError):
    """The host does not give out this repository; `status` is the account's, as its error names it."""

    def __init__(self, message: str, status: str) -> None:
        super().__init__(message, temporary=False)
        self.status = status


class RepoStatus(NamedTuple):
    """What a host says of an account. `status` says why it is not active; `rev` is that of its repository."""

    active: bool
    status: str | None
    rev: str | None


class LatestCommit(NamedTuple):
    """The head of a repository: the 36 bytes of its commit's CID, and its rev."""

    cid: bytes
    rev: str


class Page(NamedTuple):
    """One page of DIDs, and where the next one begins; None after the last."""

    dids: list[str]
    cursor: str | None


_STATUSES: Final = {
    "RepoNotFound": "deleted",
    "RepoTakendown": "takendown",
    "RepoSuspended": "suspended",
    "RepoDeactivated": "deactivated",
}
_NOT_SERVED: Final = frozenset({"MethodNotImplemented", "XRPCNotSupported", "InvalidRequest", "NotFound"})


def http_origin(upstream: str) -> str:
    """The origin to ask over HTTP of an upstream that may be written as a WebSocket URL."""
    parts = urlsplit(upstream)
    scheme = {"wss": "https", "ws": "http"}.get(parts.scheme, parts.scheme)
    return urlunsplit((scheme, parts.netloc, "", "", ""))


@asynccontextmanager
async def get_repo(
    http: HostClient, host: str, did: str, *, folder: Path | None = None, on_bytes: Callable[[int], None]
) -> AsyncIterator[IO[bytes]]:
    """The repository of `did` at `host`, as a CAR in a file without a name: on the disk of `folder`, or where that
    cannot be written to, where the system has such files. Raises NoRepo, NotServed, HostError.
    """
    try:
        file = _file(folder)
    except OSError as error:
        raise _no_room(error) from error
    with file:
        try:
            await _download(http, _url(host, "com.atproto.sync.getRepo", did=did), file, on_bytes)
        except NetError as error:
            raise _host_error(host, error) from error
        except OSError as error:
            raise _no_room(error) from error
        yield file


def _file(folder: Path | None) -> IO[bytes]:
    try:
        return tempfile.TemporaryFile(dir=folder, buffering=0)
    except OSError:
        return tempfile.TemporaryFile(buffering=0)


def _no_room(error: OSError) -> HostError:
    return HostError(f"what a host gives cannot be kept: {error}", temporary=True)


async def _download(http: HostClient, url: str, file: IO[bytes], on_bytes: Callable[[int], None]) -> None:
    """Raises NetError, and OSError where there is no room."""
    parts, size = list[bytes](), 0

    def write() -> None:
        data = memoryview(b"".join(parts))
        while data:
            data = data[file.write(data) :]

    async with http.stream(url, max_bytes=MAX_REPO_BYTES, redirects=3, accept="application/vnd.ipld.car") as car:
        async for chunk in car:
            parts.append(chunk)
            size += len(chunk)
            on_bytes(len(chunk))
            if size > _WRITE_BYTES:
                write()
                parts, size = [], 0
    write()


async def get_repo_status(http: HostClient, host: str, did: str) -> RepoStatus:
    """What `host` says of the account. Raises NoRepo, HostError."""
    answer = await _ask(http, _url(host, "com.atproto.sync.getRepoStatus", did=did))
    active, status, rev = answer.get("active"), answer.get("status"), answer.get("rev")
    if type(active) is not bool or answer.get("did") != did:
        raise HostError(f"{host} answers for no account", temporary=True)
    return RepoStatus(
        active, status[:64] if type(status) is str else None, rev if type(rev) is str and is_tid(rev) else None
    )


async def get_latest_commit(http: HostClient, host: str, did: str) -> LatestCommit:
    """The head of the repository of `did`, as `host` names it. Raises NoRepo, HostError."""
    answer = await _ask(http, _url(host, "com.atproto.sync.getLatestCommit", did=did))
    cid, rev = answer.get("cid"), answer.get("rev")
    try:
        parsed = CID.parse(cid) if type(cid) is str else None
    except DataError:
        parsed = None
    if parsed is None or type(rev) is not str or not is_tid(rev):
        raise HostError(f"{host} names no commit", temporary=True)
    return LatestCommit(bytes(parsed), rev)


async def is_pds(http: HostClient, host: str) -> bool:
    """Whether `host` has accounts of its own: a PDS describes itself, a relay does not. Raises HostError where that
    cannot be found out now.
    """
    url = _url(host, "com.atproto.server.describeServer")
    try:
        answer = await http.get(url, max_bytes=MAX_PAGE_BYTES, accept="application/json")
        described = orjson.loads(answer.body)
    except NetError as error:
        if error.temporary:
            raise _host_error(urlsplit(url).netloc, error) from error
        return False
    except orjson.JSONDecodeError:
        return False
    return type(described) is dict and type(described.get("did")) is str


async def list_by_collection(http: HostClient, host: str, collection: str, cursor: str | None) -> Page:
    """A page of the DIDs that `host` knows records of `collection` of. Raises NotServed, HostError."""
    url = _url(host, "com.atproto.sync.listReposByCollection", collection=collection, limit=PAGE, cursor=cursor)
    return _page(host, await _ask(http, url))


async def list_repos(http: HostClient, host: str, cursor: str | None) -> Page:
    """A page of the repositories on `host`. Raises NotServed, HostError."""
    return _page(host, await _ask(http, _url(host, "com.atproto.sync.listRepos", limit=PAGE, cursor=cursor)))


async def collections_of(http: HostClient, host: str, did: str) -> list[str]:
    """The collections that a repository has records in, as its `host` describes it. Raises NotServed, HostError."""
    answer = await _ask(http, _url(host, "com.atproto.repo.describeRepo", repo=did))
    found = answer.get("collections")
    if type(found) is not list:
        raise HostError(f"{host} describes no repository", temporary=True)
    return [name for name in found if type(name) is str and is_nsid(name)]


def _page(host: str, answer: dict[str, Any]) -> Page:
    repos, cursor = answer.get("repos"), answer.get("cursor")
    if type(repos) is not list:
        raise HostError(f"{host} lists no repositories", temporary=True)
    dids = [repo.get("did") for repo in repos if type(repo) is dict]
    return Page([did for did in dids if type(did) is str and is_did(did)], cursor if type(cursor) is str else None)


async def _ask(http: HostClient, url: str) -> dict[str, Any]:
    try:
        answer = await http.get(url, max_bytes=MAX_PAGE_BYTES, accept="application/json")
        parsed = orjson.loads(answer.body)
    except NetError as error:
        raise _host_error(urlsplit(url).netloc, error) from error
    except orjson.JSONDecodeError as error:
        raise HostError(f"{urlsplit(url).netloc} does not answer in JSON", temporary=True) from error
    if type(parsed) is not dict:
        raise HostError(f"{urlsplit(url).netloc} does not answer with an object", temporary=True)
    return parsed


def _host_error(host: str, error: NetError) -> HostError:
    if isinstance(error, Exhausted):
        return Busy(str(error), error.wait)
    if isinstance(error, Redirected):
        return NotServed(str(error), temporary=False)
    if isinstance(error, BadStatus):
        name = _error_name(error.body)
        if name in _STATUSES:
            return NoRepo(f"{host} says {name}", _STATUSES[name])
        if error.status in {400, 404, 405, 501} and name in _NOT_SERVED | {""}:
            return NotServed(f"{host} does not serve this: {name or error.status}", temporary=False)
        return HostError(str(error), temporary=error.temporary, retry_after=error.retry_after)
    return HostError(str(error), temporary=error.temporary or isinstance(error, BadAnswer))


def _error_name(body: bytes) -> str:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    name = parsed.get("error") if type(parsed) is dict else None
    return name if type(name) is str else ""


def _url(host: str, nsid: str, **params: str | int | None) -> str:
    query = urlencode({name: value for name, value in params.items() if value is not None}, quote_via=quote)
    return f"{host.rstrip('/')}/xrpc/{nsid}?{query}"
