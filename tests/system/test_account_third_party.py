"""Another app's user: signed in at the PDS by that app's own OAuth, writing there, and only reading from us."""

from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote, urlsplit

import pytest

from tests.database import Server
from tests.network import records
from tests.network.launch import Addresses
from tests.network.network import Network
from tests.network.oauth_client import OAuthClient
from tests.network.pds import User
from tests.network.sign_in import consent
from tests.network.xrpc import Json, XrpcError
from tests.system.pages import visiting
from tests.system.stage import Stage, staged, system_beside
from tests.system.world import System

TRACKS = "fm.plyr.feed.getTracks"
LIKES = "fm.plyr.feed.getActorLikes"
LIKE_TRACK = "fm.plyr.feed.likeTrack"


@pytest.fixture(scope="module")
def system(network_addresses: Addresses, database_server: Server) -> Iterator[System]:
    """One system for all tests here."""
    with database_server.database() as url, system_beside(network_addresses, url) as system:
        yield system


@pytest.fixture
async def stage(system: System, network: Network) -> AsyncIterator[Stage]:
    async with staged(system, network) as stage:
        yield stage


def service(stage: Stage) -> str:
    """What a PDS knows us as, in `atproto-proxy`, and in a scope, which names no service by its DID alone."""
    return f"did:web:{quote(f'localhost:{urlsplit(stage.system.url).port}', safe='')}#plyr_appview"


async def signed_in(stage: Stage, *scopes: str, user: User | None = None) -> OAuthClient:
    """The other app, which `user`, or a new account of the second PDS, has granted `scopes`."""
    user = user or await stage.network.create_account("stranger", pds=stage.network.pds[1])
    client = OAuthClient(stage.network.session, user.pds, " ".join(("atproto", *scopes)))
    granted = await client.finish(await consent(stage.network.session, await client.authorize_url(), user))
    assert granted["sub"] == user.did
    return client


def may_ask(stage: Stage, *methods: str) -> str:
    """The scope for asking us these methods: in the value, the `#` and the percent signs of the DID are escaped."""
    asked = "&".join(f"lxm={method}" for method in methods)
    return f"rpc?{asked}&aud={quote(service(stage), safe=':')}"


async def ask_directly(
    stage: Stage, token: str, method: str, rev: str | None = None, **params: str
) -> tuple[Json, str]:
    """What we answer to a token of the PDS, and the rev that we say we know, when `rev` is the least we are to know."""
    headers = {"Authorization": f"Bearer {token}"} | ({"atproto-min-rev": rev} if rev else {})
    url = f"{stage.system.url}/xrpc/{method}"
    async with stage.network.session.get(url, params=params, headers=headers) as response:
        assert response.status == 200, await response.text()
        return await response.json(), response.headers["atproto-repo-rev"]


async def test_who_writes_at_their_pds_sees_it_here(stage: Stage) -> None:
    """`atproto-min-rev` with a token of the PDS for us; through `atproto-proxy` a PDS does not pass that header on."""
    artist = await stage.network.create_account("artist")
    song = await artist.create_record(records.TRACK, records.track())
    await stage.settle()
    client = await signed_in(stage, "repo:fm.plyr.like", may_ask(stage, TRACKS))
    us = service(stage)
    assert (await client.query(TRACKS, us, uris=song.uri))["tracks"][0]["viewer"] == {}

    async def token() -> str:
        granted = await client.query("com.atproto.server.getServiceAuth", aud=us, lxm=TRACKS)
        return str(granted["token"])

    # The first write of an account that we had nothing of until now.
    liked = await client.put_record(records.LIKE, "3l2wryxkduc2a", records.like(song))
    rev = liked["commit"]["rev"]
    answer, known = await ask_directly(stage, await token(), TRACKS, rev, uris=song.uri)
    assert answer["tracks"][0]["viewer"] == {"like": liked["uri"]}
    assert known == rev
    assert (await client.query(TRACKS, us, uris=song.uri))["tracks"][0]["viewer"] == {"like": liked["uri"]}

    # And what they take back is gone as soon.
    key = {"repo": client.did, "collection": records.LIKE, "rkey": "3l2wryxkduc2a"}
    undone = await client.procedure("com.atproto.repo.deleteRecord", key)
    answer, _ = await ask_directly(stage, await token(), TRACKS, undone["commit"]["rev"], uris=song.uri)
    assert answer["tracks"][0]["viewer"] == {}
    assert answer["tracks"][0]["likeCount"] == 0


async def test_without_the_header_it_is_seen_as_soon_as_the_stream_has_it(stage: Stage) -> None:
    artist = await stage.network.create_account("artist")
    song = await artist.create_record(records.TRACK, records.track())
    await stage.settle()
    client = await signed_in(stage, "repo:fm.plyr.like", may_ask(stage, TRACKS))
    liked = await client.put_record(records.LIKE, "3l2wryxkduc2a", records.like(song))

    async def seen() -> bool:
        answer = await client.query(TRACKS, service(stage), uris=song.uri)
        return bool(answer["tracks"][0]["viewer"].get("like") == liked["uri"])

    await stage.system.until(seen, "the like is seen through the PDS")


async def test_a_grant_is_for_what_it_says(stage: Stage) -> None:
    """The PDS passes on what was granted and nothing more; and we write for nobody who has not signed in with us."""
    artist = await stage.network.create_account("artist")
    song = await artist.create_record(records.TRACK, records.track())
    await stage.settle()
    client = await signed_in(stage, may_ask(stage, TRACKS))
    us = service(stage)
    with pytest.raises(XrpcError) as caught:
        await client.query(LIKES, us, actor=client.did)
    assert (caught.value.status, caught.value.error) == (403, "ScopeMissingError")
    with pytest.raises(XrpcError) as caught:
        await client.put_record(records.LIKE, "3l2wryxkduc2a", records.like(song))
    assert (caught.value.status, caught.value.error) == (403, "ScopeMissingError")


async def test_who_has_not_signed_in_here_is_told_where_to(stage: Stage) -> None:
    """The other app may have us write only by a grant that its user gave us; then it need not know of it."""
    artist, fan = await stage.network.create_account("artist"), await stage.network.create_account("fan")
    song = await artist.create_record(records.TRACK, records.track())
    await stage.settle()
    us = service(stage)
    client = await signed_in(stage, may_ask(stage, LIKE_TRACK), user=fan)
    with pytest.raises(XrpcError) as caught:
        await client.procedure(LIKE_TRACK, {"subject": song.uri}, us)
    assert (caught.value.status, caught.value.error) == (401, "AuthRequired")
    assert "/oauth/login" in str(caught.value)
    async with visiting(stage.system.url) as pages:
        await pages.sign_in(fan)
        liked = await client.procedure(LIKE_TRACK, {"subject": song.uri}, us)
        written = await fan.query("com.atproto.repo.listRecords", repo=fan.did, collection=records.LIKE)
        assert [record["uri"] for record in written["records"]] == [liked["uri"]]
        await pages.send("/account", "/oauth/logout")
    with pytest.raises(XrpcError) as caught:
        await client.procedure(LIKE_TRACK, {"subject": song.uri}, us)
    assert (caught.value.status, caught.value.error) == (401, "AuthRequired")
