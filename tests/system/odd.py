"""Records as a real index meets them: in order, odd, and broken, each with what is to become of it.

They are those of the network's history: what its own writers wrote at one time or another, and what anybody may write.
The verdicts are the table's that the API documents; `oracle` and `explain` have to agree with them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from tests.network import records
from tests.writer.cbor import Link, link_from_text

Verdict = Literal["ok", "tolerated", "rejected"]
Ref = Mapping[str, str]

SOME_CID: Final = "bafyreig2aotx4pgpwqxotzm7i3vgyalrdfemsqr6ukdpmqrhfdvh2mcq5i"
GHOST: Final[Ref] = {"uri": "at://did:plc:vs3hnzq2daqbszxlysywzy54/fm.plyr.track/3lfvhszifvc2c", "cid": SOME_CID}
"""A track that is not, and was never, anywhere."""


class Odd(NamedTuple):
    """One of them. Without a `rkey`, under any TID."""

    name: str
    collection: str
    verdict: Verdict
    value: Any
    rkey: str | None = None


def odd_records(song: Ref, listed: Ref, blob: Mapping[str, Any]) -> Iterator[Odd]:
    """All of them, around a track `song`, a record of another kind `listed`, and an audio blob that may be named."""
    for name, verdict, value in _tracks(blob):
        yield Odd(name, records.TRACK, verdict, value)
    yield Odd("a track under a name", records.TRACK, "rejected", records.track(), "my-song")
    for name, verdict, value in _likes(song, listed):
        yield Odd(name, records.LIKE, verdict, {"createdAt": records.CREATED_AT} | value)
    for name, verdict, value in _comments(song):
        yield Odd(name, records.COMMENT, verdict, _comment(song) | value)
    for name, verdict, value in _lists(song, listed):
        yield Odd(name, records.LIST, verdict, {"createdAt": records.CREATED_AT} | value)
    yield Odd("a list under a name", records.LIST, "rejected", records.playlist(), "my-list_1:x~")
    yield Odd("a profile that is not self", records.PROFILE, "rejected", records.profile(), "other")
    generator = {"did": "did:web:feeds.example", "displayName": "Fresh", "createdAt": records.CREATED_AT}
    yield Odd("a generator under a name", "fm.plyr.feed.generator", "ok", generator, "fresh")


def elsewhere(song: Ref) -> Iterator[Odd]:
    """Records that are none of ours, whatever they look like."""
    for name in ("stg.track", "dev.track", "feed.track", "graph.list", "playlist", "album", "song"):
        yield Odd(name, f"fm.plyr.{name}", "rejected", records.track() | {"$type": f"fm.plyr.{name}"})
    yield Odd("the legacy NSID", "app.relay.track", "rejected", records.track() | {"$type": "app.relay.track"})
    like = {"$type": "app.bsky.feed.like", "subject": song, "createdAt": records.CREATED_AT}
    yield Odd("a like of another kind", "app.bsky.feed.like", "rejected", like)


def data(value: Any) -> Any:
    """A JSON value as the data model has it: `{"$link": …}` is a CID."""
    if isinstance(value, Mapping):
        link = value.get("$link")
        return link_from_text(link) if isinstance(link, str) else {name: data(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | Link):
        return [data(item) for item in value]
    return value


def _tracks(blob: Mapping[str, Any]) -> Iterator[tuple[str, Verdict, Any]]:
    track, bare = records.track, {name: blob[name] for name in ("ref", "mimeType")}
    gated = {"audioUrl": "https://api.plyr.fm/audio/x"}
    yield "from a URL and a blob", "ok", track(audioUrl="https://audio.plyr.fm/audio/a.wav", audioBlob=blob)
    yield "of the first years", "ok", track(audioUrl="https://pub-d4ed8a1e39d4.r2.dev/audio/0.mp3", album="Old")
    yield "from a blob alone", "ok", track(audioBlob=blob)
    yield "a blob without type and size", "tolerated", track(audioBlob=bare)
    yield "for supporters", "ok", track(supportGate={"type": "any"}, **gated)
    yield "gated, and its blob public", "ok", track(supportGate={"type": "any"}, audioBlob=blob)
    yield "an unknown gate", "ok", track(supportGate={"type": "copyright"}, **gated)
    yield "a gate of nothing", "tolerated", track(supportGate={}, **gated)
    yield "a gate that is null", "tolerated", track(supportGate=None)
    yield "a hostile URL", "ok", track(audioUrl="http://169.254.169.254/latest", imageUrl="https://pixel.example/1")
    yield "a script for a URL", "ok", track(audioUrl="javascript:alert(1)")
    yield "neither URL nor blob", "ok", {name: value for name, value in track().items() if name != "audioUrl"}
    yield "restored", "ok", track() | {"createdAt": "2026-02-27T16:08:13.146107+00:00"}
    yield "features in every form", "tolerated", track(features=_FEATURES)
    yield "features of today", "ok", track(features=[{"did": "did:plc:t44345nyd7jmxfs5hxs4doch"}])
    yield "labelled", "ok", track(labels=_labels({"$type": "com.atproto.label.defs#selfLabels"}))
    yield "labels without a type", "tolerated", track(labels=_labels({}))
    yield "labels of a wrong type", "tolerated", track(labels=_labels({"$type": "com.atproto.label.defs#label"}))
    yield "made in the future", "ok", track() | {"createdAt": "2099-01-01T00:00:00Z"}
    yield "made before the network", "ok", track() | {"createdAt": "1971-01-01T00:00:00Z"}
    yield "a time without a zone", "tolerated", track() | {"createdAt": "2026-02-27T16:08:13"}
    yield "a time that is none", "tolerated", track() | {"createdAt": "yesterday"}
    yield "no time", "tolerated", {name: value for name, value in track().items() if name != "createdAt"}
    yield "more than there is to say", "ok", track(fileId="x" * 16, extra={"deep": [1, {"er": None}]})
    yield "a title of 256 emoji", "tolerated", track("🎵" * 256)
    yield "a title of a novel", "rejected", track("x" * 2_561)
    yield "a title with a NUL", "ok", track("NUL\0 in it")
    yield "no length", "ok", track(duration=0)
    yield (
        "no fileType but a blob's",
        "tolerated",
        {name: value for name, value in track(audioBlob=blob).items() if name != "fileType"},
    )
    yield "a title that is a number", "rejected", track() | {"title": 7}
    yield "no title", "rejected", {name: value for name, value in track().items() if name != "title"}
    yield "an empty title", "rejected", track("")
    yield "an artist without a name", "tolerated", track(artist="")
    yield "no artist", "rejected", {name: value for name, value in track().items() if name != "artist"}
    yield "a length below zero", "tolerated", track(duration=-1)
    yield "an artist that is a list", "rejected", track() | {"artist": ["A", "B"]}


def _likes(song: Ref, listed: Ref) -> Iterator[tuple[str, Verdict, dict[str, Any]]]:
    did = song["uri"].split("/")[2]
    yield "of a track nobody saw", "ok", {"subject": GHOST}
    yield "of an older version", "ok", {"subject": {"uri": song["uri"], "cid": SOME_CID}}
    yield "the same once more", "ok", {"subject": song}
    yield "of a list", "ok", {"subject": listed}
    yield (
        "of another namespace",
        "ok",
        {"subject": {"uri": f"at://{did}/fm.plyr.dev.track/3lfvhszifvc2c", "cid": SOME_CID}},
    )
    yield "by a handle", "ok", {"subject": {"uri": "at://artist.example/fm.plyr.track/3lfvhszifvc2c", "cid": SOME_CID}}
    yield "without a cid", "tolerated", {"subject": {"uri": song["uri"]}}
    yield (
        "of a private record",
        "rejected",
        {"subject": {"uri": f"at://{did}/space/fm.plyr.privateMedia/self/{did}/fm.plyr.track/3l", "cid": SOME_CID}},
    )
    yield "of nothing", "rejected", {}
    yield "of a text", "rejected", {"subject": song["uri"]}
    yield "of a subject without uri", "rejected", {"subject": {"cid": SOME_CID}}
    yield "without a time", "tolerated", {"subject": song, "createdAt": None}


def _comments(song: Ref) -> Iterator[tuple[str, Verdict, dict[str, Any]]]:
    yield "past the end", "ok", {"timestampMs": 2**52}
    yield "of a thousand bytes", "ok", {"text": "x" * 1_000}
    yield "without a cid", "tolerated", {"subject": {"uri": song["uri"]}}
    yield "on a track nobody saw", "ok", {"subject": GHOST}
    yield "of more than a thousand bytes", "tolerated", {"text": "x" * 1_001}
    yield "before the beginning", "tolerated", {"timestampMs": -1}
    yield "without a word", "rejected", {"text": ""}
    yield "on nothing", "rejected", {"subject": None}


def _lists(song: Ref, listed: Ref) -> Iterator[tuple[str, Verdict, dict[str, Any]]]:
    def items(*subjects: Any) -> list[dict[str, Any]]:
        return [{"subject": subject} for subject in subjects]

    yield (
        "of all that can go wrong",
        "ok",
        {"name": "Odd", "listType": "mixtape", "items": items(song, GHOST, listed, song)},
    )
    yield "as the reorder writes it", "ok", {"items": items(song), "updatedAt": records.CREATED_AT}
    yield "the liked ones, reordered", "ok", {"listType": "liked", "items": items(song)}
    yield "of none", "ok", {"name": "Empty", "listType": "playlist", "items": []}
    yield "made public", "tolerated", {"name": "Shared", "items": items({"uri": song["uri"], "cid": ""}, song)}
    yield "cids left out", "tolerated", {"name": "Bare", "items": items({"uri": song["uri"]})}
    yield "of more than five hundred", "tolerated", {"name": "Long", "items": items(*([GHOST] * 501))}
    yield "items without a subject", "tolerated", {"name": "Holes", "items": [{}, *items(song, {"cid": SOME_CID}), {}]}
    yield "items that are a map", "rejected", {"name": "Map", "items": {"0": song}}
    yield "no items", "rejected", {"name": "Nothing"}


def _comment(song: Ref) -> dict[str, Any]:
    return {"subject": song, "text": "Good", "timestampMs": 1, "createdAt": records.CREATED_AT}


def _labels(kind: dict[str, str]) -> dict[str, Any]:
    return kind | {"values": [{"val": "porn"}, {"val": "community:spoiler"}]}


_FEATURES: Final = [
    {"did": "did:plc:t44345nyd7jmxfs5hxs4doch", "handle": "old.example", "displayName": "Camel"},
    {"did": "did:plc:vs3hnzq2daqbszxlysywzy54", "display_name": "snake"},
    {"did": "did:plc:xnk7t5cvnnvzkmbf7wpss527"},
    "did:plc:o53crari67ge7bvbv273lxln",
    {"handle": "handle-only.example"},
    {"did": ""},
    None,
]
