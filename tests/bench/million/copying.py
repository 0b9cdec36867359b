"""Rows as Postgres' COPY takes them in its binary form, made outside of it: by column, or by a template of one row."""

import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TAIL: Final = b"\xff\xff"

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NULL: Final = b"\xff\xff\xff\xff"
_length = struct.Struct(">i").pack
_int64 = struct.Struct(">q").pack
_TEXT_OID: Final = 25


def moment(time_ms: int) -> bytes:
    """A timestamptz: milliseconds since 1970, as microseconds since 2000."""
    return _int64(time_ms * 1_000 - 946_684_800_000_000)


def _texts(values: Sequence[str]) -> bytes:
    if not values:
        return struct.pack(">iii", 0, 0, _TEXT_OID)
    items = b"".join(_length(len(item)) + item for item in (value.encode() for value in values))
    return struct.pack(">iiiii", 1, 0, _TEXT_OID, len(values), 1) + items


_ENCODERS: Final[Mapping[str, Callable[[Any], bytes]]] = {
    "text": str.encode,
    "bytea": bytes,
    "boolean": lambda value: b"\1" if value else b"\0",
    "integer": _length,
    "bigint": _int64,
    "timestamptz": lambda value: _int64((value - _EPOCH) // _MICROSECOND),
    "jsonb": lambda value: b"\1" + value,
    "text[]": _texts,
}


class Columns:
    """The columns of a table, as SQL has them: `uri text, did text, sort_at timestamptz`."""

    def __init__(self, table: str, columns: str) -> None:
        self.table: Final = table
        self.names: Final = [column.split(" ")[0] for column in columns.split(", ")]
        self._encoders = [_ENCODERS[column.split(" ")[1]] for column in columns.split(", ")]
        self._head = struct.pack(">h", len(self.names))

    def row(self, *values: Any) -> bytes:
        """One row; jsonb is given as its text."""
        out = [self._head]
        for encode, value in zip(self._encoders, values, strict=True):
            if value is None:
                out.append(_NULL)
            else:
                data = encode(value)
                out += (_length(len(data)), data)
        return b"".join(out)


def stencil(sample: bytes, *holes: bytes) -> bytes:
    """`sample` as a template for the operator `%`, with a hole where it has each of `holes`, in their order there.

    What goes into a hole must be as long as what stood there.
    """
    template = sample.replace(b"%", b"%%")
    for hole in holes:
        assert template.count(hole) >= 1
        template = template.replace(hole, b"%b", 1)
    return template
