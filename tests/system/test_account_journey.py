"""The whole way of people who sign in here: their PDS's own pages, in a real browser, and all that they write by us.

Screenshots of every page go to .cache/screenshots. What is in the PDSes afterwards must be what the index shows.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import pytest

from appview import db
from tests.chromium import needs_chromium
from tests.database import Server
from tests.network import records
from tests.network.launch import Addresses
from tests.network.network import Network
from tests.network.pds import User
from tests.network.permission_set import publish_permission_set, withdraw_permission_set
from tests.network.repo import Written
from tests.network.xrpc import Json, XrpcError
from tests.system.browser import Visitor, chromium
from tests.system.leaks import Secrets, add_grants, everything_in, everything_in_redis
from tests.system.places import SECRET_KEY, Place, place
from tests.system.stage import Stage, staged

pytestmark = needs_chromium

HOSTS: Final = {"loopback": None, "confidential": "journey.plyr-test.net"}


@pytest.fixture(scope="module", params=list(HOSTS))
def here(request: pytest.FixtureRequest, network_addresses: Addresses, database_server: Server) -> Iterator[Place]:
    """One system for each way of being a client."""
    with place(network_addresses, database_server, HOSTS[request.param]) as here:
        yield here


@dataclass
class Journey:
    """Everybody on it: `fan` and `artist`, accounts of two PDSes, of one person at one browser."""

    place: Place
    stage: Stage
    secrets: Secrets
    visitor: Visitor
    fan: User
    artist: User
    songs: list[Written]

    @property
    def name(self) -> str:
        return "confidential" if self.place.host else "loopback"


@asynccontextmanager
async def journey(here: Place, network: Network) -> AsyncIterator[Journey]:
    async with staged(here.system, network) as stage, here.reached(network) as hosts, chromium(hosts) as browser:
        fan = await network.create_account("fan", pds=network.pds[1])
        artist = await network.create_account("artist")
        sound = await artist.upload_blob(b"RIFF\x24\0\0\0WAVEfmt " + bytes(24), "audio/wav")
        more: Json = {"audioBlob": sound, "of": {"another": ["app", 7]}}
        songs = [await artist.create_record(records.TRACK, records.track(f"Song {n}", **more)) for n in range(3)]
        await stage.settle()
        secrets = Secrets()
        secrets.add("the secret key", SECRET_KEY)
        shots = f"account-{'confidential' if here.host else 'loopback'}"
        async with Visitor.at(browser, here.origin, secrets, shots) as visitor:
            try:
                yield Journey(here, stage, secrets, visitor, fan, artist, songs)
            except BaseException:
                print(here.system.last_words())
                raise


async def test_it(here: Place, network: Network) -> None:
    # The one kind asks by the permission set, the other by each collection.
    await (publish_permission_set if here.host else withdraw_permission_set)(network)
    async with journey(here, network) as one:
        await sign_in(one)
        await like_and_comment(one)
        await keep_a_playlist(one)
        await edit_as_another_account(one)
        token = await make_a_developer_token(one)
        await sign_out(one)
        await write_by_the_token(one, token)
        await revoke_the_token(one, token)
        await one.stage.settle()
        assert await one.stage.audited() == []
        assert one.visitor.complaints == []
        await nothing_said_holds_a_secret(one)


async def sign_in(one: Journey) -> None:
    visitor = one.visitor
    assert await visitor.page.goto(one.place.public_url)
    await visitor.shot("home")
    with pytest.raises(XrpcError) as caught:
        await visitor.call("feed.likeTrack", subject=one.songs[0].uri)
    assert (caught.value.status, caught.value.error) == (401, "AuthMissing")
    # Whoever comes by the other name of this machine is led to the one that the PDS leads back to.
    await visitor.page.goto(f"{one.place.public_url}/oauth/login")
    await visitor.sign_in(one.fan)
    assert visitor.page.url.startswith(f"{one.place.origin}/account")
    assert one.fan.handle in await visitor.page.locator("main").inner_text()


async def like_and_comment(one: Journey) -> None:
    """As the one who is signed in; every answer, and the next read, shows what was done."""
    visitor, song = one.visitor, one.songs[0]
    liked = await visitor.call("feed.likeTrack", subject=song.uri)
    assert (await viewed(visitor, song))["viewer"] == {"like": liked["uri"]}
    assert (await viewed(visitor, song))["likeCount"] == 1
    again = await visitor.call("feed.likeTrack", subject=song.uri)
    assert again["uri"] == liked["uri"]
    other = await visitor.call("feed.likeTrack", subject=one.songs[1].uri)
    undone = await visitor.call("feed.unlikeTrack", subject=one.songs[1].uri)
    assert undone["uris"] == [other["uri"]]
    assert (await viewed(visitor, one.songs[1]))["viewer"] == {}
    assert [like["uri"] for like in await in_repo(one.fan, records.LIKE)] == [liked["uri"]]

    said = await visitor.call("feed.postComment", subject=song.uri, text="Good", timestampMs=1500)
    await visitor.call("feed.editComment", uri=said["uri"], text="Very good")
    shown = (await visitor.ask("feed.getComments", uri=song.uri))["comments"]
    assert [(view["uri"], view["record"]["text"]) for view in shown] == [(said["uri"], "Very good")]
    gone = await visitor.call("feed.postComment", subject=song.uri, text="Not what I meant", timestampMs=1500)
    await visitor.call("feed.deleteComment", uri=gone["uri"])
    (kept,) = await in_repo(one.fan, records.COMMENT)
    assert (kept["uri"], kept["value"]["text"]) == (said["uri"], "Very good")


async def keep_a_playlist(one: Journey) -> None:
    visitor, (first, second, third) = one.visitor, one.songs
    made = await visitor.call("graph.createList", name="Mix", listType="playlist", items=[first.ref, second.ref])
    await visitor.call("graph.addItems", list=made["uri"], items=[{"uri": third.uri}], position=0)
    await visitor.call("graph.moveItem", list=made["uri"], subject=first.uri, position=2)
    await visitor.call("graph.removeItems", list=made["uri"], items=[{"subject": second.uri}])
    await visitor.call("graph.updateList", list=made["uri"], name="Mixed")
    (kept,) = await in_repo(one.fan, records.LIST)
    assert [item["subject"] for item in kept["value"]["items"]] == [third.ref, first.ref]
    assert kept["value"]["name"] == "Mixed"
    shown = await visitor.ask("graph.getList", list=made["uri"])
    assert [item["track"]["uri"] for item in shown["items"]] == [third.uri, first.uri]


async def edit_as_another_account(one: Journey) -> None:
    """A second account beside the first: it edits what is its own, nothing of a record is lost, then back again."""
    visitor, song = one.visitor, one.songs[0]
    with pytest.raises(XrpcError) as caught:
        await visitor.call("feed.updateTrack", uri=song.uri, title="Mine")
    assert (caught.value.status, caught.value.error) == (400, "NotYours")

    await visitor.visit("/account")
    await visitor.page.get_by_label("Add another account").fill(one.artist.handle)
    await visitor.page.locator("form", has=visitor.page.get_by_label("Add another account")).locator("button").click()
    await visitor.allow(one.artist)
    await visitor.shot("two-accounts")
    before = await record_of(one.artist, song)
    assert "viewer" in await viewed(visitor, song)
    assert (await viewed(visitor, song))["viewer"] == {}
    await visitor.call("feed.updateTrack", uri=song.uri, title="Song 0, another take")
    assert await record_of(one.artist, song) == {**before, "title": "Song 0, another take"}
    assert (await viewed(visitor, song))["title"] == "Song 0, another take"

    await visitor.visit("/account")
    await visitor.send("/account/switch", one.fan.handle)
    await visitor.shot("switched")
    assert "like" in (await viewed(visitor, song))["viewer"]


async def make_a_developer_token(one: Journey) -> str:
    """It is shown once, and never again."""
    visitor = one.visitor
    await visitor.visit("/account")
    await visitor.page.get_by_label("Name").fill("upload script")
    await visitor.page.get_by_role("button", name="Make it").click()
    await visitor.allow(one.fan)
    token = await visitor.page.locator("output.secret").inner_text()
    one.secrets.add("a developer token", token)
    await visitor.shot("token")
    await visitor.visit("/account")
    await visitor.shot("tokens")
    page = await visitor.page.content()
    assert "upload script" in page
    assert token[:12] not in page
    return token


async def sign_out(one: Journey) -> None:
    visitor = one.visitor
    cookies = await visitor.cookies()
    await visitor.visit("/account")
    await visitor.send("/oauth/logout")
    await visitor.shot("signed-out")
    with pytest.raises(XrpcError) as caught:
        await visitor.call("feed.likeTrack", subject=one.songs[2].uri)
    assert caught.value.status == 401
    # The cookie that was is good no more, wherever it may be kept.
    await visitor.context.add_cookies([{"name": n, "value": v, "url": visitor.origin} for n, v in cookies.items()])
    with pytest.raises(XrpcError) as caught:
        await visitor.call("feed.likeTrack", subject=one.songs[2].uri)
    assert caught.value.status == 401


async def write_by_the_token(one: Journey, token: str) -> None:
    """The same by a program, which has nothing but the token."""
    song = one.songs[1]

    async def call(method: str, **body: Any) -> Json:
        return await asked(one, "POST", f"fm.plyr.{method}", token, json=body)

    async def seen() -> Json:
        answer = await asked(one, "GET", "fm.plyr.feed.getTracks", token, params={"uris": song.uri})
        return dict(answer["tracks"][0])

    assert (await seen())["viewer"] == {}
    liked = await call("feed.likeTrack", subject=song.uri)
    assert (await seen())["viewer"] == {"like": liked["uri"]}
    said = await call("feed.postComment", subject=song.uri, text="By a program", timestampMs=1)
    await call("feed.editComment", uri=said["uri"], text="By a script")
    made = await call("graph.createList", name="Scripted", listType="playlist", items=[song.ref])
    await call("graph.addItems", list=made["uri"], items=[{"uri": one.songs[2].uri}])
    record = {"$type": records.LIST, **records.playlist(song, name="Raw")}
    await asked(
        one,
        "POST",
        "com.atproto.repo.createRecord",
        token,
        json={"repo": one.fan.did, "collection": records.LIST, "record": record},
    )
    assert len(await in_repo(one.fan, records.LIKE)) == 2
    assert sorted(one_["value"]["name"] for one_ in await in_repo(one.fan, records.LIST)) == [
        "Mixed",
        "Raw",
        "Scripted",
    ]


async def revoke_the_token(one: Journey, token: str) -> None:
    visitor = one.visitor
    await visitor.context.clear_cookies()
    await visitor.begin_sign_in(one.fan.handle)
    await visitor.allow(one.fan)
    await visitor.send("/account/tokens/revoke", "upload script")
    await visitor.shot("revoked")
    with pytest.raises(XrpcError) as caught:
        await asked(one, "POST", "fm.plyr.feed.likeTrack", token, json={"subject": one.songs[2].uri})
    assert caught.value.status == 401


async def nothing_said_holds_a_secret(one: Journey) -> None:
    """No log of any process, no metric, no page for operators, and nothing in the database or in Redis."""
    system, secrets = one.place.system, one.secrets
    connection = await db.connect(system.database_url)
    assert await add_grants(secrets, connection, SECRET_KEY) > 0
    texts = {f"the log of the {child.name}": child.log.read_text(errors="replace") for child in system.children}
    for path in ("/metrics", "/ready", "/oauth/callback?state=x&code=y&iss=z", "/oauth/jwks.json"):
        texts[path] = str((await one.stage.client.get(path))[1])
    texts["Redis"] = await everything_in_redis(system.settings["redis_url"])
    texts |= await everything_in(connection)
    await connection.close()
    assert secrets.kinds >= {"the secret key", "a developer token", "the token of a form", "code", "state"}
    assert secrets.kinds >= {f"of a grant: {name}" for name in ("access_token", "refresh_token", "d")}
    assert any(kind.startswith("cookie ") for kind in secrets.kinds)
    assert secrets.found_in(texts) == []


async def viewed(visitor: Visitor, song: Written) -> Json:
    """A track as the one who is signed in sees it."""
    return dict((await visitor.ask("feed.getTracks", uris=song.uri))["tracks"][0])


async def in_repo(user: User, collection: str) -> list[Json]:
    """The records of a collection, as the PDS has them."""
    return list((await user.query("com.atproto.repo.listRecords", repo=user.did, collection=collection))["records"])


async def record_of(user: User, song: Written) -> Json:
    """A record, as the PDS has it."""
    key = {"repo": user.did, "collection": records.TRACK, "rkey": song.rkey}
    return dict((await user.query("com.atproto.repo.getRecord", **key))["value"])


async def asked(one: Journey, verb: str, nsid: str, token: str, **more: Any) -> Json:
    """What we answer to a program with that token. Raises XrpcError."""
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{one.place.system.url}/xrpc/{nsid}"
    async with aiohttp.request(verb, url, headers=headers, **more) as response:
        answer = await response.json()
        if response.status != 200:
            raise XrpcError(response.status, answer["error"], answer["message"])
        return dict(answer)
