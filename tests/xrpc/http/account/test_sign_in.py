"""Signing in by the pages, at real PDSes: the whole way, and everybody who is not to get in by it."""

from collections.abc import AsyncIterator
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from starlette.applications import Starlette

from appview.db import Connection
from tests.network.network import Network
from tests.network.sign_in import consent, deny
from tests.xrpc.http.account.visitor import BY_HAND, ELSEWHERE, Visitor, application, form, forms
from xrpc.http.account.visit import path_of


@pytest.fixture
async def app(database_url: str, network: Network) -> AsyncIterator[Starlette]:
    async with application(database_url, network) as app:
        yield app


@pytest.fixture
async def visitor(app: Starlette) -> AsyncIterator[Visitor]:
    async with Visitor(app) as visitor:
        yield visitor


async def states(connection: Connection) -> list[tuple[str, str]]:
    """Kind and state of every grant, in order."""
    return [(row["kind"], row["state"]) for row in await connection.fetch("select * from grants order by id")]


async def test_from_a_handle_to_the_account_and_out_again(
    visitor: Visitor, network: Network, connection: Connection
) -> None:
    user = await network.create_account("listener")
    back = await visitor.sign_in(network, user)
    assert (back.status_code, back.headers["location"]) == (303, "/account?note=signed-in")
    assert back.headers["cache-control"] == "no-store"
    said = next(text for text in back.headers.get_list("set-cookie") if text.startswith("plyr="))
    assert {part.strip().lower() for part in said.split(";")[1:]} >= {"httponly", "samesite=lax", "path=/"}

    page = await visitor.open("/account?note=signed-in")
    assert f"@{user.handle}" in page.text
    assert user.pds.url in page.text
    assert "Create, change and delete tracks, likes, comments, playlists and albums" in page.text
    assert "You are signed in." in page.text
    assert visitor.cookies["plyr"] not in page.text
    assert await states(connection) == [("session", "live")]
    assert await connection.fetchval("select count(*) from repos where did = $1", user.did) == 1

    out = await visitor.submit(form(page, "/oauth/logout", did=user.did))
    assert out.headers["location"] == "/oauth/login?note=signed-out"
    assert "plyr" not in visitor.cookies
    assert "You are signed out." in (await visitor.open("/oauth/login?note=signed-out")).text
    assert (await visitor.open("/account")).headers["location"].startswith("/oauth/login")
    assert await states(connection) == [("session", "ended")]


async def test_every_sign_in_makes_another_cookie(visitor: Visitor, network: Network, app: Starlette) -> None:
    alice, bob = [await network.create_account(name) for name in ("alice", "bob")]
    await visitor.sign_in(network, alice)
    before = visitor.cookies["plyr"]
    await visitor.sign_in(network, bob)
    assert visitor.cookies["plyr"] != before
    async with Visitor(app) as thief:
        thief.cookies.set("plyr", before)
        assert (await thief.open("/account")).status_code == 303


async def test_two_accounts_are_switched_and_signed_out_together(
    visitor: Visitor, network: Network, connection: Connection
) -> None:
    alice, bob = [await network.create_account(name) for name in ("alice", "bob")]
    await visitor.sign_in(network, alice)
    page = await visitor.open("/account")
    url = (await visitor.submit(form(page, "/oauth/login"), account=bob.handle)).headers["location"]
    await visitor.come_back(await consent(network.session, url, bob))
    assert f"Signed in as @{bob.handle}." in (await visitor.open("/account")).text

    switch = form(await visitor.open("/account"), "/account/switch")
    assert switch.fields["did"] == alice.did
    assert (await visitor.submit(switch)).headers["location"] == "/account"
    page = await visitor.open("/account")
    assert f"Signed in as @{alice.handle}." in page.text

    everybody = next(one for one in forms(page) if one.action == "/oauth/logout" and "did" not in one.fields)
    await visitor.submit(everybody)
    assert "plyr" not in visitor.cookies
    assert await states(connection) == [("session", "ended")] * 2


async def test_signing_in_again_ends_the_former_grant(
    visitor: Visitor, network: Network, connection: Connection
) -> None:
    user = await network.create_account("listener")
    await visitor.sign_in(network, user)
    await visitor.sign_in(network, user)
    assert [state for _, state in await states(connection)] == ["ending", "live"]


async def test_a_handle_in_the_address_begins_at_once(visitor: Visitor, network: Network) -> None:
    user = await network.create_account("listener")
    begun = await visitor.open(f"/oauth/login?handle=@{user.handle}&return_to=/docs?a=b")
    assert begun.status_code == 303
    assert begun.headers["location"].startswith(f"{user.pds.url}/oauth/authorize?")
    back = await visitor.come_back(await consent(network.session, begun.headers["location"], user))
    assert back.headers["location"] == "/docs?a=b"


async def test_a_page_elsewhere_begins_nothing(visitor: Visitor, network: Network, connection: Connection) -> None:
    """Or it could sign its readers in as somebody of its choice, who then sees what they do."""
    user = await network.create_account("mallory")
    for headers in (ELSEWHERE, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "none", "Sec-Purpose": "prefetch"}):
        page = await visitor.open(f"/oauth/login?handle={user.handle}", headers)
        assert form(page, "/oauth/login").fields["account"] == user.handle
        assert "Go on only if it is yours." in page.text
    assert (await visitor.head(f"/oauth/login?handle={user.handle}")).status_code == 200
    assert await connection.fetchval("select count(*) from oauth_requests") == 0


async def test_no_link_signs_a_browser_in_as_somebody_else(visitor: Visitor, network: Network) -> None:
    """Also where browsers say nothing of where it stood: in a mail, or in one that is old."""
    user, other = await network.create_account("listener"), await network.create_account("mallory")
    await visitor.sign_in(network, user)
    for headers in (BY_HAND, {}):
        page = await visitor.open(f"/oauth/login?handle={other.handle}", headers)
        assert form(page, "/oauth/login").fields["account"] == other.handle
    begun = await visitor.open(f"/oauth/login?handle={other.handle}", {"Sec-Fetch-Site": "same-origin"})
    assert begun.status_code == 303
    assert (await visitor.open(f"/oauth/login?handle={user.did}")).status_code == 303


async def test_the_way_back_is_for_the_browser_that_began_and_once(
    visitor: Visitor, network: Network, app: Starlette, connection: Connection
) -> None:
    user = await network.create_account("listener")
    callback = await consent(network.session, await visitor.to_server(user.handle), user)
    # One that looks ahead uses nothing up.
    assert (await visitor.head(callback)).status_code == 400
    back = await visitor.come_back(callback)
    assert back.status_code == 303
    again = await visitor.come_back(callback)
    assert (again.status_code, "This sign-in is over" in again.text) == (400, True)

    stolen = await consent(network.session, await visitor.to_server(user.handle), user)
    async with Visitor(app) as victim:
        await victim.open("/oauth/login")
        assert (await victim.come_back(stolen)).status_code == 400
        assert "plyr" not in victim.cookies
    # It was in strange hands: nobody gets in by it any more.
    assert (await visitor.come_back(stolen)).status_code == 400
    assert await states(connection) == [("session", "live")]


async def test_what_the_server_says_on_the_way_back_is_text(visitor: Visitor, network: Network) -> None:
    user = await network.create_account("listener")
    state = parse_qs(urlsplit(await _pushed(visitor, network, user.handle)).query)["state"][0]
    hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>" + "x" * 500
    query = f"error={quote(hostile)}&error_description={quote(hostile)}&iss={quote(user.pds.url, '')}&state={state}"
    page = await visitor.open(f"/oauth/callback?{query}", ELSEWHERE)
    assert page.status_code == 502
    assert "&lt;script&gt;" in page.text
    assert "<script" not in page.text
    assert "<img" not in page.text
    assert "x" * 250 not in page.text
    assert state not in page.text
    assert page.headers["x-request-id"] in page.text


async def _pushed(visitor: Visitor, network: Network, handle: str) -> str:
    """A callback for a sign-in that was begun, with its state: what a server has in hand."""
    return await deny(network.session, await visitor.to_server(handle))


async def test_a_refusal_is_no_error_of_ours(visitor: Visitor, network: Network, connection: Connection) -> None:
    user = await network.create_account("listener")
    page = await visitor.come_back(await _pushed(visitor, network, user.handle))
    assert (page.status_code, "You did not allow it" in page.text) == (403, True)
    assert await states(connection) == []


@pytest.mark.parametrize(
    "change", ["iss=http://127.0.0.1:1", "iss=", "code=of-nothing-at-all", "state=of-nobody-at-all"]
)
async def test_a_way_back_that_was_changed(
    visitor: Visitor, network: Network, connection: Connection, change: str
) -> None:
    user = await network.create_account("listener")
    callback = await consent(network.session, await visitor.to_server(user.handle), user)
    name, _, value = change.partition("=")
    query = {key: values[0] for key, values in parse_qs(urlsplit(callback).query).items()} | {name: value}
    page = await visitor.open("/oauth/callback?" + "&".join(f"{k}={quote(v, '')}" for k, v in query.items()), ELSEWHERE)
    assert page.status_code in (400, 502)
    assert query["state"] not in page.text
    assert query["code"] not in page.text
    assert "plyr" not in visitor.cookies
    assert await states(connection) == []


@pytest.mark.parametrize(
    "where",
    [
        "https://evil.example/", "//evil.example/", "/\\evil.example", "\\\\evil.example", "/\t/evil.example",
        "/\n/evil.example", "evil.example", "javascript:alert(1)", "/\x00", "", " /account", "///evil.example",
        "/ü", "/" + "x" * 600,
    ],
)  # fmt: skip
async def test_nobody_is_led_elsewhere_afterwards(where: str) -> None:
    assert path_of(where) is None


@pytest.mark.parametrize("where", ["/", "/account", "/docs?a=b&c=//d", "/a/b:c@d", "/%5C%5Cevil.example"])
async def test_paths_here_are_kept(where: str) -> None:
    assert path_of(where) == where


async def test_where_to_come_back_to_is_no_other_origin(visitor: Visitor, network: Network) -> None:
    user = await network.create_account("listener")
    back = await visitor.sign_in(network, user, return_to="https://evil.example/")
    assert back.headers["location"] == "/account?note=signed-in"


async def test_an_account_that_is_none_is_said_so(visitor: Visitor, network: Network) -> None:
    for typed in ("nobody-at-all.pds1.test", "<script>", "did:plc:" + "a" * 24, "http://127.0.0.1:1"):
        begin = form(await visitor.open("/oauth/login"), "/oauth/login")
        page = await visitor.submit(begin, account=typed)
        assert page.status_code in (400, 502), typed
        assert "<script" not in page.text
        assert "Try again" in page.text or "try again" in page.text
