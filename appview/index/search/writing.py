"""Documents into the tables of the search, in the transaction that changes what they are of.

A transaction that writes does this last: documents in the order of their numbers, then words in their order, so that
those who write at once wait for each other and never in a circle.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import asyncpg

from appview.db import Connection
from appview.index.search.documents import KINDS, Document, account, identify

# How popular a document is: an account by what it published and who follows it, a track by its likes.
LEVEL: Final = f"""
    search_level(case kind
        when {KINDS["actor"]} then coalesce((select c.tracks + c.followers from actor_counts as c where c.did = key), 0)
        when {KINDS["track"]} then coalesce((select c.likes from subject_counts as c where c.subject = key), 0)
        else 0
    end)
"""  # noqa: S608 - our own words
"""The level of a document that has the columns `kind` and `key`."""

# Of an account, whoever changes its handle or its name waits for who else does, and then sees what that one wrote.
_LOCK: Final = "select pg_advisory_xact_lock(id) from unnest($1::bigint[]) as id"
_ACCOUNTS: Final = """
    select did, handle, display_name from actors left join bsky_profiles using (did) where did = any($1::text[])
"""

# A document is taken out and put in again: whoever waited for its old row would find none, and not see the new one. So
# shards that write at once take turns, for a part of the documents each, which the few locks of a transaction allow.
_TURNS: Final = """
    select pg_advisory_xact_lock(1886157170, turn) from (
        select distinct (id & 63)::integer as turn from unnest($1::bigint[] || $2::bigint[]) as id order by turn
    ) as turns
"""

_HELD: Final = f"""
    select id, kind, level, key, did, names, words, {LEVEL} as due from search_documents
    where id = any($1::bigint[]) or (id = any($2::bigint[]) and level <> {LEVEL})
    order by id for update
"""  # noqa: S608 - our own words

_TAKE_OUT: Final = """
    with documents as (delete from search_documents where id = any($1::bigint[])),
    names as (
        delete from search_names as held
        using unnest($2::smallint[], $3::smallint[], $4::text[], $5::bigint[]) as gone (kind, level, name, id)
        where (held.kind, held.level, held.name, held.id) = (gone.kind, gone.level, gone.name, gone.id)
    )
    delete from search_postings as held
    using unnest($6::smallint[], $7::smallint[], $8::text[], $9::bigint[]) as gone (kind, level, word, id)
    where (held.kind, held.level, held.word, held.id) = (gone.kind, gone.level, gone.word, gone.id)
"""

_PUT_IN: Final = f"""
    with come as materialized (
        select *, {LEVEL} as level from unnest($1::bigint[], $2::smallint[], $3::text[], $4::text[], $5::text[])
            as given (id, kind, key, did, words)
    ),
    named as materialized (select * from unnest($6::bigint[], $7::text[]) as named (id, name)),
    documents as (
        insert into search_documents (id, kind, level, key, did, names, words)
        select id, kind, level, key, did, array(select name from named where named.id = come.id), words from come
    ),
    names as (
        insert into search_names (kind, level, name, id) select kind, level, name, id from named join come using (id)
    )
    insert into search_postings (kind, level, word, id)
    select kind, level, word, id from unnest($8::bigint[], $9::text[]) as posted (id, word) join come using (id)
"""  # noqa: S608 - our own words

_COUNT: Final = """
    insert into search_words as held (word, n) select * from unnest($1::text[], $2::bigint[])
    on conflict (word) do update set n = held.n + excluded.n
"""


class Documents:
    """Documents that came and went, each as it is at last."""

    def __init__(self) -> None:
        self._changed: dict[int, Document | None] = {}
        self._accounts: set[str] = set()

    def put(self, key: str, document: Document | None) -> None:
        """This is found under `key` from now on, in place of what was; nothing, where it is None."""
        self._changed[identify(key)] = document

    def account(self, did: str) -> None:
        """The handle or the display name of `did` has changed, and is in its table already."""
        self._accounts.add(did)

    async def apply(self, connection: Connection, counted: Iterable[str] = ()) -> None:
        """Bring the tables up to date, with the popularity of the keys in `counted`, whose counts have changed."""
        changed = {**self._changed, **await _accounts(connection, self._accounts)}
        touched = [identify(key) for key in counted]
        if not changed and not touched:
            return
        await connection.execute(_TURNS, list(changed), touched)
        held = {row["id"]: row for row in await connection.fetch(_HELD, sorted(changed), touched)}
        gone = []
        come = []
        for id_ in held.keys() | changed.keys():
            row = held.get(id_)
            before = None if row is None else stored(row)
            after = changed.get(id_, before)
            if before == after and (row is None or row["level"] == row["due"]):
                continue
            if row is not None:
                gone.append(row)
            if after is not None:
                come.append(after)
        await _write(connection, gone, come)


def stored(row: asyncpg.Record) -> Document:
    """The document in a row of search_documents."""
    words = tuple(row["words"].split())
    return Document(row["id"], row["kind"], row["key"], row["did"], tuple(row["names"]), words)


async def find_again(connection: Connection, dids: Iterable[str]) -> None:
    """Bring up to date by what these accounts are found; in a transaction that has changed their handles already."""
    documents = Documents()
    for did in dids:
        documents.account(did)
    await documents.apply(connection)


async def put_in(connection: Connection, come: Sequence[Document]) -> None:
    """Write documents of which nothing is there, with their names and words; the dictionary is left as it is."""
    if come:
        await connection.execute(
            _PUT_IN,
            *_columns(5, ((of.id, of.kind, of.key, of.did, of.text) for of in come)),
            *_columns(2, ((of.id, name) for of in come for name in of.names)),
            *_columns(2, ((of.id, word) for of in come for word in of.words)),
        )


async def _accounts(connection: Connection, dids: Iterable[str]) -> Mapping[int, Document | None]:
    by_id = {identify(did): did for did in dids}
    if not by_id:
        return {}
    await connection.execute(_LOCK, sorted(by_id))
    rows = {row["did"]: row for row in await connection.fetch(_ACCOUNTS, list(by_id.values()))}
    return {id_: account(*rows[did]) if did in rows else None for id_, did in by_id.items()}


async def _write(connection: Connection, gone: Sequence[asyncpg.Record], come: Sequence[Document]) -> None:
    words: Counter[str] = Counter(word for document in come for word in document.words)
    if gone:
        words.subtract(word for row in gone for word in row["words"].split())
        await connection.execute(
            _TAKE_OUT,
            [row["id"] for row in gone],
            *_columns(4, ((row["kind"], row["level"], name, row["id"]) for row in gone for name in row["names"])),
            *_columns(
                4, ((row["kind"], row["level"], word, row["id"]) for row in gone for word in row["words"].split())
            ),
        )
    await put_in(connection, come)
    moved = sorted((word, n) for word, n in words.items() if n)
    if moved:
        await connection.execute(_COUNT, *_columns(2, moved))
        fewer = [word for word, n in moved if n < 0]
        if fewer:
            await connection.execute("delete from search_words where word = any($1::text[]) and n = 0", fewer)


def _columns(count: int, rows: Iterable[tuple[Any, ...]]) -> Sequence[Sequence[Any]]:
    return list(zip(*rows, strict=True)) or [()] * count
