"""The tables of the search made anew from the tables that they follow: for an index that was filled by other means.

await fill(connection)
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from appview.db import Connection
from appview.index.search import documents
from appview.index.search.documents import KINDS, Document
from appview.index.search.writing import LEVEL

PAGE: Final = 5_000
_SECONDS: Final = 24 * 3600.0
_TABLES: Final = ("search_documents", "search_names", "search_postings", "search_words")

Page: TypeAlias = Mapping[str, Document | None]
"""What is found under some keys; None where it has no word to be found by."""


class Source(NamedTuple):
    """What is found: of which kind, in which table, by which key and columns."""

    kind: int
    table: str
    key: str
    columns: str
    document: Callable[..., Document | None]

    def query(self, where: str) -> str:
        """The rows of which `where` is true."""
        return f"select {self.columns} from {self.table} where {where}"  # noqa: S608 - our own names


SOURCES: Final = (
    Source(KINDS["track"], "tracks", "uri", "uri, did, title, artist, album", documents.track),
    Source(KINDS["list"], "lists", "uri", "uri, did, name", documents.list_),
    Source(
        KINDS["actor"],
        "actors left join bsky_profiles using (did)",
        "actors.did",
        "actors.did, handle, display_name",
        documents.account,
    ),
)


async def fill(connection: Connection) -> None:
    """Empty the tables and fill them, in one transaction, during which nobody else writes or searches."""
    async with connection.transaction():
        await connection.execute(f"truncate {', '.join(_TABLES)}")
        async for page in pages(connection):
            await _copy(connection, [document for document in page.values() if document is not None])
        await connection.execute(
            "insert into search_words (word, n) select word, count(*) from search_postings group by word order by word",
            timeout=_SECONDS,
        )


async def pages(connection: Connection) -> AsyncIterator[Page]:
    """All that there should be, some thousand at a time."""
    for source in SOURCES:
        after = ""
        query = source.query(f"{source.key} > $1 order by {source.key} limit $2")
        while rows := await connection.fetch(query, after, PAGE):
            yield {row[0]: source.document(*row) for row in rows}
            after = rows[-1][0]


async def levels(connection: Connection, page: Sequence[Document]) -> dict[int, int]:
    """How popular each of these documents is, by its number."""
    rows = await connection.fetch(
        f"select id, {LEVEL} as level from unnest($1::bigint[], $2::smallint[], $3::text[]) as asked (id, kind, key)",  # noqa: S608 - our own words
        [of.id for of in page],
        [of.kind for of in page],
        [of.key for of in page],
    )
    return {row["id"]: row["level"] for row in rows}


async def _copy(connection: Connection, page: Sequence[Document]) -> None:
    level = await levels(connection, page)
    rows: dict[str, list[tuple[Any, ...]]] = {
        "search_documents": [(of.id, of.kind, level[of.id], of.key, of.did, list(of.names), of.text) for of in page],
        "search_names": [(of.kind, level[of.id], name, of.id) for of in page for name in of.names],
        "search_postings": [(of.kind, level[of.id], word, of.id) for of in page for word in of.words],
    }
    for table, records in rows.items():
        await connection.copy_records_to_table(table, records=records)
