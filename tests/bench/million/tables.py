"""The tables that are filled row by row, and how a record becomes its rows there."""

from typing import Any, Final, NamedTuple

from appview.index.records import Incoming, record_types
from lexicons.cid import CID
from lexicons.data import encode
from lexicons.formats import tid_from_time_us
from tests.bench.million.copying import HEAD, TAIL, Columns
from tests.bench.million.times import instant

NAMESPACE: Final = "fm.plyr"
SEEN_AFTER_MS: Final = 1_500
"""How long after it was made each record came."""

ACTORS: Final = Columns(
    "actors",
    "did text, handle text, pds text, active boolean, status text, taken_down boolean, identity_at timestamptz,"
    " status_at timestamptz, first_seen_at timestamptz",
)
REPOS: Final = Columns(
    "repos",
    "did text, status text, rev text, data bytea, commit_cid bytea, needs_rev text, reason text, status_at timestamptz,"
    " proven_by text, proven_at timestamptz, fetched_at timestamptz, audited_at timestamptz",
)
DOCUMENTS: Final = Columns("did_documents", "did text, document jsonb, fetched_at timestamptz")
RECORDS: Final = Columns(
    "records",
    "uri text, did text, collection text, rev text, cid bytea, value bytea, verdict text, deviations jsonb,"
    " sort_at timestamptz, first_seen_at timestamptz, indexed_at timestamptz, proven_by text",
)
ITEMS: Final = Columns(
    "list_items",
    "list text, position integer, subject text, subject_cid text, sort_at timestamptz, own_album boolean",
)
TYPES: Final = record_types(NAMESPACE)
_PROJECTIONS: Final = {nsid: Columns(kind.table, kind.columns) for nsid, kind in TYPES.items()}
COLUMNS: Final = {
    columns.table: columns for columns in (ACTORS, REPOS, DOCUMENTS, RECORDS, ITEMS, *_PROJECTIONS.values())
}
"""By table."""


def projection(nsid: str) -> Columns:
    """The projection of a record type."""
    return _PROJECTIONS[nsid]


class Made(NamedTuple):
    """A record: where it is, and what it says."""

    uri: str
    cid: CID
    block: bytes


class Batch:
    """Rows of several tables, on their way to COPY."""

    def __init__(self) -> None:
        self.rows: dict[str, list[bytes]] = {}

    def add(self, columns: Columns, *values: Any) -> None:
        """One row more."""
        self.rows.setdefault(columns.table, []).append(columns.row(*values))

    def record(self, did: str, nsid: str, value: dict[str, Any], time_ms: int, clock: int = 0) -> Made:
        """A record made at `time_ms` and whatever the type of it makes of that; its key is a TID, or `self`."""
        tid = tid_from_time_us(time_ms * 1_000, clock)
        uri = f"at://{did}/{nsid}/{'self' if nsid.endswith('.profile') else tid}"
        block = encode(value)
        cid = CID.of(block)
        at, seen = instant(time_ms), instant(time_ms + SEEN_AFTER_MS)
        self.add(RECORDS, uri, did, nsid, tid, cid, block, "ok", None, at, seen, seen, "live")
        row = TYPES[nsid].row(Incoming(uri, did, cid, value, at, seen, len(block)))
        assert row is not None
        if nsid == f"{NAMESPACE}.list":
            for item in row[-1]:
                self.add(ITEMS, uri, *item)
            row = row[:-1]
        self.add(projection(nsid), *row)
        return Made(uri, cid, block)

    def payload(self) -> dict[str, bytes]:
        """What to COPY into each table."""
        return {table: b"".join((HEAD, *rows, TAIL)) for table, rows in self.rows.items()}
