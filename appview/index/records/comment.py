"""`fm.plyr.comment`: a remark at one moment of a track."""

from typing import NamedTuple

from appview.index.counts import Changes
from appview.index.records import fields
from appview.index.records.base import Incoming, RecordType, Row
from appview.index.records.fields import Value


class Comment(NamedTuple):
    """A comment as it can be shown; `timestamp_ms` is from the start of the track."""

    subject: str
    subject_cid: str | None
    text: str
    timestamp_ms: int


def read(value: Value) -> Comment:
    """The comment in `value`, whatever is wrong with it. Never raises."""
    subject, subject_cid = fields.strong_ref(value) or ("", None)
    text = fields.text(value, "text", 10_000) or ""
    return Comment(subject, subject_cid, text, fields.whole(value, "timestampMs", fields.MAX_BIGINT) or 0)


class Comments(RecordType):
    """Comments on tracks; on anything else the record is kept, and no more."""

    name = "comment"
    signal = True
    table = "comments"
    columns = "uri text, did text, subject text, timestamp_ms bigint, sort_at timestamptz"

    def row(self, record: Incoming) -> Row | None:
        """The row that shows `record`; None unless it is about a track."""
        comment = read(record.value)
        if not fields.is_record_of(comment.subject, self.track_nsid):
            return None
        return record.uri, record.did, comment.subject, comment.timestamp_ms, record.sort_at

    def count(self, changes: Changes, row: Row, n: int) -> None:
        """Every comment counts, however many one account makes."""
        changes.record(self.name, row[0], row[1], n)
        changes.comment(row[0], row[1], row[2], n)
