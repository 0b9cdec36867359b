"""The child for where no coverage is to be had: the same targets under plain random mutation, reported as by libFuzzer.

That is where there is no atheris, and wherever modules are compiled: this runs the very form that is installed.
"""

import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tests.fuzz.child import Orders, die_with_parent, digest
from tests.fuzz.mutation import blind
from tests.fuzz.target import Target, load

_PULSE_SECONDS = 1.0
_MAX_CHANGES = 4


class Hang(BaseException):
    """An input took longer than it may. Of BaseException, so that no code under test takes it for its own."""


def main() -> None:
    """Fuzz as ordered; ends with 0 when time is up, and else with 1 and a reproducer."""
    orders = Orders.received()
    die_with_parent()
    target = load(orders.module)
    orders.prepare(target)
    signal.signal(signal.SIGALRM, _hang)
    started = pulse = time.monotonic()
    for runs, data in enumerate(_inputs(orders, target), 1):
        finding = _finding(target, data, orders)
        now = time.monotonic()
        if finding is None and now < pulse:
            continue
        pulse = now + _PULSE_SECONDS
        print(f"#{runs} pulse cov: 0 ft: 0 corp: 0/0b exec/s: 0 rss: {_memory_mb()}Mb")
        if finding is not None:
            path = orders.crashes / f"{finding}-{digest(data)}"
            path.write_bytes(data)
            print(f"Test unit written to {path}")
            sys.exit(1)
        if now - started > orders.seconds:
            return


def _inputs(orders: Orders, target: Target) -> Iterator[bytes]:
    """What is kept, reproducers first; then changes of it without end."""
    kept = [path.read_bytes() for folder in (orders.crashes, orders.seeds, orders.corpus) for path in _files(folder)]
    yield from kept
    rng = random.Random(orders.seed)
    havoc = blind(rng, target.tokens)
    while True:
        data = rng.choice(kept)
        for _ in range(rng.randint(1, _MAX_CHANGES)):
            data = havoc(data, target.max_len) if target.mutate is None else target.mutate(data, rng, havoc)
            data = data[: target.max_len]
        yield data


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def _finding(target: Target, data: bytes, orders: Orders) -> str | None:
    """What the input brings to light: `crash`, `timeout`, `oom`; None, as it should be."""
    try:
        signal.setitimer(signal.ITIMER_REAL, orders.timeout)
        target.check(data)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Hang:
        traceback.print_exc()
        return "timeout"
    except Exception:  # noqa: BLE001 - whatever it is, it is what was looked for
        traceback.print_exc()
        return "crash"
    return "oom" if _memory_mb() > orders.memory_mb else None


def _hang(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Hang


def _memory_mb() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1 << 20 if sys.platform == "darwin" else 1 << 10)


if __name__ == "__main__":
    main()
