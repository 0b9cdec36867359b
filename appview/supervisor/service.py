"""A process that is to run: how it is started, when it is ready, and how it is told to stop."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

_TIE: Final = str(Path(__file__).with_name("tie.py"))


class User(NamedTuple):
    """An account of this machine, by number."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Service:
    """What to run, under which name. `stop` is the polite signal, `kill` what follows when it is not over in time."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] | None = None
    """None: ours."""
    folder: Path | None = None
    """Where it runs; None: where we do."""
    user: User | None = None
    """As whom; None: as ourselves."""
    inherits: tuple[int, ...] = ()
    """File descriptors that stay open in it."""
    ready: Callable[[], bool] | None = None
    """Asked until it is true; it may block for a second or two. None: ready once it runs."""
    noise: re.Pattern[str] | None = None
    """What the lines of it have in common that nobody need read."""
    family: bool = False
    """It starts processes of its own, which are to go with it; its `stop` is SIGTERM."""
    death: signal.Signals = signal.SIGKILL
    """What it gets when we are gone."""
    stop: signal.Signals = signal.SIGTERM
    kill: signal.Signals = signal.SIGKILL
    stop_seconds: float = 10.0


class ServiceError(Exception):
    """A process cannot be started as things are; the message is one sentence for the operator."""


def as_user(user: User | None) -> dict[str, Any]:
    """The options of `subprocess` that start a process as `user`."""
    return {} if user is None else {"user": user.uid, "group": user.gid, "extra_groups": []}


def command(service: Service) -> list[str]:
    """What to execute: the command behind `tie.py`, by which it ends, on Linux, when the thread ends that starts it.

    That must be the main one. (`preexec_fn` could do as much, but not beside threads.)
    """
    death = "family" if service.family else str(int(service.death))
    user = "-" if service.user is None else f"{service.user.uid}:{service.user.gid}"
    return [sys.executable, "-I", "-S", _TIE, str(os.getpid()), death, user, *service.command]


def options(service: Service) -> dict[str, Any]:
    """The options of `subprocess`, or of asyncio's, to start it with; its errors go where its output goes.

    It has no input, and a session of its own: a Ctrl-C at the terminal reaches us alone, and its process group holds
    whatever it starts.
    """
    return {
        "stdin": subprocess.DEVNULL,
        "stderr": subprocess.STDOUT,
        "env": service.environment,
        "cwd": service.folder,
        "pass_fds": service.inherits,
        "start_new_session": True,
    }
