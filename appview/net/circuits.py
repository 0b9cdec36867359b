"""Circuit breakers: whoever answers badly is left alone for a while, and nobody holds more calls than their share.

A circuit is closed while its service does well. After FAILURES in a row it is open, and nobody is let through; when its
pause is over, one call is, whose outcome closes the circuit or opens it for twice as long.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

FAILURES: Final = 5
PAUSE: Final = 15.0
MAX_PAUSE: Final = 300.0
SLOW: Final = 2.0
"""Seconds from which an answer, though it is taken, counts as a failure."""
CALLS: Final = 64
"""At once, to all services."""
CALLS_EACH: Final = 16
CALLS_UNPROVEN: Final = 16
"""At once, to all those together that never answered yet, or not well last time: they cannot crowd out the others."""
SIZE: Final = 1_000
"""Services that are remembered; those that were asked longest ago are forgotten first."""


class NotAsked(Exception):
    """The service was not asked; it may be in `retry_after` seconds."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Fault(Exception):
    """The service was asked, and did not do as it should: a failure of its circuit."""


@dataclass(slots=True)
class _Circuit:
    calls: int = 0
    failures: int = 0
    """In a row."""
    open_until: float = 0.0
    is_tried: bool = False
    """Whether the one call is under way that says whether an open circuit closes."""
    last_fault: type[Fault] | None = None
    """How its last call failed, if it did."""
    is_proven: bool = False

    @property
    def is_broken(self) -> bool:
        """Open, or between open and closed."""
        return self.failures >= FAILURES


class Circuits:
    """The circuits of services, by any name. `clock` is in seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._circuits: OrderedDict[str, _Circuit] = OrderedDict()
        self._unproven = 0
        self.calls = 0
        """How many are under way."""

    def __len__(self) -> int:
        return len(self._circuits)

    @property
    def broken(self) -> list[str]:
        """The services that failed until their circuit opened, and did not do well since."""
        return [service for service, circuit in self._circuits.items() if circuit.is_broken]

    def is_broken(self, service: str) -> bool:
        """Whether the service is one of `broken`."""
        circuit = self._circuits.get(service)
        return circuit is not None and circuit.is_broken

    def last_fault(self, service: str) -> type[Fault] | None:
        """How the last call to the service failed; None where it did not, or nothing is remembered of it."""
        circuit = self._circuits.get(service)
        return None if circuit is None else circuit.last_fault

    @contextmanager
    def call(self, service: str) -> Iterator[bool]:
        """One call, made within the block; whether it is one that tries an open circuit. Raises NotAsked.

        A Fault that leaves the block is a failure, and so is taking SLOW seconds or longer. Who is cancelled in it says
        nothing of the service.
        """
        circuit = self._admitted(service)
        is_trial, is_proven, began = circuit.is_broken, circuit.is_proven, self._clock()
        circuit.is_tried = is_trial
        self._count(circuit, 1, is_proven=is_proven)
        is_good: bool | None = None
        try:
            yield is_trial
            is_good = True
            circuit.last_fault = None
        except Fault as fault:
            is_good = False
            circuit.last_fault = type(fault)
            raise
        except Exception:
            # What it answered was an error, or the error is ours.
            is_good = True
            raise
        finally:
            self._count(circuit, -1, is_proven=is_proven)
            if is_trial:
                circuit.is_tried = False
            if is_good is not None and (is_trial or not circuit.is_broken):
                self._judge(circuit, is_good=is_good and self._clock() - began < SLOW)

    def _admitted(self, service: str) -> _Circuit:
        circuit = self._circuits.get(service)
        if circuit is not None and circuit.is_broken:
            left = circuit.open_until - self._clock()
            if left > 0 or circuit.is_tried:
                raise NotAsked("it failed too often of late", retry_after=max(left, 1.0))
        if self.calls >= CALLS or (circuit is not None and circuit.calls >= CALLS_EACH):
            raise NotAsked("too many are asking at once", retry_after=1.0)
        if (circuit is None or not circuit.is_proven) and self._unproven >= CALLS_UNPROVEN:
            raise NotAsked("too many are asking at once", retry_after=1.0)
        return self._remembered(service)

    def _remembered(self, service: str) -> _Circuit:
        circuit = self._circuits.setdefault(service, _Circuit())
        self._circuits.move_to_end(service)
        if len(self._circuits) > SIZE:
            # Calls are far fewer than services, so there is one that is idle.
            idle = next(name for name, known in self._circuits.items() if not known.calls and known is not circuit)
            del self._circuits[idle]
        return circuit

    def _count(self, circuit: _Circuit, n: int, *, is_proven: bool) -> None:
        circuit.calls += n
        self.calls += n
        self._unproven += 0 if is_proven else n

    def _judge(self, circuit: _Circuit, *, is_good: bool) -> None:
        circuit.is_proven = is_good
        if is_good:
            circuit.failures = 0
            return
        circuit.failures += 1
        if circuit.is_broken:
            pause = PAUSE * 2 ** min(circuit.failures - FAILURES, 10)
            circuit.open_until = self._clock() + min(pause, MAX_PAUSE)
