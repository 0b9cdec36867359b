"""A campaign: each target in a child of its own, some at a time, watched for what it says, takes and leaves behind."""

import asyncio
import contextlib
import os
import re
import sys
import time
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.fuzz.child import Orders

ROOT = Path(__file__).parents[2]
GROWTH_MB = 64
"""How much more a child may hold in the last quarter of its time than in the first, its corpus aside."""

_GRACE_SECONDS = 60.0
_SAMPLE_SECONDS = 0.25
_SHORTEST_SECONDS = 3.0
"""Of fuzzing; in less, memory says nothing."""
_KEPT_LINES = 60
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / (1 << 20)
_STATUS = re.compile(rb"#(\d+)\s+\w+\s+cov: (\d+) ft: \d+ corp: (\d+)/(\d+)([bKM])\S* ")
_ARTIFACT = re.compile(rb"Test unit written to (.+?)\s*$")
_UNITS = {b"b": 1 / (1 << 20), b"K": 1 / (1 << 10), b"M": 1.0}


@dataclass(frozen=True, slots=True)
class Sample:
    """What a child held at one moment."""

    seconds: float
    memory_mb: float
    corpus_mb: float


@dataclass
class Outcome:
    """What came of one target, as far as it has got."""

    name: str
    engine: str
    """The child's module: `tests.fuzz.guided` or `tests.fuzz.unguided`."""
    orders: Orders
    started: float | None = None
    seconds: float = 0.0
    runs: int = 0
    edges: int = 0
    corpus: int = 0
    corpus_mb: float = 0.0
    samples: list[Sample] = field(default_factory=list)
    """Since the seeds were run."""
    finding: str | None = None
    """`crash`, `timeout`, `oom`, `growth`, or what else is wrong; None where nothing is."""
    reproducer: Path | None = None
    last_lines: list[str] = field(default_factory=list)

    @property
    def growth_mb(self) -> float | None:
        """How much more the child usually held in the last quarter than in the first, without its corpus.

        None where that cannot be told. The median, since what one dear input takes and gives back is no growth; the
        limit on memory is there for that.
        """
        if not self.samples:
            return None
        start, end = self.samples[0].seconds, self.samples[-1].seconds
        if end - start < _SHORTEST_SECONDS:
            return None
        quarter = (end - start) / 4
        first = [sample.memory_mb - sample.corpus_mb for sample in self.samples if sample.seconds <= start + quarter]
        last = [sample.memory_mb - sample.corpus_mb for sample in self.samples if sample.seconds >= end - quarter]
        return median(last) - median(first)


async def run(outcomes: Sequence[Outcome], jobs: int, progress: Callable[[Outcome], None]) -> None:
    """Run a child for each of `outcomes`, `jobs` at a time, and fill them in. No child outlives this call."""
    gate = asyncio.Semaphore(jobs)

    async def one(outcome: Outcome) -> None:
        async with gate:
            await _run_child(outcome)
            progress(outcome)

    async with asyncio.TaskGroup() as group:
        for outcome in outcomes:
            group.create_task(one(outcome))


async def _run_child(outcome: Outcome) -> None:
    command = (sys.executable, "-m", outcome.engine, outcome.orders.as_argument())
    environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1"}
    # In a session of its own, so that a Ctrl-C comes to us alone, and we end the children.
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=PIPE,
        stdout=PIPE,
        stderr=STDOUT,
        cwd=ROOT,
        env=environment,
        limit=1 << 22,
        start_new_session=True,
    )
    outcome.started = time.monotonic()
    try:
        async with asyncio.timeout(outcome.orders.seconds + outcome.orders.timeout + _GRACE_SECONDS):
            await _watch(process, outcome)
        _judge(outcome, await process.wait())
    except TimeoutError:
        outcome.finding = "did not end in time"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        outcome.seconds = time.monotonic() - outcome.started


async def _watch(process: Process, outcome: Outcome) -> None:
    sampling = asyncio.create_task(_sample(process.pid, outcome))
    log = Path(outcome.orders.folder) / f"{outcome.engine.rpartition('.')[2]}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("wb", buffering=0) as out:
            while process.stdout is not None and (line := await process.stdout.readline()):
                out.write(line)
                _read_line(line, outcome)
    finally:
        sampling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sampling


def _read_line(line: bytes, outcome: Outcome) -> None:
    if status := _STATUS.match(line):
        runs, edges, corpus, size, unit = status.groups()
        outcome.runs, outcome.edges, outcome.corpus = int(runs), int(edges), int(corpus)
        outcome.corpus_mb = int(size) * _UNITS[unit]
        return
    if artifact := _ARTIFACT.search(line):
        outcome.reproducer = Path(os.fsdecode(artifact[1]))
        outcome.finding = outcome.reproducer.name.partition("-")[0]
    outcome.last_lines = [*outcome.last_lines[-_KEPT_LINES:], line.decode("utf-8", "replace").rstrip()]


async def _sample(pid: int, outcome: Outcome) -> None:
    started = time.monotonic()
    while (memory_mb := _resident_mb(pid)) is not None:
        # What it takes to start is no growth.
        if outcome.runs:
            outcome.samples.append(Sample(time.monotonic() - started, memory_mb, outcome.corpus_mb))
        await asyncio.sleep(_SAMPLE_SECONDS)


def _resident_mb(pid: int) -> float | None:
    """What a process holds now; None where it has ended, or the system does not say."""
    try:
        # What has ended and was not waited for yet holds nothing.
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_MB or None
    except (OSError, IndexError):
        return None


def _judge(outcome: Outcome, returncode: int) -> None:
    if outcome.finding is not None:
        return
    if returncode != 0:
        outcome.finding = f"ended with {returncode}"
    elif not outcome.runs or time.monotonic() - (outcome.started or 0.0) < outcome.orders.seconds:
        outcome.finding = "ended too early"
    elif outcome.growth_mb is not None and outcome.growth_mb > GROWTH_MB:
        outcome.finding = "growth"
