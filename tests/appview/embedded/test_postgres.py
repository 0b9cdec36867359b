"""The embedded Postgres: what it keeps, what it survives, and what it refuses."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appview import db
from appview.embedded.folder import load_secrets
from appview.embedded.postgres import EmbeddedPostgres, postgres, running_url
from appview.supervisor.service import ServiceError
from tests.database import CARELESS

MANAGER = """
import sys
from pathlib import Path
from appview.embedded.postgres import postgres
with postgres(Path(sys.argv[1])) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


def asked(url: str, *statements: str) -> object:
    """The answer to the last of `statements`."""

    async def ask() -> object:
        connection = await db.connect(url)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    return asyncio.run(ask())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cluster to copy, which saves the making."""
    folder = tmp_path_factory.mktemp("made") / "data"
    EmbeddedPostgres(folder).close()
    return folder


@pytest.fixture
def cluster(made: Path, folder: Path) -> Path:
    """A data folder with a cluster in it, of a server that never ran."""
    subprocess.run(["cp", "-a", made, folder], check=True)
    return folder


def test_what_is_written_stays_between_runs(folder: Path) -> None:
    with postgres(folder) as url:
        assert running_url(folder) == url
        asked(url, "create table kept as select 7 as n", "select n from kept")
    assert running_url(folder) is None
    with postgres(folder) as again:
        assert again == url
        assert asked(url, "select n from kept") == 7


def test_it_has_what_search_needs(cluster: Path) -> None:
    with postgres(cluster, CARELESS) as url:
        assert asked(url, "create extension pg_trgm", "create extension unaccent", "select unaccent('é')") == "e"
        assert asked(url, "select lower('ÉЖ')") == "éж"
        assert asked(url, "show server_encoding") == "UTF8"
        assert asked(url, "show synchronous_commit") == "off"


def test_it_wants_the_password(cluster: Path) -> None:
    with postgres(cluster, CARELESS) as url, pytest.raises(db.Unreachable, match="password authentication failed"):
        asked(url.replace(load_secrets(cluster).postgres, "guess"), "select 1")


def test_a_path_too_long_for_a_socket_means_loopback(cluster: Path) -> None:
    deep = cluster / ("x" * 100)
    deep.mkdir()
    for name in ("postgres", "secrets.json"):
        shutil.move(cluster / name, deep)
    with postgres(deep, CARELESS) as url:
        assert "@127.0.0.1:" in url
        assert running_url(deep) == url
        assert asked(url, "select 1") == 1


def test_a_second_one_is_refused_in_one_sentence(cluster: Path) -> None:
    said = f"postgres already runs in {cluster}, started by process {os.getpid()}"
    with postgres(cluster, CARELESS), pytest.raises(ServiceError, match=said):
        EmbeddedPostgres(cluster)


def test_killed_with_its_manager_it_comes_back_with_what_was_committed(cluster: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MANAGER, cluster], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as manager:
        assert manager.stdout is not None
        url = manager.stdout.readline().decode().strip()
        asked(url, "create table kept as select 7 as n", "select n from kept")
        manager.send_signal(signal.SIGKILL)
    with postgres(cluster) as again:
        assert asked(again, "select n from kept") == 7


def test_a_pid_file_left_behind_is_no_obstacle_even_when_its_number_lives(cluster: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        left = cluster / "postgres" / "postmaster.pid"
        left.write_text(f"{other.pid}\n{cluster}/postgres\n1700000000\n5432\n{cluster}/postgres\n\n1 1\nready\n")
        assert running_url(cluster) is None
        with postgres(cluster, CARELESS) as url:
            assert asked(url, "select 1") == 1
        assert other.poll() is None
        other.kill()


def test_the_cluster_of_another_version_is_left_alone(cluster: Path) -> None:
    version = cluster / "postgres" / "PG_VERSION"
    version.write_text("12\n")
    with pytest.raises(ServiceError, match=r"is of PostgreSQL 12 and this is 1[0-9]: move it away"):
        EmbeddedPostgres(cluster)
    assert version.read_text() == "12\n"


def test_a_making_that_was_broken_off_begins_anew(folder: Path) -> None:
    half = folder / "postgres.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with postgres(folder, CARELESS) as url:
        assert asked(url, "select 1") == 1
    assert not half.exists()


def test_why_it_does_not_start_is_told(cluster: Path) -> None:
    said = r"postgres ended with code 1; the last it said was: .*shared_buffers"
    with pytest.raises(ServiceError, match=said), postgres(cluster, {"shared_buffers": "much"}):
        pytest.fail("it started")
    EmbeddedPostgres(cluster).close()


def test_what_it_is_told_and_by_whom_is_not_seen_by_others(cluster: Path) -> None:
    server = EmbeddedPostgres(cluster)
    server.close()
    password = load_secrets(cluster).postgres
    assert not any(password in part for part in server.service.command)
    assert not (cluster / "postgres.password").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs it as somebody else")
def test_root_runs_it_as_somebody_who_owns_nothing_else(cluster: Path) -> None:
    with postgres(cluster, CARELESS):
        pid = int((cluster / "postgres" / "postmaster.pid").read_text().split()[0])
        assert Path(f"/proc/{pid}").stat().st_uid == (cluster / "postgres").stat().st_uid != 0
        assert (cluster.stat().st_mode & 0o777, cluster.stat().st_uid) == (0o701, 0)
        assert (cluster / "postgres").stat().st_mode & 0o777 == 0o700
