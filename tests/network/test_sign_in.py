"""Signing in at a real PDS, proved by a client that gets a grant by it and writes."""

import asyncio
from urllib.parse import quote

import pytest

from tests.network import records
from tests.network.network import Network
from tests.network.oauth_client import REDIRECT, OAuthClient, said
from tests.network.pds import User
from tests.network.permission_set import SCOPE, publish_permission_set, withdraw_permission_set
from tests.network.sign_in import SignInRefused, consent, deny
from tests.network.xrpc import XrpcError

LIKE = {"subject": {"uri": "at://did:plc:a/fm.plyr.track/b", "cid": "bafyreib"}, "createdAt": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize("number", [0, 1])
async def test_a_code_that_is_good_for_a_grant(network: Network, number: int) -> None:
    user = await network.create_account("signer", pds=network.pds[number])
    client = OAuthClient(network.session, user.pds, "atproto repo:fm.plyr.like blob:audio/*")
    callback = await consent(network.session, await client.authorize_url(), user)
    assert callback.startswith(f"{REDIRECT}?")
    answer = said(callback)
    assert answer.keys() == {"code", "state", "iss"}
    assert (answer["state"], answer["iss"]) == (client.state, user.pds.url)
    granted = await client.finish(callback)
    assert (granted["sub"], granted["token_type"]) == (user.did, "DPoP")
    assert set(granted["scope"].split()) == set(client.scope.split())
    written = await client.put_record(records.LIKE, "3l2wryxkduc2a", LIKE)
    assert written["uri"] == f"at://{user.did}/fm.plyr.like/3l2wryxkduc2a"
    with pytest.raises(XrpcError, match="ScopeMissing"):
        await client.put_record(records.TRACK, "3l2wryxkduc2a", records.track())
    assert (await client.finish(callback))["error"] == "invalid_grant"


async def test_two_who_sign_in_at_one_pds_at_once(network: Network) -> None:
    """No cookie of one visit is in another, or the PDS would take both for one browser."""

    async def sign_in(user: User) -> str:
        client = OAuthClient(network.session, user.pds, "atproto")
        granted = await client.finish(await consent(network.session, await client.authorize_url(), user))
        return str(granted["sub"])

    users = [await network.create_account("signer") for _ in range(3)]
    assert await asyncio.gather(*map(sign_in, users)) == [user.did for user in users]


async def test_a_refusal(network: Network) -> None:
    client = OAuthClient(network.session, network.pds[0], "atproto")
    answer = said(await deny(network.session, await client.authorize_url()))
    assert (answer["error"], answer["state"], answer["iss"]) == ("access_denied", client.state, client.pds.url)
    assert "code" not in answer


async def test_a_wrong_password_and_a_page_that_is_none(network: Network) -> None:
    user = await network.create_account("signer")
    client = OAuthClient(network.session, user.pds, "atproto")
    with pytest.raises(SignInRefused, match=r"sign-in: 4\d\d"):
        await consent(network.session, await client.authorize_url(), user, "not this one")
    nowhere = f"{user.pds.url}/oauth/authorize?client_id={quote(client.id, '')}&request_uri=urn%3Anone"
    with pytest.raises(SignInRefused, match="authorize: 400"):
        await consent(network.session, nowhere, user)


async def test_the_permission_set_is_there_while_it_is_published(network: Network) -> None:
    user = await network.create_account("signer")
    client = OAuthClient(network.session, user.pds, f"atproto {SCOPE} blob:audio/*")

    async def refused() -> str | None:
        return (await client.push()).get("error")

    await withdraw_permission_set(network)
    assert await refused() == "invalid_scope"
    await publish_permission_set(network)
    granted = await client.finish(await consent(network.session, await client.authorize_url(), user))
    assert "collection=fm.plyr.like" in granted["scope"]
    assert "include:" not in granted["scope"]
    await withdraw_permission_set(network)
    assert await refused() == "invalid_scope"
