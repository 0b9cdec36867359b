"""What the types of records have in common: how the rows of a projection are taken out, put in, and counted."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar, NamedTuple, TypeAlias

from appview.db import Connection
from appview.index.counts import Changes
from appview.index.records.fields import Value

Row: TypeAlias = tuple[Any, ...]
"""A projection row: uri, did, subject where its table has one, and the rest, in the order of `columns`."""


class Incoming(NamedTuple):
    """A version of a record that is to be shown; `size` in bytes.

    `earlier` are shown versions that this one follows within the same batch, oldest first. `fresh` says that the record
    was gone or rejected in between, so that nothing is carried over from the row that is there.
    """

    uri: str
    did: str
    cid: bytes
    value: Value
    sort_at: datetime
    indexed_at: datetime
    size: int
    earlier: tuple[Value, ...] = ()
    fresh: bool = False


class RecordType(ABC):
    """A collection of ours, and its projection: one row for each shown record."""

    name: ClassVar[str]
    signal: ClassVar[bool]
    """Whether a record of it makes a repository one of ours."""
    table: ClassVar[str]
    size: ClassVar[str] = "1"
    """How many rows there are of one record, as SQL about its row in `table`."""
    columns: ClassVar[str]
    """Its columns with their types, as in SQL; `uri` and `did` come first, then `subject` where there is one."""

    def __init__(self, namespace: str, nsid: str) -> None:
        self.nsid = nsid
        self.track_nsid = f"{namespace}.track"
        columns = [column.split(" ") for column in self.columns.split(", ")]
        self.column_names = tuple(name for name, _ in columns)
        self._columns = ", ".join(self.column_names)
        self._arrays = ", ".join(f"${n}::{kind}[]" for n, (_, kind) in enumerate(columns, 1))
        self._key = "uri, did, subject" if "subject" in self.column_names else "uri, did"

    @abstractmethod
    def row(self, record: Incoming) -> Row | None:
        """The row that shows `record`; None for a record that is kept and never shown by itself. Pure."""

    def count(self, changes: Changes, row: Row, n: int) -> None:
        """Tell `changes` that `row` came (1), or that one went (-1) that began as `row` does: uri, did, subject.

        What went is told before what came.
        """
        changes.record(self.name, row[0], row[1], n)

    async def replace(self, connection: Connection, gone: Sequence[str], come: Sequence[Incoming]) -> None:
        """As `swap`, whether or not there are rows of `come`, and bring the counts up to date."""
        changes = Changes()
        await self.swap(connection, [*gone, *(record.uri for record in come)], come, changes)
        await changes.apply(connection)

    async def swap(
        self, connection: Connection, gone: Sequence[str], come: Sequence[Incoming], changes: Changes
    ) -> None:
        """Take out the rows of `gone`, whether or not there are any, and put in those of `come`.

        `gone` names those of `come` too that may have a row. What is to be counted goes to `changes`, to be applied in
        the same transaction. `come` has each URI once.
        """
        for taken in await self._take_out(connection, gone) if gone else ():
            self.count(changes, taken, -1)
        rows = [row for record in come if (row := self.row(record)) is not None]
        await self._put_in(connection, rows)
        for row in rows:
            self.count(changes, row, 1)

    async def stored(self, connection: Connection, uris: Sequence[str]) -> dict[str, Row]:
        """The rows there are of `uris`, by URI."""
        rows = await connection.fetch(
            f"select {self._columns} from {self.table} where uri = any($1::text[])",  # noqa: S608 - our own names
            uris,
        )
        return {row["uri"]: tuple(row) for row in rows}

    def expected(self, record: Incoming, _stored: Row | None) -> Row | None:
        """The row there should be of `record`, given the one that is."""
        return self.row(record)

    async def inherited(self, _connection: Connection, _uris: Sequence[str]) -> dict[str, Value]:
        """What the rows of `uris` show that their records do not say, as the earlier version that said it, by URI."""
        return {}

    async def _take_out(self, connection: Connection, uris: Sequence[str]) -> list[Row]:
        rows = await connection.fetch(
            f"delete from {self.table} where uri = any($1::text[]) returning {self._key}",  # noqa: S608 - our own names
            uris,
        )
        return [tuple(row) for row in rows]

    async def _put_in(self, connection: Connection, rows: Sequence[Row]) -> None:
        if rows:
            await connection.execute(
                f"insert into {self.table} ({self._columns}) select * from unnest({self._arrays})",  # noqa: S608 - our own names
                *zip(*rows, strict=True),
            )
