"""`fm.plyr.list`: an album, a playlist, what somebody likes, in an order of theirs.

plyr.fm's own reorder writes the record again without its name and type. What it lost of these it keeps from the version
before, marked as inherited, for as long as the record stands.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

from appview.db import Connection
from appview.index.counts import Changes
from appview.index.records import fields
from appview.index.records.base import Incoming, RecordType, Row
from appview.index.records.fields import Value
from appview.index.search import documents

Names: TypeAlias = tuple[str | None, str | None]
"""The name of a list, and its type."""

MAX_TYPE_BYTES: Final = 640
"""Of a list's type, by which lists are looked up."""
_NAMELESS: Final[Names] = (None, None)
_ITEMS_AT_ONCE: Final = 20_000


class Item(NamedTuple):
    """A place on a list: its index in the record, and which record stands there, in which version if that is said."""

    position: int
    uri: str
    cid: str | None


class List(NamedTuple):
    """A list as it can be shown: what its record says of itself."""

    name: str | None
    list_type: str | None
    items: tuple[Item, ...]


def read(value: Value) -> List:
    """The list in `value`, whatever is wrong with it; items that name no record are left out. Never raises."""
    items = value.get("items")
    found = []
    for position, item in enumerate(items if type(items) is list else ()):
        subject = fields.strong_ref(item) if type(item) is dict else None
        if subject is not None:
            found.append(Item(position, *subject))
    return List(*_names(value), tuple(found))


def _names(value: Value) -> Names:
    return fields.text(value, "name", 2560), fields.text(value, "listType", MAX_TYPE_BYTES)


def _over(own: Names, last: Names) -> Names:
    """What a version that says `own` of itself is called, where it was called `last` before."""
    return own[0] if own[0] is not None else last[0], own[1] if own[1] is not None else last[1]


def _own_places(did: str, items: Sequence[Item]) -> frozenset[int]:
    """Where each record of `did` stands first."""
    own = f"at://{did}/"
    return frozenset({item.uri: item.position for item in reversed(items) if item.uri.startswith(own)}.values())


class Lists(RecordType):
    """The lists there are, and what is on them.

    A row ends with its items: each a position, a subject, its CID, the list's `sort_at`, by which the lists that hold a
    subject are ordered, and whether this is where an album first holds a track of its own author's.
    """

    name = "list"
    signal = True
    table = "lists"
    size = "1 + item_count"
    columns = "uri text, did text, name text, list_type text, inherited text[], item_count integer, sort_at timestamptz"

    def row(self, record: Incoming) -> Row:
        """The row that shows `record`, where no row of it is there."""
        return self._after(record, _NAMELESS)

    def expected(self, record: Incoming, stored: Row | None) -> Row:
        """What is inherited is known from the row alone."""
        return self._after(record, _NAMELESS if stored is None else (stored[2], stored[3]))

    async def swap(
        self, connection: Connection, gone: Sequence[str], come: Sequence[Incoming], changes: Changes
    ) -> None:
        """As for any type, with the items, and with the names that the rows taken out still had."""
        taken = items = []
        if gone:
            taken = await connection.fetch(
                "delete from lists where uri = any($1::text[]) returning uri, did, name, list_type", gone
            )
            items = await connection.fetch(
                "with taken as (delete from list_items where list = any($1::text[]) returning list, subject)"
                " select distinct list, subject from taken",
                gone,
            )
        authors = {uri: did for uri, did, _, _ in taken}
        names = {uri: (name, list_type) for uri, _, name, list_type in taken}
        for uri, did in authors.items():
            changes.record(self.name, uri, did, -1)
            changes.documents.put(uri, None)
        for uri, subject in items:
            # Items without their list, which there should not be, were never counted.
            if uri in authors:
                changes.listing(uri, authors[uri], subject, -1)

        rows = [self._after(record, _NAMELESS if record.fresh else names.get(record.uri, _NAMELESS)) for record in come]
        await self._put_in(connection, rows)
        for row in rows:
            changes.record(self.name, row[0], row[1], 1)
            changes.documents.put(row[0], documents.list_(*row[:3]))
            for subject in {subject for _, subject, *_ in row[-1]}:
                changes.listing(row[0], row[1], subject, 1)

    async def stored(self, connection: Connection, uris: Sequence[str]) -> dict[str, Row]:
        """The rows there are of `uris`, by URI, with their items."""
        items: dict[str, list[Row]] = {}
        for uri, *item in await connection.fetch(
            "select list, position, subject, subject_cid, sort_at, own_album from list_items"
            " where list = any($1::text[]) order by list, position",
            uris,
        ):
            items.setdefault(uri, []).append(tuple(item))
        rows = await super().stored(connection, uris)
        return {uri: (*row[:4], tuple(row[4]), *row[5:], tuple(items.get(uri, ()))) for uri, row in rows.items()}

    async def inherited(self, connection: Connection, uris: Sequence[str]) -> dict[str, Value]:
        """The names of those lists that an older version alone had."""
        rows = await connection.fetch(
            "select uri, name, list_type from lists where uri = any($1::text[]) and inherited <> '{}'", uris
        )
        named = {row["uri"]: {"name": row["name"], "listType": row["list_type"]} for row in rows}
        return {uri: {key: name for key, name in names.items() if name is not None} for uri, names in named.items()}

    def _after(self, record: Incoming, last: Names) -> Row:
        """The row that shows `record`, where the version before it had the names `last`."""
        for earlier in record.earlier:
            last = _over(_names(earlier), last)
        this = read(record.value)
        own = this.name, this.list_type
        names = _over(own, last)
        inherited = [
            field
            for field, said, kept in zip(("name", "listType"), own, names, strict=True)
            if said is None and kept is not None
        ]
        placed = _own_places(record.did, this.items) if names[1] == "album" else frozenset()
        items = tuple((*item, record.sort_at, item.position in placed) for item in this.items)
        return record.uri, record.did, *names, tuple(inherited), len(items), record.sort_at, items

    async def _put_in(self, connection: Connection, rows: Sequence[Row]) -> None:
        if not rows:
            return
        # An array of arrays has no rows of arrays in SQL: what is inherited goes as one text.
        flat = [(*row[:4], ",".join(row[4]), *row[5:-1]) for row in rows]
        await connection.execute(
            """
            insert into lists (uri, did, name, list_type, inherited, item_count, sort_at)
            select uri, did, name, list_type, string_to_array(inherited, ','), item_count, sort_at
            from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::timestamptz[])
                as t (uri, did, name, list_type, inherited, item_count, sort_at)
            """,
            *zip(*flat, strict=True),
        )
        items = ((row[0], *item) for row in rows for item in row[-1])
        while some := list(islice(items, _ITEMS_AT_ONCE)):
            await connection.execute(
                "insert into list_items (list, position, subject, subject_cid, sort_at, own_album)"
                " select * from unnest("
                "$1::text[], $2::integer[], $3::text[], $4::text[], $5::timestamptz[], $6::boolean[])",
                *zip(*some, strict=True),
            )
