"""What thieves and liars get: nothing. A system as the world knows it, by https, and accounts of a real PDS."""

import base64
import hashlib
import secrets as randomness
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from appview import db
from tests.chromium import needs_chromium
from tests.database import Server
from tests.network import records
from tests.network.launch import Addresses
from tests.network.network import Network
from tests.network.oauth_client import OAuthClient, said
from tests.network.pds import User
from tests.network.repo import Written
from tests.network.sign_in import consent
from tests.system.browser import Visitor, chromium
from tests.system.foreign import Form, foreign_site
from tests.system.leaks import Secrets
from tests.system.pages import visiting
from tests.system.places import Place, place
from tests.system.stage import Stage, staged
from tests.system.tls import https

HOST: Final = "theft.plyr-test.net"
STRANGERS: Final = ("evil.plyr-test.net", "evil-test.net")
"""One that browsers take for the same site as ours, and one that has nothing to do with us."""
COOKIE: Final = "__Host-plyr"
LIKE_TRACK: Final = "fm.plyr.feed.likeTrack"


@pytest.fixture(scope="module")
def here(network_addresses: Addresses, database_server: Server) -> Iterator[Place]:
    """One system for all tests here."""
    with place(network_addresses, database_server, HOST) as here:
        yield here


@pytest.fixture
async def stage(here: Place, network: Network) -> AsyncIterator[Stage]:
    async with staged(here.system, network) as stage:
        yield stage


@pytest.fixture
async def reached(here: Place, network: Network) -> AsyncIterator[dict[str, int]]:
    async with here.reached(network) as hosts:
        yield hosts


@pytest.fixture
async def song(stage: Stage) -> Written:
    artist = await stage.network.create_account("artist")
    written = await artist.create_record(records.TRACK, records.track())
    await stage.settle()
    return written


async def likes_of(user: User) -> list[str]:
    """What their repo holds."""
    found = await user.query("com.atproto.repo.listRecords", repo=user.did, collection=records.LIKE)
    return [record["uri"] for record in found["records"]]


# --- another origin ---


@needs_chromium
@pytest.mark.parametrize("stranger", STRANGERS)
async def test_another_origin_has_a_browser_write_nothing(
    here: Place, stage: Stage, reached: dict[str, int], song: Written, stranger: str
) -> None:
    fan, forms = await stage.network.create_account("fan"), list[Form]()
    async with (
        foreign_site(forms) as port,
        https(port, stranger) as theirs,
        chromium({**reached, stranger: theirs}) as browser,
        Visitor.at(browser, here.origin, Secrets()) as visitor,
    ):
        await visitor.sign_in(fan)
        before = await everything_private(here)
        await run_scripts(visitor, stranger, song, fan)
        forms += forms_against(here.origin, song, fan)
        for number, form in enumerate(forms):
            async with visitor.page.expect_response(form.action) as sent:
                await visitor.page.goto(f"https://{stranger}/form/{number}")
            assert (await sent.value).status in (401, 403), form
        assert await likes_of(fan) == []
        assert await everything_private(here) == before
        # The same browser, asked by a page of ours, writes.
        liked = await visitor.call("feed.likeTrack", subject=song.uri)
        assert await likes_of(fan) == [liked["uri"]]


async def run_scripts(visitor: Visitor, stranger: str, song: Written, fan: User) -> None:
    """All that scripts can try; none may read an answer that is for the one who is signed in."""
    create = {"repo": fan.did, "collection": records.LIKE, "record": records.like(song)}
    calls = [[LIKE_TRACK, {"subject": song.uri}], ["com.atproto.repo.createRecord", create]]
    await visitor.page.goto(f"https://{stranger}/")
    assert await visitor.page.evaluate("([origin, calls]) => attempts(origin, calls)", [visitor.origin, calls]) == []
    # Nor can it have them press a button of ours under something of its own.
    await visitor.page.set_content(f'<iframe src="{visitor.origin}/account"></iframe>')
    frame = visitor.page.frames[-1]
    await frame.wait_for_url("chrome-error://**")
    # A link that names an account is no reason to go on to that account's server.
    link = f"{visitor.origin}/oauth/login?handle={fan.handle}"
    await visitor.page.goto(f"https://{stranger}/")
    await visitor.page.evaluate("url => { location.href = url; }", link)
    await visitor.page.get_by_label("Your handle").wait_for()
    assert visitor.page.url == link


def forms_against(origin: str, song: Written, fan: User) -> list[Form]:
    """Forms for all that a form of ours does, and for a procedure as text that is JSON."""
    of_pages: list[tuple[str, Mapping[str, str]]] = [
        ("/oauth/login", {"account": "mallory.test"}),
        ("/oauth/logout", {}),
        ("/oauth/logout", {"did": fan.did}),
        ("/account/switch", {"did": fan.did}),
        ("/account/end", {"did": fan.did}),
        ("/account/tokens", {"name": "theirs", "days": "30"}),
        ("/account/tokens/revoke", {"id": "1"}),
        ("/account/export", {}),
        ("/account/delete", {"did": fan.did, "confirmation": fan.handle}),
    ]
    made = [Form(f"{origin}{path}", {**fields, "form": "0" * 64}) for path, fields in of_pages]
    made += [Form(f"{origin}/oauth/logout", {"form": guess}) for guess in ("", hashlib.sha256(b"").hexdigest())]
    return [*made, Form.of_json(f"{origin}/xrpc/{LIKE_TRACK}", {"subject": song.uri})]


async def everything_private(here: Place) -> dict[str, list[str]]:
    """The rows that say who is signed in and what for, but for when they were last looked at."""
    connection = await db.connect(here.system.database_url)
    try:
        found = {}
        for table, columns in {
            "browsers": "id, cookie",
            "browser_accounts": "browser, did, grant_id, chosen_at",
            "grants": "id, did, kind, state, sealed",
            "developer_tokens": "id, digest, did, grant_id, name",
        }.items():
            rows = await connection.fetch(f"select {columns} from {table} order by 1, 2")
            found[table] = [repr(tuple(row)) for row in rows]
        return found
    finally:
        await connection.close()


# --- the database ---


async def test_what_the_database_holds_opens_nothing(
    here: Place, stage: Stage, reached: dict[str, int], song: Written
) -> None:
    fan = await stage.network.create_account("fan")
    async with visiting(here.origin, reached) as pages:
        await pages.sign_in(fan)
        token = await pages.developer_token(fan)
        cookie = pages.cookie(COOKIE)
        connection = await db.connect(here.system.database_url)
        held: list[bytes] = [
            *(row["cookie"] for row in await connection.fetch("select cookie from browsers")),
            *(row["digest"] for row in await connection.fetch("select digest from developer_tokens")),
            *(
                row["sealed"][:32]
                for row in await connection.fetch("select sealed from grants where sealed is not null")
            ),
        ]
        await connection.close()
    assert hashlib.sha256(cookie.encode()).digest() in held, "it is kept, and not as it is"
    assert await status(stage, reached, song, cookie=cookie) == 200
    assert await status(stage, reached, song, token=token) == 200
    for one in held:
        for text in (base64.urlsafe_b64encode(one).rstrip(b"=").decode(), one.hex(), one.hex()[:43]):
            assert await status(stage, reached, song, cookie=text) == 401
            assert await status(stage, reached, song, token=text) == 401
            assert await status(stage, reached, song, token=f"plyr_{text}") == 401
    assert len(await likes_of(fan)) == 1


async def test_the_cookie_is_another_after_each_sign_in(
    here: Place, stage: Stage, reached: dict[str, int], song: Written
) -> None:
    fan, other = [await stage.network.create_account("fan") for _ in range(2)]
    async with visiting(here.origin, reached) as pages:
        await pages.sign_in(fan)
        first = pages.cookie(COOKIE)
        await pages.sign_in(other)
        second = pages.cookie(COOKIE)
        assert await status(stage, reached, song, cookie=first) == 401
        assert await status(stage, reached, song, cookie=second) == 200
        assert (await likes_of(fan), len(await likes_of(other))) == ([], 1)


async def status(
    stage: Stage, reached: dict[str, int], song: Written, *, cookie: str | None = None, token: str | None = None
) -> int:
    """What a like is answered with, by a cookie as a page of ours sends it, or by a token."""
    origin = f"https://{HOST}"
    headers = {"Cookie": f"{COOKIE}={cookie}", "Origin": origin, "Sec-Fetch-Site": "same-origin"} if cookie else {}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        visiting(origin, reached) as pages,
        pages.session.post(f"{origin}/xrpc/{LIKE_TRACK}", json={"subject": song.uri}, headers=headers) as answer,
    ):
        return answer.status


# --- signing in ---


async def test_a_way_back_is_for_the_browser_that_began(here: Place, stage: Stage, reached: dict[str, int]) -> None:
    fan, mallory = [await stage.network.create_account(name) for name in ("fan", "mallory")]
    async with visiting(here.origin, reached) as theirs, visiting(here.origin, reached) as thief:
        # A stolen way back: not for the thief, whether or not they have begun something of their own. What has been
        # in strange hands is good for nobody.
        for begun in (False, True):
            back = await consent(theirs.session, await theirs.begin(fan), fan)
            if begun:
                await thief.begin(mallory)
            assert await thief.status(back) == 400
            assert await theirs.status(back) == 400
            assert await thief.who() == await theirs.who() == []
        # One's own way back, given to somebody else: nobody is signed in by another's doing.
        own = await consent(thief.session, await thief.begin(mallory), mallory)
        assert await theirs.status(own) == 400
        assert await theirs.who() == []
        # Whom it is for is signed in by it, once.
        back = await consent(theirs.session, await theirs.begin(fan), fan)
        assert await theirs.status(back) == 200
        assert await theirs.status(back) == 400
        assert await theirs.who() == [fan.did]


async def test_a_stolen_code_is_good_for_nothing(here: Place, stage: Stage, reached: dict[str, int]) -> None:
    fan, mallory = [await stage.network.create_account(name) for name in ("fan", "mallory")]
    async with visiting(here.origin, reached) as theirs, visiting(here.origin, reached) as thief:
        back = await consent(theirs.session, await theirs.begin(fan), fan)
        # In a way back of the thief's own: the code was asked for with another verifier, and another key.
        own = await consent(thief.session, await thief.begin(mallory), mallory)
        assert await thief.status(own.replace(said(own)["code"], said(back)["code"])) == 502
        assert await thief.who() == []
        # At the server that gave it, in the name of another client.
        back = await consent(theirs.session, await theirs.begin(fan), fan)
        client = OAuthClient(stage.network.session, fan.pds, "atproto")
        assert (await client.finish(back))["error"] == "invalid_grant"


async def test_a_way_back_that_lies(here: Place, stage: Stage, reached: dict[str, int]) -> None:
    fan = await stage.network.create_account("fan")
    async with visiting(here.origin, reached) as pages:
        for change in (
            {"iss": "https://evil-test.net"},
            {"iss": stage.network.pds[1].url},
            {"iss": None},
            {"state": randomness.token_urlsafe(32)},
            {"state": None},
            {"code": None},
        ):
            back = await consent(pages.session, await pages.begin(fan), fan)
            params = {name: text for name, text in {**said(back), **change}.items() if text is not None}
            status, page = await pages.answer(urlsplit(back)._replace(query=urlencode(params)).geturl())
            assert status in (400, 502), change
            assert await pages.who() == [], change
            secrets = Secrets()
            secrets.add_of_url(back)
            assert secrets.found_in({"the page": page}) == [], change


async def test_nobody_else_is_our_client(here: Place, stage: Stage, reached: dict[str, int]) -> None:
    fan = await stage.network.create_account("fan")
    async with visiting(here.origin, reached) as pages:
        leads_to = await pages.begin(fan)
    ours = parse_qs(urlsplit(leads_to).query)["client_id"][0]
    assert ours == f"{here.origin}/oauth/client-metadata.json"
    callback = f"{here.origin}/oauth/callback"
    for redirect in (callback, "https://evil-test.net/callback", f"{callback}/../x", "http://127.0.0.1:8099/callback"):
        liar = OAuthClient(stage.network.session, fan.pds, "atproto", client_id=ours, redirect=redirect)
        assert (await liar.push())["error"] in {"invalid_client", "invalid_request", "invalid_redirect_uri"}
