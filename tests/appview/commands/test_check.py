"""`python -m appview check` and `reindex`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from appview import db
from appview.db import Connection
from appview.index.rebuild import PAGE
from appview.index.recount import differences
from tests.appview.commands.running import appview
from tests.appview.index.filled import PEOPLE, change, fill, write
from tests.appview.index.samples import record, rkey
from tests.appview.index.tables import DERIVED, contents

T = TypeVar("T")
SONG = f"at://{PEOPLE[0]}/fm.plyr.track/{rkey(0)}"


def on(url: str, work: Callable[[Connection], Awaitable[T]]) -> T:
    """What `work` answers, on a connection to the database at `url`."""

    async def run() -> T:
        connection = await db.connect(url)
        try:
            return await work(connection)
        finally:
            await connection.close()

    return asyncio.run(run())


@pytest.fixture
def filled(database_url: str) -> str:
    on(database_url, fill)
    return database_url


def test_check_finds_repairs_and_is_content(filled: str) -> None:
    content = appview("check", DATABASE_URL=filled)
    assert (content.code, content.out, content.error) == (0, "no differences\n", "")

    async def harm(connection: Connection) -> None:
        await connection.execute(f"update tracks set duration = 7 where uri = '{SONG}'")
        await connection.execute("update totals set n = 7 where name = 'like'")
        await connection.execute("update search_words set n = 8 where word = 't'")

    on(filled, harm)
    lines = [f"{SONG}: its row in tracks has another duration", "totals: n of like is 7 and should be 4"]
    lines.append("search: t: the word is said to be in 8 documents, and is in 7")
    for options, last in (((), "3 differences"), (("--repair",), "3 differences, repaired")):
        found = appview("check", *options, DATABASE_URL=filled)
        assert (found.code, found.out.splitlines(), found.error) == (1, [*lines, last], "")
    assert appview("check", DATABASE_URL=filled).code == 0


def test_reindex_leaves_all_as_it_was(filled: str) -> None:
    before = on(filled, contents)
    records = "select uri, verdict, deviations, indexed_at from records order by uri"
    held = on(filled, lambda connection: connection.fetch(records))
    ran = appview("reindex", DATABASE_URL=filled)
    total = len(held)
    assert (ran.code, ran.error) == (0, "")
    assert (
        ran.out
        == f"{total} records; 0 rows without a record taken out; 0 counters and 0 texts of the search set right\n"
    )
    assert on(filled, contents) == before
    assert on(filled, lambda connection: connection.fetch(records)) == held


def test_reindex_makes_all_anew(filled: str) -> None:
    before = on(filled, contents)

    async def lose(connection: Connection) -> None:
        # The names that a list inherited stand nowhere else.
        for table in sorted(set(DERIVED) - {"lists"}):
            await connection.execute(f"delete from {table}")
        await connection.execute("update lists set did = '', item_count = 7, sort_at = now()")
        await connection.execute("update records set verdict = 'ok', deviations = '[]' where verdict is not null")

    on(filled, lose)
    assert appview("reindex", DATABASE_URL=filled).code == 0
    assert on(filled, contents) == before
    assert on(filled, differences) == []
    assert appview("check", DATABASE_URL=filled).code == 0


def test_reindex_goes_on_where_it_was_stopped(filled: str) -> None:
    async def stop_half_way(connection: Connection) -> int:
        await connection.execute("update tracks set title = 'x'")
        await connection.execute("insert into places (task, place, done) values ('reindex', $1, 5)", SONG)
        return int(await connection.fetchval("select count(*) from records where uri > $1", SONG)) + 5

    async def titles(connection: Connection) -> dict[str, str]:
        return {row["uri"]: row["title"] for row in await connection.fetch("select uri, title from tracks")}

    done = on(filled, stop_half_way)
    ran = appview("reindex", DATABASE_URL=filled)
    assert ran.out.splitlines()[0] == f"going on after {SONG}"
    assert ran.out.splitlines()[1].startswith(f"{done} records;")
    assert {uri for uri, title in on(filled, titles).items() if title == "x"} == {
        uri for uri in on(filled, titles) if uri <= SONG
    }
    again = appview("reindex", "--restart", DATABASE_URL=filled)
    assert again.code == 0
    assert "x" not in on(filled, titles).values()
    assert on(filled, lambda connection: connection.fetch("select * from places")) == []


def test_reindex_of_more_than_a_page(database_url: str) -> None:
    async def many(connection: Connection) -> None:
        songs = (f"at://{PEOPLE[0]}/fm.plyr.track/{rkey(n)}" for n in range(2 * PAGE + 1))
        await write(connection, *(change(uri, record("fm.plyr.track", {"title": uri})) for uri in songs))

    on(database_url, many)
    before = on(database_url, contents)
    on(database_url, lambda connection: connection.execute("delete from tracks; delete from totals"))
    assert appview("reindex", DATABASE_URL=database_url).code == 0
    assert on(database_url, contents) == before


@pytest.mark.parametrize("command", ["check", "reindex"])
def test_a_database_that_is_not_migrated(database_url: str, command: str) -> None:
    on(database_url, lambda connection: connection.execute("delete from schema_migrations"))
    ran = appview(command, DATABASE_URL=database_url)
    assert (ran.code, ran.out) == (2, "")
    assert "run `python -m appview migrate`" in ran.error
