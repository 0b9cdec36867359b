"""`python -m tests.fuzz`: an hour, or what is given, of fuzzing over all that comes from outside; 1 for any finding.

Coverage leads through the source; where modules are compiled, these run afterwards on what it came by.
What was found before is tried first, so a finding stays one until it is fixed.
"""

import argparse
import asyncio
import math
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.campaign import GROWTH_MB, ROOT, Outcome, run
from tests.fuzz.child import Orders
from tests.fuzz.target import load
from tests.fuzz.targets import NAMES, module_of

_PROGRESS_SECONDS = 10.0
_START_SECONDS = 2
"""What a child takes before libFuzzer's clock begins."""
_COMPILED = "/compiled"
_COMPILED_PART = 0.2
"""Of the time, for the compiled form: it is fast, and begins where the coverage ended."""
_NO_ATHERIS = (
    "Coverage-guided fuzzing is not to be had: atheris is not installed (it has wheels for CPython 3.11 to 3.13 on "
    "x86-64 Linux). The same targets run under plain random mutation instead, which sees less."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = _parser().parse_args(arguments)
    if options.replay is not None:
        return _replay(options)
    outcomes = _outcomes(options)
    code = 0
    try:
        asyncio.run(_campaign(outcomes, options.jobs))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("Stopped; all children have ended.")
        code = 130
    _print_table(outcomes)
    for outcome in outcomes:
        _print_finding(outcome)
    return 1 if any(outcome.finding for outcome in outcomes) else code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    add = parser.add_argument
    add("--seconds", type=_positive, default=3600, help="how long in all (default: %(default)s)")
    add("--target", type=_target, action="append", help=f"one of {', '.join(NAMES)}; may be repeated (default: all)")
    add("--jobs", type=_positive, default=os.cpu_count() or 1, help="targets at a time (default: %(default)s)")
    add("--seed", type=_positive, help="of the random choices (default: another each time)")
    add("--timeout", type=_positive, default=5, help="seconds that one input may take (default: %(default)s)")
    add("--memory", type=_positive, default=1024, help="MB that a child may hold (default: %(default)s)")
    add("--blind", action="store_true", help="plain random mutation, even where atheris is there")
    add("--folder", type=Path, default=ROOT / ".cache" / "fuzz", help="of corpora and reproducers")
    add("--replay", type=Path, metavar="FILE", help="run one --target on the input in FILE")
    add("--source", action="store_true", help="replay on the source, though it is compiled")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError("Nothing below 1.")
    return number


def _target(name: str) -> str:
    if find_spec(module_of(name)) is None:
        raise argparse.ArgumentTypeError(f"there is no target {name!r}")
    return name


def _outcomes(options: argparse.Namespace) -> list[Outcome]:
    """What is to be done, in order: each target by coverage, then each as it is compiled; or each blindly, once."""
    names = options.target or NAMES
    share = options.seconds / math.ceil(len(names) / options.jobs)
    seed = options.seed or random.SystemRandom().randrange(1, 1 << 31)

    def orders(name: str, part: float) -> Orders:
        seconds = max(1, round(share * part) - _START_SECONDS)
        return Orders(module_of(name), str(options.folder / name), seconds, seed, options.timeout, options.memory)

    if options.blind or find_spec("atheris") is None:
        if not options.blind:
            print(_NO_ATHERIS)
        return [Outcome(name, "tests.fuzz.unguided", orders(name, 1)) for name in names]
    compiled = _COMPILED_PART if any((ROOT / "lexicons").glob("drisl*.so")) else 0
    outcomes = [Outcome(name, "tests.fuzz.guided", orders(name, 1 - compiled)) for name in names]
    if compiled:
        outcomes += [Outcome(name + _COMPILED, "tests.fuzz.unguided", orders(name, compiled)) for name in names]
    return outcomes


async def _campaign(outcomes: Sequence[Outcome], jobs: int) -> None:
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    orders = outcomes[0].orders
    print(f"{len(outcomes)} runs, of {orders.seconds} s at first, {jobs} at a time, seed {orders.seed}", flush=True)
    ticking = asyncio.create_task(_tick(outcomes))
    try:
        await run(outcomes, jobs, _print_progress)
    finally:
        ticking.cancel()


async def _tick(outcomes: Sequence[Outcome]) -> None:
    while True:
        await asyncio.sleep(_PROGRESS_SECONDS)
        for outcome in outcomes:
            if outcome.started is not None and not outcome.seconds:
                _print_progress(outcome)


def _print_progress(outcome: Outcome) -> None:
    seconds = outcome.seconds or time.monotonic() - (outcome.started or 0)
    memory = f"{outcome.samples[-1].memory_mb:.0f} MB" if outcome.samples else "-"
    state = outcome.finding or ("done" if outcome.seconds else "")
    print(
        f"  {outcome.name:16}{seconds:6.0f} s {outcome.runs:>12,} runs {outcome.edges:>6} edges "
        f"{outcome.corpus:>6} inputs {memory:>8}  {state}",
        flush=True,
    )


def _print_table(outcomes: Sequence[Outcome]) -> None:
    print(f"\n{'target':16} {'runs':>12} {'runs/s':>8} {'edges':>7} {'corpus':>7} {'growth':>8}  found")
    for outcome in outcomes:
        speed = outcome.runs / outcome.seconds if outcome.seconds else 0
        growth = "-" if outcome.growth_mb is None else f"{outcome.growth_mb:+.0f} MB"
        print(
            f"{outcome.name:16} {outcome.runs:>12,} {speed:>8,.0f} {outcome.edges:>7} {outcome.corpus:>7} {growth:>8}  "
            f"{outcome.finding or ('nothing' if outcome.seconds else 'not run')}"
        )


def _print_finding(outcome: Outcome) -> None:
    if outcome.finding is None:
        return
    print(f"\n{outcome.name}: {outcome.finding}")
    if outcome.finding == "growth":
        print(f"  It held more than {GROWTH_MB} MB more in the last quarter than in the first.")
        return
    start = next((at for at, line in enumerate(outcome.last_lines) if "===" in line or "Traceback" in line), 0)
    print("\n".join(f"  {line[:300]}" for line in outcome.last_lines[start:]))
    if outcome.reproducer is not None:
        source = "--source " if outcome.engine == "tests.fuzz.guided" else ""
        target = outcome.name.removesuffix(_COMPILED)
        print(f"  replay: python -m tests.fuzz --target {target} {source}--replay {outcome.reproducer}")


def _replay(options: argparse.Namespace) -> int:
    if options.target is None or len(options.target) != 1 or not options.replay.is_file():
        print("A replay needs just one --target, and the file of an input.", file=sys.stderr)
        return 2
    if options.source:
        # By importing it; not at the top, since what is compiled is to be replayed otherwise.
        import_module("tests.pure")
    target, data = load(module_of(options.target[0])), options.replay.read_bytes()
    started = time.perf_counter()
    try:
        verdict = "accepted" if target.check(data) else "refused"
    except Exception:  # noqa: BLE001 - whatever it is, it is what was to be shown
        traceback.print_exc()
        verdict = "a finding"
    print(f"{len(data)} bytes, {time.perf_counter() - started:.3f} s: {verdict}")
    return 1 if verdict == "a finding" else 0


if __name__ == "__main__":
    sys.exit(main())
