"""Who is signed in at a real PDS asks us through it, or with a token of it: real servers, our real processes."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from tests.database import Server
from tests.network import records
from tests.network.launch import Addresses
from tests.network.network import Network
from tests.network.repo import Repo, Written
from tests.network.xrpc import Json, XrpcError
from tests.system.stage import Stage, staged, system_beside
from tests.system.world import System

TRACKS = "fm.plyr.feed.getTracks"


@pytest.fixture(scope="module")
def system(network_addresses: Addresses, database_server: Server) -> Iterator[System]:
    """One system for all tests here."""
    with database_server.database() as url, system_beside(network_addresses, url) as system:
        yield system


@pytest.fixture
async def stage(system: System, network: Network) -> AsyncIterator[Stage]:
    async with staged(system, network) as stage:
        yield stage


class Caller:
    """A signed-in user who asks us."""

    def __init__(self, stage: Stage, user: Repo) -> None:
        self.user = user
        self.did = f"did:web:{quote(f'localhost:{urlsplit(stage.system.url).port}', safe='')}"
        self._session = stage.network.session
        self._url = stage.system.url

    async def through_pds(self, method: str = TRACKS, **params: str) -> tuple[Json, Any]:
        """What comes back through the user's PDS, and the headers. Raises XrpcError."""
        headers = {"Authorization": self.user.authorization, "atproto-proxy": f"{self.did}#plyr_appview"}
        return await self._get(f"{self.user.host.url}/xrpc/{method}", headers, params)

    async def directly(self, token: str, method: str = TRACKS, **params: str) -> tuple[Json, Any]:
        """What we answer to `token`, and the headers; a `rev` is the least that we are to know. Raises XrpcError."""
        headers = {"Authorization": f"Bearer {token}"}
        if rev := params.pop("rev", ""):
            headers["atproto-min-rev"] = rev
        return await self._get(f"{self._url}/xrpc/{method}", headers, params)

    async def token(self, method: str = TRACKS, *, fragment: str = "", seconds: int | None = None) -> str:
        """A token of the user's PDS for us."""
        lasts = {} if seconds is None else {"exp": f"{int(time.time()) + seconds}"}
        granted = await self.user.query(
            "com.atproto.server.getServiceAuth", None, aud=self.did + fragment, lxm=method, **lasts
        )
        return str(granted["token"])

    async def _get(self, url: str, headers: dict[str, str], params: dict[str, str]) -> tuple[Json, Any]:
        async with self._session.get(url, headers=headers, params=params) as response:
            body = await response.json(content_type=None)
            if response.status != 200:
                raise XrpcError(response.status, body.get("error", "?"), body.get("message", ""))
            return body, response.headers


async def like_of(caller: Caller, song: Written) -> str | None:
    """The user's own like, as they see the track through their PDS."""
    answer, _ = await caller.through_pds(uris=song.uri)
    like: str | None = answer["tracks"][0]["viewer"].get("like")
    return like


async def test_a_pds_passes_its_user_on(stage: Stage) -> None:
    artist, fan = await stage.network.create_account("artist"), await stage.network.create_account("fan")
    song = await artist.create_record(records.TRACK, records.track())
    await stage.settle()
    caller = Caller(stage, fan)
    assert await like_of(caller, song) is None

    liked = await fan.create_record(records.LIKE, records.like(song))
    await stage.settle()
    answer, headers = await caller.through_pds(uris=song.uri)
    assert answer["tracks"][0]["viewer"] == {"like": liked.uri}
    assert headers["atproto-repo-rev"] == liked.rev
    anonymous = await stage.track(song.uri)
    assert anonymous is not None
    assert "viewer" not in anonymous
    assert await like_of(Caller(stage, artist), song) is None

    # What is wrong with the question is told in our words.
    with pytest.raises(XrpcError) as caught:
        await caller.through_pds("fm.plyr.feed.getFeed", feed="nonsense")
    assert (caught.value.status, caught.value.error) == (400, "UnknownFeed")
    with pytest.raises(XrpcError) as caught:
        await caller.through_pds("fm.plyr.feed.getLikes", uri=f"{song.uri}x")
    assert (caught.value.status, caught.value.error) == (400, "NotFound")
    with pytest.raises(XrpcError) as caught:
        await caller.through_pds("fm.plyr.feed.getNothing")
    assert caught.value.error == "MethodNotImplemented"


async def test_a_token_of_a_pds_is_good_for_one_call(stage: Stage) -> None:
    artist, fan = await stage.network.create_account("artist"), await stage.network.create_account("fan")
    song = await artist.create_record(records.TRACK, records.track())
    await stage.settle()
    caller = Caller(stage, fan)
    for token in (
        await caller.token(),
        await caller.token(fragment="#plyr_appview"),
        await caller.token(seconds=3600),
    ):
        answer, _ = await caller.directly(token, uris=song.uri)
        assert answer["tracks"][0]["viewer"] == {}
        assert await refusal(caller.directly(token, uris=song.uri)) == "BadJwt"
    wrong = await caller.token("fm.plyr.feed.getFeed")
    assert await refusal(caller.directly(wrong, uris=song.uri)) == "BadJwtLexiconMethod"
    assert await refusal(caller.directly(await caller.token(fragment="#plyr_fg"), uris=song.uri)) == "BadJwtAudience"
    assert await refusal(caller.directly(fan.token, uris=song.uri)) == "BadJwt", "the token of a session is not for us"


async def refusal(asked: Any) -> str:
    """The name with which a call is refused, which is a 401."""
    with pytest.raises(XrpcError) as caught:
        await asked
    assert caught.value.status == 401
    return caught.value.error


async def test_who_has_just_written_can_wait_to_see_it(stage: Stage) -> None:
    artist, fan = await stage.network.create_account("artist"), await stage.network.create_account("fan")
    song = await artist.create_record(records.TRACK, records.track())
    await stage.settle()
    caller = Caller(stage, fan)
    tokens = [await caller.token() for _ in range(3)]
    liked = await fan.create_record(records.LIKE, records.like(song))
    asked = [caller.directly(token, uris=song.uri, rev=str(liked.rev)) for token in tokens]
    for answer, headers in await asyncio.gather(*asked):
        assert headers["atproto-repo-rev"] == liked.rev
        assert answer["tracks"][0]["viewer"] == {"like": liked.uri}


async def test_a_key_that_changes_is_followed_at_once(stage: Stage) -> None:
    artist = await stage.network.create_account("artist")
    fan = await stage.network.create_account("fan")
    song = await artist.create_record(records.TRACK, records.track())
    liked = await fan.create_record(records.LIKE, records.like(song))
    await stage.settle()
    assert await like_of(Caller(stage, fan), song) == liked.uri
    moved = await fan.migrate(stage.network.pds[1])
    assert await like_of(Caller(stage, moved), song) == liked.uri
    assert await like_of(Caller(stage, moved), song) == liked.uri
