"""Cursors: where a page ended, in a form that says nothing to a client (XR-20, XR-21).

Inside is a version, the kind of page, and the keys of the last row scanned, such as its microsecond and its URI.
A cursor of another kind, of an older version or of anyone's invention is "Malformed cursor", and never more than that.
"""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias, TypeVar, overload

import orjson

from xrpc.errors import InvalidRequest

Key: TypeAlias = datetime | int | str
A = TypeVar("A", bound=Key)
B = TypeVar("B", bound=Key)
C = TypeVar("C", bound=Key)

VERSION: Final = 1
MAX_LENGTH: Final = 12_288
"""In characters: enough for the longest AT-URI (8 KiB)."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_INT64: Final = 1 << 63


def encode(kind: str, *keys: Key) -> str:
    """The cursor after the row with these `keys`, of a `kind` of page: the method, and the order if it has several."""
    plain = [(key - _EPOCH) // _MICROSECOND if isinstance(key, datetime) else key for key in keys]
    return base64.urlsafe_b64encode(orjson.dumps([VERSION, kind, *plain])).rstrip(b"=").decode("ascii")


@overload
def decode(kind: str, cursor: str | None, one: type[A], /) -> tuple[A] | None: ...
@overload
def decode(kind: str, cursor: str | None, one: type[A], two: type[B], /) -> tuple[A, B] | None: ...
@overload
def decode(kind: str, cursor: str | None, one: type[A], two: type[B], three: type[C], /) -> tuple[A, B, C] | None: ...
def decode(kind: str, cursor: str | None, /, *types: Any) -> tuple[Any, ...] | None:
    """The keys in `cursor`, of these `types`; None without a cursor, which asks for the first page.

    `decode("likes", cursor, datetime, str)` reads what `encode("likes", row["sort_at"], row["uri"])` made. Raises
    InvalidRequest.
    """
    if cursor is None:
        return None
    try:
        return _keys(kind, cursor, types)
    except (ValueError, OverflowError):
        raise InvalidRequest("Malformed cursor") from None


def _keys(kind: str, cursor: str, types: tuple[type[Key], ...]) -> tuple[Any, ...]:
    if len(cursor) > MAX_LENGTH:
        raise ValueError("too long")
    held: Any = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    if type(held) is not list or held[:2] != [VERSION, kind] or len(held) != 2 + len(types):
        raise ValueError("of another kind")
    return tuple(_key(plain, key_type) for plain, key_type in zip(held[2:], types, strict=True))


def _key(plain: Any, kind: type[Key]) -> Key:
    if kind is str:
        if type(plain) is not str or "\0" in plain:
            raise ValueError("no text of the index")
        return plain
    if type(plain) is not int or not -_INT64 <= plain < _INT64:
        raise ValueError("no number of the index")
    return _EPOCH + plain * _MICROSECOND if kind is datetime else plain
