"""Whom a repository is asked of: an upstream first, whose word is not final, and then its PDS."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from appview.jobs import rows as jobs
from ingester.engine import Engine
from tests.ingester.world import World, create, key, world
from tests.system.synthetic import Account, Server, refusal
from tests.writer.car import Block, section
from tests.writer.keys import P256, SigningKey
from tests.writer.repo import Write

GET_REPO = "com.atproto.sync.getRepo"
CAR = "application/vnd.ipld.car"

Answer = Callable[[Account], web.Response]


class Relay(Server):
    """An upstream that gives out repositories, or does not."""

    def __init__(self, answer: Answer, account: Account) -> None:
        super().__init__()
        self.route(f"/xrpc/{GET_REPO}", self._serve)
        self.answer = answer
        self._account = account

    async def _serve(self, _request: web.Request) -> web.Response:
        return self.answer(self._account)


@asynccontextmanager
async def relayed(database_url: str, answer: Answer) -> AsyncIterator[tuple[World, Engine, Relay, Account]]:
    """An ingester with such an upstream, and an account with two tracks on a PDS that is none."""
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        artist.write(create(artist, 1), create(artist, 2))
        async with (
            Relay(answer, artist) as relay,
            there.ingesting(live=False, PLYR_RELAY_URLS=relay.url, PLYR_DISCOVERY_URL="http://127.0.0.1:1") as made,
        ):
            yield there, made, relay, artist


async def fetched(there: World, made: Engine, account: Account, note: str | None = None) -> None:
    await jobs.want(there.connection, "fetch", [account.did], note=note)
    made.workers["fetch"].wake.set()
    await there.until("select not exists (select from jobs where kind in ('fetch', 'status'))")
    assert await there.uris() == {account.uri(path.decode()) for path in account.repo.leaves}
    assert await there.value("select status from repos") == "synchronized"


def whole(account: Account) -> web.Response:
    return web.Response(body=account.repo.export(), content_type=CAR)


def lacking_a_record(account: Account) -> bytes:
    """The export without the block of one of its records."""
    cid = next(iter(account.repo.leaves.values()))
    block = section(Block(cid, account.repo.records[cid]))
    export = account.repo.export()
    assert block in export
    return export.replace(block, b"")


def cut_off(account: Account) -> web.Response:
    return web.Response(body=account.repo.export()[:-30], content_type=CAR)


def without_a_record(account: Account) -> web.Response:
    return web.Response(body=lacking_a_record(account), content_type=CAR)


def forged(account: Account) -> web.Response:
    honest, account.repo.key = account.repo.key, SigningKey.from_seed("the relay", P256)
    export = account.repo.export()
    last, account.repo.key = account.repo.last, honest
    assert last is not None
    return web.Response(body=export.replace(last.signed[-64:], bytes(64)), content_type=CAR)


def not_found(_: Account) -> web.Response:
    return refusal("RepoNotFound")


def taken_down(_: Account) -> web.Response:
    return refusal("RepoTakendown")


def down(_: Account) -> web.Response:
    return web.Response(status=503)


def limited(_: Account) -> web.Response:
    return web.Response(status=429, headers={"Retry-After": "600"})


def not_served(_: Account) -> web.Response:
    return web.Response(status=404)


def sent_on(account: Account) -> web.Response:
    return web.Response(status=302, headers={"Location": f"{account.pds.url}/xrpc/{GET_REPO}?did={account.did}"})


async def test_an_upstream_s_copy_spares_the_pds_which_is_asked_for_the_status(database_url: str) -> None:
    async with relayed(database_url, whole) as (there, made, relay, artist):
        await fetched(there, made, artist)
        assert relay.asked == {GET_REPO: 1}
        assert GET_REPO not in there.pds.asked
        assert there.pds.asked["com.atproto.sync.getRepoStatus"] >= 1
        assert made.metrics.fetches == {"upstream_ok": 1}


@pytest.mark.parametrize(
    ("answer", "outcome", "again"),
    [
        (cut_off, "bad_car", 1),
        (without_a_record, "record_block_missing", 1),
        (forged, "block_hash_mismatch", 1),
        (not_found, "no_repo", 2),
        (taken_down, "no_repo", 2),
        (down, "host", 1),
        (limited, "host", 1),
        (not_served, "not_served", 1),
        (sent_on, "not_served", 1),
    ],
)
async def test_what_an_upstream_does_not_give_the_pds_does(
    answer: Answer, outcome: str, again: int, database_url: str
) -> None:
    async with relayed(database_url, answer) as (there, made, relay, artist):
        await fetched(there, made, artist)
        assert await there.value("select bool_and(active) from actors")
        assert made.metrics.fetches == {f"upstream_{outcome}": 1, "ok": 1}
        artist.repo.commit([create(artist, 3)])
        await fetched(there, made, artist)
        # One that failed is left alone for a while; one that had just not this repository is not.
        assert relay.asked == {GET_REPO: again}
        assert there.pds.asked[GET_REPO] == 2


async def test_a_copy_that_is_older_than_what_we_know_of_is_not_taken(database_url: str) -> None:
    async with relayed(database_url, whole) as (there, made, relay, artist):
        old = artist.repo.export()
        artist.write(Write("delete", f"fm.plyr.track/{key(artist, 1)}"))
        await fetched(there, made, artist)
        relay.answer = lambda _: web.Response(body=old, content_type=CAR)
        await fetched(there, made, artist)
        assert made.metrics.fetches == {"upstream_ok": 1, "upstream_older": 1, "ok": 1}


async def test_a_copy_that_lags_behind_is_noticed_by_the_status(database_url: str) -> None:
    async with relayed(database_url, whole) as (there, made, relay, artist):
        old = artist.repo.export()
        relay.answer = lambda _: web.Response(body=old, content_type=CAR)
        artist.write(Write("delete", f"fm.plyr.track/{key(artist, 1)}"), create(artist, 3))
        await fetched(there, made, artist)
        assert made.metrics.fetches == {"upstream_ok": 1, "ok": 1}


async def test_a_copy_that_the_former_key_signed_is_what_the_account_left_behind(database_url: str) -> None:
    async with relayed(database_url, whole) as (there, made, relay, artist):
        old = artist.repo.export()
        relay.answer = lambda _: web.Response(body=old, content_type=CAR)
        artist.repo.key = SigningKey.from_seed("the new host", P256)
        there.pds.host.advance()
        there.directory.register(artist.repo)
        artist.write(create(artist, 3))
        await fetched(there, made, artist)
        assert made.metrics.fetches == {"upstream_bad_signature": 1, "ok": 1}


@pytest.mark.parametrize("note", ["audit", "resync", "host_is_ahead"])
async def test_what_the_pds_has_is_asked_of_the_pds(note: str, database_url: str) -> None:
    async with relayed(database_url, whole) as (there, made, relay, artist):
        await fetched(there, made, artist, note)
        assert relay.asked == {}
        assert made.metrics.fetches == {"ok": 1}


async def test_an_upstream_that_is_the_pds_is_asked_once(database_url: str) -> None:
    async with world(database_url) as there:
        artist = there.pds.create_account("artist")
        artist.write(create(artist, 1))
        async with there.ingesting(live=False) as made:
            await jobs.want(there.connection, "fetch", [artist.did])
            made.workers["fetch"].wake.set()
            await there.until("select exists (select from repos where status = 'synchronized')")
            assert made.metrics.fetches == {"ok": 1}
        assert there.pds.asked[GET_REPO] == 1
