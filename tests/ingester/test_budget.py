"""A budget for each host: how often it is asked, how much at once, and what it says itself."""

import asyncio
from collections.abc import Mapping

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from appview.net.errors import BadStatus
from appview.net.http import HttpClient
from appview.net.lookup import Dns
from appview.net.policy import Policy
from ingester.budget import (
    AT_ONCE,
    HOSTS,
    LONGEST_SECONDS,
    LONGEST_SLOW_SECONDS,
    PAUSE_SECONDS,
    SLOW_SECONDS,
    Budget,
    Exhausted,
    HostClient,
    origin,
)
from ingester.hosts import Busy, HostError, get_latest_commit
from tests.system.synthetic import Server

A, B = "https://a.test", "https://b.test"
NOW = 1_750_000_000.0
RATE = 10.0


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Hosts:
    """A budget of ten requests a second, and what was asked."""

    def __init__(self, rate: float = RATE) -> None:
        self.clock = Clock()
        self.budget = Budget(rate, clock=self.clock, wall=lambda: NOW + self.clock.now)

    def ask(self, host: str = A) -> float:
        """A request that is over at once: 0.0, or how long it would have to wait."""
        try:
            self.budget.take(host)
        except Exhausted as error:
            return error.wait
        self.budget.leave(host)
        return 0.0

    def count(self, host: str = A) -> int:
        """How many requests go out at once."""
        count = 0
        while not self.ask(host):
            count += 1
        return count

    def heard(self, host: str = A, /, **headers: object) -> None:
        self.budget.heard(host, _headers(headers))

    def refused(self, status: int, retry_after: float | None = None, **headers: object) -> None:
        error = BadStatus("no", status=status, headers=_headers(headers), body=b"", retry_after=retry_after)
        self.budget.refused(A, error)


def _headers(headers: Mapping[str, object]) -> Mapping[str, str]:
    return CIMultiDict({f"ratelimit-{name}" if name != "date" else "Date": str(v) for name, v in headers.items()})


def test_a_burst_and_then_a_token_each_tenth_of_a_second() -> None:
    hosts = Hosts()
    assert hosts.count() == 20
    hosts.clock.now += 0.35
    assert hosts.count() == 3
    hosts.clock.now += 3_600
    assert hosts.count() == 20


def test_those_who_wait_are_told_different_times_a_token_apart() -> None:
    hosts = Hosts()
    hosts.count()
    waits = [hosts.ask() for _ in range(100)]
    assert waits == pytest.approx([0.2 + number / RATE for number in range(100)])
    # Each comes back when it was told to, and finds one.
    start = hosts.clock.now
    for wait in waits:
        hosts.clock.now = start + wait + 1e-6
        assert hosts.ask() == 0.0


def test_hosts_do_not_share() -> None:
    hosts = Hosts()
    hosts.count(A)
    hosts.refused(429, 3_600)
    assert hosts.count(B) == 20
    assert origin("https://A.test/xrpc/x?y=z") == origin("https://a.test/") == A


def test_only_some_are_under_way_at_once() -> None:
    hosts = Hosts()
    for _ in range(AT_ONCE):
        hosts.budget.take(A)
    assert not hosts.budget.has_room(A)
    with pytest.raises(Exhausted) as caught:
        hosts.budget.take(A)
    assert caught.value.wait == pytest.approx(1.0)
    hosts.budget.leave(A)
    assert hosts.budget.has_room(A)


@pytest.mark.parametrize(
    "headers",
    [
        {"limit": 3_000, "remaining": 0, "reset": int(NOW + 100) + 60, "policy": "3000;w=300"},
        {"remaining": 0, "reset": 60},
        {"limit": "10, 10;w=1, 50;w=60", "remaining": 0, "reset": "60"},
        # Its clock is an hour behind.
        {"remaining": 0, "reset": 1_750_000_060, "date": "Sun, 15 Jun 2025 15:06:40 GMT"},
    ],
)
def test_nothing_left_closes_a_host_until_its_window_ends(headers: dict[str, object]) -> None:
    hosts = Hosts()
    hosts.heard(A, **headers)
    assert hosts.ask() == pytest.approx(60, abs=1)
    hosts.clock.now += 58
    assert hosts.count() == 0
    hosts.clock.now += 3
    assert 1 <= hosts.count() <= 21


def test_what_is_left_of_a_window_is_spread_over_it() -> None:
    hosts = Hosts()
    hosts.heard(remaining=6, reset=60)
    sent = hosts.count()
    for _ in range(59):
        hosts.clock.now += 1
        sent += hosts.count()
    assert sent in {11, 12}  # six at once, and six over the minute; the host counts those it has answered meanwhile
    hosts.clock.now += 10
    assert hosts.count() == 20


def test_a_policy_alone_slows_for_its_window() -> None:
    hosts = Hosts()
    hosts.count()
    hosts.heard(policy="60;w=60, 3600;w=3600")
    hosts.clock.now += 2
    assert hosts.count() == 2
    generous = Hosts()
    generous.heard(policy="100000;w=1")
    generous.count()
    generous.clock.now += 1
    assert generous.count() == 10


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"remaining": "none", "reset": "soon"},
        {"remaining": 0},
        {"reset": 5},
        {"remaining": 0, "reset": 0},
        {"remaining": -1, "reset": 9},
        {"remaining": 0, "reset": 1_600_000_000},
        {"remaining": "9" * 5_000, "reset": 60},
        {"policy": "0"},
        {"policy": ";w=;w=1"},
        {"policy": "5;w=0"},
        {"remaining": 0, "reset": 1_750_000_060, "date": "never"},
    ],
)
def test_what_makes_no_sense_stops_nobody_for_long(headers: dict[str, object]) -> None:
    hosts = Hosts()
    hosts.heard(A, **headers)
    hosts.clock.now += 500
    assert hosts.ask() == 0.0


def test_the_longest_that_headers_can_stop_is_an_hour() -> None:
    hosts = Hosts()
    hosts.heard(remaining=0, reset=10**11)
    hosts.heard(remaining=0, reset=9 * 10**8)
    assert hosts.ask() <= LONGEST_SECONDS + 1 / RATE


@pytest.mark.parametrize(
    ("status", "retry_after", "headers", "seconds"),
    [
        (429, 120.0, {}, 120.0),
        (503, 7.0, {}, 7.0),
        (429, None, {"reset": 33}, 33.0),
        (429, None, {}, PAUSE_SECONDS),
        (503, None, {}, 0.0),
        (500, 50.0, {}, 0.0),
        (400, None, {}, 0.0),
    ],
)
def test_a_refusal_stops_all(
    status: int, retry_after: float | None, headers: dict[str, object], seconds: float
) -> None:
    hosts = Hosts()
    hosts.refused(status, retry_after, **headers)
    assert hosts.ask() == pytest.approx(seconds)
    if seconds:
        # A second one that names less does not open it.
        hosts.refused(429, 1.0)
        hosts.clock.now += seconds
        assert hosts.count() == 1


def test_a_host_that_lets_requests_fail_slowly_has_pauses_that_double() -> None:
    hosts = Hosts()
    pauses = []
    for _ in range(6):
        hosts.budget.failed(A, 20.0)
        hosts.budget.failed(A, 25.0)  # they were under way together
        pauses.append(hosts.ask())
        hosts.clock.now += pauses[-1]
    assert pauses == pytest.approx([20, 40, 80, 160, LONGEST_SLOW_SECONDS, LONGEST_SLOW_SECONDS])
    assert not hosts.ask(B)
    # Each answer takes one of them back.
    for _ in range(5):
        hosts.budget.answered(A)
    hosts.budget.failed(A, 20.0)
    assert hosts.ask() == pytest.approx(40)


def test_a_host_that_refuses_at_once_has_no_pause() -> None:
    hosts = Hosts()
    hosts.budget.failed(A, SLOW_SECONDS)
    assert not hosts.ask()


def test_hosts_that_were_not_asked_for_long_are_forgotten() -> None:
    hosts = Hosts()
    hosts.refused(429, 3_600)
    for number in range(HOSTS):
        hosts.ask(f"https://{number}.test")
    assert len(hosts.budget) == HOSTS
    assert hosts.ask(A) == 0.0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.floats(0.0, 30.0)),
        st.tuples(st.just("ask"), st.integers(1, 60)),
        st.tuples(st.just("left"), st.tuples(st.integers(0, 40), st.integers(0, 60))),
        st.tuples(st.just("stop"), st.floats(0.0, 60.0)),
    ),
    max_size=30,
)


@given(STEPS, st.sampled_from([0.01, 0.5, 3.0, 10.0, 1_000.0]))
def test_never_more_than_a_burst_and_the_rate_and_whoever_waits_alone_gets_one(
    steps: list[tuple[str, object]], rate: float
) -> None:
    hosts = Hosts(rate)
    start, sent, closed_until = hosts.clock.now, 0, 0.0
    for what, how in steps:
        match what, how:
            case "wait", float(seconds):
                hosts.clock.now += seconds
            case "ask", int(times):
                for _ in range(times):
                    sent += (went := hosts.ask() == 0.0)
                    assert not (went and hosts.clock.now < closed_until)
            case "left", (int(left), int(seconds)):
                hosts.heard(remaining=left, reset=seconds)
            case "stop", float(seconds):
                hosts.refused(429, seconds)
                closed_until = max(closed_until, hosts.clock.now + seconds)
        assert sent <= max(1.0, 2 * rate) + rate * (hosts.clock.now - start) + 1e-6
    wait = hosts.ask()
    hosts.clock.now += wait + 1e-6
    assert wait == 0.0 or hosts.ask() == 0.0


async def test_a_client_keeps_to_it_and_hears_what_is_answered() -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "30"})

    server = Server()
    server.route("/xrpc/com.atproto.sync.getLatestCommit", answer)
    async with server, HttpClient(Policy.trusting(server.url), lookup=Dns().addresses) as http:
        budget = Budget(RATE)
        with pytest.raises(Exception, match="429"):
            await get_latest_commit(HostClient(http, budget), server.url, "did:web:a.test")
        with pytest.raises(Busy) as caught:
            await get_latest_commit(HostClient(http, budget), server.url, "did:web:a.test")
        assert 29 < caught.value.wait <= 30
        assert server.asked == {"com.atproto.sync.getLatestCommit": 1}
        waiting = asyncio.create_task(
            get_latest_commit(HostClient(http, budget, patient=True), server.url, "did:web:a.test")
        )
        await asyncio.sleep(0.05)
        assert not waiting.done()
        waiting.cancel()


@pytest.mark.parametrize("how", ["breaks off", "an error", "an answer"])
async def test_a_client_leaves_a_host_alone_that_failed_slowly(how: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        clock.now += 20.0
        if how == "breaks off":
            assert request.transport is not None
            request.transport.close()
        return web.Response(status=500) if how == "an error" else web.json_response({"cid": "", "rev": ""})

    clock, server = Clock(), Server()
    began = clock.now
    server.route("/xrpc/com.atproto.sync.getLatestCommit", answer)
    async with server, HttpClient(Policy.trusting(server.url), lookup=Dns().addresses) as http:
        hosts = HostClient(http, Budget(RATE, clock=clock))
        with pytest.raises(HostError) as caught:
            await get_latest_commit(hosts, server.url, "did:web:a.test")
        assert not isinstance(caught.value, Busy)
        with pytest.raises(HostError) as caught:
            await get_latest_commit(hosts, server.url, "did:web:a.test")
    if how == "an answer":
        assert not isinstance(caught.value, Busy)
    else:
        assert isinstance(caught.value, Busy)
        assert caught.value.wait == pytest.approx(clock.now - began)
