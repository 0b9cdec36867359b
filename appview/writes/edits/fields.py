"""Setting and clearing fields of a record, and telling whether that changes it."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, TypeAlias

Record: TypeAlias = Mapping[str, Any]
"""A record, or a map within one, as JSON has it."""

_VERSIONED: Final = frozenset({"uri", "cid"})


def edited(
    record: Record, given: Record, clear: Collection[str] = (), *, updated_at: str | None = None
) -> dict[str, Any] | None:
    """`record` with the fields `given`, without those of `clear`; None where it is so already.

    What changes says `updated_at` of itself, if that is given.
    """
    after = {name: value for name, value in record.items() if name not in clear} | dict(given)
    if is_same(after, record):
        return None
    return after if updated_at is None else after | {"updatedAt": updated_at}


def is_same(one: Any, other: Any) -> bool:
    """Whether both are the same JSON: unlike `==`, which takes true for 1."""
    return _text(one) == _text(other)


def is_same_deed(one: Record, other: Record) -> bool:
    """Whether both records come of the same call, made twice."""
    return is_same(timeless(one), timeless(other))


def timeless(record: Record) -> dict[str, Any]:
    """`record` without what differs where the same call makes it twice: when it was made, and which versions of what it
    is about were current then."""
    bare: dict[str, Any] = _timeless(dict(record))
    return bare


def of_track(record: Record, given: Record) -> dict[str, Any]:
    """The fields `given` of a track, with whatever else `record` says of the same accounts, labels, and gate."""
    fields = dict(given)
    if "features" in fields:
        fields["features"] = _carried(record.get("features"), fields["features"], "did")
    if "labels" in fields:
        fields["labels"] = _labels(record.get("labels"), fields["labels"])
    gate = record.get("supportGate")
    if "supportGate" in fields and type(gate) is dict and gate.get("type") == fields["supportGate"].get("type"):
        fields["supportGate"] = gate | fields["supportGate"]
    return fields


def _labels(before: Any, given: dict[str, Any]) -> dict[str, Any]:
    if type(before) is not dict or before.get("$type", given["$type"]) != given["$type"] or "values" not in given:
        return given
    return before | given | {"values": _carried(before.get("values"), given["values"], "val")}


def _carried(before: Any, given: Sequence[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """The entries `given`, each with what the one of the same `key` has beside it."""
    entries = [entry for entry in before if type(entry) is dict] if type(before) is list else []
    known = {entry[key]: entry for entry in reversed(entries) if type(entry.get(key)) is str}
    return [known.get(entry[key], {}) | entry for entry in given]


def _timeless(value: Any) -> Any:
    if type(value) is list:
        return [_timeless(item) for item in value]
    if type(value) is not dict:
        return value
    if value.keys() == _VERSIONED:
        return {"uri": value["uri"]}
    return {name: _timeless(item) for name, item in value.items() if name != "createdAt"}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
