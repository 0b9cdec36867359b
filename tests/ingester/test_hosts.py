"""What hosts answer, read as what strangers say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from appview.net.http import HttpClient
from appview.net.lookup import Dns
from appview.net.policy import Policy
from ingester.budget import Budget, HostClient
from ingester.hosts import HostError, NoRepo, NotServed, get_latest_commit, get_repo
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
            async with get_repo(http, host, DID, redirects=0, on_bytes=lambda _: None):
                pass
