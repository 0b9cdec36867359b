"""The items of a list: put on it, taken off it, and moved about.

A place is the index of an item in the record, as views of lists have it (`graph.defs#listItemView`). Items that name
nothing keep their places among the others.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from appview.writes.edits.fields import Record

MAX_ITEMS: Final = 500
"""What a list may hold that is written here; longer ones that others wrote can be read, and be made shorter."""


class EditError(Exception):
    """What was asked cannot be done to the record as it is; `name` is what callers are told of it."""

    name = "InvalidRecord"


class TooManyItems(EditError):
    """There is no room for what was to be put on the list."""

    name = "TooManyItems"


class ItemNotFound(EditError):
    """What was to be moved is not on the list."""

    name = "ItemNotFound"


class NoItems(EditError):
    """The record has something else where a list has its items."""


class Place(NamedTuple):
    """An item, by the AT-URI of what it is about, and where it was seen: of several such, the nearest is meant."""

    subject: str
    position: int | None = None


def added(
    record: Record, subjects: Sequence[Record], position: int | None = None, *, duplicates: bool = False
) -> list[Any] | None:
    """The items with these `subjects`, strong references, from `position` on, or at the end; None: as it was.

    What is on the list already stays where it is and is not put there again, unless with `duplicates`. Raises
    TooManyItems, and NoItems.
    """
    items = _items(record)
    present = {} if duplicates else dict.fromkeys(_subjects(items))
    new = []
    for subject in subjects:
        if duplicates or subject["uri"] not in present:
            present[subject["uri"]] = None
            new.append({"subject": dict(subject)})
    if not new:
        return None
    if len(items) + len(new) > MAX_ITEMS:
        raise TooManyItems(
            f"The list has {len(items)} items, {len(new)} are to be added, and {MAX_ITEMS} may be on it."
        )
    at = len(items) if position is None else min(position, len(items))
    return [*items[:at], *new, *items[at:]]


def removed(record: Record, places: Sequence[Place]) -> list[Any] | None:
    """The items without these `places`; None: as it was.

    A place without a position stands for every item about that subject. Raises NoItems.
    """
    items = _items(record)
    gone: set[int] = set()
    for subject, position in places:
        there = [at for at, uri in enumerate(_subjects(items)) if uri == subject and at not in gone]
        gone.update(there if position is None else _nearest(there, position))
    return [item for at, item in enumerate(items) if at not in gone] if gone else None


def moved(record: Record, place: Place, position: int) -> list[Any] | None:
    """The items with the one at `place` standing at `position`, or last; None: as it was.

    Raises ItemNotFound, and NoItems.
    """
    items = _items(record)
    there = [at for at, uri in enumerate(_subjects(items)) if uri == place.subject]
    if not there:
        raise ItemNotFound("What is to be moved is not on the list.")
    (source,) = _nearest(there, place.position if place.position is not None else there[0])
    target = min(position, len(items) - 1)
    if target == source:
        return None
    rest = [*items[:source], *items[source + 1 :]]
    return [*rest[:target], items[source], *rest[target:]]


def _items(record: Record) -> list[Any]:
    items = record.get("items", [])
    if type(items) is not list:
        raise NoItems("The record has no array of items, so that it is no list that could be edited.")
    return items


def _subjects(items: Sequence[Any]) -> list[str | None]:
    """What each item is about; None where it names nothing."""
    return [_subject(item) for item in items]


def _subject(item: Any) -> str | None:
    subject = item.get("subject") if type(item) is dict else None
    uri = subject.get("uri") if type(subject) is dict else None
    return uri if type(uri) is str else None


def _nearest(there: Sequence[int], position: int) -> list[int]:
    return [min(there, key=lambda at: abs(at - position))] if there else []
