"""Tracks as views.

A page of them is read from narrow rows in one statement. What follows from a record's bytes alone is made once for each
version, and kept; so the bytes themselves are asked for only where they are not in memory.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

import asyncpg
import orjson

from appview.db import Connection
from appview.index.records.track import Track, read
from appview.reads.albums import ALBUM
from appview.reads.pages import light
from appview.reads.times import instant
from appview.reads.views.media import Media
from appview.reads.views.memory import Memory
from appview.reads.views.people import PERSON, PROFILES, People, load_people
from appview.reads.views.stored import View, labels_of
from appview.reads.visibility import visible
from lexicons.cid import CID
from lexicons.data import decode, to_json

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


class Version(NamedTuple):
    """What one version of a track's record comes to, whoever asks; `size` of the record in bytes."""

    view: View
    features: tuple[str, ...]
    album: str | None
    size: int


Loaded: TypeAlias = tuple[asyncpg.Record, Version]
"""The row of a track that may be shown, with its author and its counts, and the version that it is."""


class Versions:
    """Makes versions of tracks in the terms of `namespace`, as `media` lets them be, and remembers them."""

    def __init__(self, namespace: str, media: Media, most: int) -> None:
        self._defs: Final = f"{namespace}.feed.defs"
        self._media = media
        self._memory: Memory[Version] = Memory(most)

    def known(self, row: asyncpg.Record) -> Version | None:
        """The version in a row with uri, cid, indexed_at, sort_at and the author's pds, if it is in memory."""
        return self._memory.get((row["uri"], row["cid"], row["indexed_at"], row["sort_at"], row["pds"]))

    def made(self, row: asyncpg.Record) -> Version:
        """The version in such a row that has the `value` too."""
        value = decode(row["value"])
        track = read(value)
        record = orjson.dumps(to_json(value))
        version = Version(
            self._view(row, track, orjson.Fragment(record)),
            tuple(feature.did for feature in track.features),
            track.album,
            len(row["value"]),
        )
        key = row["uri"], row["cid"], row["indexed_at"], row["sort_at"], row["pds"]
        # The rest of a view is some fifty objects, whatever the record says.
        self._memory.put(key, version, 4_000 + 2 * len(record))
        return version

    def _view(self, row: asyncpg.Record, track: Track, record: orjson.Fragment) -> View:
        uri = row["uri"]
        view: View = {
            "uri": uri,
            "cid": str(CID(row["cid"])),
            "record": record,
            "indexedAt": instant(row["indexed_at"]),
            "title": track.title,
            "artist": track.artist,
        }
        optional: View = {
            "duration": track.duration,
            "image": self._media.link(track.image_url),
            "audio": self._audio(uri.split("/", 3)[2], row["pds"], track),
            "labels": labels_of(uri, row["cid"], row["sort_at"], track.labels),
        }
        return view | {name: part for name, part in optional.items() if part is not None and part != []}

    def _audio(self, did: str, pds: str | None, track: Track) -> View | None:
        if track.gate is not None:
            # Whatever else the record points at, a blob that anybody could get included (T5b).
            return {"$type": f"{self._defs}#audioGated", "type": track.gate}
        kind = _MIME_TYPES.get(track.file_type.lower()) if track.file_type is not None else None
        if track.audio is not None:
            # What the account moves to another PDS is there, and what it had at the old one may be gone.
            at_pds = self._media.blob(pds, did, str(track.audio.cid))
            if at_pds is not None:
                return self._stream(at_pds, track.audio.mime_type or kind, "blob")
        elsewhere = self._media.link(track.audio_url)
        return None if elsewhere is None else self._stream(elsewhere, kind, "url")

    def _stream(self, url: str, kind: str | None, source: str) -> View:
        stream: View = {"$type": f"{self._defs}#audioStream", "url": url, "source": source}
        return stream if kind is None else {**stream, "mimeType": kind}


async def load_tracks(
    connection: Connection, uris: Iterable[str], versions: Versions, people: People
) -> Mapping[str, Loaded]:
    """Which of these are tracks that may be shown? As far as they are not too much together. Their authors, and
    who else takes part, are added to `people`.

    One statement; one more where versions are not in memory, and one where others take part.
    """
    asked = list(dict.fromkeys(uris))
    rows = await connection.fetch(
        f"""
        select tracks.uri, tracks.did, tracks.cid, tracks.indexed_at, tracks.sort_at, tracks.size, album.uri as album,
            subject_counts.likes, subject_counts.comments, subject_counts.lists, {PERSON}
        from unnest($1::text[]) as asked (uri)
        join tracks on tracks.uri = asked.uri
        join actors on actors.did = tracks.did {PROFILES}
        left join subject_counts on subject_counts.subject = tracks.uri
        {ALBUM}
        where {visible("tracks.did")}
        """,  # noqa: S608 - names of our own
        asked,
    )
    kept = set(light(asked, {row["uri"]: row["size"] for row in rows}))
    loaded: dict[str, tuple[asyncpg.Record, Version | None]] = {}
    unknown = []
    for row in rows:
        if row["uri"] not in kept:
            continue
        people.add(row["did"], row)
        version = versions.known(row)
        if version is None:
            unknown.append(row["uri"])
        loaded[row["uri"]] = row, version
    if unknown:
        loaded.update(await _opened(connection, unknown, loaded, versions))
    found = {uri: (row, version) for uri, (row, version) in loaded.items() if version is not None}
    await load_people(connection, people, (did for _, version in found.values() for did in version.features))
    return found


async def _opened(
    connection: Connection,
    uris: Sequence[str],
    loaded: Mapping[str, tuple[asyncpg.Record, Version | None]],
    versions: Versions,
) -> dict[str, Loaded]:
    """These tracks with their versions, as they are now: outside a snapshot, that may be a later one."""
    rows = await connection.fetch(
        """
        select tracks.uri, tracks.cid, tracks.indexed_at, tracks.sort_at, actors.pds, records.value
        from unnest($1::text[]) as asked (uri) join tracks on tracks.uri = asked.uri
        join actors on actors.did = tracks.did join records on records.uri = tracks.uri
        """,
        uris,
    )
    return {row["uri"]: (loaded[row["uri"]][0], versions.made(row)) for row in rows}


class TrackViews:
    """`feed.defs#trackView` of what was loaded, for the caller whose ties `people` has, if there is one."""

    def __init__(self, defs: str, tracks: Mapping[str, Loaded], people: People) -> None:
        self._defs = defs
        self._tracks = tracks
        self._people = people

    def of(self, uris: Iterable[str]) -> list[View]:
        """The views of `uris` in this order, without those that are not to be shown."""
        return [view for uri in uris if (view := self.find(uri)) is not None]

    def find(self, uri: str) -> View | None:
        """The view of one track, if it is to be shown."""
        if uri not in self._tracks:
            return None
        row, version = self._tracks[uri]
        author = self._people.basic(row["did"])
        if author is None:
            return None
        view = {
            **version.view,
            "author": author,
            "likeCount": row["likes"] or 0,
            "commentCount": row["comments"] or 0,
            "listCount": row["lists"] or 0,
        }
        if version.features:
            features = [face for did in version.features if (face := self._people.basic(did)) is not None]
            if features:
                view["features"] = features
        if version.album:
            on_list = row["album"]
            view["album"] = {"name": version.album} if on_list is None else {"name": version.album, "list": on_list}
        if self._people.ties is not None:
            view["viewer"] = self._people.ties.to_track(uri)
        return view

    def in_place(self, uri: str) -> View:
        """The view as a member of a union, or `feed.defs#notFoundTrack`."""
        view = self.find(uri)
        if view is None:
            return {"$type": f"{self._defs}#notFoundTrack", "uri": uri, "notFound": True}
        return {"$type": f"{self._defs}#trackView", **view}
