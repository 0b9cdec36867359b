"""What a PDS that is slow, silent or hostile can cost everybody else."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from aiohttp import web

from appview.net.http import HttpClient
from appview.net.lookup import Dns
from appview.net.policy import Policy
from appview.writes import Written, journal
from appview.writes.asked import Asked, Version, Write
from appview.writes.errors import PdsAway, RateLimited, Unsettled
from appview.writes.hosts import MOST, Hosts
from appview.writes.look import MAX_MARKS, CannotLook, look, read
from appview.writes.settling import NotYet, settle
from lexicons.cid import CID
from lexicons.data import encode, from_json
from tests.appview.writes.proxy import deaf_after, fail_before, lose_request, too_many
from tests.appview.writes.stand import NAMESPACE, Stand, makers
from tests.network import records

EVE: Final = "did:plc:eveeveeveeveeveeveeveeve"
URI: Final = f"at://{EVE}/fm.plyr.track/3l2wryxkduc2a"
SOME: Final = CID.of(b"some")
COMMIT: Final = {"cid": str(SOME), "rev": "3l2wryxkduc2a"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def pds(handler: Handler) -> AsyncIterator[tuple[HttpClient, str]]:
    """A PDS that answers as `handler` does, and a client for it."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with HttpClient(Policy.development(), lookup=Dns().addresses) as http:
            yield http, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("inner", [b"[]", b"{}", b'"",""'])
async def test_a_bomb_is_not_taken_apart(inner: bytes) -> None:
    """Some kilobytes on the wire, a megabyte of values: seconds in which nobody else would be answered."""
    body = b'{"uri":"x","cid":"%b","value":[%b]}' % (str(SOME).encode(), b",".join([inner] * 400_000))

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("getLatestCommit"):
            return web.json_response(COMMIT)
        return web.Response(body=gzip.compress(body, 1), headers={"Content-Encoding": "gzip"})

    async with pds(answer) as (http, url):
        for asked in (look(http, url, EVE, [URI]), read(http, url, URI)):
            began = time.thread_time()
            with pytest.raises(CannotLook):
                await asked
            assert time.thread_time() - began < 0.5


async def test_a_large_record_can_be_read() -> None:
    value = {"$type": "fm.plyr.list", "items": [{"subject": {"uri": URI, "cid": str(SOME)}}] * (MAX_MARKS // 6)}

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("getLatestCommit"):
            return web.json_response(COMMIT)
        return web.json_response({"uri": URI, "cid": str(version_of(value).cid), "value": value})

    async with pds(answer) as (http, url):
        found = await read(http, url, URI)
        assert found is not None
        assert found.record == value
        assert (await look(http, url, EVE, [URI])).cids == [version_of(value).cid]


def version_of(value: dict[str, Any]) -> Version:
    block = encode(from_json(value))
    return Version(value, block, CID.of(block))


def test_no_more_is_under_way_at_one_host_than_there_are_places() -> None:
    hosts = Hosts(2)
    with hosts.one("https://slow.example"), hosts.one("https://slow.example:8443"):
        with pytest.raises(PdsAway), hosts.one("https://slow.example"):
            pass
        with hosts.one("https://other.example"):
            pass
    with hosts.one("https://slow.example"):
        pass


async def test_a_host_that_is_slow_is_not_asked_by_ever_more(here: Stand) -> None:
    """Who comes too late hears so at once; whoever waits for the PDS is answered by it."""
    gate = asyncio.Event()

    async def wait(_request: web.Request, forward: Callable[[], Awaitable[web.Response]]) -> web.StreamResponse:
        await gate.wait()
        return await forward()

    here.wire.deaf = wait
    writes = [asyncio.create_task(here.repo.create(records.TRACK, records.track())) for _ in range(MOST + 5)]
    while sum(task.done() for task in writes) < 5:
        await asyncio.sleep(0.01)
    with pytest.raises(PdsAway):
        await here.repo.get(records.TRACK, "3l2wryxkduc2a")
    for task in writes[5:]:
        task.cancel()
    gate.set()
    here.wire.deaf = None
    came = await asyncio.gather(*writes, return_exceptions=True)
    assert sum(isinstance(one, PdsAway) for one in came) == 5
    await here.writes.aclose()
    assert isinstance(await here.repo.create(records.TRACK, records.track()), Written)


async def test_what_is_open_of_an_account_is_bounded(here: Stand) -> None:
    """Of the oldest nobody will ever know, and their bytes are not kept any longer."""
    for number in range(journal.MOST_OPEN + 3):
        version = version_of({"number": number})
        write = Write("create", f"{URI[:-4]}{number:04}", "fm.plyr.track", str(number), version)
        intent, _ = await journal.begin(here.pool, Asked(EVE, "create", (write,), None), f"key {number}", b"x")
        await journal.released(here.pool, intent.id, "no answer")
    await journal.bound(here.pool, EVE)
    rows = await here.journal()
    assert [row["state"] for row in rows] == ["unknown"] * 3 + ["intended"] * journal.MOST_OPEN
    assert [bool(row["blocks"]) for row in rows] == [False] * 3 + [True] * journal.MOST_OPEN


async def test_without_a_key_no_bytes_are_kept(here: Stand) -> None:
    here.wire.faults = [deaf_after(here.wire, lose_request, fail_before)]
    with pytest.raises(Unsettled):
        await here.repo.create(records.TRACK, records.track())
    (row,) = await here.journal()
    assert (row["state"], row["blocks"]) == ("intended", [])


async def test_a_silent_pds_keeps_a_worker_for_no_longer_than_it_may(here: Stand) -> None:
    async def silent(_request: web.Request, _forward: Callable[[], Awaitable[web.Response]]) -> web.StreamResponse:
        await asyncio.sleep(2.0)
        return web.Response(status=500)

    for _ in range(3):
        here.wire.deaf = None
        here.wire.faults = [deaf_after(here.wire, lose_request, fail_before)]
        with pytest.raises(Unsettled):
            await here.repo.create(records.TRACK, records.track())
    here.wire.deaf = silent
    began = time.monotonic()
    with pytest.raises(NotYet, match="too long"):
        await settle(here.pool, here.http, here.identities, makers(NAMESPACE), here.user.did, seconds=0.3)
    assert time.monotonic() - began < 1.5
    assert {(row["state"], row["attempts"]) for row in await here.journal()} == {("intended", 1)}


async def test_a_key_that_is_tried_again_is_good_for_a_day_from_then(here: Stand) -> None:
    here.wire.faults = [too_many]
    with pytest.raises(RateLimited):
        await here.repo.create(records.TRACK, records.track(), key="a key")
    await here.pool.execute("update write_intents set created_at = created_at - interval '23 hours 59 minutes'")
    first = await here.repo.create(records.TRACK, records.track(), key="a key")
    await here.lapse()
    await here.pool.execute("update write_intents set created_at = created_at - interval '2 minutes'")
    async with here.pool.acquire() as connection:
        await journal.settle_shown(connection)
        await journal.forget_old(connection)
    assert (await here.repo.create(records.TRACK, records.track(), key="a key")).uri == first.uri
    assert len(await here.records(records.TRACK)) == 1
