"""`atproto-min-rev`: who has just written waits to see it, at nobody's expense."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from appview.db import Connection, create_pool
from tests.index_writer import IndexWriter, rkey
from tests.xrpc.client import Client, config, running
from tests.xrpc.samples import METHODS, catalog
from tests.xrpc.viewer import Viewer
from xrpc.app import create_app
from xrpc.revs import MAX_WAITING, WAIT_SECONDS, Revs

ALICE = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
WHO = "/xrpc/fm.plyr.test.who?actor=a.test"


@pytest.fixture
async def client(database_url: str) -> AsyncIterator[Client]:
    async with running(create_app(config(database_url), methods=METHODS, catalog=catalog())) as client:
        yield client


def tomorrow() -> str:
    return rkey(-86_400)


async def test_min_rev_waits_until_the_repository_is_indexed(client: Client, connection: Connection) -> None:
    writer = IndexWriter(connection)
    viewer = await Viewer.of(connection, await writer.account(ALICE))
    rev = str(await connection.fetchval("select rev from repos where did = $1", ALICE))

    def asked(rev: str) -> asyncio.Task[Any]:
        return asyncio.create_task(client.get(WHO, auth=viewer, headers={"atproto-min-rev": rev}))

    never = asked("jzzzzzzzzzzzz")
    assert (await asked(rev)).headers["atproto-repo-rev"] == rev
    soon = asked(tomorrow())
    await asyncio.sleep(0.2)
    assert not soon.done()
    await connection.execute("update repos set rev = $2 where did = $1", ALICE, tomorrow())
    first, _ = await asyncio.wait({soon, never}, return_when=asyncio.FIRST_COMPLETED)
    assert first == {soon}, "it does not wait until its time is up"
    assert (await soon).headers["atproto-repo-rev"] == tomorrow()
    assert (await never).status_code == 200


async def test_min_rev_waits_for_the_first_commit_too(client: Client, connection: Connection) -> None:
    viewer = await Viewer.of(connection, ALICE)
    asked = asyncio.create_task(client.get(WHO, auth=viewer, headers={"atproto-min-rev": rkey(86_400)}))
    await asyncio.sleep(0.1)
    await IndexWriter(connection).account(ALICE)
    rev = await connection.fetchval("select rev from repos where did = $1", ALICE)
    assert (await asked).headers["atproto-repo-rev"] == rev


async def test_min_rev_gives_up_and_says_how_far_it_is(client: Client, connection: Connection) -> None:
    viewer = await Viewer.of(connection, await IndexWriter(connection).account(ALICE))
    rev = await connection.fetchval("select rev from repos where did = $1", ALICE)
    began = time.monotonic()
    answer = await client.get(WHO, auth=viewer, headers={"atproto-min-rev": tomorrow()})
    assert (answer.status_code, answer.headers["atproto-repo-rev"]) == (200, rev)
    assert time.monotonic() - began >= WAIT_SECONDS


async def test_who_waits_holds_no_connection_and_does_so_among_few(database_url: str, connection: Connection) -> None:
    await IndexWriter(connection).account(ALICE)
    async with await create_pool(database_url, size=1, read_only=True) as pool:
        revs = Revs(pool)
        waiting = [asyncio.create_task(revs.reached(ALICE, tomorrow(), None)) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)
        assert await revs.reached(ALICE, tomorrow(), "known") == "known", "one more does not wait"
        assert await pool.fetchval("select 1") == 1
        await connection.execute("update repos set rev = $2 where did = $1", ALICE, tomorrow())
        assert set(await asyncio.gather(*waiting)) == {tomorrow()}
        await revs.aclose()


async def test_min_rev_is_a_rev_of_somebody(client: Client, connection: Connection) -> None:
    viewer = await Viewer.of(connection, ALICE)
    good = tomorrow()
    for bad in ("", "1", good.upper(), "z" * 13, good * 2, f"{good}, {good}"):
        answer = await client.get(WHO, auth=viewer, headers={"atproto-min-rev": bad})
        assert (answer.status_code, answer.json()["error"]) == (400, "InvalidRequest"), bad
    answer = await client.get(WHO, headers={"atproto-min-rev": good})
    assert (answer.status_code, answer.json()["error"]) == (401, "AuthMissing")
