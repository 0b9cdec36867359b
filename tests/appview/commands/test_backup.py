"""`python -m appview backup` and `restore`, as an operator runs them."""

import asyncio
from pathlib import Path

import pytest

from appview import db
from appview.accounts import preferences
from appview.accounts.grants import Grants
from appview.accounts.vault import Vault
from tests.appview.accounts.granting import Authority, granted
from tests.appview.accounts.rows import ALICE
from tests.appview.commands.running import appview
from tests.database import Server

KEY = "the secret key of this server which is in no file"


@pytest.fixture
def filled(database_url: str) -> str:
    """A database with one grant and one account's preferences."""

    async def fill() -> None:
        async with await db.create_pool(database_url, size=2) as pool:
            await Grants(pool, Vault([KEY]), Authority()).save(granted(), "session")
            async with pool.acquire() as connection:
                await preferences.put(connection, ALICE, [{"$type": "a#b"}])

    asyncio.run(fill())
    return database_url


def test_there_and_back_again(filled: str, database_server: Server, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    file.write_text("of yesterday")
    ran = appview("backup", file, DATABASE_URL=filled)
    assert (ran.code, ran.out) == (0, f"2 rows are in {file}\n"), ran.error
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["backup"]
    with database_server.database() as empty:
        settings = {"DATABASE_URL": empty, "SECRET_KEY": KEY}
        dry = appview("restore", file, "--dry-run", **settings)
        assert dry.code == 0, dry.error
        assert "nothing was restored now" in dry.out
        ran = appview("restore", file, **settings)
        assert ran.code == 0, ran.error
        assert "1 grants: 1 new, 0 here already, 0 left out" in ran.out
        again = appview("restore", file, **settings)
        assert (again.code, "1 preferences: 0 new, 1 here already, 0 left out" in again.out) == (0, True)


def test_without_its_key_a_grant_is_left_out_and_said(filled: str, database_server: Server, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    appview("backup", file, DATABASE_URL=filled)
    with database_server.database() as empty:
        ran = appview("restore", file, DATABASE_URL=empty, SECRET_KEY="another key, of which nothing here was made")
        assert ran.code == 1
        assert "1 grants: 0 new, 0 here already, 1 left out" in ran.out
        assert "1 preferences: 1 new" in ran.out
        unset = appview("restore", file, DATABASE_URL=empty)
        assert unset.code == 2
        assert "PLYR_SECRET_KEY is not set" in unset.error
        old = appview(
            "restore", file, DATABASE_URL=empty, SECRET_KEY="the next key of this server" * 2, OLD_SECRET_KEYS=KEY
        )
        assert old.code == 0


def test_what_cannot_be_done_is_one_sentence(filled: str, tmp_path: Path) -> None:
    settings = {"DATABASE_URL": filled, "SECRET_KEY": KEY}
    nowhere = appview("backup", tmp_path / "no" / "backup", **settings)
    assert nowhere.code == 2
    assert nowhere.error.endswith("cannot be written: No such file or directory\n")
    absent = appview("restore", tmp_path / "absent", **settings)
    assert (absent.code, "cannot be read: No such file" in absent.error) == (2, True)
    (tmp_path / "odd").write_bytes(b"\x00")
    odd = appview("restore", tmp_path / "odd", **settings)
    assert (odd.code, "is no backup of ours" in odd.error) == (2, True)
    assert list(tmp_path.iterdir()) == [tmp_path / "odd"]


def test_the_help_says_what_is_in_it() -> None:
    for command in ("backup", "restore"):
        said = " ".join(appview(command, "--help").out.split())
        for word in ("developer tokens", "preferences", "Not in it: the index", "PLYR_SECRET_KEY"):
            assert word in said
