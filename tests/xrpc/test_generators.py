"""Feeds that others answer for: hydrated, bounded, and never a reason to be slow elsewhere."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx
import pytest

from appview.db import Connection
from appview.net.circuits import CALLS_UNPROVEN, FAILURES
from appview.signer import Signer
from tests.appview.accounts.tokens import Issuer
from tests.generator.scripted import Scripted, scripted
from tests.index_writer import IndexWriter, rkey
from tests.xrpc.client import Client, strict_client
from tests.xrpc.viewer import SERVICE_DID, Viewer, store
from xrpc.cursors import encode

ALICE = "did:plc:alice"
BOB = "did:plc:bob"
SKELETON = "fm.plyr.feed.getFeedSkeleton"
FEED = f"at://{BOB}/fm.plyr.feed.generator/cool"
SECRET = "correct horse battery staple, said twice"


class Place(NamedTuple):
    """An index with songs, a feed in it, and the service that answers for that."""

    client: Client
    writer: IndexWriter
    generator: Scripted
    songs: list[str]

    async def ask(self, **parameters: Any) -> Any:
        return await self.client.ask("feed.getFeed", feed=FEED, **parameters)

    async def uris(self, **parameters: Any) -> list[str]:
        return [item["track"]["uri"] for item in (await self.ask(**parameters))["feed"]]

    async def refusal(self, **parameters: Any) -> httpx.Response:
        answer = await self.client.get("/xrpc/fm.plyr.feed.getFeed", params={"feed": FEED, **parameters})
        assert answer.status_code >= 400
        return answer


@pytest.fixture
async def generator() -> AsyncIterator[Scripted]:
    async with scripted() as generator:
        yield generator


@pytest.fixture
async def place(database_url: str, connection: Connection, generator: Scripted) -> AsyncIterator[Place]:
    index = IndexWriter(connection)
    await index.account(ALICE, handle="alice.test")
    await index.account(BOB, handle="bob.test")
    songs = await index.write_all((ALICE, "fm.plyr.track", rkey(age), {"title": f"{age}"}) for age in range(5))
    await declare(index, generator.did)
    async with strict_client(database_url, PLYR_SECRET_KEY=SECRET) as client:
        yield Place(client, index, generator, songs)


async def declare(index: IndexWriter, service: str) -> None:
    """The record of the feed, which names `service`."""
    await index.write_all([(BOB, "fm.plyr.feed.generator", "cool", {"did": service, "displayName": "Cool"})])


def page(*uris: Any, **more: Any) -> dict[str, Any]:
    return {"feed": [{"track": uri} for uri in uris], **more}


async def test_a_page_in_the_order_of_the_service(place: Place) -> None:
    songs = place.songs
    place.generator.answer = page(songs[3], songs[0], songs[2], cursor="theirs")
    answer = await place.ask(limit=3)
    assert [item["track"]["uri"] for item in answer["feed"]] == [songs[3], songs[0], songs[2]]
    assert answer["feed"][0]["track"]["title"] == "3"
    assert answer["cursor"] != "theirs"
    place.generator.answer = page(songs[1])
    last = await place.ask(limit=3, cursor=answer["cursor"])
    assert [item["track"]["uri"] for item in last["feed"]] == [songs[1]]
    assert "cursor" not in last
    assert place.generator.asked == [
        {"feed": FEED, "limit": "3"},
        {"feed": FEED, "limit": "3", "cursor": "theirs"},
    ]


async def test_a_feed_named_by_a_handle_is_asked_for_by_its_did(place: Place) -> None:
    await place.client.ask("feed.getFeed", feed=FEED.replace(BOB, "Bob.test"))
    assert place.generator.asked == [{"feed": FEED, "limit": "50"}]


async def test_what_is_no_track_of_ours_is_left_out(place: Place) -> None:
    first, second, *_ = place.songs
    place.generator.answer = {
        "feed": [
            "text",
            7,
            None,
            {},
            {"track": 7},
            {"track": "at://alice.test/fm.plyr.track/1"},
            {"track": first.replace(".track/", ".list/")},
            {"track": "https://example.com/"},
            {"track": f"{first}x" * 400},
            {"track": f"at://{ALICE}/fm.plyr.track/3kzzzzzzzzz2z"},
            {"track": first, "unknown": {"a": 1}},
            {"track": second},
            {"track": first},
        ]
    }
    assert await place.uris() == [first, second]


async def test_nothing_of_who_is_hidden(place: Place) -> None:
    his = await place.writer.write(BOB, "fm.plyr.track", rkey(9))
    place.generator.answer = page(place.songs[0], his)
    await place.writer.set_status(ALICE, active=False)
    assert await place.uris() == [his]
    await place.writer.set_status(BOB, active=False)
    assert (await place.refusal()).json()["error"] == "UnknownFeed"
    assert len(place.generator.asked) == 1


async def test_a_page_is_no_longer_than_was_asked_for(place: Place) -> None:
    elsewhere = (f"at://{ALICE}/fm.plyr.track/{rkey(age)}" for age in range(100, 1500))
    place.generator.answer = page(*place.songs, *elsewhere, cursor="more")
    assert await place.uris(limit=2) == place.songs[:2]
    assert await place.uris(limit=100) == place.songs
    place.generator.answer = page(*(place.songs * 3000))
    assert (await place.refusal()).json()["error"] == "InvalidFeedResponse"


async def test_reasons_are_the_services_own(place: Place) -> None:
    def reasons(*given: Any) -> dict[str, Any]:
        entries = zip(place.songs, given, strict=False)
        return {"feed": [{"track": uri, "reason": reason} for uri, reason in entries]}

    own = {"$type": "com.example.feed.defs#reasonMood", "mood": "rainy", "since": [1, {"a": None}]}
    note = {"$type": "fm.plyr.feed.defs#reasonNote", "text": "Rainy days", "more": 1}
    place.generator.answer = reasons(own, note, None, {"mood": "rainy"}, "rainy")
    found = [item.get("reason") for item in (await place.ask())["feed"]]
    assert found == [own, {"$type": note["$type"], "text": "Rainy days"}, None, None, None]
    place.generator.answer = reasons(
        {"$type": "fm.plyr.feed.defs#reasonTrending", "listeners": 10**6},
        {"$type": "fm.plyr.feed.defs#reasonNote", "text": "x" * 501},
        {"$type": "com.example.feed.defs#reasonMood", "mood": "x" * 3000},
        {"$type": "com.example.feed.defs#reasonMood", "mood": 1.5},
        {"$type": "com.example.feed.defs#reason mood"},
    )
    assert [item.get("reason") for item in (await place.ask())["feed"]] == [None] * 5


async def test_where_a_feed_ends(place: Place) -> None:
    place.generator.answer = page(place.songs[0], cursor="echo")
    ours = (await place.ask())["cursor"]
    for end in ("", None, "echo"):
        place.generator.answer = page(place.songs[1], cursor=end)
        assert "cursor" not in await place.ask(cursor=ours)


async def test_an_empty_page_is_the_last(place: Place) -> None:
    for empty in (page(cursor="more"), page("nonsense", cursor="more")):
        place.generator.answer = empty
        assert await place.ask() == {"feed": []}
    # Of tracks that are not here there may be more pages, and others behind them.
    place.generator.answer = page(f"at://{ALICE}/fm.plyr.track/3kzzzzzzzzz2z", cursor="more")
    answer = await place.ask()
    assert answer["feed"] == []
    assert "cursor" in answer


async def test_what_is_no_feed(place: Place) -> None:
    answers: list[Any] = [[], "feed", {}, {"feed": {}}, {"feed": None}]
    cursors: list[Any] = [7, {}, "x" * 1025, "\0"]
    answers += [{"feed": [], "cursor": cursor} for cursor in cursors]
    for answer in answers:
        place.generator.answer = answer
        refusal = await place.refusal()
        assert (refusal.status_code, refusal.json()["error"]) == (502, "InvalidFeedResponse")
        # So that it goes on being asked.
        place.generator.answer = page()
        await place.ask()


async def test_a_long_cursor_comes_back_whole(place: Place) -> None:
    theirs = "\x01&=é\U0001f3b5" * 90
    place.generator.answer = page(place.songs[0], cursor=theirs)
    ours = (await place.ask())["cursor"]
    await place.ask(cursor=ours)
    assert place.generator.asked[-1]["cursor"] == theirs


async def test_cursors_of_nobody(place: Place) -> None:
    latest = (await place.client.ask("feed.getFeed", feed="latest", limit=1))["cursor"]
    # Nobody can have the service blamed for a cursor that it never gave.
    too_long = encode("generator", "x" * 1_100)
    for cursor in (latest, "theirs", "AAAA", *[too_long] * FAILURES):
        assert (await place.refusal(cursor=cursor)).json()["error"] == "InvalidRequest"
    assert place.generator.asked == []
    assert place.client.app.state.generators.is_online(place.generator.did)


ERRORS: list[tuple[int, object, tuple[int, str]]] = [
    (400, {"error": "UnknownFeed", "message": "None\nsuch."}, (400, "UnknownFeed")),
    (400, {"error": "InvalidRequest"}, (400, "InvalidRequest")),
    (401, {"error": "AuthMissing", "message": "Who are you?"}, (401, "AuthMissing")),
    (401, {"error": "Whatever"}, (401, "AuthMissing")),
    (403, {"error": "Forbidden"}, (403, "Forbidden")),
    (429, {"error": "RateLimitExceeded"}, (429, "RateLimitExceeded")),
    (429, {"error": "Whatever"}, (429, "RateLimitExceeded")),
    (429, {"message": "Slow down"}, (502, "FeedUnavailable")),
    (400, {"error": "SomethingOfItsOwn"}, (502, "InvalidFeedResponse")),
    (404, {"message": "Not here"}, (502, "InvalidFeedResponse")),
    (500, {"error": "UnknownFeed"}, (502, "FeedUnavailable")),
    (501, {"error": "MethodNotImplemented"}, (502, "FeedUnavailable")),
]


async def test_errors_of_the_service(place: Place) -> None:
    for status, said, expected in ERRORS:
        place.generator.status, place.generator.answer = status, said
        refusal = await place.refusal()
        assert (refusal.status_code, refusal.json()["error"]) == expected
        assert "\n" not in refusal.json()["message"]


async def test_a_limit_of_the_service_is_the_callers_to_heed(place: Place) -> None:
    place.generator.status, place.generator.answer = 429, {"error": "RateLimitExceeded", "message": "Slow down."}
    for given, told in (("30", "30"), ("3600", "3600"), ("3601", None), ("soon", None)):
        place.generator.headers = {"Retry-After": given}
        for _ in range(FAILURES):
            refusal = await place.refusal()
            assert (refusal.status_code, refusal.json()["error"]) == (429, "RateLimitExceeded")
            assert refusal.headers.get("retry-after") == told
    assert place.client.app.state.generators.is_online(place.generator.did)
    assert len(place.generator.asked) == 4 * FAILURES


async def test_cursors_that_the_service_refuses(place: Place) -> None:
    for status, said, expected in (
        (400, {"error": "InvalidRequest"}, (400, "InvalidRequest")),
        (414, ["too long"], (502, "InvalidFeedResponse")),
        (429, [], (429, "RateLimitExceeded")),
    ):
        place.generator.status, place.generator.answer = status, said
        for _ in range(FAILURES):
            refusal = await place.refusal(cursor=encode("generator", "nonsense"))
            assert (refusal.status_code, refusal.json()["error"]) == expected
    assert (await place.client.ask("feed.getFeedGenerator", feed=FEED))["isValid"] is True
    assert place.client.app.state.generators.is_online(place.generator.did)


async def test_feeds_that_nobody_declared(place: Place) -> None:
    for feed in (
        FEED + "er",
        FEED.replace(BOB, "did:plc:nobody"),
        FEED.replace(BOB, "nobody.test"),
        FEED.replace(".generator/", ".other/"),
        place.songs[0],
        f"at://{BOB}",
        "at://",
        "at:// ",
        f"{FEED}#main",
    ):
        assert (await place.refusal(feed=feed)).json()["error"] == "UnknownFeed"
    assert place.generator.asked == []


async def test_a_service_that_is_gone(place: Place) -> None:
    await declare(place.writer, "did:web:localhost%3A1")
    refusal = await place.refusal()
    assert (refusal.status_code, refusal.json()["error"]) == (502, "FeedUnavailable")
    view = await place.client.ask("feed.getFeedGenerator", feed=FEED)
    assert (view["isOnline"], view["isValid"]) == (True, True)
    for _ in range(FAILURES):
        refusal = await place.refusal()
    assert refusal.json()["error"] == "FeedUnavailable"
    assert 1 <= int(refusal.headers["retry-after"]) <= 15
    assert (await place.client.ask("feed.getFeedGenerator", feed=FEED))["isOnline"] is False
    assert (await place.client.ask("feed.getSuggestedFeeds"))["feeds"] == []
    await declare(place.writer, place.generator.did)
    assert await place.ask() == {"feed": []}
    assert len((await place.client.ask("feed.getSuggestedFeeds"))["feeds"]) == 1


async def test_one_that_answers_nonsense_is_not_valid(place: Place) -> None:
    place.generator.answer = []
    await place.refusal()
    view = await place.client.ask("feed.getFeedGenerator", feed=FEED)
    assert (view["isOnline"], view["isValid"]) == (True, False)
    place.generator.answer = page()
    await place.ask()
    assert (await place.client.ask("feed.getFeedGenerator", feed=FEED))["isValid"] is True


async def test_whoever_hangs_holds_up_nobody_else(place: Place) -> None:
    place.generator.held = asyncio.Event()
    slow = [
        asyncio.create_task(place.client.get("/xrpc/fm.plyr.feed.getFeed", params={"feed": FEED})) for _ in range(60)
    ]
    async with asyncio.timeout(5):
        while place.generator.waiting < CALLS_UNPROVEN:
            await asyncio.sleep(0.01)
    # All that may wait do, more than there are connections to the database.
    began = time.perf_counter()
    for _ in range(20):
        await place.client.ask("feed.getTracks", uris=place.songs)
    assert time.perf_counter() - began < 1
    early = [task for task in slow if task.done()]
    assert len(early) == 60 - CALLS_UNPROVEN
    assert {task.result().json()["error"] for task in early} == {"FeedUnavailable"}
    metrics = (await place.client.get("/metrics")).text
    assert f"plyr_generator_calls {CALLS_UNPROVEN}.0" in metrics
    assert f'plyr_generator_seconds_count{{outcome="not_asked"}} {60 - CALLS_UNPROVEN}.0' in metrics
    place.generator.held.set()
    assert {answer.status_code for answer in await asyncio.gather(*slow)} == {200, 502}
    assert "plyr_generator_calls 0.0" in (await place.client.get("/metrics")).text


async def test_heavy_tracks_are_left_out_at_the_end(place: Place) -> None:
    heavy = [(ALICE, "fm.plyr.track", rkey(50 + n), {"padding": "x" * 900_000}) for n in range(7)]
    uris = await place.writer.write_all(heavy)
    place.generator.answer = page(*uris)
    assert await place.uris() == uris[:2]


# Who asks


def claims(authorization: str | None) -> dict[str, Any]:
    assert authorization is not None
    text = authorization.removeprefix("Bearer ").split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))


async def test_nobody_is_nobody(place: Place) -> None:
    await place.ask()
    assert place.generator.authorizations == [None]


async def test_we_ask_for_the_caller(place: Place) -> None:
    place.generator.answer = page(place.songs[0])
    liked = await place.writer.write(BOB, "fm.plyr.like", rkey(3), subject={"uri": place.songs[0], "cid": "x"})
    viewer = await Viewer.of(place.writer.connection, BOB)
    answer = await place.client.signed_in(viewer).ask("feed.getFeed", feed=FEED)
    assert answer["feed"][0]["track"]["viewer"] == {"like": liked}
    (authorization,) = place.generator.authorizations
    said = claims(authorization)
    assert {name: said[name] for name in ("iss", "sub", "aud", "lxm")} == {
        "iss": SERVICE_DID,
        "sub": BOB,
        "aud": place.generator.did,
        "lxm": SKELETON,
    }
    assert said["exp"] - said["iat"] == 60
    signed, _, signature = str(authorization).removeprefix("Bearer ").rpartition(".")
    key = (await place.client.get("/.well-known/did.json")).json()["verificationMethod"][0]
    signer = Signer(SERVICE_DID, SECRET)
    assert key["publicKeyMultibase"] == signer.public_key.multikey()
    assert signer.public_key.check(signed.encode(), base64.urlsafe_b64decode(signature + "==")) == "ok"


async def test_without_a_secret_nobody_is_named(place: Place, database_url: str) -> None:
    viewer = await Viewer.of(place.writer.connection, BOB)
    async with strict_client(database_url) as client:
        await client.signed_in(viewer).ask("feed.getFeed", feed=FEED)
        assert "verificationMethod" not in (await client.get("/.well-known/did.json")).json()
    assert place.generator.authorizations == [None]


async def test_a_token_for_the_service_is_passed_on(place: Place) -> None:
    issuer = Issuer(BOB)
    await store(place.writer.connection, issuer)
    place.generator.answer = page(place.songs[0])
    tokens = [issuer.token(place.generator.did + form, SKELETON, time.time()) for form in ("", "#plyr_fg")]
    for token in tokens * 2:
        # Whether it may be used twice is for the service to say.
        answer = await place.client.get(
            "/xrpc/fm.plyr.feed.getFeed", params={"feed": FEED}, headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.json()["feed"][0]["track"]["viewer"] == {}
    assert place.generator.authorizations == [f"Bearer {token}" for token in tokens * 2]


async def test_a_token_for_another_is_not(place: Place) -> None:
    issuer = Issuer(BOB)
    await store(place.writer.connection, issuer)
    generator = place.generator.did

    async def said(
        audience: str, method: str, *, feed: str = FEED, by: Issuer = issuer, asked: str = "feed.getFeed"
    ) -> str:
        token = by.token(audience, method, time.time())
        answer = await place.client.get(
            f"/xrpc/fm.plyr.{asked}", params={"feed": feed}, headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.status_code == 401
        return str(answer.json()["error"])

    assert await said("did:web:other.test", SKELETON) == "BadJwtAudience"
    assert await said(generator + "#bsky_fg", SKELETON) == "BadJwtAudience"
    assert await said(generator, "fm.plyr.feed.getFeed") == "BadJwtAudience"
    assert await said(SERVICE_DID, SKELETON) == "BadJwtLexiconMethod"
    assert await said(generator, SKELETON, feed="latest") == "BadJwtAudience"
    assert await said(generator, SKELETON, asked="feed.getFeedGenerator") == "BadJwtAudience"
    # The issuer is asked about again, and there is none of that DID.
    assert await said(generator, SKELETON, by=Issuer(BOB, secret=7)) in {"BadJwtSignature", "BadJwtIss"}
    assert place.generator.authorizations == []
