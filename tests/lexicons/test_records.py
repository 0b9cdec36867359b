"""The shipped definitions against records as they are met on the network, sound and odd."""

from typing import Any

import pytest

from lexicons.catalog import shipped
from lexicons.data import from_json, parse_json
from lexicons.validate import Validator

VALIDATOR = Validator(shipped())
RKEY = "3lfvhszifvc2c"
DID = "did:plc:vs3hnzq2daqbszxlysywzy54"
RAW = "bafkreifnvhfnyy7p3ara2gdyv6krztsd26luv2mi45j7hw3sreq7xjpd24"
STRONG_REF = {
    "uri": f"at://{DID}/fm.plyr.track/{RKEY}",
    "cid": "bafyreig2aotx4pgpwqxotzm7i3vgyalrdfemsqr6ukdpmqrhfdvh2mcq5i",
}
NOW = "2026-02-27T16:08:13.146107Z"
BLOB = {"$type": "blob", "ref": {"$link": RAW}, "mimeType": "audio/vnd.wave", "size": 12760890}
SELF_LABELS = {"$type": "com.atproto.label.defs#selfLabels", "values": [{"val": "porn"}, {"val": "community:spoiler"}]}

MINIMAL: dict[str, dict[str, Any]] = {
    "fm.plyr.track": {"title": "t", "artist": "a", "fileType": "wav", "createdAt": NOW},
    "fm.plyr.like": {"subject": STRONG_REF, "createdAt": NOW},
    "fm.plyr.comment": {"subject": STRONG_REF, "text": "!", "timestampMs": 0, "createdAt": NOW},
    "fm.plyr.list": {"items": [], "createdAt": NOW},
    "fm.plyr.actor.profile": {"createdAt": NOW},
    "fm.plyr.feed.generator": {"did": "did:web:feeds.test", "displayName": "Feed", "createdAt": NOW},
    "app.bsky.actor.profile": {},
    "app.bsky.graph.follow": {"subject": DID, "createdAt": NOW},
    "fm.teal.feed.play": {"trackName": "t"},
    "fm.teal.alpha.feed.play": {"trackName": "t"},
}
FULL: dict[str, dict[str, Any]] = {
    "fm.plyr.track": {
        "audioUrl": "https://audio.plyr.fm/audio/ada9cadc63efd822.wav",
        "audioBlob": BLOB,
        "album": "2026",
        "duration": 265,
        "features": [{"did": DID, "handle": "old.example", "displayName": "Camel"}, {"did": DID, "display_name": "x"}],
        "imageUrl": "https://images.plyr.fm/images/x.jpeg",
        "description": "d" * 5000,
        "supportGate": {"type": "any"},
        "labels": SELF_LABELS,
    },
    "fm.plyr.like": {},
    "fm.plyr.comment": {"updatedAt": NOW},
    "fm.plyr.list": {
        "name": "n",
        "listType": "playlist",
        "items": [{"subject": STRONG_REF}, {"subject": STRONG_REF}],
        "updatedAt": NOW,
    },
    "fm.plyr.actor.profile": {"avatar": "https://images.test/a.png", "bio": "\N{PILE OF POO}" * 256, "updatedAt": NOW},
    "fm.plyr.feed.generator": {
        "description": "d",
        "avatar": BLOB | {"mimeType": "image/png", "size": 1_000_000},
        "acceptsInteractions": True,
    },
    "app.bsky.actor.profile": {
        "displayName": "n",
        "description": "d",
        "pronouns": "they",
        "website": "https://a.test",
        "avatar": BLOB | {"mimeType": "image/jpeg", "size": 1},
        "banner": BLOB | {"mimeType": "image/png", "size": 1},
        "labels": SELF_LABELS,
        "links": [STRONG_REF],
        "joinedViaStarterPack": STRONG_REF,
        "pinnedPost": STRONG_REF,
        "createdAt": NOW,
    },
    "app.bsky.graph.follow": {"via": STRONG_REF},
    "fm.teal.feed.play": {
        "artists": [{"artistName": "a", "artistMbId": "mbid:x"}],
        "originUri": f"https://plyr.fm/track/at/{RKEY}",
        "musicServiceUri": "https://plyr.fm",
        "submissionClientAgent": "plyr.fm/1.0",
        "playedTime": NOW,
    },
    "fm.teal.alpha.feed.play": {
        "artists": [{"artistName": "a"}],
        "originUrl": "https://plyr.fm/track/1",
        "musicServiceBaseDomain": "plyr.fm",
        "submissionClientAgent": "plyr.fm/1.0",
        "playedTime": NOW,
    },
}
TRACK = "fm.plyr.track"


def findings(collection: str, change: dict[str, Any], *, without: str = "", rkey: str = "") -> list[tuple[str, str]]:
    """Where and by which rule the minimal record of `collection`, changed, fails."""
    record = {"$type": collection} | MINIMAL[collection] | change
    record.pop(without, None)
    rkey = rkey or ("self" if collection.endswith("actor.profile") else RKEY)
    return [(v.where, v.rule) for v in VALIDATOR.record_violations(collection, rkey, from_json(record))]


@pytest.mark.parametrize("collection", sorted(shipped().nsids("record")))
def test_minimal_and_full(collection: str) -> None:
    properties = shipped().definition(collection)["record"]["properties"]
    assert findings(collection, {}) == []
    assert findings(collection, FULL[collection]) == []
    if collection.startswith("fm.plyr."):
        assert set(MINIMAL[collection] | FULL[collection]) == set(properties)


@pytest.mark.parametrize("collection", sorted(MINIMAL))
def test_each_required_field(collection: str) -> None:
    for name in MINIMAL[collection]:
        assert findings(collection, {}, without=name) == [(name, "required")]
        assert findings(collection, {name: None}) == [(name, "nullable")]
    assert findings(collection, {"$type": "fm.plyr.other"}) == [("$type", "$type")]


def test_record_keys() -> None:
    assert findings(TRACK, {}, rkey="self") == [("", "key")]
    assert findings("fm.plyr.actor.profile", {}, rkey=RKEY) == [("", "key")]
    assert findings("fm.plyr.feed.generator", {}, rkey="latest") == []


@pytest.mark.parametrize(
    "change",
    [
        # As it was required until March and May 2026 (LX-21).
        {"audioUrl": "https://pub-d4ed8a1e39d44dac85263d86ad5676fd.r2.dev/audio/0123456789abcdef.mp3"},
        {"features": [{"did": DID, "handle": "a.test"}]},
        {"audioBlob": BLOB | {"size": 0}},
        {"audioBlob": BLOB | {"mimeType": "Audio/MPEG; rate=44100"}},
        {"audioBlob": BLOB | {"size": 104_857_600}},
        {"supportGate": {"type": "copyright"}},
        {"supportGate": {"type": "any", "rules": [{"and": []}]}},
        {"audioUrl": "https://www.youtube.com/watch?v=x"},
        {"audioUrl": "http://169.254.169.254/latest"},
        {"audioUrl": "javascript:alert(1)"},
        {"createdAt": "2026-01-01T00:00:00+00:00"},
        {"createdAt": "2099-01-01T00:00:00Z"},
        {"createdAt": "0001-01-01T00:00:00Z"},
        {"fileId": "chosen-by-the-author", "anything": {"$type": "blob"}},
        {"duration": 0},
        {"labels": {"$type": "com.example.wrong", "values": "x"}},
        {"title": "\0"},
        {"title": "é" * 128},
    ],
    ids=str,
)
def test_odd_tracks_that_are_valid(change: dict[str, Any]) -> None:
    assert findings(TRACK, change) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"audioBlob": {"ref": {"$link": RAW}, "mimeType": "audio/mpeg"}},
            [("audioBlob.$type", "required"), ("audioBlob.size", "required")],
        ),
        (
            {"audioBlob": {"cid": RAW, "mimeType": "audio/mpeg"}},
            [("audioBlob.$type", "required"), ("audioBlob.ref", "required"), ("audioBlob.size", "required")],
        ),
        ({"audioBlob": BLOB | {"ref": {"$link": STRONG_REF["cid"]}}}, [("audioBlob.ref", "ref")]),
        ({"audioBlob": BLOB | {"mimeType": "video/mp4"}}, [("audioBlob.mimeType", "accept")]),
        ({"audioBlob": BLOB | {"size": 104_857_601}}, [("audioBlob.size", "maxSize")]),
        ({"audioBlob": RAW}, [("audioBlob", "type")]),
        ({"supportGate": None}, [("supportGate", "nullable")]),
        ({"supportGate": {}}, [("supportGate.type", "required")]),
        ({"supportGate": "any"}, [("supportGate", "type")]),
        (
            {"features": [{"did": DID}, "did:plc:bare-string", {"handle": "only.example"}, {"did": ""}, None]},
            [
                ("features[1]", "type"),
                ("features[2].did", "required"),
                ("features[3].did", "format"),
                ("features[4]", "type"),
            ],
        ),
        ({"features": [{"did": DID}] * 11}, [("features", "maxLength")]),
        ({"features": [{"did": DID, "handle": "not a handle"}]}, [("features[0].handle", "format")]),
        ({"labels": {"values": [{"val": "porn"}]}}, [("labels.$type", "required")]),
        ({"labels": SELF_LABELS | {"values": [{"val": "a" * 129}]}}, [("labels.values[0].val", "maxLength")]),
        ({"labels": []}, [("labels", "type")]),
        ({"createdAt": "2026-01-01T00:00:00"}, [("createdAt", "format")]),
        ({"createdAt": "yesterday"}, [("createdAt", "format")]),
        ({"createdAt": 1}, [("createdAt", "type")]),
        ({"title": "\N{PILE OF POO}" * 256}, [("title", "maxLength")]),
        ({"title": ""}, [("title", "minLength")]),
        ({"title": {"en": "t"}}, [("title", "type")]),
        ({"artist": "a" * 257}, [("artist", "maxLength")]),
        ({"fileType": "x" * 17}, [("fileType", "maxLength")]),
        ({"album": "a" * 257}, [("album", "maxLength")]),
        ({"description": "é" * 2501}, [("description", "maxLength")]),
        ({"duration": -1}, [("duration", "minimum")]),
        ({"duration": "265"}, [("duration", "type")]),
        ({"audioUrl": ""}, [("audioUrl", "format")]),
        ({"imageUrl": "/images/x.png"}, [("imageUrl", "format")]),
        ({"imageUrl": "https://a.test/with space"}, [("imageUrl", "format")]),
        ({"title": "a" * 257, "createdAt": ""}, [("title", "maxLength"), ("createdAt", "format")]),
    ],
    ids=str,
)
def test_odd_tracks_and_the_rule_that_refuses_them(change: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert findings(TRACK, change) == expected


@pytest.mark.parametrize(
    "uri",
    [
        f"at://{DID}/app.bsky.feed.post/{RKEY}",
        f"at://{DID}/fm.plyr.dev.track/{RKEY}",
        f"at://{DID}",
        "at://alice.test/fm.plyr.track/x",
    ],
)
def test_a_subject_may_be_anything_with_an_at_uri(uri: str) -> None:
    assert findings("fm.plyr.like", {"subject": STRONG_REF | {"uri": uri}}) == []


@pytest.mark.parametrize("collection", ["fm.plyr.like", "fm.plyr.comment"])
@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ({"uri": STRONG_REF["uri"]}, [("subject.cid", "required")]),
        ({"cid": STRONG_REF["cid"]}, [("subject.uri", "required")]),
        (STRONG_REF | {"cid": ""}, [("subject.cid", "format")]),
        (STRONG_REF | {"cid": {"$link": RAW}}, [("subject.cid", "type")]),
        (STRONG_REF | {"uri": "https://plyr.fm/track/1"}, [("subject.uri", "format")]),
        (
            STRONG_REF | {"uri": f"at://{DID}/space/fm.plyr.privateMedia/self/{DID}/fm.plyr.track/{RKEY}"},
            [("subject.uri", "format")],
        ),
        (STRONG_REF["uri"], [("subject", "type")]),
        (None, [("subject", "nullable")]),
    ],
)
def test_odd_subjects(collection: str, subject: object, expected: list[tuple[str, str]]) -> None:
    assert findings(collection, {"subject": subject}) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"text": "a" * 1000}, []),
        ({"text": "é" * 501}, [("text", "maxLength")]),
        ({"text": ""}, [("text", "minLength")]),
        ({"timestampMs": -1}, [("timestampMs", "minimum")]),
        ({"timestampMs": True}, [("timestampMs", "type")]),
        ({"timestampMs": 10**12}, []),
    ],
    ids=str,
)
def test_odd_comments(change: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert findings("fm.plyr.comment", change) == expected


ITEM = {"subject": STRONG_REF}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"listType": "mixtape"}, []),
        ({"name": "", "items": [ITEM] * 500}, []),
        ({"items": [{"subject": STRONG_REF, "note": 1}]}, []),
        ({"items": [ITEM] * 501}, [("items", "maxLength")]),
        ({"items": [{"subject": STRONG_REF | {"cid": ""}}, ITEM]}, [("items[0].subject.cid", "format")]),
        ({"items": [ITEM, {}]}, [("items[1].subject", "required")]),
        ({"items": [{"subject": {"cid": STRONG_REF["cid"]}}]}, [("items[0].subject.uri", "required")]),
        ({"items": [STRONG_REF["uri"]]}, [("items[0]", "type")]),
        ({"items": {}}, [("items", "type")]),
        ({"name": "a" * 64}, []),
        ({"name": "a" * 65}, [("name", "maxGraphemes")]),
        ({"name": "\U0001f469\u200d\U0001f469\u200d\U0001f466" * 15}, [("name", "maxLength")]),
        ({"name": "\U0001f469\u200d\U0001f469\u200d\U0001f466" * 14}, []),
    ],
    ids=lambda value: str(value)[:80],
)
def test_odd_lists(change: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert findings("fm.plyr.list", change) == expected


def test_a_list_of_five_thousand_broken_items_is_judged_whole() -> None:
    items = [{"subject": {"uri": STRONG_REF["uri"], "cid": ""}}] * 5000
    found = findings("fm.plyr.list", {"items": items})
    assert found[0] == ("items", "maxLength")
    assert found[1:] == [(f"items[{n}].subject.cid", "format") for n in range(5000)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"bio": "a" * 257}, [("bio", "maxGraphemes")]),
        ({"bio": "\N{PILE OF POO}" * 641}, [("bio", "maxLength")]),
        ({"avatar": BLOB}, [("avatar", "type")]),
        ({"avatar": "a.png"}, [("avatar", "format")]),
    ],
    ids=lambda value: str(value)[:60],
)
def test_odd_profiles(change: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert findings("fm.plyr.actor.profile", change) == expected


def test_a_legacy_avatar_is_for_those_who_ask() -> None:
    record = {"$type": "app.bsky.actor.profile", "avatar": {"cid": RAW, "mimeType": "image/jpeg"}}
    assert VALIDATOR.record_violations("app.bsky.actor.profile", "self", record)
    Validator(shipped(), legacy_blobs=True).validate_record("app.bsky.actor.profile", "self", record)


def test_numbers_of_json() -> None:
    record = parse_json(
        b'{"$type":"fm.plyr.track","title":"t","artist":"a","fileType":"wav","createdAt":"%s","duration":2.0}'
        % NOW.encode()
    )
    VALIDATOR.validate_record(TRACK, RKEY, record)


def test_events_of_the_stream() -> None:
    commit = {
        "$type": "com.atproto.sync.subscribeRepos#commit",
        "seq": 1,
        "repo": DID,
        "commit": {"$link": STRONG_REF["cid"]},
        "rev": RKEY,
        "since": None,
        "blocks": {"$bytes": ""},
        "ops": [
            {"action": "delete", "path": f"fm.plyr.track/{RKEY}", "cid": None, "prev": {"$link": STRONG_REF["cid"]}}
        ],
        "time": NOW,
    }
    name = "com.atproto.sync.subscribeRepos"
    VALIDATOR.validate(name, from_json(commit), "message")
    VALIDATOR.validate(name, from_json(commit | {"rebase": False, "tooBig": False, "blobs": []}), "message")
    VALIDATOR.validate(name, {"$type": f"{name}#tombstone", "seq": 1, "did": DID}, "message")
    found = VALIDATOR.violations(
        name, from_json(commit | {"ops": [{"action": "create", "path": 1}], "rev": "now"}), "message"
    )
    assert [(v.where, v.rule) for v in found] == [
        ("rev", "format"),
        ("ops[0].path", "type"),
        ("ops[0].cid", "required"),
    ]
