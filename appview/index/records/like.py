"""`fm.plyr.like`: somebody likes a track, which may be here or not."""

from typing import NamedTuple

from appview.index.counts import Changes
from appview.index.records import fields
from appview.index.records.base import Incoming, RecordType, Row
from appview.index.records.fields import Value


class Like(NamedTuple):
    """A like as it can be shown: of which record, and of which version of it, where that is said."""

    subject: str
    subject_cid: str | None


def read(value: Value) -> Like:
    """The like in `value`, whatever is wrong with it. Never raises."""
    return Like(*fields.strong_ref(value) or ("", None))


class Likes(RecordType):
    """Likes of tracks; of anything else the record is kept, and no more."""

    name = "like"
    signal = True
    table = "likes"
    columns = "uri text, did text, subject text, sort_at timestamptz"

    def row(self, record: Incoming) -> Row | None:
        """The row that shows `record`; None unless it likes a track."""
        subject = read(record.value).subject
        if not fields.is_record_of(subject, self.track_nsid):
            return None
        return record.uri, record.did, subject, record.sort_at

    def count(self, changes: Changes, row: Row, n: int) -> None:
        """A track has as many likes as accounts that like it, however often each does."""
        changes.record(self.name, row[0], row[1], n)
        changes.like(row[1], row[2], n)
