"""The generator in tests/generator answers for a feed that somebody declares at a real PDS, and knows who asks."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import pytest

from appview.embedded.folder import free_port
from tests.database import Server
from tests.generator.__main__ import serve
from tests.generator.service import RKEY, SKELETON, Settings
from tests.network import records
from tests.network.launch import Addresses
from tests.network.network import Network
from tests.network.pds import User
from tests.network.xrpc import Host, Json, XrpcError
from tests.system.stage import Stage, staged, system_beside
from tests.system.test_signed_in import Caller
from tests.system.world import System

FEED = "fm.plyr.feed.getFeed"


@pytest.fixture(scope="module")
def system(network_addresses: Addresses, database_server: Server) -> Iterator[System]:
    """One system for all tests here."""
    with database_server.database() as url, system_beside(network_addresses, url) as system:
        yield system


@pytest.fixture
async def stage(system: System, network: Network) -> AsyncIterator[Stage]:
    async with staged(system, network) as stage:
        yield stage


@asynccontextmanager
async def answering(stage: Stage, publisher: str) -> AsyncIterator[Settings]:
    """The generator, as it is, at an address of this machine."""
    port = free_port()
    settings = Settings(f"http://localhost:{port}", publisher, stage.system.url, stage.network.addresses.plc)
    serving = asyncio.create_task(serve(settings, "127.0.0.1", port))
    while True:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            break
        await asyncio.sleep(0.02)
    try:
        yield settings
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def song(user: User, title: str, seconds: int) -> str:
    return (await user.create_record(records.TRACK, records.track(title, duration=seconds))).uri


def uris(answer: Json, among: list[str]) -> list[str]:
    """What of ours is in a feed: other tests have left songs on the PDSes too."""
    found = [item["track"]["uri"] for item in answer["feed"]]
    return [uri for uri in found if uri in among]


async def test_a_feed_from_its_record_to_its_listeners(stage: Stage) -> None:
    network = stage.network
    artist, fan = await network.create_account("artist"), await network.create_account("fan", pds=network.pds[1])
    first, long, second = await song(artist, "1", 90), await song(artist, "2", 900), await song(fan, "3", 179)
    songs = [second, first, long]
    async with answering(stage, artist.did) as settings:
        record = {"did": settings.did, "displayName": "Short", "createdAt": records.CREATED_AT}
        declared = await artist.create_record("fm.plyr.feed.generator", record, RKEY)
        assert declared.uri == settings.feed
        await stage.settle()
        view = (await stage.ask("feed.getFeedGenerator", feed=settings.feed))["view"]
        assert (view["did"], view["displayName"], view["author"]["did"]) == (settings.did, "Short", artist.did)

        assert uris(await stage.ask("feed.getFeed", feed=settings.feed), songs) == [second, first]
        paged: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = await stage.ask("feed.getFeed", feed=settings.feed, limit=1, **cursor)
            paged += uris(page, songs)
            if "cursor" not in page:
                break
            cursor = {"cursor": page["cursor"]}
        assert paged == [second, first]

        # It knows who is signed in: from us, where a PDS passes them on; else from the token that they have for it.
        caller = Caller(stage, fan)
        answer, _ = await caller.through_pds(FEED, feed=settings.feed)
        assert uris(answer, songs) == [first]
        assert answer["feed"][0]["track"]["viewer"] == {}
        answer, _ = await caller.directly(await token_for(fan, settings.did), FEED, feed=settings.feed)
        assert uris(answer, songs) == [first]
        artists, _ = await Caller(stage, artist).through_pds(FEED, feed=settings.feed)
        assert uris(artists, songs) == [second]
        await it_looks_at_tokens(stage, fan, settings)

        assert await stage.refusal("feed.getFeed", feed=f"{settings.feed}er") == "UnknownFeed"
        other = await artist.create_record("fm.plyr.feed.generator", record, "long")
        await stage.settle()
        assert await stage.refusal("feed.getFeed", feed=other.uri) == "UnknownFeed", "the generator says so"
        await fan.deactivate()
        await stage.settle()
        # Each time another question, so that no answer of a moment ago is one to it.
        assert uris(await stage.ask("feed.getFeed", feed=settings.feed, limit=99), songs) == [first]
    assert await stage.refusal("feed.getFeed", feed=settings.feed, limit=98) == "FeedUnavailable"


async def token_for(user: User, service: str, method: str = SKELETON) -> str:
    granted = await user.query("com.atproto.server.getServiceAuth", None, aud=service, lxm=method)
    return str(granted["token"])


async def it_looks_at_tokens(stage: Stage, fan: User, settings: Settings) -> None:
    """The generator by itself: a token is good once, for it, for this, and unchanged."""
    generator = Host(stage.network.session, settings.url)
    described = await generator.query("fm.plyr.feed.describeFeedGenerator")
    assert described == {"did": settings.did, "feeds": [{"uri": settings.feed}]}
    token = await token_for(fan, settings.did)
    await generator.query(SKELETON, f"Bearer {token}", feed=settings.feed)
    header, claims, signature = token.split(".")
    for bad, name in (
        (token, "BadJwt"),
        ("nonsense", "BadJwt"),
        (await token_for(fan, "did:web:other.test"), "BadJwtAudience"),
        (await token_for(fan, settings.did, FEED), "BadJwtLexiconMethod"),
        (".".join((header, claims, signature[::-1])), "BadJwtSignature"),
    ):
        with pytest.raises(XrpcError) as caught:
            await generator.query(SKELETON, f"Bearer {bad}", feed=settings.feed)
        assert (caught.value.status, caught.value.error) == (401, name)
