"""Both kinds of client at the real PDS: signing in, writing, refreshing, revoking."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from appview.accounts.oauth import Granted, OAuth
from appview.accounts.oauth.errors import GrantEnded, ServerRefused, TokenExpired
from appview.accounts.oauth.scopes import ACTIONS, BlobNeed, RepoNeed, permits
from appview.net.errors import BadStatus
from tests.appview.accounts.oauth.homes import OLD_SECRET, SECRET, answered, client, confidential
from tests.network.network import Network
from tests.network.pds import User
from tests.network.permission_set import publish_permission_set, withdraw_permission_set
from tests.network.sign_in import consent, deny

LIKE = {
    "$type": "fm.plyr.like",
    "subject": {"uri": "at://did:plc:a/fm.plyr.track/b", "cid": "bafyreib"},
    "createdAt": "2026-01-01T00:00:00Z",
}
Kind = Callable[[Network], AbstractAsyncContextManager[OAuth]]


@pytest.fixture(params=[client, confidential])
async def oauth(network: Network, request: pytest.FixtureRequest) -> AsyncIterator[OAuth]:
    kind: Kind = request.param
    async with kind(network) as oauth:
        yield oauth


async def sign_in(network: Network, oauth: OAuth, user: User, typed: str | None = None, **more: str) -> Granted:
    begun = await oauth.begin(None if "server" in more else typed or user.handle, **more)
    callback = await consent(network.session, begun.url, user)
    return await oauth.complete(orjson.loads(orjson.dumps(begun.secret)), answered(callback))


async def like(oauth: OAuth, granted: Granted) -> int:
    body = orjson.dumps({"repo": granted.did, "collection": "fm.plyr.like", "record": LIKE})
    url = f"{granted.pds}/xrpc/com.atproto.repo.createRecord"
    return (await oauth.request(granted, "POST", url, body=body)).status


async def test_all_of_it(network: Network, oauth: OAuth) -> None:
    user = await network.create_account("listener")
    granted = await sign_in(network, oauth, user)
    assert (granted.did, granted.issuer, granted.pds) == (user.did, user.pds.url, user.pds.url)
    assert all(permits(granted.scope, RepoNeed("fm.plyr.like", action)) for action in ACTIONS)
    assert permits(granted.scope, BlobNeed("audio/mpeg"))
    assert await like(oauth, granted) == 200
    session = await oauth.request(granted, "GET", f"{granted.pds}/xrpc/com.atproto.server.getSession?a=b")
    assert orjson.loads(session.body)["did"] == user.did

    kept = Granted.from_secret(orjson.loads(orjson.dumps(granted.as_secret())))
    assert kept == granted
    refreshed = await oauth.refresh(kept)
    assert refreshed.access_token != granted.access_token
    assert refreshed.refresh_token != granted.refresh_token
    assert (refreshed.did, refreshed.scope) == (granted.did, granted.scope)
    assert await like(oauth, refreshed) == 200

    await oauth.revoke(refreshed)
    with pytest.raises(GrantEnded):
        await oauth.refresh(refreshed)


@pytest.mark.parametrize("typed", ["handle", "at handle", "did", "pds", "server"])
async def test_where_a_sign_in_begins(network: Network, typed: str) -> None:
    user = await network.create_account("typist")
    texts = {"handle": user.handle.upper(), "at handle": f" @{user.handle}\u202c", "did": user.did, "pds": user.pds.url}
    async with client(network) as oauth:
        if typed == "server":
            granted = await sign_in(network, oauth, user, server=user.pds.url)
        else:
            granted = await sign_in(network, oauth, user, texts[typed])
    assert granted.did == user.did


async def test_a_refresh_token_that_was_used_ends_the_grant(network: Network, oauth: OAuth) -> None:
    user = await network.create_account("twice")
    granted = await sign_in(network, oauth, user)
    refreshed = await oauth.refresh(granted)
    for one in (granted, refreshed):  # the second one was good, until the first was used again (OA-51)
        with pytest.raises(GrantEnded):
            await oauth.refresh(one)


async def test_a_code_is_good_once_and_in_its_own_browser(network: Network) -> None:
    user = await network.create_account("once")
    async with client(network) as oauth:
        begun, other = await oauth.begin(user.handle), await oauth.begin(user.handle)
        params = answered(await consent(network.session, begun.url, user))
        stolen = {**params, "state": other.state}
        with pytest.raises(ServerRefused, match="invalid_grant"):  # the verifier is another's (PKCE)
            await oauth.complete(other.secret, stolen)
        with pytest.raises(ServerRefused, match="invalid_grant"):
            await oauth.complete(begun.secret, params)


async def test_who_is_not_let_in(network: Network, oauth: OAuth) -> None:
    user = await network.create_account("shy")
    begun = await oauth.begin(user.handle)
    params = answered(await deny(network.session, begun.url))
    with pytest.raises(ServerRefused) as refused:
        await oauth.complete(begun.secret, params)
    assert refused.value.error == "access_denied"


async def test_somebody_else_signs_in_than_was_named(network: Network) -> None:
    """The PDS answers for whoever is there; here it was asked for another."""
    alice, bob = await network.create_account("alice"), await network.create_account("bob")
    async with client(network) as oauth:
        begun = await oauth.begin(alice.handle)
        params = answered(await consent(network.session, begun.url, bob))
        with pytest.raises(Exception, match="another account") as refused:
            await oauth.complete(begun.secret, params)
    assert type(refused.value).__name__ == "Untrusted"


async def test_scopes_by_set_and_one_by_one(network: Network, oauth: OAuth) -> None:
    user = await network.create_account("scoped")
    await publish_permission_set(network)
    by_set = await sign_in(network, oauth, user)
    assert by_set.asked == oauth.asking.everything
    await withdraw_permission_set(network)
    one_by_one = await sign_in(network, oauth, user)
    assert one_by_one.asked == oauth.asking.one_by_one
    for granted in (by_set, one_by_one):
        assert permits(granted.scope, RepoNeed("fm.plyr.track", "delete"))
        assert not permits(granted.scope, RepoNeed("app.bsky.feed.post", "create"))
        assert oauth.again(granted) is None


async def test_step_up(network: Network, oauth: OAuth) -> None:
    user = await network.create_account("stepper")
    granted = await sign_in(network, oauth, user, scope="atproto blob:image/*")
    need = RepoNeed("fm.plyr.like", "create")
    assert not permits(granted.scope, need)
    with pytest.raises(BadStatus, match="403"):
        await like(oauth, granted)
    more = oauth.step_up(granted.scope, [need])
    assert more is not None
    assert more.split() == ["atproto", "blob:image/*", "repo:fm.plyr.like"]
    stepped_up = await sign_in(network, oauth, user, scope=more)
    assert permits(stepped_up.scope, need)
    assert permits(stepped_up.scope, BlobNeed("image/png"))
    assert await like(oauth, stepped_up) == 200


async def test_a_grant_of_the_older_kind(network: Network, oauth: OAuth) -> None:
    user = await network.create_account("older")
    granted = await sign_in(network, oauth, user, scope=oauth.asking.generic)
    assert granted.scope.split() == ["atproto", "transition:generic"]
    assert await like(oauth, granted) == 200
    assert oauth.again(granted) is None


async def test_a_token_that_is_not_taken(network: Network) -> None:
    user = await network.create_account("expired")
    async with client(network) as oauth:
        granted = await sign_in(network, oauth, user)
        broken = replace(granted, access_token=granted.access_token[:-4] + "AAAA")
        with pytest.raises(TokenExpired):
            await like(oauth, broken)
        # Without its key a token is worth nothing.
        other = await sign_in(network, oauth, user)
        with pytest.raises(TokenExpired):
            await like(oauth, replace(granted, dpop_key=other.dpop_key))


async def test_an_upload_is_sent_again_for_a_nonce(network: Network) -> None:
    user = await network.create_account("uploader")
    made = []

    async def chunks() -> AsyncIterator[bytes]:
        made.append(1)
        for _ in range(64):
            yield b"\0" * 16_384

    async with client(network) as begins, client(network) as uploads:
        granted = await sign_in(network, begins, user)
        answer = await uploads.request(  # knows no nonce of the PDS yet
            granted,
            "POST",
            f"{granted.pds}/xrpc/com.atproto.repo.uploadBlob",
            body=chunks,
            length=1_048_576,
            content_type="audio/mpeg",
            wait=30.0,
        )
    assert orjson.loads(answer.body)["blob"]["size"] == 1_048_576
    assert len(made) == 2


async def test_a_key_that_was_rotated(network: Network) -> None:
    """A grant goes on with the key that it began with (OA-21), and is over when that is gone."""
    user, host = await network.create_account("rotator"), "rotates.plyr-test.net"
    async with confidential(network, [OLD_SECRET], host) as before:
        granted = await sign_in(network, before, user)
    async with confidential(network, [SECRET, OLD_SECRET], host) as after:
        refreshed = await after.refresh(granted)
        assert refreshed.key_id == granted.key_id
        # The PDS remembers the keys of before, and is asked with one of these.
        begun = await sign_in(network, after, user)
        assert begun.key_id == granted.key_id
        assert [key["kid"] for key in after.jwks()["keys"]].index(granted.key_id) == 1
    async with confidential(network, [SECRET], host) as later:
        with pytest.raises(GrantEnded, match="key"):
            await later.refresh(refreshed)


async def test_an_account_that_moved(network: Network) -> None:
    """Its grant ends at the next refresh (OA-56); what was begun at the old server is not completed there."""
    user = await network.create_account("mover")
    async with client(network) as oauth:
        granted = await sign_in(network, oauth, user)
        begun = await oauth.begin(user.did)
        params = answered(await consent(network.session, begun.url, user))
        await user.migrate(network.pds[1])
        with pytest.raises(Exception, match="which is an account of"):
            await oauth.complete(begun.secret, params)
        with pytest.raises(GrantEnded, match="has moved"):
            await oauth.refresh(granted)


async def test_the_page_is_asked_for_the_account(network: Network, oauth: OAuth) -> None:
    user = await network.create_account("hinted")
    begun = await oauth.begin(user.handle)
    query = parse_qs(urlsplit(begun.url).query)
    assert set(query) == {"client_id", "request_uri"}
    assert begun.state not in begun.url
