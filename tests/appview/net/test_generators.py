"""Generators as they come: good ones, dead ones, and those that would take the server down."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import orjson
import pytest

from appview.net.circuits import FAILURES, PAUSE
from appview.net.errors import NetError
from appview.net.generators import (
    MAX_BYTES,
    SERVICE,
    Declined,
    DidNotAnswer,
    Generators,
    InvalidAnswer,
    NotAsked,
)
from appview.net.http import HttpClient
from tests.appview.net.servers import Script, http_answer, raw_server
from tests.appview.net.test_http_hostile import endless, slowly
from tests.appview.net.world import ALICE, BOB, World

METHOD = "fm.plyr.feed.getFeedSkeleton"
SECONDS = 0.4


class Place(NamedTuple):
    """Generators, a directory to find services in, and a clock for the circuits."""

    world: World
    generators: Generators
    outcomes: list[str]
    clock: list[float]

    def register(self, did: str, origin: str, *, fragment: str = SERVICE[0], kind: str = SERVICE[1]) -> None:
        service = {"id": fragment, "type": kind, "serviceEndpoint": origin}
        self.world.publish(did, orjson.dumps({"id": did, "service": [service]}))

    async def ask(self, did: str = ALICE, **parameters: str | int) -> Any:
        return await self.generators.ask(did, METHOD, {"limit": 9, **parameters}, lambda said: said)


@pytest.fixture
def place(world: World, dev: HttpClient) -> Place:
    outcomes: list[str] = []
    clock = [0.0]
    generators = Generators(
        dev,
        world.resolver,
        observe=lambda outcome, _: outcomes.append(outcome),
        clock=lambda: clock[0] + time.monotonic(),
        seconds=SECONDS,
    )
    return Place(world, generators, outcomes, clock)


@asynccontextmanager
async def served(place: Place, script: Script | bytes, did: str = ALICE) -> AsyncIterator[list[bytes]]:
    async with raw_server(script) as server:
        place.register(did, f"http://localhost:{server.port}")
        yield server.requests


async def test_it_is_found_and_asked(place: Place) -> None:
    async with served(place, http_answer(b'{"feed": []}')) as requests:
        assert await place.ask(cursor="a&b=c d+é") == {"feed": []}
        answer = await place.generators.ask(ALICE, METHOD, {}, lambda _: 7, headers={"Authorization": "Bearer x"})
    assert answer == 7
    first, second = requests
    assert first.startswith(f"GET /xrpc/{METHOD}?limit=9&cursor=a%26b%3Dc+d%2B%C3%A9 HTTP".encode())
    assert b"Authorization" not in first
    assert b"Authorization: Bearer x" in second
    assert place.outcomes == ["answered", "answered"]
    assert place.generators.is_online(ALICE)
    assert place.generators.is_valid(ALICE)


HUGE = b'{"feed": ["' + b"x" * MAX_BYTES + b'"]}'
SILENT: Mapping[str, Script | bytes] = {
    "nothing": slowly(),
    "half a head": slowly(b"HTTP/1.1 200 OK\r\n"),
    "dripping": slowly(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", *[b"x"] * 100),
    "breaks off": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
    "an error of its own": http_answer(b'{"error": "InternalServerError"}', status="500 Oops"),
    "a gateway's error": http_answer(b"<html>", status="502 Bad Gateway"),
    "too many requests, says a gateway": http_answer(b"", status="429 Slow down"),
}
INVALID: Mapping[str, Script | bytes] = {
    "no JSON": http_answer(b"<html>"),
    "not UTF-8": http_answer(b'{"feed": "\xff"}'),
    "a lone surrogate": http_answer(b'{"feed": "\\ud800"}'),
    "nothing at all": http_answer(b""),
    "huge": http_answer(HUGE),
    "endless": endless("Transfer-Encoding: chunked", b"400\r\n" + b"[" * 1024 + b"\r\n"),
    "nested": http_answer(b"[" * 100_000),
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "no such page": http_answer(b"<html>", status="404 Not Found"),
    "an error without a name": http_answer(b'{"error": 7}', status="400 Bad"),
    "a redirect to loopback": http_answer(b"", "Location: http://127.0.0.1:9/", status="302 Found"),
    "a redirect to metadata": http_answer(b"", "Location: http://169.254.169.254/", status="307 There"),
}


@pytest.mark.parametrize("name", SILENT)
async def test_no_answer(place: Place, name: str) -> None:
    began = time.monotonic()
    async with served(place, SILENT[name]) as requests:
        with pytest.raises(DidNotAnswer):
            await place.ask()
    assert len(requests) == 1
    assert time.monotonic() - began < 3 * SECONDS
    assert place.outcomes == ["silent"]
    assert place.generators.is_valid(ALICE)


@pytest.mark.parametrize("name", INVALID)
async def test_no_generator(place: Place, name: str) -> None:
    async with served(place, INVALID[name]) as requests:
        with pytest.raises(InvalidAnswer):
            await place.ask()
    assert len(requests) == 1
    assert place.outcomes == ["invalid"]
    assert not place.generators.is_valid(ALICE)


async def test_nobody_listens(place: Place) -> None:
    async with raw_server(b"") as server:
        pass
    place.register(ALICE, f"http://localhost:{server.port}")
    with pytest.raises(DidNotAnswer):
        await place.ask()


@pytest.mark.parametrize(
    ("did", "document"),
    [
        (ALICE, None),
        (ALICE, {"id": ALICE}),
        (ALICE, {"id": BOB}),
        (ALICE, {"id": ALICE, "service": [{"id": "#bsky_fg", "type": SERVICE[1], "serviceEndpoint": "https://a.b"}]}),
        (ALICE, {"id": ALICE, "service": [{"id": SERVICE[0], "type": "Other", "serviceEndpoint": "https://a.b"}]}),
        (ALICE, {"id": ALICE, "service": [{"id": SERVICE[0], "type": SERVICE[1], "serviceEndpoint": "ftp://a.b"}]}),
        (ALICE, {"id": ALICE, "service": [{"id": SERVICE[0], "type": SERVICE[1], "serviceEndpoint": "https://10.0.0.1"}]}),
        (ALICE, {"id": ALICE, "service": [{"id": SERVICE[0], "type": SERVICE[1], "serviceEndpoint": "https://db"}]}),
        ("did:key:zDnaembgSGUhZULN2Caob4HLJPaxBh92N7rtH21TErzqf8HQo", None),
        ("did:web:localhost%3A99999999", None),
    ],
)  # fmt: skip
async def test_a_did_that_names_no_generator(place: Place, did: str, document: object) -> None:
    if document is not None:
        place.world.publish(did, orjson.dumps(document))
    with pytest.raises(InvalidAnswer):
        await place.ask(did)
    assert not place.generators.is_valid(did)


async def test_a_directory_that_is_down_or_slow(place: Place) -> None:
    place.world.publish(ALICE, 503)
    with pytest.raises(DidNotAnswer):
        await place.ask()

    async def never() -> int:
        await asyncio.sleep(1)
        return 503

    place.world.publish(BOB, never)
    with pytest.raises(DidNotAnswer, match="in time"):
        await place.ask(BOB)


async def test_an_error_of_xrpc_is_an_answer(place: Place) -> None:
    body = b'{"error": "UnknownFeed", "message": "No such feed."}'
    async with served(place, http_answer(body, status="400 Bad Request")):
        for _ in range(2 * FAILURES):
            with pytest.raises(Declined) as declined:
                await place.ask()
    assert (declined.value.status, declined.value.name) == (400, "UnknownFeed")
    assert declined.value.message == "No such feed."
    assert set(place.outcomes) == {"declined"}
    assert place.generators.is_online(ALICE)


@pytest.mark.parametrize(("header", "pause"), [("Retry-After: 30", 30.0), ("Retry-After: soon", None)])
async def test_a_limit_of_its_own_is_no_fault(place: Place, header: str, pause: float | None) -> None:
    body = b'{"error": "RateLimitExceeded"}'
    async with served(place, http_answer(body, header, status="429 Slow down")):
        for _ in range(2 * FAILURES):
            with pytest.raises(Declined) as declined:
                await place.ask()
    assert (declined.value.status, declined.value.name, declined.value.retry_after) == (429, "RateLimitExceeded", pause)
    assert place.generators.is_online(ALICE)


@pytest.mark.parametrize("status", [400, 408, 414, 429, 499])
async def test_what_it_refuses_with_a_callers_cursor_is_no_fault(place: Place, status: int) -> None:
    async with served(place, http_answer(b"<html>", status=f"{status} No")):
        for _ in range(2 * FAILURES):
            with pytest.raises(Declined) as declined:
                await place.ask(cursor="nonsense")
        assert (declined.value.status, declined.value.name) == (status, f"{status}")
        assert place.generators.is_online(ALICE)
        assert place.generators.is_valid(ALICE)
        with pytest.raises((DidNotAnswer, InvalidAnswer)):
            await place.ask()


async def test_what_breaks_at_a_callers_cursor_is_one(place: Place) -> None:
    async with served(place, SILENT["an error of its own"]):
        with pytest.raises(DidNotAnswer):
            await place.ask(cursor="nonsense")


async def test_what_cannot_be_read_is_a_fault(place: Place) -> None:
    def read(said: object) -> object:
        raise InvalidAnswer("it says nothing of use")

    async with served(place, http_answer(b"{}")):
        for _ in range(FAILURES):
            with pytest.raises(InvalidAnswer):
                await place.generators.ask(ALICE, METHOD, {}, read)
        with pytest.raises(NotAsked):
            await place.ask()


async def test_the_circuit_opens_and_closes(place: Place) -> None:
    async with served(place, SILENT["a gateway's error"]) as requests:
        for _ in range(FAILURES):
            with pytest.raises(DidNotAnswer):
                await place.ask()
        for _ in range(20):
            with pytest.raises(NotAsked) as refusal:
                await place.ask()
    assert len(requests) == FAILURES
    assert 0 < refusal.value.retry_after <= PAUSE
    assert not place.generators.is_online(ALICE)
    assert place.outcomes[-1] == "not_asked"

    # It has moved meanwhile: who comes when the pause is over finds it.
    async with served(place, http_answer(b'{"feed": []}')):
        place.clock[0] += PAUSE
        assert await place.ask() == {"feed": []}
    assert place.generators.is_online(ALICE)


async def test_one_that_hangs_is_asked_by_few(place: Place) -> None:
    async with served(place, slowly()) as requests:
        outcomes = await asyncio.gather(*(place.ask() for _ in range(200)), return_exceptions=True)
        began = time.monotonic()
        for _ in range(100):
            with pytest.raises(NotAsked):
                await place.ask()
        assert time.monotonic() - began < SECONDS
    assert len(requests) <= 16
    assert {type(outcome) for outcome in outcomes} == {DidNotAnswer, NotAsked}


async def test_no_error_of_the_client_escapes(place: Place) -> None:
    """Whatever else is raised would be an error of ours."""
    async with served(place, http_answer(b"{}")):
        try:
            await place.ask(cursor="x" * 9000)
        except NetError as error:
            pytest.fail(f"{error!r} escapes")
        except InvalidAnswer:
            pass
