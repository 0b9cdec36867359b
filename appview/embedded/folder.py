"""The data folder: who may enter it, the secrets in it, and the locks by which a server runs there once."""

import fcntl
import os
import pwd
import secrets
import socket
import stat
import time
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from appview.supervisor.service import ServiceError, User

# sockaddr_un holds 104 bytes on macOS and 108 on Linux, the last of them NUL.
_SOCKET_BYTES: Final = 103


class Secrets(NamedTuple):
    """What is made at random at the first start, and kept."""

    postgres: str
    redis: str
    key: str
    """What PLYR_SECRET_KEY is where it is not set."""


def make_folder(folder: Path) -> Path:
    """`folder`, absolute, made if need be and closed to others. Raises ServiceError."""
    folder = folder.absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ServiceError(f"the data folder {folder} cannot be made: {error.strerror}") from None
    return folder


def load_secrets(folder: Path) -> Secrets:
    """The secrets in `folder`; made if there are none. Raises ServiceError."""
    path = folder / "secrets.json"
    try:
        if not path.exists():
            _make_secrets(path)
        return Secrets(**orjson.loads(path.read_bytes()))
    except OSError as error:
        raise ServiceError(f"{path} cannot be read or made: {error.strerror}") from None
    except (TypeError, ValueError):
        raise ServiceError(f"{path} does not hold the secrets that it should") from None


def _make_secrets(path: Path) -> None:
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    made = Secrets(*(secrets.token_urlsafe(32) for _ in Secrets._fields))
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(orjson.dumps(made._asdict()))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(new, path)
    except FileExistsError:
        pass  # Another process was faster, and its secrets are as good.
    finally:
        new.unlink()


class Lock:
    """A file that one manager of a server holds at a time, its server with it: free means that neither runs."""

    def __init__(self, path: Path, *, patience: float) -> None:
        """Take it. `patience` is the seconds that a server whose manager is gone has for its own end.

        Raises ServiceError when it is not to be had.
        """
        try:
            self.descriptor: Final = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ServiceError(f"{path} cannot be opened: {error.strerror}") from None
        try:
            self._take(path, time.monotonic() + patience)
        except BaseException:
            self.close()
            raise
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, str(os.getpid()).encode(), 0)

    def close(self) -> None:
        """Let it go; it is free once the server has ended too."""
        os.close(self.descriptor)

    def _take(self, path: Path, deadline: float) -> None:
        while True:
            try:
                return fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                manager = os.pread(self.descriptor, 20, 0).decode()
            if _is_alive(manager):
                raise ServiceError(f"{path.stem} already runs in {path.parent}, started by process {manager}")
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"{path.stem} of an earlier run still runs in {path.parent}, and must be stopped first"
                )
            time.sleep(0.05)


def is_held(path: Path) -> bool:
    """Whether anyone holds the lock at `path`. Raises ServiceError when we may not know."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ServiceError(f"{path} cannot be opened: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (ProcessLookupError, ValueError):
        return False
    return True


def servant(folder: Path) -> User | None:
    """As whom a server is to run on `folder`: as ourselves (None), but as root as somebody who may do nothing else.

    That is who has the folder already, else the user postgres, or nobody where there is none: no user is made.
    """
    if os.geteuid() != 0:
        return None
    if folder.exists() and (owner := folder.stat()).st_uid != 0:
        return User(owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(account.pw_uid, account.pw_gid)
    raise ServiceError("root may not run Postgres, and this machine has no user postgres or nobody to run it as")


def give(path: Path, user: User | None) -> None:
    """Make `path` the user's."""
    if user is not None:
        os.chown(path, *user)


def admit(path: Path, user: User | None) -> list[Path]:
    """Let `user` pass through the folders above `path`, not list them; returns those that had to be opened."""
    opened = []
    for folder in path.resolve().parents if user is not None else ():
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
            opened.append(folder)
    return opened


def share(tree: Path, user: User | None) -> None:
    """Let `user` read and run what is in `tree`; installed under a strict umask, it is root's alone."""
    if user is None:
        return
    for path in (tree, *tree.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        # What its owner may, all may, but write.
        wanted = mode | (mode >> 6 & (stat.S_IROTH | stat.S_IXOTH))
        if wanted != mode:
            path.chmod(wanted)


def socket_fits(path: Path) -> bool:
    """Whether a socket can have this path."""
    return len(os.fsencode(path)) <= _SOCKET_BYTES


def free_port() -> int:
    """A port of loopback that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def memory() -> int:
    """The bytes of memory of this machine, or of the control group that we are in."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):
        return total
