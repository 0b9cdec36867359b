"""The fuzzer itself: its targets run and are not blind, and it can fail, with atheris and without."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.fuzz import history
from tests.fuzz.campaign import ROOT, Outcome, Sample
from tests.fuzz.child import Orders
from tests.fuzz.mutation import blind
from tests.fuzz.target import Target, Violation, load
from tests.fuzz.targets import NAMES, module_of
from tests.fuzz.targets.tree_target import Scene

RUNS = 300
LEAST_ACCEPTED = {"key": 0.02, "json": 0.02}
"""Of mutated inputs; of the other targets, whose formats the mutators know, one in twenty."""

ENGINES = [pytest.param([], marks=pytest.mark.skipif(find_spec("atheris") is None, reason="no atheris")), ["--blind"]]


def _mutants(target: Target, rng: random.Random) -> list[bytes]:
    seeds, havoc = list(target.seeds()), blind(rng, target.tokens)
    mutants = []
    for _ in range(RUNS):
        data = rng.choice(seeds)
        for _ in range(rng.randint(1, 3)):
            data = havoc(data, target.max_len) if target.mutate is None else target.mutate(data, rng, havoc)
        mutants.append(data[: target.max_len])
    return mutants


@pytest.mark.parametrize("name", NAMES)
def test_a_target_holds_on_its_seeds(name: str) -> None:
    target = load(module_of(name))
    seeds = list(target.seeds())
    assert sum(map(target.check, seeds)) > len(seeds) / 2
    assert max(map(len, seeds)) <= target.max_len


@pytest.mark.parametrize("name", NAMES)
def test_a_target_holds_on_mutants_and_enough_of_them_get_far(name: str) -> None:
    target = load(module_of(name))
    mutants = _mutants(target, random.Random(name))
    accepted = sum(map(target.check, mutants))
    assert LEAST_ACCEPTED.get(name, 0.05) * RUNS < accepted < RUNS
    assert len(set(mutants)) > RUNS / 2


@pytest.mark.parametrize("name", NAMES)
def test_mutations_are_repeatable(name: str) -> None:
    target = load(module_of(name))
    assert _mutants(target, random.Random(5)) == _mutants(target, random.Random(5))


@pytest.mark.parametrize("name", NAMES)
def test_a_mutator_takes_anything(name: str) -> None:
    target, rng = load(module_of(name)), random.Random(6)
    havoc = blind(rng, target.tokens)
    for size in (0, 1, 2, 3, 10, 100, 1_000):
        data = rng.randbytes(size)
        assert target.check(data) in (True, False)
        if target.mutate is not None:
            target.mutate(data, rng, havoc)


def test_histories_are_the_same_in_every_process() -> None:
    # What a corpus keeps must still verify in the next run.
    code = "from tests.fuzz import history; print([step.commit for _, step in history.steps()])"
    other = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str([step.commit for _, step in history.steps()])


def test_a_tree_is_addressed_from_its_leaves_up() -> None:
    seed = next(seed for seed in load(module_of("tree")).seeds() if len(Scene.unpack(seed).nodes) > 3)
    scene = Scene.unpack(seed)
    root, blocks = scene.addressed()
    scene.nodes[-1] = scene.nodes[-1].replace(b"fm.plyr", b"fm.ples")
    other, changed = scene.addressed()
    assert scene.pack() != seed
    assert other != root
    assert len(set(blocks) & set(changed)) < len(blocks) == len(changed)


def _fuzz(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False)


def _command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "tests.fuzz", *map(str, arguments)]


def _table(out: str) -> dict[str, list[str]]:
    """The cells behind each target's name, as the command prints them at the end."""
    rows = [line.split() for line in out.partition("\ntarget")[2].partition("\n\n")[0].splitlines()[1:]]
    return {row[0]: row[1:] for row in rows}


def _broken(kind: str) -> str:
    return f"tests.fuzz.broken.{kind}"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_broken_target_is_found_out_and_a_sound_one_is_not(engine: list[str], tmp_path: Path) -> None:
    expected = {_broken("crash"): "crash", _broken("hang"): "timeout", _broken("leak"): "growth", "commit": "nothing"}
    targets = [word for name in expected for word in ("--target", name)]
    found = _fuzz(*f"--seconds 8 --jobs 4 --seed 1 --timeout 1 --folder {tmp_path}".split(), *targets, *engine)
    assert found.returncode == 1, found.stdout + found.stderr
    table = _table(found.stdout)
    assert {name: table[name][-1] for name in expected} == expected, found.stdout
    assert int(table["commit"][0].replace(",", "")) > 100
    assert "Violation: the deliberate defect" in found.stdout
    (reproducer,) = (tmp_path / _broken("crash") / "crashes").iterdir()
    replay = f"--target {_broken('crash')} {'' if engine else '--source '}--replay {reproducer}"
    assert f"replay: python -m tests.fuzz {replay}" in found.stdout
    again = _fuzz(*replay.split())
    assert again.returncode == 1
    assert "the deliberate defect" in again.stderr


@pytest.mark.parametrize("engine", ENGINES)
def test_memory_is_limited(engine: list[str], tmp_path: Path) -> None:
    options = f"--seconds 20 --jobs 1 --seed 1 --memory 100 --folder {tmp_path} --target {_broken('leak')}"
    found = _fuzz(*options.split(), *engine)
    assert _table(found.stdout)[_broken("leak")][-1] == "oom", found.stdout + found.stderr


def test_without_atheris_the_same_runs_blind_and_says_so(tmp_path: Path) -> None:
    arguments = f"--seconds 3 --folder {tmp_path} --target key".split()
    code = (
        f"import sys; sys.modules['atheris'] = None; from tests.fuzz.__main__ import main; sys.exit(main({arguments}))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "Coverage-guided fuzzing is not to be had" in found.stdout
    runs, _, edges, *_ = _table(found.stdout)["key"]
    assert (int(runs.replace(",", "")) > 1_000, edges) == (True, "0")


@pytest.mark.parametrize("arguments", ["--target none", "--jobs 0", "--seconds x", "--replay x"])
def test_a_command_that_makes_no_sense_is_refused(arguments: str) -> None:
    assert _fuzz(*arguments.split()).returncode == 2


def test_a_child_that_does_not_do_its_work_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "key").mkdir()
    (tmp_path / "key" / "corpus").write_bytes(b"a file where a folder belongs")
    found = _fuzz("--seconds", "3", "--folder", tmp_path, "--target", "key")
    assert found.returncode == 1
    assert "key: ended with 1" in found.stdout
    assert "FileExistsError" in found.stdout


def test_what_was_found_before_is_tried_first(tmp_path: Path) -> None:
    crashes = tmp_path / _broken("crash") / "crashes"
    crashes.mkdir(parents=True)
    (crashes / "crash-known").write_bytes(b"fm!known")
    found = _fuzz("--seconds", "3", "--folder", tmp_path, "--target", _broken("crash"), "--blind")
    assert _table(found.stdout)[_broken("crash")][0] == "1"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_child_is_left(engine: list[str], number: signal.Signals, tmp_path: Path) -> None:
    command = _command("--seconds", "60", "--jobs", "1", "--folder", tmp_path, "--target", "key", *engine)
    log = tmp_path / "key" / ("unguided.log" if engine else "guided.log")
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            _wait_for(lambda: log.exists() and b"cov:" in log.read_bytes())
            assert not Path("/proc").exists() or len(_processes(tmp_path)) == 2
            process.send_signal(number)
            out, _ = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == (-number if number == signal.SIGKILL else 130)
    assert number == signal.SIGKILL or "Stopped" in out
    _wait_for(lambda: not _processes(tmp_path))


def _wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def _processes(mark: Path) -> list[Path]:
    """The processes with this path among their arguments; none where there is no /proc to ask."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if str(mark).encode() in entry.read_bytes():
                found.append(entry)
    return found


def _growth(samples: list[Sample]) -> float | None:
    return Outcome("x", "x", Orders("x", "x", 1, 1, 1, 1), samples=samples).growth_mb


def test_growth_is_what_is_held_beyond_the_corpus() -> None:
    assert _growth([]) is None
    # From second 12.5 to second 27.5 memory grows by 30 MB, of which half is the corpus.
    assert _growth([Sample(second, 50 + second * 2, second) for second in range(10, 31)]) == 15
    assert _growth([Sample(second, 90 if second in {10, 18} else 50, 0) for second in range(21)]) == 0


def test_a_violation_is_not_lost_where_asserts_are_off() -> None:
    code = "from tests.fuzz.target import load; load('tests.fuzz.broken.crash').check(b'fm!')"
    found = subprocess.run([sys.executable, "-O", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert Violation.__name__ in found.stderr
