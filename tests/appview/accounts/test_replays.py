"""What one process remembers of the tokens that were used, and for how long; Redis is in tests/xrpc/test_auth.py."""

import pytest
from prometheus_client import CollectorRegistry

from appview.accounts.replays import LONG_SECONDS, MAX_LONG, MAX_LONG_EACH, Replays, TooManyTokens
from appview.accounts.service_jwt import LEEWAY, ServiceToken

ALICE = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
BOB = "did:plc:44ybard66vv44zksje25o7dz"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def replays(clock: Clock) -> Replays:
    return Replays(None, CollectorRegistry(), clock=clock)


def token(expires_at: float, nonce: str = "1", issuer: str = ALICE) -> ServiceToken:
    return ServiceToken(issuer, nonce, int(expires_at), "k256", b"", b"")


async def test_a_token_is_good_once(replays: Replays, clock: Clock) -> None:
    soon = clock.now + 60
    assert await replays.is_first_use(token(soon))
    assert not await replays.is_first_use(token(soon))
    assert await replays.is_first_use(token(soon, "2"))
    assert await replays.is_first_use(token(soon, issuer=BOB))
    assert not await replays.is_first_use(token(soon + 600)), "its jti is what counts, whatever else it says"


async def test_it_is_remembered_as_long_as_it_is_taken_and_then_forgotten(replays: Replays, clock: Clock) -> None:
    expires_at = clock.now + 30
    assert await replays.is_first_use(token(expires_at))
    clock.now = expires_at + LEEWAY
    assert not await replays.is_first_use(token(expires_at))
    assert len(replays) == 1
    clock.now = expires_at + LEEWAY + 61
    assert await replays.is_first_use(token(clock.now + 60, "2"))
    assert len(replays) == 1


async def test_long_lived_tokens_have_a_bound_and_leave_the_others_alone(replays: Replays, clock: Clock) -> None:
    for number in range(MAX_LONG):
        assert await replays.is_first_use(token(clock.now + 3600, f"{number}", f"did:web:{number % 100}.test"))
    with pytest.raises(TooManyTokens):
        await replays.is_first_use(token(clock.now + 3600, "one more"))
    with pytest.raises(TooManyTokens):
        await replays.is_first_use(token(clock.now + LONG_SECONDS + 60, "one more"))
    assert await replays.is_first_use(token(clock.now + 60, "one more"))
    assert not await replays.is_first_use(token(clock.now + 60, "7", "did:web:7.test"))
    clock.now += 3600
    assert await replays.is_first_use(token(clock.now + 3600, "one more hour"))


async def test_an_issuer_has_a_share_of_them(replays: Replays, clock: Clock) -> None:
    for number in range(MAX_LONG_EACH):
        assert await replays.is_first_use(token(clock.now + 600 + 5 * number, f"{number}"))
    with pytest.raises(TooManyTokens):
        await replays.is_first_use(token(clock.now + 3600, "one more"))
    assert await replays.is_first_use(token(clock.now + 60, "one more"))
    assert not await replays.is_first_use(token(clock.now + 600, "7")), "a token used is told from one too many"
    assert await replays.is_first_use(token(clock.now + 3600, issuer=BOB))
    clock.now += 600
    assert await replays.is_first_use(token(clock.now + 3600, "later")), "the first are none that last long any more"
