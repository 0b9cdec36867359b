"""Records on their way to a PDS: of our own collections, and as their lexicons want them, to the letter."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

from appview.unset import Unset
from appview.writes.asked import Version
from appview.writes.errors import InvalidRecord, InvalidWrite
from lexicons.catalog import Catalog
from lexicons.cid import CID
from lexicons.data import DataError, check_record, encode, from_json, to_json
from lexicons.formats import is_record_key
from lexicons.validate import Validator, Violation

MAX_RECORD: Final = 1_000_000
"""In bytes: what a PDS takes as JSON (WR-04) is not less."""

MAX_SAFE: Final = 2**53 - 1
"""The largest integer that every PDS reads from JSON as it was written; others would keep another record."""

_LITERAL: Final = "literal:"


class Rules:
    """What may be written: records of `collections`, which all start with the namespace of ours."""

    def __init__(self, catalog: Catalog, collections: Collection[str]) -> None:
        self._validator = Validator(catalog)
        self._keys = {nsid: str(catalog.definition(nsid)["key"]) for nsid in collections}

    def require_collection(self, collection: str) -> None:
        """Raises InvalidWrite for a collection that is not ours."""
        if collection not in self._keys:
            raise InvalidWrite(f"Only records of {', '.join(self._keys)} are written here.")

    def require_key(self, collection: str, rkey: str) -> None:
        """Raises InvalidWrite for a collection that is not ours, or for what is no record key at all.

        Whatever stands under a key that its collection does not have may be deleted nevertheless.
        """
        self.require_collection(collection)
        if not is_record_key(rkey):
            raise InvalidWrite("What was given as rkey is no record key.")

    def only_key(self, collection: str) -> str | None:
        """The one key of a collection that has no other."""
        self.require_collection(collection)
        key = self._keys[collection]
        return key.removeprefix(_LITERAL) if key.startswith(_LITERAL) else None

    def version(self, collection: str, rkey: str, record: object, *, instead: object = None) -> Version:
        """`record`, JSON, as it will be in the repository; its `$type` is filled in (WR-03). Raises InvalidRecord.

        What the lexicon does not allow of it is refused, unless it stood in the record that it is to be `instead` of:
        whoever edits one part of a record that is tolerated here need not put the others right.
        """
        self.require_collection(collection)
        try:
            value = from_json(to_json(record))
            if type(value) is dict and "$type" not in value:
                value = {"$type": collection, **value}
            check_record(value)
            block = encode(value)
        except DataError as error:
            raise InvalidRecord(f"This is no record: {error}.") from None
        if not _is_safe(value):
            raise InvalidRecord(f"A record with an integer beyond {MAX_SAFE} may be another by the time it is written.")
        if len(block) > MAX_RECORD:
            raise InvalidRecord(f"A record of more than {MAX_RECORD} bytes is not taken.")
        found = self._validator.record_violations(collection, rkey, value)
        if found and instead is not None:
            found = _added(found, self._validator.record_violations(collection, rkey, from_json(instead)))
        if found:
            raise InvalidRecord(str(found[0]))
        return Version(value, block, CID.of(block))


def _is_safe(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_is_safe, value.values()))
    if isinstance(value, list):
        return all(map(_is_safe, value))
    return not isinstance(value, int) or abs(value) <= MAX_SAFE


def swap_of(swap: str | Unset | None) -> CID | Unset | None:
    """`swap` as it was given, a CID in its text form. Raises InvalidWrite."""
    if swap is None or isinstance(swap, Unset):
        return swap
    try:
        return CID.parse(swap)
    except DataError:
        raise InvalidWrite("What was given to be replaced is no CID.") from None


def _added(now: Sequence[Violation], before: Sequence[Violation]) -> list[Violation]:
    """What is wrong now and was not before, at whatever place of an array it stood."""
    known = Counter(map(_kind, before))
    added = []
    for violation in now:
        if known[_kind(violation)] > 0:
            known[_kind(violation)] -= 1
        else:
            added.append(violation)
    return added


def _kind(violation: Violation) -> tuple[object, ...]:
    return violation.rule, *("[]" if isinstance(part, int) else part for part in violation.path)
