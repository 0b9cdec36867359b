"""`python -m tests.mutants`: bend each rule in a copy of the project, and see that its tests break."""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Final, Literal, NamedTuple

from appview.embedded.postgres import postgres
from tests.database import CARELESS
from tests.mutants.catalog import MUTANTS
from tests.mutants.mutant import ROOT, Mutant, Stale

JOBS: Final = 2
TEST_SECONDS: Final = 60
"""One that hangs is stopped by pytest itself, and has failed."""
RUN_SECONDS: Final = 120
"""The tests of one mutant, beyond which something is wrong with them."""
BASELINE_SECONDS: Final = 420
ALL_SECONDS: Final = 600
_FAILED: Final = 1
"""What pytest exits with where tests ran and some failed; other codes are no verdict."""
_LEFT_OUT: Final = shutil.ignore_patterns(
    *(".*", "*.so", "*.egg-info", "__pycache__", "node_modules", "data", "build", "shared")
)

Fate = Literal["killed", "SURVIVED", "STALE", "NO VERDICT", "NOT TRIED"]


class Outcome(NamedTuple):
    """What became of a mutant, in how many seconds, and what was said of it."""

    fate: Fate
    seconds: float
    said: str


class Copy:
    """A copy of the project's sources, in which one rule at a time is bent; what is compiled here is source there."""

    def __init__(self, folder: Path, database_url: str) -> None:
        shutil.copytree(ROOT, folder, ignore=_LEFT_OUT)
        self._folder = folder
        self._environment = {**os.environ, "PYTHONPATH": str(folder), "PLYR_TEST_DATABASE_URL": database_url}
        # Of two versions as long as each other, Python tells the newer by its time, in seconds.
        self._times = count(1_000_000_000)

    def judge(self, mutant: Mutant) -> Outcome:
        """Bend, test, and put it right again."""
        started = time.monotonic()
        file = self._folder / mutant.file
        whole = file.read_text()
        try:
            self._write(file, mutant.applied(self._folder))
            code, said = self.test(mutant.tests, RUN_SECONDS)
        except Stale as stale:
            return Outcome("STALE", 0.0, str(stale))
        finally:
            self._write(file, whole)
        seconds = time.monotonic() - started
        if code == _FAILED:
            return Outcome("killed", seconds, _killer(said))
        return Outcome("SURVIVED" if code == 0 else "NO VERDICT", seconds, said.strip().rpartition("\n")[2])

    def test(self, tests: Sequence[str], seconds: float, *options: str) -> tuple[int, str]:
        """Run tests until the first that fails; pytest's exit code, and what it said. -1 where it took too long."""
        command = (sys.executable, "-m", "pytest", "-x", "-q", "--tb=line", f"--timeout={TEST_SECONDS}")
        with subprocess.Popen(
            [*command, "-p", "no:cacheprovider", *options, *tests],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                said, _ = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                # With all that it started.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                return -1, f"it took more than {seconds} s"
            return process.returncode, said

    def _write(self, file: Path, text: str) -> None:
        file.write_text(text)
        at = next(self._times)
        os.utime(file, (at, at))


def _killer(said: str) -> str:
    """The first test that failed."""
    failed = [line for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0].partition("[")[0].partition(" - ")[0].rpartition("::")[2] if failed else "by the time it took"


@contextlib.contextmanager
def _copies() -> "Iterator[list[Copy]]":
    """As many copies as there are jobs, and one database server for all of them."""
    with (
        tempfile.TemporaryDirectory(prefix="plyr-") as folder,
        postgres(Path(folder) / "server", CARELESS) as url,
    ):
        yield [Copy(Path(folder) / f"copy-{number}", url) for number in range(JOBS)]


def _judged(mutants: Sequence[Mutant], copies: Sequence[Copy], until: float) -> Iterator[tuple[Mutant, Outcome]]:
    free: SimpleQueue[Copy] = SimpleQueue()
    for copy in copies:
        free.put(copy)

    def judge(mutant: Mutant) -> Outcome:
        if time.monotonic() > until:
            return Outcome("NOT TRIED", 0.0, "there was no time left")
        copy = free.get()
        try:
            return copy.judge(mutant)
        finally:
            free.put(copy)

    with ThreadPoolExecutor(len(copies)) as pool:
        yield from zip(mutants, pool.map(judge, mutants), strict=True)


def _report(outcomes: Mapping[str, Outcome], seconds: float) -> int:
    fates = [outcome.fate for outcome in outcomes.values()]
    counts = ", ".join(f"{fates.count(fate)} {fate.lower()}" for fate in dict.fromkeys(["killed", "SURVIVED", *fates]))
    print(f"{len(fates)} mutants: {counts}; {seconds:.0f} s")
    return int(set(fates) != {"killed"})


def main() -> int:
    """Judge the mutants that are asked for; 1 unless each of them is killed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants",
        description="Bends the rules that must not bend, one at a time, in a copy of the project, and runs the tests "
        "that are to notice. A mutant that survives is a test that is missing; a stale one no longer fits the source. "
        "Exits with 1 unless all are killed.",
    )
    parser.add_argument(
        "--only", metavar="TEXT,…", default="", help="those with one of these texts in their name or file"
    )
    parser.add_argument("--skip-baseline", action="store_true", help="do not run the tests unbent first")
    options = parser.parse_args()
    texts = options.only.split(",")
    mutants = [mutant for mutant in MUTANTS if any(text in f"{mutant.name} {mutant.file}" for text in texts)]
    if not mutants:
        parser.error(f"no mutant is named {options.only}")
    started = time.monotonic()
    with _copies() as copies:
        if not options.skip_baseline:
            tests = sorted({test for mutant in mutants for test in mutant.tests})
            print(f"{len(tests)} tests and files, with nothing bent ...", flush=True)
            code, said = copies[0].test(tests, BASELINE_SECONDS, "-n", str(JOBS))
            if code:
                print(said)
                return 1
        outcomes = {}
        for mutant, outcome in _judged(mutants, copies, started + ALL_SECONDS):
            outcomes[mutant.name] = outcome
            print(f"{outcome.fate:<10} {outcome.seconds:>5.1f} s  {mutant.name:<62} {outcome.said[:90]}", flush=True)
    return _report(outcomes, time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main())
