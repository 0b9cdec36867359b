"""Who calls, as the application finds out: real tokens of both curves, a directory, the index, and a Redis."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from prometheus_client import CollectorRegistry

from appview.db import Connection
from appview.embedded.redis import redis
from appview.keys import Curve
from appview.net.did_document import parse_document
from tests.appview.accounts.tokens import Issuer
from tests.appview.net.servers import Page, Site, raw_server, site
from tests.appview.net.test_http_hostile import slowly
from tests.index_writer import IndexWriter
from tests.xrpc.client import Client, config, running, strict_client
from tests.xrpc.samples import METHODS, catalog
from tests.xrpc.viewer import SERVICE_DID, Viewer, store
from xrpc.app import create_app
from xrpc.dispatch import MOST_AT_ONCE
from xrpc.errors import Unauthenticated, Unavailable
from xrpc.service_auth import MAX_WAITING, MAX_WAITING_EACH, ServiceAuth

ALICE = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
BOB = "did:web:bob.test"
WHO = "/xrpc/fm.plyr.test.who?actor=a.test"
NOWHERE = "redis://127.0.0.1:1"
OLD = 3600.0
"""Seconds; a document that old is asked for again when a token does not verify."""


class World:
    """Processes of ours on one database, and a directory."""

    def __init__(self, database_url: str, hosts: Site) -> None:
        self._database_url = database_url
        self._hosts = hosts
        self._origin = f"127.0.0.1:{hosts.port}"

    def process(self, **settings: str) -> AbstractAsyncContextManager[Client]:
        """A web process."""
        here = config(
            self._database_url,
            PLYR_PLC_URL=f"http://{self._origin}",
            PLYR_RESOLVE=f"*.test={self._origin}",
            **settings,
        )
        return running(create_app(here, methods=METHODS, catalog=catalog(), validate_output=True))

    def publish(self, said: Issuer | Page, did: str = ALICE) -> None:
        """What the directory answers for `did`, in other words for an account of ours."""
        page: Page = orjson.dumps(said.document()) if isinstance(said, Issuer) else said
        self._hosts.pages[self._origin, f"/{did}"] = page

    @property
    def asked(self) -> int:
        """How often the directory was asked for anybody."""
        return len(self._hosts.asked)


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with site() as hosts:
        yield World(database_url, hosts)


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    """One process, without Redis."""
    async with world.process() as client:
        yield client


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="plyr-") as folder, redis(Path(folder)) as url:
        yield url


def refusal(answer: httpx.Response) -> str:
    """The name of the error, which is that of a 401 as it must be."""
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), answer.text
    assert answer.json()["message"]
    return str(answer.json()["error"])


async def said(client: Client, auth: httpx.Auth | None = None) -> Any:
    """Whom the process takes the caller for; or the name of the error."""
    answer = await client.get(WHO, auth=auth)
    return answer.json()["said"]["viewer"] if answer.status_code == 200 else refusal(answer)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def token(issuer: Issuer, **claims: Any) -> dict[str, str]:
    """The header with a token of `issuer` for WHO."""
    return bearer(issuer.token(SERVICE_DID, "fm.plyr.test.who", time.time(), **claims))


@pytest.mark.parametrize("curve", ["p256", "k256"])
@pytest.mark.parametrize("audience", [SERVICE_DID, f"{SERVICE_DID}#plyr_appview"])
async def test_a_token_makes_a_viewer(
    world: World, client: Client, connection: Connection, curve: Curve, audience: str
) -> None:
    issuer = Issuer(BOB, curve)
    await store(connection, issuer)
    viewer = Viewer(issuer, audience)
    assert await said(client, viewer) == BOB
    assert (await client.signed_in(viewer).ask("test.mine"))["said"] == {"viewer": BOB}
    assert world.asked == 0, "what the index has is not looked up"


async def test_a_token_for_the_generator_is_good_for_what_generators_do(
    database_url: str, connection: Connection
) -> None:
    viewer = await Viewer.of(connection, ALICE)
    viewer.audience = f"{SERVICE_DID}#plyr_fg"
    async with strict_client(database_url) as client:
        described = await client.get("/xrpc/fm.plyr.feed.describeFeedGenerator", auth=viewer)
        assert described.status_code == 200
        assert refusal(await client.get("/xrpc/fm.plyr.server.getStats", auth=viewer)) == "BadJwtAudience"


async def test_answers_say_whom_they_are_for(client: Client, connection: Connection) -> None:
    anonymous = await client.get(WHO)
    assert "Authorization" in anonymous.headers["vary"]
    assert "atproto-repo-rev" not in anonymous.headers
    viewer = await Viewer.of(connection, ALICE)
    answer = await client.get(WHO, auth=viewer)
    assert "Authorization" in answer.headers["vary"]
    assert answer.headers["cache-control"].startswith("private")
    assert "atproto-repo-rev" not in answer.headers, "nothing of that repository is indexed"
    await IndexWriter(connection).account(ALICE)
    rev = await connection.fetchval("select rev from repos where did = $1", ALICE)
    answer = await client.get(WHO, auth=viewer)
    assert answer.headers["atproto-repo-rev"] == rev
    assert "atproto-repo-rev" in answer.headers["access-control-expose-headers"]
    assert (await client.head(WHO, auth=viewer)).headers["atproto-repo-rev"] == rev


async def test_what_wants_a_caller_says_so(client: Client) -> None:
    assert refusal(await client.get("/xrpc/fm.plyr.test.mine")) == "AuthMissing"
    assert await said(client) is None


@pytest.mark.parametrize(
    ("header", "claims", "name"),
    [
        ({"alg": "none"}, {}, "BadJwt"),
        ({"typ": "at+jwt"}, {}, "BadJwtType"),
        ({}, {"aud": "did:web:other.test"}, "BadJwtAudience"),
        ({}, {"lxm": "fm.plyr.test.mine"}, "BadJwtLexiconMethod"),
        ({}, {"exp": 1}, "JwtExpired"),
        ({}, {"iss": "alice.test"}, "BadJwtIss"),
        ({}, {"iss": "did:web:nobody.test"}, "BadJwtIss"),
        ({}, {"iss": "did:plc:ewvi7nxzyoun6zhxrhs64oiy"}, "BadJwtIss"),
        ({}, {"jti": ""}, "BadJwt"),
    ],
    ids=str,
)
async def test_a_bad_token_is_refused_where_none_is_needed_too(
    client: Client, connection: Connection, header: dict[str, str], claims: dict[str, Any], name: str
) -> None:
    issuer = Issuer(ALICE)
    await store(connection, issuer)
    bad = issuer.token(SERVICE_DID, "fm.plyr.test.who", time.time(), header=header, **claims)
    assert refusal(await client.get(WHO, headers=bearer(bad))) == name


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic YTpi", "DPoP a.b.c", "a.b.c", "Bearera.b.c"])
async def test_other_schemes_are_refused(client: Client, value: str) -> None:
    assert refusal(await client.get(WHO, headers={"Authorization": value})) == "MissingJwt"


@pytest.mark.parametrize(
    "value", ["Bearer a", "Bearer a.b.c", "bearer  a.b.c", "Bearer " + "a" * 20_000, "Bearer \xe9"]
)
async def test_what_is_no_token_is_refused(client: Client, value: str) -> None:
    assert refusal(await client.get(WHO, headers=[(b"Authorization", value.encode("latin-1"))])) == "BadJwt"


async def test_two_tokens_are_none(client: Client, connection: Connection) -> None:
    issuer = Issuer(ALICE)
    await store(connection, issuer)
    twice = [*token(issuer).items(), *token(issuer).items()]
    assert refusal(await client.get(WHO, headers=twice)) == "MissingJwt"


async def test_parameters_are_looked_at_before_the_caller_and_the_method_before_all(client: Client) -> None:
    assert (await client.get("/xrpc/fm.plyr.test.who", headers=bearer("x"))).status_code == 400
    assert (await client.get("/xrpc/fm.plyr.test.nothing", headers=bearer("x"))).status_code == 501
    assert (await client.post(WHO, headers=bearer("x"))).status_code == 405
    assert refusal(await client.request("GET", WHO, headers=bearer("x"), content=b"{}")) == "BadJwt"
    assert (await client.options(WHO, headers=bearer("x"))).status_code == 204


async def test_who_is_hidden_here_is_no_viewer(client: Client, connection: Connection) -> None:
    writer = IndexWriter(connection)
    viewer = await Viewer.of(connection, await writer.account(ALICE))
    for status, name in [
        ("deactivated", "AccountDeactivated"),
        ("deleted", "AccountDeactivated"),
        (None, "AccountDeactivated"),
        ("suspended", "AccountTakedown"),
        ("takendown", "AccountTakedown"),
    ]:
        await writer.set_status(ALICE, active=False, status=status)
        assert await said(client, viewer) == name
    await writer.set_status(ALICE, active=True, status="throttled")
    assert await said(client, viewer) == ALICE
    await writer.set_taken_down(ALICE, True)
    assert await said(client, viewer) == "AccountTakedown"


async def test_a_token_is_good_for_one_call(world: World, client: Client, connection: Connection) -> None:
    issuer = Issuer(ALICE)
    await store(connection, issuer)
    world.publish(issuer)
    once = token(issuer, jti="1")
    forged = token(Issuer(ALICE, secret=7), jti="1")
    assert refusal(await client.get(WHO, headers=forged)) == "BadJwtSignature"
    answers = await asyncio.gather(*[client.get(WHO, headers=once) for _ in range(5)])
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401, 401]
    assert refusal(await client.get(WHO, headers=token(issuer, jti="1"))) == "BadJwt"
    assert (await client.get(WHO, headers=token(issuer, jti="2"))).status_code == 200


async def test_a_token_used_in_one_process_is_used_in_all(world: World, connection: Connection, redis_url: str) -> None:
    issuer = Issuer(ALICE)
    await store(connection, issuer)
    async with world.process(PLYR_REDIS_URL=redis_url) as one, world.process(PLYR_REDIS_URL=redis_url) as another:
        once = token(issuer)
        answers = await asyncio.gather(*[client.get(WHO, headers=once) for client in (one, another) * 5])
        assert sorted(answer.status_code for answer in answers) == [200] + [401] * 9
        assert await said(another, Viewer(issuer)) == ALICE


async def test_without_redis_a_process_knows_its_own(world: World, connection: Connection) -> None:
    issuer = Issuer(ALICE)
    await store(connection, issuer)
    async with world.process(PLYR_REDIS_URL=NOWHERE) as client:
        once = token(issuer)
        assert (await client.get(WHO, headers=once)).status_code == 200
        assert refusal(await client.get(WHO, headers=once)) == "BadJwt"
        assert (await client.get(WHO, headers=token(issuer))).status_code == 200
        assert "plyr_replay_redis_failures_total 2.0" in (await client.get("/metrics")).text


async def test_an_unknown_issuer_is_looked_up_once(world: World, client: Client) -> None:
    issuer = Issuer(ALICE)
    world.publish(issuer)
    answers = await asyncio.gather(*[client.get(WHO, auth=Viewer(issuer)) for _ in range(5)])
    assert {answer.json()["said"]["viewer"] for answer in answers} == {ALICE}
    assert world.asked == 1


async def test_a_forger_of_an_unknown_issuer_causes_no_second_question(world: World, client: Client) -> None:
    world.publish(Issuer(ALICE))
    assert await said(client, Viewer(Issuer(ALICE, secret=7))) == "BadJwtSignature"
    assert world.asked == 1
    assert [await said(client, Viewer(Issuer(ALICE, secret=7))) for _ in range(3)] == ["BadJwtSignature"] * 3
    assert world.asked == 2, "once in a minute, whether it has changed"


async def test_a_key_that_has_changed_is_fetched_once(world: World, client: Client, connection: Connection) -> None:
    await store(connection, Issuer(ALICE, "p256"), age=OLD)
    rotated = Issuer(ALICE, "k256")
    world.publish(rotated)
    assert await said(client, Viewer(rotated)) == ALICE
    assert await said(client, Viewer(rotated)) == ALICE, "the newer document is remembered"
    assert world.asked == 1
    assert await said(client, Viewer(Issuer(ALICE, "p256"))) == "BadJwtSignature", "the older key is none any more"
    assert await said(client, Viewer(Issuer(ALICE, "k256", secret=7))) == "BadJwtSignature"
    assert world.asked == 1
    await store(connection, Issuer(ALICE, "k256", secret=7), age=-1)
    assert await said(client, Viewer(Issuer(ALICE, "k256", secret=7))) == ALICE, "the ingester knows better"
    assert world.asked == 1


async def test_an_older_key_of_an_indexed_account_is_none_once_the_ingester_heard_of_a_change(
    world: World, client: Client, connection: Connection
) -> None:
    await IndexWriter(connection).account(ALICE)
    older, rotated = Issuer(ALICE), Issuer(ALICE, secret=7)
    # Looked up an hour ago, before it was indexed; and its document was taken out of the index a moment ago.
    identities = client.app.state.network.identities
    identities._documents.put(ALICE, parse_document(ALICE, older.document(), dev=True), time.time() - 3_000)
    world.publish(rotated)
    assert await said(client, Viewer(older)) == "BadJwtSignature"
    assert await said(client, Viewer(rotated)) == ALICE
    assert world.asked <= 2


async def test_forgers_cause_one_question_in_a_minute(world: World, client: Client, connection: Connection) -> None:
    issuer = Issuer(ALICE)
    await store(connection, issuer, age=OLD)
    world.publish(issuer)
    forger = Viewer(Issuer(ALICE, secret=7))
    assert [await said(client, forger) for _ in range(5)] == ["BadJwtSignature"] * 5
    assert world.asked == 1
    assert await said(client, Viewer(issuer)) == ALICE


async def test_a_document_without_a_key_verifies_nothing(world: World, client: Client) -> None:
    world.publish(orjson.dumps({"id": ALICE}))
    assert await said(client, Viewer(Issuer(ALICE))) == "BadJwtSignature"


async def test_a_directory_that_is_down_is_nobodys_fault(world: World, client: Client, connection: Connection) -> None:
    world.publish(500)
    answer = await client.get(WHO, auth=Viewer(Issuer(ALICE)))
    assert (answer.status_code, answer.json()["error"]) == (503, "NotEnoughResources")
    assert answer.headers["retry-after"]
    assert "key" in answer.json()["message"]
    await store(connection, Issuer(ALICE), age=OLD)
    assert await said(client, Viewer(Issuer(ALICE))) == ALICE, "what is known needs no directory"
    rotated = await client.get(WHO, auth=Viewer(Issuer(ALICE, secret=7)))
    assert rotated.status_code == 503, "whether the key is another by now, nobody can say"


async def test_a_document_that_is_too_old_is_not_believed(world: World, client: Client, connection: Connection) -> None:
    await store(connection, Issuer(ALICE), age=90_000)
    world.publish(Issuer(ALICE, secret=7))
    assert await said(client, Viewer(Issuer(ALICE))) == "BadJwtSignature"
    assert await said(client, Viewer(Issuer(ALICE, secret=7))) == ALICE
    assert world.asked == 1


async def test_invented_issuers_are_not_all_looked_up(world: World, client: Client) -> None:
    state = client.app.state
    auth = ServiceAuth(state.config, state.pool, state.network.identities, CollectorRegistry(), max_questions=2)

    async def who(issuer: Issuer) -> str:
        text = issuer.token(SERVICE_DID, "fm.plyr.test.who", time.time())
        return (await auth.caller(text, "fm.plyr.test.who")).did

    for number in (1, 2):
        with pytest.raises(Unauthenticated):
            await who(Issuer(f"did:web:nobody-{number}.test"))
    with pytest.raises(Unavailable):
        await who(Issuer("did:web:nobody-3.test"))
    world.publish(Issuer(ALICE))
    assert await who(Issuer(ALICE)) == ALICE, "those of the directory are counted apart"
    for _ in range(3):
        assert await who(Issuer(ALICE)) == ALICE, "and who is remembered is not counted at all"


@pytest.mark.parametrize(("hosts", "waiting"), [(1, MAX_WAITING_EACH), (6, MAX_WAITING)])
async def test_issuers_whose_hosts_are_silent_hold_up_nobody(
    world: World, client: Client, hosts: int, waiting: int
) -> None:
    world.publish(Issuer(ALICE))
    async with AsyncExitStack() as servers:
        ports = [(await servers.enter_async_context(raw_server(slowly()))).port for _ in range(hosts)]
        forgers = [Issuer(f"did:web:localhost%3A{port}") for port in ports]
        asked = [asyncio.create_task(client.get(WHO, headers=token(forgers[n % hosts]))) for n in range(MOST_AT_ONCE)]
        await until_waiting(asked, waiting)
        assert await said(client) is None
        assert await said(client, Viewer(Issuer(ALICE))) == ALICE, "those of the directory are counted apart"
    assert {answer.json()["error"] for answer in await asyncio.gather(*asked)} == {"NotEnoughResources"}
    assert refusal(await client.get(WHO, headers=token(Issuer("did:web:nobody.test")))) == "BadJwtIss", "all have left"


async def test_a_silent_directory_holds_up_nobody(world: World, client: Client, connection: Connection) -> None:
    answers = asyncio.Event()

    async def silent() -> int:
        await answers.wait()
        return 500

    known, dids = Issuer(BOB), [f"did:plc:{letter * 24}" for letter in "abcdefghijklmnopqrstuvwxyz234567"]
    await store(connection, known, age=OLD)
    for did in dids:
        world.publish(silent, did)
    for did in dids[::2]:
        await store(connection, Issuer(did), age=OLD)
    forged = [token(Issuer(did, secret=7)) for did in dids]
    more = [token(Issuer(did)) for did in dids[1::2]]
    asked = [asyncio.create_task(client.get(WHO, headers=headers)) for headers in forged + more]
    await until_waiting(asked, MAX_WAITING)
    assert await said(client, Viewer(known)) == BOB
    assert await said(client, Viewer(Issuer(dids[0]))) == dids[0], "what is known needs no directory"
    answers.set()
    assert {answer.status_code for answer in await asyncio.gather(*asked)} == {503}


async def until_waiting(asked: Sequence[asyncio.Task[httpx.Response]], count: int) -> None:
    """Return when all have their answer but for `count`, while these wait."""
    async with asyncio.timeout(2):
        while sum(task.done() for task in asked) < len(asked) - count:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert sum(not task.done() for task in asked) == count


async def test_without_a_database_nobody_is_a_viewer() -> None:
    app = create_app(config("postgresql://127.0.0.1:1/nowhere"), methods=METHODS, catalog=catalog())
    async with running(app) as client:
        assert (await client.get(WHO, headers=token(Issuer(ALICE)))).status_code == 503
        assert await said(client) is None
