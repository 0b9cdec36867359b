"""Every error that is documented can be provoked, and comes with the status that the documentation gives it."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias

import httpx
import orjson
import pytest

from appview.accounts import developer_tokens
from appview.db import Connection
from appview.index.rankings import KEPT
from lexicons.catalog import shipped
from tests.appview.accounts.tokens import Issuer
from tests.appview.net.servers import site
from tests.generator.scripted import Scripted, scripted
from tests.index_writer import IndexWriter
from tests.xrpc.client import NAMESPACE, Client, config, running, strict_client
from tests.xrpc.methods.world import ALICE, BOB, make_world
from tests.xrpc.viewer import SERVICE_DID, Viewer, store
from xrpc import cursors
from xrpc.app import create_app
from xrpc.context import Context
from xrpc.errors import AUTHENTICATION
from xrpc.methods import METHODS, QUERIES
from xrpc.openapi import ANY_METHOD, error_names
from xrpc.signatures import by_nsid

CATALOG: Final = shipped()
NSIDS: Final = by_nsid(QUERIES, NAMESPACE)
FEED: Final = f"at://{BOB}/{NAMESPACE}.feed.generator/theirs"
BUILT_IN: Final = f"at://{SERVICE_DID}/{NAMESPACE}.feed.generator"
ABSENT: Final = f"at://{ALICE}/{NAMESPACE}.track/3kzzzzzzzzz2z"
NEVER: Final = cursors.encode("for-you", datetime.now(UTC) - KEPT - timedelta(days=1), 1, "at://x")
CALLER: Final = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"


class Place(NamedTuple):
    """A server with an index, a feed that somebody else answers for, and someone who calls."""

    client: Client
    writer: IndexWriter
    generator: Scripted
    caller: Issuer

    async def ask(self, method: str, auth: httpx.Auth | None = None, /, **parameters: Any) -> httpx.Response:
        nsid = method if method.startswith("com.") else f"{NAMESPACE}.{method}"
        return await self.client.get(f"/xrpc/{nsid}", params=parameters, auth=auth)


Provoke: TypeAlias = Callable[[Place], Awaitable[httpx.Response]]


@pytest.fixture
async def place(database_url: str, connection: Connection) -> AsyncIterator[Place]:
    writer = IndexWriter(connection)
    await make_world(writer)
    caller = Issuer(await writer.account(CALLER))
    await store(connection, caller)
    async with scripted() as generator, site() as directory:
        origin = f"127.0.0.1:{directory.port}"
        directory.pages[origin, f"/{CALLER}"] = orjson.dumps(caller.document())
        declared = {"did": generator.did, "displayName": "Theirs"}
        await writer.write_all([(BOB, f"{NAMESPACE}.feed.generator", "theirs", declared)])
        settings = {"PLYR_SECRET_KEY": "x" * 40, "PLYR_PLC_URL": f"http://{origin}"}
        async with strict_client(database_url, **settings) as client:
            yield Place(client, writer, generator, caller)


def asking(method: str, /, **parameters: Any) -> Provoke:
    return lambda place: place.ask(method, **parameters)


def about_an_account(method: str, parameter: str = "actor", **more: Any) -> Mapping[tuple[str, str], Provoke]:
    """The three ways in which an account cannot be asked about."""

    async def deactivated(place: Place) -> httpx.Response:
        await place.writer.set_status(ALICE, active=False, status="deactivated")
        return await place.ask(method, **{parameter: ALICE}, **more)

    async def taken_down(place: Place) -> httpx.Response:
        await place.writer.set_taken_down(ALICE, True)
        return await place.ask(method, **{parameter: ALICE}, **more)

    return {
        (method, "NotFound"): asking(method, **{parameter: "nobody.test"}, **more),
        (method, "AccountDeactivated"): deactivated,
        (method, "AccountTakedown"): taken_down,
    }


async def feed_unavailable(place: Place) -> httpx.Response:
    place.generator.status = 500
    return await place.ask("feed.getFeed", feed=FEED)


async def no_feed(place: Place) -> httpx.Response:
    place.generator.answer = {"feed": "none"}
    return await place.ask("feed.getFeed", feed=FEED)


async def expired(place: Place) -> httpx.Response:
    return await place.ask("feed.getFeedSkeleton", Viewer(place.caller), feed=f"{BUILT_IN}/for-you", cursor=NEVER)


async def expired_in_feed(place: Place) -> httpx.Response:
    return await place.ask("feed.getFeed", Viewer(place.caller), feed="for-you", cursor=NEVER)


CASES: Final[Mapping[tuple[str, str], Provoke]] = {
    **about_an_account("actor.getProfile"),
    **about_an_account("feed.getActivity"),
    **about_an_account("feed.getActorFeeds"),
    **about_an_account("feed.getActorLikes"),
    **about_an_account("feed.getActorTracks"),
    **about_an_account("feed.searchTracks", "author", q="x"),
    **about_an_account("graph.getActorLists"),
    ("com.atproto.identity.resolveHandle", "HandleNotFound"): asking(
        "com.atproto.identity.resolveHandle", handle="nobody.test"
    ),
    ("com.atproto.repo.getRecord", "RecordNotFound"): asking(
        "com.atproto.repo.getRecord", repo=ALICE, collection="fm.plyr.track", rkey="3kzzzzzzzzz2z"
    ),
    ("feed.getComments", "NotFound"): asking("feed.getComments", uri=ABSENT),
    ("feed.getFeed", "AuthMissing"): asking("feed.getFeed", feed="for-you"),
    ("feed.getFeed", "ExpiredCursor"): expired_in_feed,
    ("feed.getFeed", "FeedUnavailable"): feed_unavailable,
    ("feed.getFeed", "InvalidFeedResponse"): no_feed,
    ("feed.getFeed", "UnknownFeed"): asking("feed.getFeed", feed="nothing"),
    ("feed.getFeedGenerator", "UnknownFeed"): asking("feed.getFeedGenerator", feed=f"{FEED}x"),
    ("feed.getFeedSkeleton", "AuthMissing"): asking("feed.getFeedSkeleton", feed=f"{BUILT_IN}/for-you"),
    ("feed.getFeedSkeleton", "ExpiredCursor"): expired,
    ("feed.getFeedSkeleton", "UnknownFeed"): asking("feed.getFeedSkeleton", feed=f"{BUILT_IN}/nothing"),
    ("feed.getLikes", "NotFound"): asking("feed.getLikes", uri=ABSENT),
    ("graph.getList", "NotFound"): asking("graph.getList", list=f"at://{ALICE}/{NAMESPACE}.list/none"),
    ("graph.getListsContaining", "NotFound"): asking("graph.getListsContaining", subject=ABSENT),
    ("server.explain", "InvalidRequest"): asking("server.explain", uri="https://example.com/"),
}


def nsid_of(method: str) -> str:
    return next(iter(by_nsid({method: QUERIES[method]}, NAMESPACE)))


def declared() -> set[tuple[str, str]]:
    return {
        (method, error["name"]) for method in QUERIES for error in CATALOG.definition(nsid_of(method)).get("errors", ())
    }


def test_every_declared_error_has_its_case() -> None:
    assert CASES.keys() == declared()


@pytest.mark.parametrize("case", CASES, ids=" ".join)
async def test_a_declared_error_comes_as_it_is_documented(place: Place, case: tuple[str, str]) -> None:
    method, name = case
    answer = await CASES[case](place)
    assert answer.json()["error"] == name, answer.text
    assert answer.json()["message"]
    assert name in error_names(CATALOG.definition(nsid_of(method)))[answer.status_code]


def token(place: Place, /, *, issuer: Issuer | None = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """The header with a token for the method that all of these ask."""
    issuer = issuer or place.caller
    made = issuer.token(SERVICE_DID, f"{NAMESPACE}.server.getStats", time.time(), header=header, **claims)
    return f"Bearer {made}"


TOKENS: Final[Mapping[str, Callable[[Place], str]]] = {
    "BadJwt": lambda _: "Bearer a.b.c",
    "BadJwtAudience": lambda place: token(place, aud="did:web:other.test"),
    "BadJwtIss": lambda place: token(place, iss="alice.test"),
    "BadJwtLexiconMethod": lambda place: token(place, lxm=f"{NAMESPACE}.feed.getFeed"),
    "BadJwtSignature": lambda place: token(place, issuer=Issuer(CALLER, secret=7)),
    "BadJwtType": lambda place: token(place, header={"typ": "at+jwt"}),
    "InvalidToken": lambda _: f"Bearer {developer_tokens.PREFIX}{'x' * 43}",
    "JwtExpired": lambda place: token(place, exp=1),
    "MissingJwt": lambda _: "Basic YTpi",
}


async def test_every_error_of_a_caller_comes_as_it_is_documented(place: Place) -> None:
    url = f"/xrpc/{NAMESPACE}.server.getStats"
    seen = set()
    for name, made in TOKENS.items():
        answer = await place.client.get(url, headers={"Authorization": made(place)})
        assert (answer.status_code, answer.json()["error"]) == (401, name)
        seen.add(name)
    seen.add((await place.client.get(url, headers={"atproto-min-rev": "3kzzzzzzzzz2z"})).json()["error"])
    for taken_down in (False, True):
        await place.writer.set_status(CALLER, active=False, status="deactivated")
        await place.writer.set_taken_down(CALLER, taken_down)
        answer = await place.client.get(url, headers={"Authorization": token(place)})
        assert answer.status_code == 401
        seen.add(answer.json()["error"])
    # What asks for a grant, procedures alone do.
    assert seen | {"AuthRequired"} == AUTHENTICATION == set(ANY_METHOD[401])


async def test_what_any_method_may_fail_with_comes_as_it_is_documented(place: Place, database_url: str) -> None:
    for nsid in NSIDS:
        answer = await place.client.get(f"/xrpc/{nsid}?{'x' * 10}=&%ff")
        assert (answer.status_code, answer.json()["error"]) == (400, "InvalidRequest")
    url = f"/xrpc/{NAMESPACE}.server.getStats"
    large = await place.client.request("GET", url, headers={"content-length": "200000"})
    assert (large.status_code, large.json()["error"]) == (413, "PayloadTooLarge")
    async with running(create_app(config("postgresql://nobody@127.0.0.1:1/none"))) as client:
        away = await client.get(url)
        assert (away.status_code, away.json()["error"]) == (503, "NotEnoughResources")
        assert int(away.headers["retry-after"]) > 0

    async def broken(_ctx: Context) -> dict[str, Any]:
        raise ZeroDivisionError

    async with running(create_app(config(database_url), methods={**METHODS, "server.getStats": broken})) as client:
        fault = await client.get(url)
        assert (fault.status_code, fault.json()["error"]) == (500, "InternalServerError")
    assert ANY_METHOD.keys() == {400, 401, 413, 500, 503}
