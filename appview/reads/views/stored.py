"""A record as it is kept, opened for a view. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias

import asyncpg

from appview.reads.pages import light
from appview.reads.times import instant
from lexicons.cid import CID
from lexicons.data import decode, to_json

View: TypeAlias = dict[str, Any]

COLUMNS: Final = "records.uri, records.did, records.cid, records.value, records.sort_at, records.indexed_at"
"""What `open_record` needs of a row."""


class Stored(NamedTuple):
    """A record that is shown, and the row that it came with."""

    uri: str
    did: str
    cid: str
    value: dict[str, Any]
    """As it was written, in the data model: with links as CIDs."""
    row: asyncpg.Record

    def version(self) -> View:
        """Which record this is, in which version, and what it says."""
        return {
            "uri": self.uri,
            "cid": self.cid,
            "record": to_json(self.value),
            "indexedAt": instant(self.row["indexed_at"]),
        }

    def by(self, author: View) -> View:
        """What the view of any record begins with: the version, and whose it is."""
        return {"uri": self.uri, "cid": self.cid, "author": author, **self.version()}


def open_records(rows: Iterable[asyncpg.Record], uris: Iterable[str]) -> dict[str, Stored]:
    """The records in rows that have COLUMNS, as far as those of `uris`, in this order, are not too much together."""
    held = {row["uri"]: row for row in rows}
    kept = light(dict.fromkeys(uris), {uri: len(row["value"]) for uri, row in held.items()})
    return {uri: open_record(held[uri]) for uri in kept}


def open_record(row: asyncpg.Record) -> Stored:
    """The record in a row that has COLUMNS, and no tombstone."""
    return Stored(row["uri"], row["did"], str(CID(row["cid"])), decode(row["value"]), row)


def labels_of(uri: str, cid: bytes, sort_at: datetime, values: Iterable[str]) -> list[View]:
    """What the author of a record says of it in the record itself, as labels on it."""
    src, version, cts = uri.split("/", 3)[2], str(CID(cid)), instant(sort_at)
    return [{"src": src, "uri": uri, "cid": version, "val": val, "cts": cts} for val in values]
