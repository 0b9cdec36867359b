"""Where the tables of the search are not what they should be, and how that is set right.

Documents are compared with what they are of, names and words with their documents, and the dictionary with the words.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from appview.db import Connection
from appview.index.lock import index_lock
from appview.index.search.documents import KINDS, identify
from appview.index.search.fill import SOURCES, Page, levels, pages
from appview.index.search.writing import put_in, stored

_AT_ONCE: Final = 500

_HELD: Final = "select id, kind, level, key, did, names, words from search_documents where id = any($1::bigint[])"
_ORPHANS: Final = f"""
    select key from search_documents where not case kind
        when {KINDS["track"]} then exists (select from tracks where uri = key)
        when {KINDS["list"]} then exists (select from lists where uri = key)
        else exists (select from actors where actors.did = key)
    end
"""  # noqa: S608 - our own words
# Rows of names and words that their document does not have, and those that it lacks.
_PARTS: Final = (
    (
        "name",
        """
        select coalesce(held.id, due.id) as id, name from search_names as held
        full join (
            select kind, level, name, id from search_documents, unnest(names) as name
        ) as due using (kind, level, name, id)
        where held.id is null or due.id is null
        """,
    ),
    (
        "word",
        """
        select coalesce(held.id, due.id) as id, word from search_postings as held
        full join (
            select kind, level, word, id from search_documents, string_to_table(trim(words), ' ') as word
        ) as due using (kind, level, word, id)
        where held.id is null or due.id is null
        """,
    ),
)
_WORDS: Final = """
    select word, coalesce(held.n, 0) as held, coalesce(due.n, 0) as due from search_words as held
    full join (select word, count(*) as n from search_postings group by word) as due using (word)
    where held.n is distinct from due.n
"""
_COUNT_AGAIN: Final = """
    insert into search_words (word, n)
    select word, (
        select count(*) from search_postings as held
        where kind = any($2::smallint[]) and level between 0 and 5 and held.word = asked.word
    ) from unnest($1::text[]) as asked (word) order by word
    on conflict (word) do update set n = excluded.n
"""


class Difference(NamedTuple):
    """Something that is not as it should be: of the document with this number and key, or with a word."""

    id: int | None
    key: str
    what: str

    def __str__(self) -> str:
        return f"search: {self.key}: {self.what}"


async def differences(connection: Connection) -> list[Difference]:
    """Everything that is off at one moment; outside of any transaction.

    Reads all there is, some thousand rows at a time where Python looks at them.
    """
    found = []
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        async for page in pages(connection):
            found += await _check(connection, page)
        for (key,) in await connection.fetch(_ORPHANS):
            found.append(Difference(identify(key), key, "it is found, and is not here"))
        for what, query in _PARTS:
            for id_, part in await connection.fetch(query):
                found.append(Difference(id_, str(id_), f"the {what} {part} is there without it, or not there for it"))
        for word, held, due in await connection.fetch(_WORDS):
            found.append(Difference(None, word, f"the word is said to be in {held} documents, and is in {due}"))
    return found


async def repair(connection: Connection, found: Sequence[Difference]) -> None:
    """Set right what `differences` found, in short transactions; outside of any other."""
    for start in range(0, len(found), _AT_ONCE):
        few = found[start : start + _AT_ONCE]
        async with connection.transaction():
            await index_lock(connection)
            await _make_anew(
                connection, [of for of in few if of.id is not None], [of.key for of in few if of.id is None]
            )


async def _check(connection: Connection, page: Page) -> list[Difference]:
    due = [document for document in page.values() if document is not None]
    level = await levels(connection, due)
    rows = await connection.fetch(_HELD, [identify(key) for key in page])
    held = {row["id"]: row for row in rows}
    found = []
    for key, document in page.items():
        id_ = identify(key)
        row = held.get(id_)
        if (None if row is None else stored(row)) != document:
            found.append(Difference(id_, key, "it is not found by what it says"))
        elif row is not None and row["level"] != level[id_]:
            found.append(Difference(id_, key, f"it is of level {row['level']} and should be of {level[id_]}"))
    return found


async def _make_anew(connection: Connection, documents: Sequence[Difference], words: Sequence[str]) -> None:
    ids = sorted({of.id for of in documents if of.id is not None})
    keys = {of.key for of in documents}
    affected = set(words)
    for row in await connection.fetch(f"{_HELD} order by id for update", ids):
        keys.add(row["key"])
    await connection.execute("delete from search_documents where id = any($1::bigint[])", ids)
    await connection.execute("delete from search_names where id = any($1::bigint[])", ids)
    rows = await connection.fetch("delete from search_postings where id = any($1::bigint[]) returning word", ids)
    affected.update(word for (word,) in rows)
    for source in SOURCES:
        sources = await connection.fetch(source.query(f"{source.key} = any($1::text[])"), list(keys))
        come = [document for row in sources if (document := source.document(*row)) is not None]
        await put_in(connection, come)
        affected.update(word for document in come for word in document.words)
    await connection.execute(_COUNT_AGAIN, sorted(affected), list(KINDS.values()))
    await connection.execute("delete from search_words where word = any($1::text[]) and n = 0", sorted(affected))
