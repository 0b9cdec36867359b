"""How much of what somebody may do, against whom it counts, and what the answer says of it."""

import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from appview.accounts.rates import Rates
from appview.config import Config
from appview.embedded.redis import redis
from tests.xrpc.client import strict_client
from xrpc.errors import Unauthenticated, XrpcError
from xrpc.limits import ALLOWED, Kind, Limits, Who, kind_of, limits_of

ALICE = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
BOB = "did:plc:44ybard66vv44zksje25o7dz"
SOMEWHERE, ELSEWHERE = "198.51.100.1", "198.51.100.2"


class Still:
    def __init__(self) -> None:
        self.now = 12_345

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def limits(registry: CollectorRegistry) -> Limits:
    """Of one process, whose clock stands still."""
    return Limits(Config.load({}, dotenv=None), Rates(None, registry, clock=Still()), registry)


@pytest.fixture
def redis_url() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="plyr-") as folder, redis(Path(folder)) as url:
        yield url


@asynccontextmanager
async def process(redis_url: str, **settings: str) -> AsyncIterator[Limits]:
    environ = {"PLYR_REDIS_URL": redis_url, "PLYR_SECRET_KEY": "s" * 32, **settings}
    async with limits_of(Config.load(environ, dotenv=None), CollectorRegistry()) as limits:
        # The machine may be busy; that Redis answers in time is not what is looked at here.
        limits._rates._patience = 5.0
        yield limits


async def times(limits: Limits, kind: Kind, who: Who, amount: int = 1) -> int:
    """How often it is allowed until it is not."""
    for number in range(10_000):
        if not (await limits.check(kind, who, amount)).allowed:
            return number
    raise AssertionError(f"{kind} has no limit for {who}")


def reads(limits: Limits, who: Who) -> int:
    """How many queries are answered until one is not."""
    for number in range(10_000):
        if refused := refusal(limits, who):
            assert (refused.status, refused.name, refused.headers["Retry-After"]) == (429, "RateLimitExceeded", "1")
            return number
    raise AssertionError(f"{who} may read without limit")


def refusal(limits: Limits, who: Who) -> XrpcError | None:
    try:
        limits.read(who)
    except XrpcError as error:
        return error
    return None


async def test_what_an_answer_says(limits: Limits, registry: CollectorRegistry) -> None:
    who = Who(SOMEWHERE)
    verdict = await limits.check(Kind.SIGN_IN, who)
    verdict.require()
    assert verdict.headers == {
        "RateLimit-Limit": "10",
        "RateLimit-Remaining": "9",
        "RateLimit-Reset": verdict.headers["RateLimit-Reset"],
        "RateLimit-Policy": "10;w=60",
    }
    assert 5 <= int(verdict.headers["RateLimit-Reset"]) - time.time() <= 7
    assert await times(limits, Kind.SIGN_IN, who) == 9
    refused = await limits.check(Kind.SIGN_IN, who)
    assert (refused.allowed, refused.retry_after, refused.headers["Retry-After"]) == (False, 6, "6")
    assert refused.headers["RateLimit-Remaining"] == "0"
    with pytest.raises(XrpcError) as raised:
        refused.require()
    assert (raised.value.status, raised.value.name) == (429, "RateLimitExceeded")
    assert raised.value.headers == refused.headers
    assert registry.get_sample_value("plyr_rate_limited_total", {"kind": "sign_in"}) == 2


async def test_signing_in_counts_by_address_and_by_account(limits: Limits) -> None:
    addresses = [f"203.0.113.{last}" for last in range(11)]
    allowed = [await times(limits, Kind.SIGN_IN, Who(address, account="alice.test")) for address in addresses]
    assert allowed == [*[10] * 10, 0], "no crowd of addresses asks a stranger's server for ever"
    assert await times(limits, Kind.SIGN_IN, Who(addresses[10], account=" Alice.TEST ")) == 0
    assert await times(limits, Kind.SIGN_IN, Who(addresses[10], account="bob.test")) == 10


async def test_a_session_and_a_token_have_each_their_own_share_of_the_account(limits: Limits) -> None:
    session, token, third = (Who(SOMEWHERE, ALICE, grant) for grant in (1, 2, 3))
    assert await times(limits, Kind.WRITE, session) == 300
    assert await times(limits, Kind.WRITE, token) == 300
    assert await times(limits, Kind.WRITE, third) == 0
    assert await times(limits, Kind.WRITE, Who(SOMEWHERE, BOB, 4)) == 300, "at the same address"


async def test_many_writes_in_one_call_count_as_many(limits: Limits) -> None:
    assert await times(limits, Kind.WRITE, Who(SOMEWHERE, ALICE, 1), 150) == 2
    assert await times(limits, Kind.WRITE, Who(SOMEWHERE, BOB, 2), 1_000) == 1, "and never as more than there are"


async def test_kinds_count_apart(limits: Limits) -> None:
    who = Who(SOMEWHERE, ALICE, 1)
    assert await times(limits, Kind.UPLOAD, who) == 20
    assert await times(limits, Kind.TOKEN, who) == 10
    assert await times(limits, Kind.EXPORT, who) == 5
    assert await times(limits, Kind.PAGE, who) == 120
    assert await times(limits, Kind.WRITE, who) == 300
    assert kind_of("com.atproto.repo.uploadBlob") is Kind.UPLOAD
    assert kind_of("com.atproto.repo.createRecord") is Kind.WRITE


def test_all_of_a_pds_are_not_one(limits: Limits) -> None:
    """XR-35: they come from its address, each with a token of their own."""
    assert reads(limits, Who(SOMEWHERE, ALICE)) == 3_000
    assert reads(limits, Who(SOMEWHERE, BOB)) == 3_000
    assert reads(limits, Who(SOMEWHERE)) == 3_000
    assert reads(limits, Who(ELSEWHERE)) == 3_000


async def test_who_has_no_address_has_no_limit_by_it(limits: Limits) -> None:
    nobody = Who(None)
    for _ in range(4_000):
        limits.read(nobody)
    assert await limits.check(Kind.SIGN_IN, nobody) == ALLOWED
    assert await times(limits, Kind.SIGN_IN, Who(None, account="alice.test")) == 100


def test_tokens_that_do_not_hold_count_against_the_address(limits: Limits) -> None:
    def present(name: str | None, address: str | None = SOMEWHERE) -> None:
        with limits.unproven(address):
            if name is not None:
                raise Unauthenticated(name, "No.")

    for _ in range(600):
        with pytest.raises(Unauthenticated):
            present("BadJwtSignature")
    with pytest.raises(XrpcError) as refused:
        present(None)
    assert refused.value.status == 429
    present(None, ELSEWHERE)
    for _ in range(700):
        with pytest.raises(Unauthenticated):
            present("AccountDeactivated", ELSEWHERE)
        with pytest.raises(Unauthenticated):
            present("BadJwt", None)
    present(None, ELSEWHERE)
    present(None, None)
    limits.read(Who(SOMEWHERE))


async def test_processes_share_and_redis_learns_no_names(redis_url: str) -> None:
    who = Who(SOMEWHERE, ALICE, account="alice.test")
    async with (
        process(redis_url) as one,
        process(redis_url) as another,
        Redis.from_url(redis_url, decode_responses=True) as client,
    ):
        for limits in (one, another) * 5:
            assert (await limits.check(Kind.SIGN_IN, who)).allowed
            assert (await limits.check(Kind.WRITE, who)).allowed
        assert not (await one.check(Kind.SIGN_IN, who)).allowed
        assert not (await another.check(Kind.SIGN_IN, who)).allowed
        keys = [str(key) for key in await client.keys("*")]
        assert len(keys) == 4, "two of the address and the account, two of the caller"
        for key in keys:
            assert key.startswith("plyr:rate:")
            assert not any(secret in key for secret in (ALICE, SOMEWHERE, "alice"))
            assert await client.pttl(key) > 0
    async with process(redis_url, PLYR_SECRET_KEY="t" * 32) as limits:
        assert (await limits.check(Kind.SIGN_IN, who)).allowed, "the keys cannot be told without the secret"


async def test_over_http_a_refusal_is_an_error_like_others_and_others_go_on(database_url: str) -> None:
    query = "/xrpc/fm.plyr.server.getStats"
    async with strict_client(database_url, PLYR_PUBLIC_URL="http://localhost:8080") as client:
        while refusal(client.app.state.limits, Who(SOMEWHERE)) is None:
            pass
        refused = await client.get(query, headers={"X-Forwarded-For": f"{ELSEWHERE}, {SOMEWHERE}"})
        assert refused.status_code == 429
        assert refused.json()["error"] == "RateLimitExceeded"
        assert int(refused.headers["Retry-After"]) >= 1
        assert refused.headers["RateLimit-Policy"] == "3000;w=60"
        assert refused.headers["Cache-Control"] == "no-store"
        assert "ratelimit-reset" in refused.headers["Access-Control-Expose-Headers"]
        for headers in ({}, {"X-Forwarded-For": ELSEWHERE}, {"X-Forwarded-For": f"{SOMEWHERE}, {ELSEWHERE}"}):
            answered = await client.get(query, headers=headers)
            assert answered.status_code == 200
            assert "RateLimit-Limit" not in answered.headers, "it may be kept, and given to others"
        assert 'plyr_rate_limited_total{kind="read"}' in (await client.get("/metrics")).text


async def test_over_http_tokens_that_do_not_hold_run_out(database_url: str) -> None:
    headers = {"X-Forwarded-For": SOMEWHERE, "Authorization": "Bearer e30.e30.e30"}
    async with strict_client(database_url) as client:
        said = [(await client.get("/xrpc/fm.plyr.server.getStats", headers=headers)).status_code for _ in range(900)]
    assert said[:600] == [401] * 600
    assert set(said[600:]) == {401, 429}, "ten a second come back"


def test_many_tokens_of_one_account_read_no_more_than_four(limits: Limits) -> None:
    counts = [reads(limits, Who(SOMEWHERE, ALICE, grant)) for grant in range(6)]
    assert counts == [3_000, 3_000, 3_000, 3_000, 0, 0]
    assert reads(limits, Who(SOMEWHERE, BOB, 7)) == 3_000
    assert reads(limits, Who(SOMEWHERE, ALICE)) == 3_000, "by whoever its PDS is"
