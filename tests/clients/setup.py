"""Installs what makes typed clients out of lexicons, and makes them: `python -m tests.clients.setup`.

Everything lies in .cache/clients, and is made anew when the lexicons, the programs or the locked packages change.
"""

import compileall
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import lexicons
from tests.network.setup import (
    CACHE,
    NODE,
    NODE_RUNTIME,
    NPM,
    SetupError,
    is_stamped,
    one_at_a_time,
    run,
    stamp,
    step,
)

HERE: Final = Path(__file__).parent
HOME: Final = CACHE / "clients"
LOCK: Final = HERE / "package-lock.json"
NODE_MODULES: Final = HOME / "node_modules"
MADE: Final = HOME / "made"
LEXICONS: Final = Path(lexicons.__file__).parent
PYTHON_PACKAGE: Final = "plyr_client"

_NPM_FILES: Final = (".npmrc", "package.json", "package-lock.json")
_STAMP: Final = MADE / ".made-from"


def install() -> None:
    """Install the locked npm packages, if they are not yet; no install script is run. Raises SetupError."""
    if is_stamped(NODE_MODULES, LOCK, NODE_RUNTIME):
        return
    HOME.mkdir(parents=True, exist_ok=True)
    for name in _NPM_FILES:
        shutil.copy(HERE / name, HOME)
    with step("fetching the generators of clients"):
        run([NODE, NPM, "ci", "--ignore-scripts"], _environment(), folder=HOME)
    stamp(NODE_MODULES, LOCK, NODE_RUNTIME)


def generate() -> Path:
    """The folder with the clients and the programs, compiled, made anew if what they are made from has changed."""
    if not _STAMP.is_file() or _STAMP.read_text() != _fingerprint():
        shutil.rmtree(MADE, ignore_errors=True)
        source = MADE / "src"
        source.mkdir(parents=True)
        for path in (HERE / "tsconfig.json", HERE / "with_atproto.py"):
            shutil.copy(path, MADE)
        for path in HERE.glob("*.ts"):
            shutil.copy(path, source)
        with step("making clients of the lexicons"):
            _make_typescript(source)
            _make_python()
        _STAMP.write_text(_fingerprint())
    return MADE


def main() -> int:
    """Install and make; the exit code: 0, or 1 when that cannot be, which is worth a warning only."""
    try:
        with one_at_a_time("clients"):
            install()
            generate()
    except SetupError as error:
        sys.stderr.write(f"Going on without typed clients: {error}\n")
        return 1
    return 0


def ran(command: Sequence[str | Path]) -> str:
    """What a program prints. Raises AssertionError, with what it said, when it fails."""
    done = subprocess.run(
        command, cwd=MADE, env=_environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _make_typescript(source: Path) -> None:
    documents = sorted(LEXICONS.rglob("*.json"))
    lex = NODE_MODULES / "@atproto" / "lex" / "bin" / "lex"
    lex_cli = NODE_MODULES / "@atproto" / "lex-cli" / "bin.js"
    _node(lex, "build", "--lexicons", LEXICONS, "--out", source / "lex", "--no-pretty")
    _node(lex_cli, "gen-api", "--yes", source / "api", *documents)
    _node(NODE_MODULES / "typescript" / "bin" / "tsc", "--project", MADE)


def _make_python() -> None:
    command = Path(sys.executable).with_name("atproto")
    output = MADE / "python" / PYTHON_PACKAGE
    generating: list[str | Path] = [
        "gen",
        "--lexicon-dir",
        LEXICONS,
        "custom",
        "--output-dir",
        output,
        "--package",
        PYTHON_PACKAGE,
    ]
    run([command, *generating], folder=MADE)
    if not compileall.compile_dir(MADE / "python", quiet=1):
        raise SetupError("the Python client does not compile.")


def _node(*command: str | Path) -> None:
    run([NODE, *command], _environment(), folder=MADE)


def _environment() -> dict[str, str]:
    return os.environ | {"PATH": f"{NODE.parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for path in (*sorted(LEXICONS.rglob("*.json")), *sorted(HERE.glob("*.*"))):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
