"""What the records of each type read as."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appview.index.records import (
    TABLES,
    Incoming,
    bsky_profile,
    comment,
    follow,
    generator,
    like,
    list,  # noqa: A004 - the module is named as the record is
    play,
    profile,
    record_types,
    track,
)
from appview.index.records.fields import Blob
from appview.index.records.list import Item
from appview.index.records.track import LOCKED, Feature
from lexicons.data import CID, from_json
from tests.appview.index.samples import (
    BLOB,
    DID,
    MINIMAL,
    NOW,
    RAW,
    RECORD_CID,
    SUBJECT,
    TRACK_URI,
    did,
    incoming,
    record,
    rkey,
)

TRACK = "fm.plyr.track"
MODULES = (track, like, comment, list, profile, generator, bsky_profile, follow, play)
TYPES = record_types("fm.plyr")
LABELS: dict[str, Any] = {"values": [{"val": "porn"}, {"val": "spoiler"}, {"val": "porn"}, {}, 7, {"val": "x" * 129}]}
AUDIO = Blob(CID.parse(RAW), "audio/vnd.wave", 12760890)


def read(change: dict[str, Any]) -> track.Track:
    return track.read(record(TRACK, change))


def test_a_track() -> None:
    assert read({"album": "2026", "duration": 265, "audioBlob": BLOB, "description": "d"}) == track.Track(
        "t", "a", "2026", 265, "d", None, None, AUDIO, "wav", None, (), ()
    )


@pytest.mark.parametrize(
    ("change", "field", "expected"),
    [
        ({"title": "a\0b"}, "title", "a\ufffdb"),
        ({"title": "\N{PILE OF POO}" * 256}, "title", "\N{PILE OF POO}" * 256),
        ({"duration": 0}, "duration", 0),
        ({"duration": -1}, "duration", None),
        ({"duration": 2**31}, "duration", None),
        ({"duration": True}, "duration", None),
        ({"album": "x" * 2560}, "album", "x" * 2560),
        ({"album": "é" * 1281}, "album", None),
        ({"imageUrl": "https://a.test/x.png"}, "image_url", "https://a.test/x.png"),
        ({"imageUrl": "javascript:alert(1)"}, "image_url", None),
        ({"audioUrl": "https://a.test/with space"}, "audio_url", None),
        ({"audioUrl": "http://169.254.169.254/"}, "audio_url", "http://169.254.169.254/"),
        ({"audioBlob": {"ref": {"$link": RAW}}}, "audio", Blob(CID.parse(RAW), None, None)),
        ({"audioBlob": BLOB | {"size": 0}}, "audio", AUDIO._replace(size=0)),
        ({"audioBlob": BLOB | {"size": -1, "mimeType": 1}}, "audio", AUDIO._replace(size=None, mime_type=None)),
        ({"audioBlob": BLOB | {"ref": {"$link": RECORD_CID}}}, "audio", None),
        ({"audioBlob": BLOB | {"ref": RAW}}, "audio", None),
        ({"audioBlob": BLOB | {"$type": "picture"}}, "audio", None),
        ({"supportGate": None}, "gate", None),
        ({"supportGate": {"type": "any"}}, "gate", "any"),
        ({"supportGate": {"type": "of-days-to-come"}}, "gate", "of-days-to-come"),
        ({"supportGate": {}}, "gate", LOCKED),
        ({"supportGate": {"type": ""}}, "gate", LOCKED),
        ({"supportGate": "any"}, "gate", LOCKED),
        ({"labels": LABELS}, "labels", ("porn", "spoiler")),
        ({"labels": LABELS | {"$type": "com.atproto.label.defs#selfLabels"}}, "labels", ("porn", "spoiler")),
        ({"labels": LABELS | {"$type": "com.example.wrong"}}, "labels", ()),
        ({"labels": {"values": [{"val": str(n)} for n in range(11)]}}, "labels", tuple("0123456789")),
        ({"labels": []}, "labels", ()),
        ({"features": "x"}, "features", ()),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_tracks_fields(change: dict[str, Any], field: str, expected: object) -> None:
    assert getattr(read(change), field) == expected


def test_features_in_every_form() -> None:
    forms = [
        {"did": did(1), "handle": "old.example", "displayName": "Camel"},
        {"did": did(2), "display_name": "snake"},
        {"did": did(3)},
        did(4),
        {"handle": "handle-only.example"},
        {"did": ""},
        None,
        {"did": did(1), "handle": "again.example"},
        "handle.example",
    ]
    assert read({"features": forms}).features == (
        Feature(did(1), "old.example", "Camel"),
        Feature(did(2), None, "snake"),
        Feature(did(3), None, None),
        Feature(did(4), None, None),
    )
    assert len(read({"features": [did(n) for n in range(50)]}).features) == 10


def test_a_list() -> None:
    other = f"at://{DID}/fm.plyr.dev.track/x"
    items: Any = [{"subject": SUBJECT}, {"subject": {"cid": RAW}}, {"subject": {"uri": other, "cid": ""}}, None, "x"]
    value = record("fm.plyr.list", {"items": items, "name": "n", "listType": "mixtape"})
    assert list.read(value) == list.List("n", "mixtape", (Item(0, TRACK_URI, RECORD_CID), Item(2, other, None)))


def test_what_is_said_of_a_track() -> None:
    assert like.read(record("fm.plyr.like", {"subject": {"uri": TRACK_URI}})) == (TRACK_URI, None)
    said = record("fm.plyr.comment", {"text": "drop\0", "timestampMs": -5})
    assert comment.read(said) == (TRACK_URI, RECORD_CID, "drop\ufffd", 0)


def test_avatars() -> None:
    def avatar(value: object) -> str | None:
        return bsky_profile.read(from_json({"avatar": value})).avatar_cid

    assert avatar(BLOB) == RAW
    assert avatar({"cid": RAW, "mimeType": "image/jpeg"}) == RAW
    assert avatar({"cid": "bafynew", "mimeType": "image/jpeg"}) is None
    assert avatar({"ref": RAW, "cid": RAW}) is None
    assert profile.read({"avatar": "data:x", "bio": "b"}) == ("b", None)


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (TRACK_URI, TRACK_URI),
        (f"https://plyr.test/audio/{DID}/3lfvhszifvc2c", TRACK_URI),
        (f"https://plyr.test/track/{DID}/3lfvhszifvc2c/?t=1#x", TRACK_URI),
        (f"https://plyr.test/base/audio/{DID.replace(':', '%3A')}/3lfvhszifvc2c", TRACK_URI),
        (f"https://pdsls.dev/{TRACK_URI}", TRACK_URI),
        ("https://plyr.fm/track/1", None),
        (f"https://plyr.test/profile/{DID}/3lfvhszifvc2c", None),
        ("https://plyr.test/audio/alice.test/3lfvhszifvc2c", None),
        (f"https://plyr.test/audio/{DID}/", None),
        (f"https://plyr.test/audio/{DID}/..", None),
        (f"https://plyr.test/?u={TRACK_URI}", None),
        (f"at://{DID}/fm.plyr.dev.track/3lfvhszifvc2c", None),
        (f"at://{DID}/fm.plyr.track", None),
        ("at://alice.test/fm.plyr.track/3lfvhszifvc2c", None),
        ("https://[::1/audio/x", None),
        ("spotify:track:x", None),
        ("", None),
    ],
)
def test_where_a_play_took_place(origin: str, expected: str | None) -> None:
    for nsid, field in (("fm.teal.feed.play", "originUri"), ("fm.teal.alpha.feed.play", "originUrl")):
        uri = f"at://{did(1)}/{nsid}/{rkey(1)}"
        row = TYPES[nsid].row(incoming(uri, record(nsid, {field: origin, "playedTime": "2026-01-20T10:00:00Z"})))
        assert row is not None
        assert row[2:4] == (expected, datetime(2026, 1, 20, 10, tzinfo=UTC))


@pytest.mark.parametrize("nsid", ["fm.plyr.like", "fm.plyr.comment"])
@pytest.mark.parametrize(
    ("uri", "is_shown"),
    [
        (TRACK_URI, True),
        (f"at://{DID}/fm.plyr.track/any-key", True),
        (f"at://{DID}/fm.plyr.dev.track/x", False),
        (f"at://{DID}/fm.plyr.list/x", False),
        (f"at://{DID}/fm.plyr.track", False),
        ("at://alice.test/fm.plyr.track/x", False),
    ],
)
def test_only_of_tracks(nsid: str, uri: str, *, is_shown: bool) -> None:
    row = TYPES[nsid].row(
        incoming(f"at://{did(1)}/{nsid}/{rkey(1)}", record(nsid, {"subject": SUBJECT | {"uri": uri}}))
    )
    assert (row is not None) == is_shown


def test_the_types() -> None:
    assert {kind.nsid for kind in TYPES.values()} == set(MINIMAL) == set(TYPES)
    assert {nsid for nsid, kind in TYPES.items() if kind.signal} == {nsid for nsid in MINIMAL if "fm.plyr." in nsid}
    assert {kind.name for kind in TYPES.values()} == set(TABLES)
    assert set(record_types("fm.plyr.stg")) - set(TYPES) == {
        nsid.replace("fm.plyr.", "fm.plyr.stg.") for nsid in TYPES if "fm.plyr." in nsid
    }


NAMES = sorted({name for value in MINIMAL.values() for name in value} | {"did", "ref", "uri", "cid", "type", "val"})
MORE = [
    "features",
    "labels",
    "supportGate",
    "audioBlob",
    "avatar",
    "values",
    "$type",
    "originUri",
    "playedTime",
    "name",
]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(max_size=9)
    | st.sampled_from([DID, TRACK_URI, RAW, CID.parse(RAW), b"x", "https://a.test/", "blob", "\0"])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES + MORE), inner, max_size=5),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES + MORE), VALUES, max_size=8))
def test_reading_never_fails_and_fits_in_columns(value: dict[str, Any]) -> None:
    for module in MODULES:
        module.read(value)
    for nsid, kind in TYPES.items():
        row = kind.row(Incoming(f"at://{did(1)}/{nsid}/x", did(1), b"", value, NOW, NOW, 0))
        assert "\0" not in "".join(_texts(row))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _texts(item)
