"""`app.bsky.graph.follow`: who follows whom, as far as those who follow are ours."""

from typing import NamedTuple

from appview.index.counts import Changes
from appview.index.records import fields
from appview.index.records.base import Incoming, RecordType, Row
from appview.index.records.fields import Value


class Follow(NamedTuple):
    """A follow: of which account."""

    subject: str


def read(value: Value) -> Follow:
    """The follow in `value`, whatever is wrong with it. Never raises."""
    return Follow(fields.did(value, "subject") or "")


class Follows(RecordType):
    """The follows there are."""

    name = "follow"
    signal = False
    table = "follows"
    columns = "uri text, did text, subject text, sort_at timestamptz"

    def row(self, record: Incoming) -> Row:
        """The row that shows `record`."""
        return record.uri, record.did, read(record.value).subject, record.sort_at

    def count(self, changes: Changes, row: Row, n: int) -> None:
        """An account has as many followers as accounts that follow it, however often each does."""
        changes.record(self.name, row[0], row[1], n)
        changes.follow(row[1], row[2], n)
