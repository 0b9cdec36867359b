"""The network's records, in pieces that any process can make by itself: each is a range of numbers of one kind."""

import hashlib
import mmap
import random
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

from lexicons.cid import CID
from lexicons.data import encode
from lexicons.formats import tid_from_time_us
from tests.bench.million.copying import HEAD, TAIL, moment, stencil
from tests.bench.million.people import account_rows, name_of
from tests.bench.million.shape import Shape, did
from tests.bench.million.tables import RECORDS, SEEN_AFTER_MS, Batch, projection
from tests.bench.million.times import instant, written
from tests.bench.million.words import remark, title

_RAW: Final = b"\x01\x55\x12\x20"
_DAG_CBOR: Final = b"\x01\x71\x12\x20"
_LIKE: Final = struct.Struct("<IIB")
_FILE_TYPES: Final = ("mp3", "wav", "flac", "m4a")


class Ref(NamedTuple):
    """A strong reference to a track."""

    uri: bytes
    cid: bytes


class Refs:
    """The references to all tracks, in a file that every process sees; each is as long as any other."""

    URI: Final = 65
    CID: Final = 59
    SIZE: Final = URI + CID

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __getitem__(self, track: int) -> Ref:
        start = track * self.SIZE
        middle = start + self.URI
        return Ref(self._bytes[start:middle], self._bytes[middle : start + self.SIZE])

    def json(self, track: int) -> dict[str, str]:
        """The reference as a record has it."""
        uri, cid = self[track]
        return {"uri": uri.decode(), "cid": cid.decode()}


@dataclass(frozen=True)
class Network:
    """What the records are made from: the shape of it all, and, once there are tracks, the references to them."""

    shape: Shape
    refs_path: Path

    @cached_property
    def refs(self) -> Refs:
        """The references to the tracks."""
        return Refs(self.refs_path)


class Piece(NamedTuple):
    """What a job came to: rows by table, and what the next jobs need of it."""

    rows: dict[str, bytes]
    rest: bytes = b""


def accounts(network: Network, start: int, stop: int) -> Piece:
    """Accounts with all that is one of each."""
    shape, batch = network.shape, Batch()
    for number in range(start, stop):
        account_rows(shape, batch, number)
    return Piece(batch.payload())


def tracks(network: Network, start: int, stop: int) -> Piece:
    """Tracks; the rest is their references."""
    shape, batch = network.shape, Batch()
    rng = shape.rng("tracks", start)
    refs = []
    for number in range(start, stop):
        author = shape.author_of[number]
        value = _track(shape, rng, number, author)
        made = batch.record(shape.dids[author], "fm.plyr.track", value, shape.made_at(number), number % 1_024)
        refs.append(made.uri.encode() + str(made.cid).encode())
    return Piece(batch.payload(), b"".join(refs))


def _track(shape: Shape, rng: random.Random, number: int, author: int) -> dict[str, Any]:
    file_id = f"{rng.getrandbits(64):016x}"
    kind = _FILE_TYPES[min(int(rng.expovariate(1.2)), 3)]
    album = shape.album_of(number)
    value: dict[str, Any] = {
        "$type": "fm.plyr.track",
        "title": title(rng),
        "artist": name_of(shape, author),
        "audioUrl": f"https://audio.plyr.fm/audio/{file_id}.{kind}",
        "audioBlob": {
            "$type": "blob",
            "ref": CID(_RAW + hashlib.sha256(file_id.encode()).digest()),
            "mimeType": f"audio/{kind}",
            "size": rng.randrange(2_000_000, 90_000_000),
        },
        "fileType": kind,
        "duration": 30 + int(rng.gammavariate(6, 30)),
        "createdAt": written(shape.made_at(number)).decode(),
    }
    if album is not None:
        value["album"] = album_name(shape, author, album)
    if rng.random() < 0.8:
        value["imageUrl"] = f"https://images.plyr.fm/images/{rng.getrandbits(64):016x}.webp"
    if rng.random() < 0.8:
        value["description"] = remark(rng, 100)
    if rng.random() < 0.08:
        others = {rng.choice(shape.authors) for _ in range(rng.randint(1, 3))}
        value["features"] = [{"did": shape.dids[other], "displayName": name_of(shape, other)} for other in others]
    if rng.random() < 0.02:
        value["supportGate"] = {"type": "any"}
    if rng.random() < 0.01:
        value["labels"] = {"$type": "com.atproto.label.defs#selfLabels", "values": [{"val": "sexual"}]}
    return value


def album_name(shape: Shape, author: int, album: int) -> str:
    """What an album is called, by itself and by its tracks."""
    return title(shape.rng("album", author, album))


def comments(network: Network, start: int, stop: int) -> Piece:
    """Comments, in the order of time."""
    shape, batch = network.shape, Batch()
    rng = shape.rng("comments", start)
    for number, account in zip(range(start, stop), shape.active(rng, stop - start), strict=True):
        share = 1 - (number + 0.5) / shape.comments
        time_ms = shape.end_ms - 1 - int((shape.end_ms - shape.made_at(0)) * share * share)
        track = shape.popular(rng, 1)[0] if rng.random() < 0.98 else rng.choice(shape.hits)
        while shape.made_at(track) > time_ms:
            track = rng.randrange(max(1, int(shape.tracks * number / shape.comments)))
        value = {
            "$type": "fm.plyr.comment",
            "subject": network.refs.json(track),
            "text": remark(rng, 30),
            "timestampMs": int(rng.random() * 200_000),
            "createdAt": written(time_ms).decode(),
        }
        batch.record(shape.dids[account], "fm.plyr.comment", value, time_ms, number % 1_024)
    return Piece(batch.payload())


def lists(network: Network, start: int, stop: int) -> Piece:
    """Lists: the albums first, then playlists, and lists of what is liked."""
    shape, batch = network.shape, Batch()
    rng = shape.rng("lists", start)
    for number in range(start, stop):
        time_ms = shape.end_ms - 1 - int((shape.end_ms - shape.made_at(0)) * rng.random() ** 2)
        value: dict[str, Any] = {"$type": "fm.plyr.list", "createdAt": written(time_ms).decode()}
        if number < len(shape.albums):
            account, album = shape.albums[number]
            chosen = shape.on_album(account, album)
            value |= {"name": album_name(shape, account, album), "listType": "album"}
        else:
            account = shape.active(rng, 1)[0]
            size = 500 if number % 1_000 == 0 else min(300, 3 + int(5 * rng.paretovariate(1.1)))
            chosen = list(dict.fromkeys(shape.popular(rng, size)))
            liked = rng.random() < 0.15
            value |= {"name": "Liked Tracks" if liked else title(rng), "listType": "liked" if liked else "playlist"}
        value["items"] = [{"subject": network.refs.json(track)} for track in chosen]
        batch.record(shape.dids[account], "fm.plyr.list", value, time_ms, number % 1_024)
    return Piece(batch.payload())


def likes_in_buckets(network: Network, start: int, stop: int) -> list[bytes]:
    """Who of these accounts likes what, in buckets by time, of about the same size."""
    shape = network.shape
    first = shape.made_at(0)
    span = shape.end_ms - first
    buckets = [bytearray() for _ in range(shape.buckets)]
    pack, liked_at = _LIKE.pack, shape.liked_at
    for account in range(start, stop):
        for track, again in shape.liked_by(account):
            at = liked_at(account, track, again=again)
            # The newer, the more: parts of equal length would not be of equal size.
            age = (shape.end_ms - at) / span
            buckets[int((1 - age**0.25) * (shape.buckets - 1))] += pack(account, track, again)
    return [bytes(bucket) for bucket in buckets]


def likes(network: Network, bucket: bytes) -> Piece:
    """The likes of one bucket, in the order of time; by templates, as there are so many."""
    shape, refs = network.shape, network.refs
    ordered = sorted(
        (shape.liked_at(account, track, again=bool(again)), account, track, again)
        for account, track, again in _LIKE.iter_unpack(bucket)
    )
    value_of, record_of, row_of = _like_templates()
    records, rows = [HEAD], [HEAD]
    dids, sha256 = shape.dids, hashlib.sha256
    for time_ms, account, track, again in ordered:
        uri, cid = refs[track]
        author = dids[account].encode()
        # Two of one account in one millisecond have different tracks.
        tid = tid_from_time_us(time_ms * 1_000, track + again & 1_023).encode()
        value = value_of % (cid, uri, written(time_ms))
        at, seen = moment(time_ms), moment(time_ms + SEEN_AFTER_MS)
        like = b"at://%b/fm.plyr.like/%b" % (author, tid)
        records.append(
            record_of % (like, author, tid, _DAG_CBOR + sha256(value).digest(), value, at, seen, seen),
        )
        rows.append(row_of % (like, author, uri, at))
    return Piece({"records": b"".join((*records, TAIL)), "likes": b"".join((*rows, TAIL))})


def _like_templates() -> tuple[bytes, bytes, bytes]:
    """The value of a like, its row in `records` and its row in `likes`."""
    uri, cid, time = "u" * Refs.URI, "c" * Refs.CID, "t" * 24
    value = encode({"$type": "fm.plyr.like", "subject": {"uri": uri, "cid": cid}, "createdAt": time})
    like, author, tid, block_cid = "L" * 64, "D" * 32, "T" * 13, b"C" * 36
    at_ms, seen_ms = 1_700_000_000_000, 1_700_000_000_001
    at, seen = instant(at_ms), instant(seen_ms)
    record = RECORDS.row(like, author, "fm.plyr.like", tid, block_cid, value, "ok", None, at, seen, seen, "live")
    row = projection("fm.plyr.like").row(like, author, uri, at)
    holes = (
        like.encode(),
        author.encode(),
        tid.encode(),
        block_cid,
        value,
        moment(at_ms),
        moment(seen_ms),
        moment(seen_ms),
    )
    return (
        stencil(value, cid.encode(), uri.encode(), time.encode()),
        stencil(record, *holes),
        stencil(row, like.encode(), author.encode(), uri.encode(), moment(at_ms)),
    )


def follows(network: Network, start: int, stop: int) -> Piece:
    """Whom these accounts follow."""
    shape, batch = network.shape, Batch()
    first = shape.made_at(0)
    for account in range(start, stop):
        rng = shape.rng("follow times", account)
        for place, other in enumerate(shape.followed_by(account)):
            time_ms = first + int((shape.end_ms - 1 - first) * rng.random())
            value = {
                "$type": "app.bsky.graph.follow",
                "subject": did(other),
                "createdAt": written(time_ms).decode(),
            }
            batch.record(shape.dids[account], "app.bsky.graph.follow", value, time_ms, place % 1_024)
    return Piece(batch.payload())
