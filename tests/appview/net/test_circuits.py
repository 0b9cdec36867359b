"""Who answers badly is left alone, tried again, and holds no more calls than its share."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from appview.net.circuits import (
    CALLS,
    CALLS_EACH,
    CALLS_UNPROVEN,
    FAILURES,
    MAX_PAUSE,
    PAUSE,
    SIZE,
    SLOW,
    Circuits,
    Fault,
    NotAsked,
)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def circuits(clock: Clock) -> Circuits:
    return Circuits(clock=clock)


def fail(circuits: Circuits, service: str = "a", times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(Fault), circuits.call(service):
            raise Fault


def do_well(circuits: Circuits, service: str = "a") -> None:
    with circuits.call(service):
        pass


@contextmanager
def refused() -> Iterator[NotAsked]:
    caught = NotAsked("", retry_after=0)
    with pytest.raises(NotAsked) as raised:
        yield caught
    caught.retry_after = raised.value.retry_after


def test_failures_in_a_row_open_it(circuits: Circuits) -> None:
    fail(circuits, times=FAILURES - 1)
    do_well(circuits)
    fail(circuits, times=FAILURES - 1)
    assert not circuits.is_broken("a")
    fail(circuits)
    assert circuits.is_broken("a")
    assert circuits.broken == ["a"]
    with refused() as error, circuits.call("a"):
        pass
    assert error.retry_after == PAUSE
    do_well(circuits, "b")


def test_one_call_closes_it(circuits: Circuits, clock: Clock) -> None:
    fail(circuits, times=FAILURES)
    clock.now += PAUSE
    with circuits.call("a") as is_trial:
        assert is_trial
        with refused(), circuits.call("a"):
            pass
    assert not circuits.is_broken("a")
    with circuits.call("a") as is_trial:
        assert not is_trial


def test_each_failed_trial_doubles_the_pause(circuits: Circuits, clock: Clock) -> None:
    fail(circuits, times=FAILURES)
    pause = PAUSE
    for _ in range(8):
        clock.now += pause - 0.1
        with refused(), circuits.call("a"):
            pass
        clock.now += 0.1
        fail(circuits)
        pause = min(2 * pause, MAX_PAUSE)
    assert pause == MAX_PAUSE


def test_slow_answers_open_it_too(circuits: Circuits, clock: Clock) -> None:
    for _ in range(FAILURES):
        assert not circuits.is_broken("a")
        with circuits.call("a"):
            clock.now += SLOW
    assert circuits.is_broken("a")


def test_an_error_that_is_an_answer_does_not(circuits: Circuits) -> None:
    for _ in range(2 * FAILURES):
        with pytest.raises(LookupError), circuits.call("a"):
            raise LookupError
    assert not circuits.is_broken("a")


def test_who_is_cancelled_says_nothing(circuits: Circuits, clock: Clock) -> None:
    fail(circuits, times=FAILURES)
    clock.now += PAUSE
    for _ in range(2):
        with pytest.raises(asyncio.CancelledError), circuits.call("a"):
            raise asyncio.CancelledError
    assert circuits.is_broken("a")
    assert circuits.calls == 0
    do_well(circuits)
    assert not circuits.is_broken("a")


def test_calls_that_were_under_way_do_not_judge_an_open_circuit(circuits: Circuits, clock: Clock) -> None:
    with ExitStack() as early:
        for _ in range(3):
            early.enter_context(circuits.call("a"))
        fail(circuits, times=FAILURES)
    assert circuits.is_broken("a")
    clock.now += PAUSE
    do_well(circuits)
    assert not circuits.is_broken("a")


def test_a_service_has_its_share(circuits: Circuits) -> None:
    do_well(circuits, "a")
    do_well(circuits, "b")
    with ExitStack() as calls:
        for _ in range(CALLS_EACH):
            calls.enter_context(circuits.call("a"))
        with refused(), circuits.call("a"):
            pass
        do_well(circuits, "b")
    do_well(circuits, "a")


def test_strangers_do_not_crowd_out_the_others(circuits: Circuits) -> None:
    do_well(circuits, "known")
    with ExitStack() as calls:
        for number in range(CALLS_UNPROVEN):
            calls.enter_context(circuits.call(f"stranger {number}"))
        with refused(), circuits.call("another stranger"):
            pass
        do_well(circuits, "known")
        # One that fails is a stranger again.
        fail(circuits, "known")
        with refused(), circuits.call("known"):
            pass


def test_all_together_have_theirs(circuits: Circuits) -> None:
    with ExitStack() as calls:
        for number in range(CALLS):
            service = f"{number // CALLS_EACH}"
            if number % CALLS_EACH == 0:
                do_well(circuits, service)
            calls.enter_context(circuits.call(service))
        assert circuits.calls == CALLS
        with refused(), circuits.call("one more"):
            pass
    assert circuits.calls == 0


def test_it_remembers_so_many(circuits: Circuits) -> None:
    fail(circuits, "first", times=FAILURES)
    with circuits.call("busy"):
        for number in range(2 * SIZE):
            do_well(circuits, str(number))
        assert len(circuits) == SIZE
        assert not circuits.is_broken("first")
        assert circuits.calls == 1
