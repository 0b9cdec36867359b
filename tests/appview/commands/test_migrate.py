"""`python -m appview migrate`."""

import tempfile
from pathlib import Path

from appview.db import MIGRATIONS
from tests.appview.commands.running import appview
from tests.database import Server

NAMES = sorted(file.stem for file in MIGRATIONS.glob("*.sql"))


def test_it_applies_what_is_missing_and_says_so(database_server: Server) -> None:
    with database_server.database(migrated=False) as url:
        first, second = appview("migrate", DATABASE_URL=url), appview("migrate", DATABASE_URL=url)
    assert (first.code, first.out.split(), first.error) == (0, NAMES, "")
    assert (second.code, second.out) == (0, "nothing to do: the schema is up to date\n")


def test_without_a_database_it_is_the_embedded_one() -> None:
    with tempfile.TemporaryDirectory(prefix="plyr-") as folder:
        data = Path(folder) / "data"
        ran = appview("migrate", DATA_DIR=data)
        assert (ran.code, ran.out.split(), ran.error) == (0, NAMES, "")
        assert not (data / "postgres" / "postmaster.pid").exists()
        assert appview("migrate", DATA_DIR=data).out.startswith("nothing to do")


def test_a_database_that_does_not_answer_is_one_sentence() -> None:
    ran = appview("migrate", DATABASE_URL="postgresql://plyr:hush@127.0.0.1:1/plyr")
    assert ran.code == 2
    assert ran.error.startswith("python -m appview: the database 127.0.0.1:1/plyr cannot be used: ")
    assert ran.error.count("\n") == 1
    assert "hush" not in ran.error
