"""What hosts answer, read as what strangers say."""

import os
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

import pytest
from aiohttp import web

from appview.net.http import HttpClient
from appview.net.lookup import Dns
from appview.net.policy import Policy
from ingester.budget import Budget, HostClient
from ingester.hosts import (
    HostError,
    NoRepo,
    NotServed,
    collections_of,
    get_latest_commit,
    get_repo,
    get_repo_status,
    list_by_collection,
    list_repos,
)
from lexicons.cid import CID
from tests.system.synthetic import Server, refusal

DID = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
COMMIT = CID.of(b"\xa0")


@asynccontextmanager
async def answering(method: str, response: web.Response) -> AsyncIterator[tuple[HostClient, str]]:
    """A client, and a host that answers this."""

    async def answer(_request: web.Request) -> web.Response:
        return response

    server = Server()
    server.route(f"/xrpc/com.atproto.sync.{method}", answer)
    async with server, HttpClient(Policy.trusting(server.url), lookup=Dns().addresses) as http:
        yield HostClient(http, Budget(1_000.0)), server.url


def path_of(file: IO[bytes]) -> Path:
    """Where a file without a name would be, had it one."""
    return Path(f"/proc/self/fd/{file.fileno()}").readlink()


async def size_of_repo(http: HostClient, host: str, folder: Path | None = None) -> int:
    async with get_repo(http, host, DID, folder=folder, on_bytes=lambda _: None) as file:
        assert file.tell() == os.fstat(file.fileno()).st_size
        return file.tell()


async def test_the_head_is_named_by_cid_and_rev() -> None:
    said = web.json_response({"cid": str(COMMIT), "rev": "3jzfcijpj2z2a"})
    async with answering("getLatestCommit", said) as (http, host):
        assert await get_latest_commit(http, host, DID) == (bytes(COMMIT), "3jzfcijpj2z2a")


@pytest.mark.parametrize(
    "said",
    [
        {},
        [],
        {"cid": str(COMMIT)},
        {"rev": "3jzfcijpj2z2a"},
        {"cid": str(COMMIT), "rev": "now"},
        {"cid": "bafy", "rev": "3jzfcijpj2z2a"},
        {"cid": {"$link": str(COMMIT)}, "rev": "3jzfcijpj2z2a"},
    ],
)
async def test_what_names_no_head_is_a_fault_of_the_host(said: object) -> None:
    async with answering("getLatestCommit", web.json_response(said)) as (http, host):
        with pytest.raises(HostError) as caught:
            await get_latest_commit(http, host, DID)
    assert caught.value.temporary


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("RepoNotFound", "deleted"),
        ("RepoTakendown", "takendown"),
        ("RepoSuspended", "suspended"),
        ("RepoDeactivated", "deactivated"),
    ],
)
@pytest.mark.parametrize("code", [400, 403, 404])
async def test_the_errors_that_speak_of_an_account(error: str, status: str, code: int) -> None:
    said = web.json_response({"error": error, "message": ""}, status=code)
    async with answering("getRepo", said) as (http, host):
        with pytest.raises(NoRepo) as caught:
            async with get_repo(http, host, DID, on_bytes=lambda _: None):
                pass
    assert (caught.value.status, caught.value.temporary) == (status, False)


@pytest.mark.parametrize(
    "said",
    [
        refusal("MethodNotImplemented"),
        web.Response(status=501),
        web.Response(status=404, text="<html>"),
        web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
    ],
)
async def test_one_who_does_not_serve_it_or_sends_us_on(said: web.Response) -> None:
    async with answering("getRepo", said) as (http, host):
        with pytest.raises(NotServed):
            async with get_repo(http, host, DID, on_bytes=lambda _: None):
                pass


@pytest.mark.parametrize(
    ("method", "ask"),
    [
        ("sync.getRepoStatus", lambda http, host: get_repo_status(http, host, DID)),
        ("sync.getLatestCommit", lambda http, host: get_latest_commit(http, host, DID)),
        ("sync.listRepos", lambda http, host: list_repos(http, host, None)),
        ("sync.listReposByCollection", lambda http, host: list_by_collection(http, host, "fm.plyr.track", None)),
        ("repo.describeRepo", lambda http, host: collections_of(http, host, DID)),
        ("sync.getRepo", size_of_repo),
    ],
)
async def test_a_host_cannot_send_us_to_another(
    method: str, ask: Callable[[HostClient, str], Awaitable[object]]
) -> None:
    path, victim, host = f"/xrpc/com.atproto.{method}", Server(), Server()

    async def send_on(_request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": f"{victim.url}{path}"})

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({"did": DID, "active": True, "repos": [], "collections": []})

    victim.route(path, answer)
    host.route(path, send_on)
    async with victim, host, HttpClient(Policy.development(), lookup=Dns().addresses) as http:
        with pytest.raises(NotServed):
            await ask(HostClient(http, Budget(1_000.0)), host.url)
    assert not victim.asked
    assert host.asked.total() == 1


async def test_a_repository_may_be_elsewhere_at_the_same_host() -> None:
    async def answer(request: web.Request) -> web.Response:
        if "x" in request.query:
            return web.Response(body=bytes(1_000))
        return web.Response(status=307, headers={"Location": "?x"})

    host = Server()
    host.route("/xrpc/com.atproto.sync.getRepo", answer)
    async with host, HttpClient(Policy.trusting(host.url), lookup=Dns().addresses) as http:
        assert await size_of_repo(HostClient(http, Budget(1_000.0)), host.url) == 1_000


async def test_a_repository_is_kept_below_the_folder_or_where_there_is_room(tmp_path: Path) -> None:
    async with (
        answering("getRepo", web.Response(body=bytes(10))) as (http, host),
        get_repo(http, host, DID, folder=tmp_path, on_bytes=lambda _: None) as file,
    ):
        assert tmp_path in path_of(file).parents
    async with answering("getRepo", web.Response(body=bytes(10))) as (http, host):
        assert await size_of_repo(http, host, tmp_path / "none") == 10


async def test_what_there_is_no_room_for_is_a_failure_like_any_other(tmp_path: Path) -> None:
    async with answering("getRepo", web.Response(body=bytes(3_000_000))) as (http, host):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, before[1]))
        try:
            with pytest.raises(HostError, match="cannot be kept") as caught:
                await size_of_repo(http, host, tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.temporary


async def test_what_its_taker_fails_at_is_not_the_host_s_fault() -> None:
    async with answering("getRepo", web.Response(body=bytes(10))) as (http, host):
        with pytest.raises(ConnectionResetError):
            async with get_repo(http, host, DID, on_bytes=lambda _: None):
                raise ConnectionResetError
