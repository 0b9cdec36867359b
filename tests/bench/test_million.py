"""The made-up network, very much smaller: it is what the indexer would have written, and the same each time."""

from pathlib import Path

from appview import db
from appview.db import Connection
from appview.index import check, recount
from appview.index.rebuild import Makers
from tests.bench.million import making
from tests.bench.million.derived import derive
from tests.bench.million.filling import TABLES, fill
from tests.bench.million.making import Network
from tests.bench.million.shape import Shape
from tests.bench.million.tables import NAMESPACE

SHAPE = Shape(500, 1_763_769_600_000)


async def test_what_is_made_is_an_index_that_agrees_with_itself(database_url: str, tmp_path: Path) -> None:
    connection = await db.connect(database_url)
    before = await _indexes(connection)
    await fill(database_url, SHAPE, tmp_path / "refs", _nothing)
    makers = Makers.of(NAMESPACE)
    assert [finding async for finding in check.check_records(connection, makers)] == []
    assert await check.check_orphans(connection, makers) == []
    assert await check.check_revs(connection) == []
    assert await recount.differences(connection) == []
    assert await _indexes(connection) == before
    rows = {table: await connection.fetchval(f"select count(*) from {table}") for table in TABLES}
    assert rows["tracks"] == rows["comments"] == rows["follows"] == SHAPE.tracks
    assert rows["likes"] == SHAPE.likes
    assert rows["actors"] == rows["lists"] == SHAPE.tracks // 5
    await derive(connection, SHAPE.end_ms, _nothing)
    assert await connection.fetchval("select count(*) from search_documents where kind = 2") == SHAPE.tracks
    assert await connection.fetchval("select count(*) from ranked") > 100
    await connection.close()


def test_it_is_made_the_same_each_time(tmp_path: Path) -> None:
    first, second = (making.tracks(Network(Shape(500, SHAPE.end_ms), tmp_path / "none"), 0, 50) for _ in range(2))
    assert first == second
    assert making.tracks(Network(Shape(501, SHAPE.end_ms), tmp_path / "none"), 0, 50) != first


async def _indexes(connection: Connection) -> list[tuple[str, str]]:
    rows = await connection.fetch("select indexname, indexdef from pg_indexes where schemaname = 'public' order by 1")
    return [tuple(row) for row in rows]


def _nothing(_text: str) -> None:
    pass
