"""Who makes rankings, and how often."""

import pytest

from appview.db import Connection
from appview.index.rankings import NAMES
from appview.jobs.family import Tools, perform
from appview.jobs.ranking import EVERY, RANKING, SHARE, want_rankings
from appview.jobs.rows import take, want
from tests.appview.jobs.workers import Workers
from tests.index_writer import IndexWriter
from tests.stories import Story


async def wanted(connection: Connection) -> set[str]:
    return {row["subject"] for row in await connection.fetch("select subject from jobs where kind = 'ranking'")}


async def made(connection: Connection, name: str, *, ago: float, seconds: float = 0.0) -> None:
    await connection.execute(
        """
        insert into rankings (name, at, checked_at, seconds)
        values ($1, now() - interval '1 day', now() - make_interval(secs => $2), $3)
        on conflict (name, at) do update set checked_at = excluded.checked_at, seconds = excluded.seconds
        """,
        name,
        ago,
        seconds,
    )


async def test_what_was_never_made_is_made_at_once(connection: Connection) -> None:
    await want_rankings(connection)
    assert await wanted(connection) == set(NAMES)


async def test_what_is_wanted_is_not_wanted_again(connection: Connection) -> None:
    await want(connection, RANKING.kind, ["trending"], delay=900)
    await want_rankings(connection)
    assert await connection.fetchval("select wanted from jobs where subject = 'trending' and due_at > now()") == 1


@pytest.mark.parametrize(
    ("ago", "seconds", "due"),
    [
        (EVERY - 5, 0.0, False),
        (EVERY + 5, 0.0, True),
        (EVERY + 5, EVERY / SHARE + 0.2, False),
        (SHARE * 10 - 5, 10.0, False),
        (SHARE * 10 + 5, 10.0, True),
    ],
)
async def test_it_rests_the_longer_the_longer_it_took(
    connection: Connection, ago: float, seconds: float, due: bool
) -> None:
    for name in NAMES:
        await made(connection, name, ago=ago if name == "top-month" else 0.0, seconds=seconds)
    await want_rankings(connection)
    assert await wanted(connection) == ({"top-month"} if due else set())


async def test_one_that_came_out_the_same_was_made_all_the_same(connection: Connection, tools: Tools) -> None:
    for name in NAMES:
        await made(connection, name, ago=EVERY + 5)
        await want_rankings(connection)
        await take(connection, RANKING.kind, 1)
        await perform(tools, RANKING, name)
    assert await connection.fetchval("select count(*) from rankings") == len(NAMES)
    await want_rankings(connection)
    assert await wanted(connection) == set()


async def test_a_ranking_of_another_version_is_let_be(connection: Connection, tools: Tools) -> None:
    await want(connection, RANKING.kind, ["top-year"])
    await take(connection, RANKING.kind, 1)
    await perform(tools, RANKING, "top-year")
    assert await wanted(connection) == set()


async def test_a_worker_makes_them(connection: Connection, workers: Workers) -> None:
    story = Story(IndexWriter(connection))
    await story.tell("ann made song 9h\nben liked song 1h")
    workers.start("appview.jobs")

    async def all_made() -> bool:
        return bool(await connection.fetchval("select count(distinct name) from rankings") == len(NAMES))

    await workers.until(all_made)
    await workers.until(workers.no_jobs)
    rows = await connection.fetch("select name, uri, votes from ranked join rankings on id = ranking")
    assert [tuple(row) for row in rows] == [("top-all", story.uri("song"), 1)]
    assert "Traceback" not in workers.said()
