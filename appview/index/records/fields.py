"""Fields of records as they can be shown: whatever is of no use reads as absent, and nothing here raises.

Text comes without NUL, which Postgres cannot hold; lone surrogates do not get through the decoder.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from lexicons.data import CID, RAW
from lexicons.formats import is_at_uri, is_cid, is_did, is_uri, parse_at_uri

Value: TypeAlias = Mapping[str, Any]
"""A decoded record, or a map within one."""

MAX_INTEGER: Final = 2**31 - 1
"""The most that an `integer` column holds."""
MAX_BIGINT: Final = 2**63 - 1
MAX_DID_BYTES: Final = 512
"""Of an account; the syntax has room for 2048, which with another beside it is more than an index of Postgres holds."""
MAX_SUBJECT_BYTES: Final = 1_100
"""Of the AT-URI of what a record is about; likewise. The longest key of all indexes is then of under 2600 bytes."""
SELF_LABELS: Final = "com.atproto.label.defs#selfLabels"
_MAX_LABELS: Final = 10
_RAW_PREFIX: Final = bytes((1, RAW))
_MAX_BLOB_BYTES: Final = 2**53 - 1


class Blob(NamedTuple):
    """A blob in its author's repository; `mime_type` and `size`, in bytes, are what the author says, if anything."""

    cid: CID
    mime_type: str | None
    size: int | None


def clean(text: str) -> str:
    """`text` as Postgres can hold it."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}") if "\0" in text else text


def is_key(name: str) -> bool:
    """Whether `name`, a DID or an AT-URI, is short enough to be looked up by: what is not reads as absent."""
    if len(name) <= MAX_DID_BYTES:
        return True
    authority = name[5:].partition("/")[0] if name.startswith("at://") else name
    return len(name) <= MAX_SUBJECT_BYTES and len(authority) <= MAX_DID_BYTES


def text(value: Value, key: str, most: int) -> str | None:
    """The string at `key`, unless it is longer than `most` bytes."""
    found = value.get(key)
    if type(found) is not str or (4 * len(found) > most and len(found.encode()) > most):
        return None
    return clean(found)


def whole(value: Value, key: str, most: int = MAX_INTEGER) -> int | None:
    """The integer at `key`, if it is not negative, nor more than `most`."""
    found = value.get(key)
    return found if type(found) is int and 0 <= found <= most else None


def web_url(value: Value, key: str) -> str | None:
    """The address at `key`, if it is one of http or https: a page will make a link or an image of it."""
    found = value.get(key)
    return found if type(found) is str and found.startswith(("https://", "http://")) and is_uri(found) else None


def did(value: Value, key: str) -> str | None:
    """The DID at `key`."""
    found = value.get(key)
    return found if type(found) is str and is_key(found) and is_did(found) else None


def blob(value: Value, key: str) -> Blob | None:
    """The blob at `key`, if it has a link to bytes; its `$type`, and all else, may be missing."""
    found = value.get(key)
    if type(found) is not dict or found.get("$type", "blob") != "blob":
        return None
    ref = found.get("ref")
    if type(ref) is not CID or not ref.startswith(_RAW_PREFIX):
        return None
    return Blob(ref, text(found, "mimeType", 255) or None, whole(found, "size", _MAX_BLOB_BYTES))


def labels(value: Value) -> tuple[str, ...]:
    """The values of the labels that the author put into the record, each once; the `$type` of them may be missing."""
    found = value.get("labels")
    if type(found) is not dict or found.get("$type", SELF_LABELS) != SELF_LABELS:
        return ()
    entries = found.get("values")
    entries = [entry for entry in entries if type(entry) is dict] if type(entries) is list else []
    values = dict.fromkeys(label for entry in entries if (label := text(entry, "val", 128)))
    return tuple(values)[:_MAX_LABELS]


def strong_ref(value: Value, key: str = "subject") -> tuple[str, str | None] | None:
    """The AT-URI of the reference at `key`, and the CID of the version that was meant, where it spells one."""
    found = value.get(key)
    if type(found) is not dict:
        return None
    uri, cid = found.get("uri"), found.get("cid")
    if type(uri) is not str or not is_key(uri) or not is_at_uri(uri):
        return None
    return uri, cid if type(cid) is str and is_cid(cid) else None


def is_record_of(uri: str, nsid: str) -> bool:
    """Whether `uri` names a record of the collection `nsid` by its account's DID, which a handle is no name for."""
    # The first look costs a tenth of the second.
    if nsid not in uri or not is_key(uri):
        return False
    try:
        parts = parse_at_uri(uri)
    except ValueError:
        return False
    return parts.collection == nsid and parts.rkey is not None and is_did(parts.authority)
