"""`fm.plyr.track`: a piece of music."""

from typing import NamedTuple

from appview.index.counts import Changes
from appview.index.records import fields
from appview.index.records.base import Incoming, RecordType, Row
from appview.index.records.fields import Blob, Value
from appview.index.search import documents

LOCKED = "locked"
"""The gate of a track whose gate does not say of what kind it is."""
_MAX_FEATURES = 10


class Feature(NamedTuple):
    """An account that takes part, and what it was called when that was written."""

    did: str
    handle: str | None
    display_name: str | None


class Track(NamedTuple):
    """A track as it can be shown. `gate` is None when anybody may hear it, else a kind, known or not: locked."""

    title: str
    artist: str
    album: str | None
    duration: int | None
    description: str | None
    image_url: str | None
    audio_url: str | None
    audio: Blob | None
    file_type: str | None
    gate: str | None
    features: tuple[Feature, ...]
    labels: tuple[str, ...]


def read(value: Value) -> Track:
    """The track in `value`, whatever is wrong with it; `duration` in seconds. Never raises."""
    return Track(
        fields.text(value, "title", 2560) or "",
        fields.text(value, "artist", 2560) or "",
        fields.text(value, "album", 2560),
        fields.whole(value, "duration"),
        fields.text(value, "description", 50_000),
        fields.web_url(value, "imageUrl"),
        fields.web_url(value, "audioUrl"),
        fields.blob(value, "audioBlob"),
        fields.text(value, "fileType", 160) or None,
        _gate(value.get("supportGate")),
        _features(value.get("features")),
        fields.labels(value),
    )


def _gate(gate: object) -> str | None:
    if gate is None:
        return None
    return (fields.text(gate, "type", 640) if type(gate) is dict else None) or LOCKED


def _features(features: object) -> tuple[Feature, ...]:
    found: dict[str, Feature] = {}
    for entry in features if type(features) is list else ():
        # Written as a text alone, as a map, and with the name in either spelling.
        value = {"did": entry} if type(entry) is str else entry if type(entry) is dict else {}
        did = fields.did(value, "did")
        if did is None or did in found:
            continue
        name = fields.text(value, "displayName", 2560) or fields.text(value, "display_name", 2560)
        found[did] = Feature(did, fields.text(value, "handle", 253) or None, name or None)
        if len(found) == _MAX_FEATURES:
            break
    return tuple(found.values())


class Tracks(RecordType):
    """The tracks there are."""

    name = "track"
    signal = True
    table = "tracks"
    columns = (
        "uri text, did text, title text, artist text, album text, "
        "duration integer, image_url text, gated boolean, sort_at timestamptz, "
        "cid bytea, indexed_at timestamptz, size integer"
    )

    def row(self, record: Incoming) -> Row:
        """The row that shows `record`."""
        track = read(record.value)
        return (
            record.uri,
            record.did,
            track.title,
            track.artist,
            track.album,
            track.duration,
            track.image_url,
            track.gate is not None,
            record.sort_at,
            record.cid,
            record.indexed_at,
            record.size,
        )

    def count(self, changes: Changes, row: Row, n: int) -> None:
        """A track is found by its title, its artist and its album."""
        super().count(changes, row, n)
        changes.documents.put(row[0], documents.track(*row[:5]) if n > 0 else None)
