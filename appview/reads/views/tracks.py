"""Tracks as views."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from appview.db import Connection
from appview.index.records.track import Track, read
from appview.reads.views.media import Media
from appview.reads.views.people import People
from appview.reads.views.stored import COLUMNS, Stored, View, open_record
from appview.reads.visibility import visible

_MIME_TYPES: Final[Mapping[str, str]] = {
    "aac": "audio/aac",
    "aif": "audio/aiff",
    "aiff": "audio/aiff",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "mp3": "audio/mpeg",
    "mp4": "audio/mp4",
    "oga": "audio/ogg",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "wav": "audio/wav",
    "weba": "audio/webm",
    "webm": "audio/webm",
}


class Loaded(NamedTuple):
    """A track that may be shown, and what its record means."""

    stored: Stored
    track: Track


async def load_tracks(connection: Connection, uris: Sequence[str]) -> dict[str, Loaded]:
    """Which of these are tracks that may be shown? In one statement."""
    rows = await connection.fetch(
        f"""
        select {COLUMNS}, coalesce(subject_counts.likes, 0) as likes,
            coalesce(subject_counts.comments, 0) as comments, coalesce(subject_counts.lists, 0) as lists
        from unnest($1::text[]) as asked (uri)
        join tracks on tracks.uri = asked.uri
        join records on records.uri = tracks.uri
        left join subject_counts on subject_counts.subject = tracks.uri
        where {visible("tracks.did")}
        """,  # noqa: S608 - names of our own
        list(set(uris)),
    )
    opened = map(open_record, rows)
    return {stored.uri: Loaded(stored, read(stored.value)) for stored in opened}


def people_of(tracks: Iterable[Loaded]) -> set[str]:
    """The accounts that the views of `tracks` need."""
    return {did for stored, track in tracks for did in (stored.did, *(feature.did for feature in track.features))}


class TrackViews:
    """`feed.defs#trackView` of what was loaded."""

    def __init__(self, defs: str, tracks: Mapping[str, Loaded], people: People, media: Media) -> None:
        self._defs = defs
        self._tracks = tracks
        self._people = people
        self._media = media

    def of(self, uris: Iterable[str]) -> list[View]:
        """The views of `uris` in this order, without those that are not to be shown."""
        return [view for uri in uris if (view := self.find(uri)) is not None]

    def find(self, uri: str) -> View | None:
        """The view of one track, if it is to be shown."""
        if uri not in self._tracks:
            return None
        loaded = self._tracks[uri]
        author = self._people.basic(loaded.stored.did)
        return None if author is None else self._present(*loaded, author)

    def in_place(self, uri: str) -> View:
        """The view as a member of a union, or `feed.defs#notFoundTrack`."""
        view = self.find(uri)
        if view is None:
            return {"$type": f"{self._defs}#notFoundTrack", "uri": uri, "notFound": True}
        return {"$type": f"{self._defs}#trackView", **view}

    def _present(self, stored: Stored, track: Track, author: View) -> View:
        view = stored.by(author) | {
            "title": track.title,
            "artist": track.artist,
            "likeCount": stored.row["likes"],
            "commentCount": stored.row["comments"],
            "listCount": stored.row["lists"],
        }
        features = (self._people.basic(feature.did) for feature in track.features)
        optional: View = {
            "duration": track.duration,
            "image": self._media.link(track.image_url),
            "album": {"name": track.album} if track.album else None,
            "audio": self._audio(stored.did, track),
            "features": [feature for feature in features if feature is not None],
            "labels": stored.labels(track.labels),
        }
        return view | {name: part for name, part in optional.items() if part is not None and part != []}

    def _audio(self, did: str, track: Track) -> View | None:
        if track.gate is not None:
            # Whatever else the record points at, a blob that anybody could get included (T5b).
            return {"$type": f"{self._defs}#audioGated", "type": track.gate}
        kind = _MIME_TYPES.get(track.file_type.lower()) if track.file_type is not None else None
        if track.audio is not None:
            # What the account moves to another PDS is there, and what it had at the old one may be gone.
            at_pds = self._media.blob(self._people.pds(did), did, str(track.audio.cid))
            if at_pds is not None:
                return self._stream(at_pds, track.audio.mime_type or kind, "blob")
        elsewhere = self._media.link(track.audio_url)
        return None if elsewhere is None else self._stream(elsewhere, kind, "url")

    def _stream(self, url: str, kind: str | None, source: str) -> View:
        stream: View = {"$type": f"{self._defs}#audioStream", "url": url, "source": source}
        return stream if kind is None else {**stream, "mimeType": kind}
