"""Every odd record of the network, and what becomes of it."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from appview.index.records import record_types
from appview.index.records.fields import MAX_SUBJECT_BYTES
from appview.index.tolerance import MAX_DEVIATIONS, TABLE, Judge, Judgement, rule_of, weight
from lexicons.catalog import LexiconError, shipped
from lexicons.data import encode, from_json
from lexicons.validate import Validator
from tests.appview.index.samples import BLOB, DID, MINIMAL, RAW, RECORD_CID, SUBJECT, TIME, incoming, record, rkey

JUDGE = Judge("fm.plyr")
VALIDATORS = {is_companion: Validator(shipped("fm.plyr"), legacy_blobs=is_companion) for is_companion in (True, False)}
TRACK, LIKE, COMMENT, LIST = "fm.plyr.track", "fm.plyr.like", "fm.plyr.comment", "fm.plyr.list"
PROFILE, GENERATOR = "fm.plyr.actor.profile", "fm.plyr.feed.generator"
BSKY, FOLLOW, PLAY, ALPHA = (
    "app.bsky.actor.profile",
    "app.bsky.graph.follow",
    "fm.teal.feed.play",
    "fm.teal.alpha.feed.play",
)
OLD_HOST = "https://pub-d4ed8a1e39d44dac85263d86ad5676fd.r2.dev/audio/0123456789abcdef.mp3"
LABELS = {"values": [{"val": "porn"}, {"val": "community:spoiler"}]}
SELF_LABELS = LABELS | {"$type": "com.atproto.label.defs#selfLabels"}
PRIVATE = f"at://{DID}/space/fm.plyr.privateMedia/self/{DID}/fm.plyr.track/3lfvhszifvc2c"
ITEM = {"subject": SUBJECT}
# A byte more, and they are too long to be keys.
DID_512 = "did:web:" + "a" * 504
URI_1100 = f"at://{DID_512}/fm.plyr.{'x' * 61}/{'k' * 512}"
URI_OF_LONG_DID = f"at://{DID_512}b/fm.plyr.track/3lfvhszifvc2c"
TOO_LONG = "rejected", "too-long"

OK = "ok", ""
# The collection, what is other than in the minimal record, and what becomes of it, by which line of the table.
CASES: list[tuple[str, dict[str, Any], tuple[str, str]]] = [
    # T1 to T3, T5 to T13: tracks as plyr.fm has written them.
    (TRACK, {"audioUrl": "https://audio.plyr.fm/audio/ada9cadc63efd822.wav", "audioBlob": BLOB, "duration": 265}, OK),
    (TRACK, {"audioUrl": OLD_HOST, "fileType": "mp3", "createdAt": "2025-11-20T02:00:00.000000Z"}, OK),
    (TRACK, {"audioBlob": BLOB}, OK),
    (TRACK, {"audioUrl": "https://api.plyr.fm/audio/x", "supportGate": {"type": "any"}, "audioBlob": BLOB}, OK),
    (TRACK, {"supportGate": {"type": "copyright"}}, OK),
    (TRACK, {"supportGate": {"type": "any", "rules": [{"and": []}]}}, OK),
    (TRACK, {"supportGate": {"type": "of-days-to-come"}}, OK),
    (TRACK, {"supportGate": None}, ("tolerated", "no-gate")),
    (TRACK, {"supportGate": {}}, ("tolerated", "odd-gate")),
    (TRACK, {"supportGate": "any"}, ("tolerated", "odd-gate")),
    (TRACK, {"supportGate": {"type": 1}}, ("tolerated", "odd-gate")),
    (TRACK, {"audioUrl": "https://www.youtube.com/watch?v=x", "imageUrl": "http://169.254.169.254/"}, OK),
    (TRACK, {"audioUrl": "javascript:alert(1)"}, OK),
    (TRACK, {}, OK),
    (TRACK, {"createdAt": "2026-01-01T00:00:00+00:00"}, OK),
    # T4: blobs.
    (TRACK, {"audioBlob": {"ref": BLOB["ref"], "mimeType": "audio/mpeg"}}, ("tolerated", "loose-blob")),
    (TRACK, {"audioBlob": {"$type": "blob", "ref": BLOB["ref"], "mimeType": "audio/x"}}, ("tolerated", "loose-blob")),
    (TRACK, {"audioBlob": BLOB | {"size": 0}}, OK),
    (TRACK, {"audioBlob": BLOB | {"size": -1}}, ("tolerated", "odd-blob")),
    (TRACK, {"audioBlob": BLOB | {"size": 2**40}}, ("tolerated", "odd-blob")),
    (TRACK, {"audioBlob": BLOB | {"mimeType": "video/mp4"}}, ("tolerated", "odd-blob")),
    (TRACK, {"audioBlob": BLOB | {"ref": {"$link": RECORD_CID}}}, ("tolerated", "odd-blob")),
    (TRACK, {"audioBlob": {"cid": RAW, "mimeType": "audio/mpeg"}}, ("tolerated", "loose-blob")),
    (TRACK, {"audioBlob": RAW}, ("tolerated", "odd-blob")),
    (TRACK, {"audioBlob": None}, ("tolerated", "odd-blob")),
    # T10, T15 to T17, T21.
    (TRACK, {"title": ""}, ("rejected", "meaningless")),
    (TRACK, {"artist": ""}, ("tolerated", "no-artist")),
    (TRACK, {"fileType": ""}, ("tolerated", "odd-file-type")),
    (TRACK, {"fileType": "x" * 17}, ("tolerated", "odd-file-type")),
    (TRACK, {"fileType": None}, ("rejected", "meaningless")),
    (TRACK, {"fileType": None, "audioBlob": BLOB}, ("tolerated", "no-file-type")),
    (TRACK, {"fileType": 1, "audioBlob": BLOB}, ("tolerated", "no-file-type")),
    (TRACK, {"fileType": 1, "audioBlob": BLOB | {"mimeType": ""}}, ("rejected", "meaningless")),
    (TRACK, {"labels": SELF_LABELS}, OK),
    (TRACK, {"labels": LABELS}, ("tolerated", "bare-labels")),
    (TRACK, {"labels": LABELS | {"$type": "com.example.wrong"}}, ("tolerated", "odd-labels")),
    (TRACK, {"labels": LABELS | {"$type": "com.atproto.repo.strongRef"}}, ("tolerated", "odd-labels")),
    (TRACK, {"labels": LABELS | {"$type": ""}}, ("tolerated", "odd-labels")),
    (TRACK, {"labels": SELF_LABELS | {"values": [{"val": "a" * 129}, {}]}}, ("tolerated", "odd-labels")),
    (TRACK, {"labels": [{"val": "porn"}]}, ("tolerated", "odd-labels")),
    (TRACK, {"createdAt": "2099-01-01T00:00:00Z"}, OK),
    (TRACK, {"createdAt": "1926-01-01T00:00:00Z"}, OK),
    (TRACK, {"createdAt": "2026-01-01T00:00:00"}, ("tolerated", "no-time")),
    (TRACK, {"createdAt": "yesterday"}, ("tolerated", "no-time")),
    (TRACK, {"createdAt": None}, ("tolerated", "no-time")),
    (TRACK, {"fileId": "chosen-by-the-author", "anything": {"deep": [1, None, True]}}, OK),
    (TRACK, {"anything": {"$type": "blob"}}, ("tolerated", "loose-data")),
    (TRACK, {"anything": {"$type": 7}}, ("tolerated", "loose-data")),
    (TRACK, {"title": "\N{PILE OF POO}" * 256}, ("tolerated", "long-name")),
    (TRACK, {"title": "a" * 2560, "artist": "b" * 2560}, ("tolerated", "long-name")),
    (TRACK, {"title": "a" * 2561}, ("rejected", "meaningless")),
    (TRACK, {"artist": "a" * 2561}, ("rejected", "meaningless")),
    (TRACK, {"title": {"en": "t"}}, ("rejected", "meaningless")),
    (TRACK, {"title": None}, ("rejected", "meaningless")),
    (TRACK, {"artist": 7}, ("rejected", "meaningless")),
    (TRACK, {"title": "\0"}, OK),
    (TRACK, {"duration": 0}, OK),
    (TRACK, {"duration": -1}, ("tolerated", "odd-detail")),
    (TRACK, {"duration": 2**62}, OK),
    (TRACK, {"duration": "3:15"}, ("tolerated", "odd-detail")),
    (TRACK, {"album": "a" * 257}, ("tolerated", "odd-detail")),
    (TRACK, {"description": "é" * 2501}, ("tolerated", "odd-detail")),
    (TRACK, {"audioUrl": ""}, ("tolerated", "odd-detail")),
    (TRACK, {"imageUrl": "/x.png"}, ("tolerated", "odd-detail")),
    (TRACK, {"$type": "app.relay.track"}, ("rejected", "wrong-type")),
    # T14: features in every form.
    (TRACK, {"features": [{"did": DID, "handle": "old.example", "displayName": "Camel"}, {"did": DID}]}, OK),
    (TRACK, {"features": [{"did": DID, "display_name": "snake"}]}, OK),
    (TRACK, {"features": [DID]}, ("tolerated", "features-as-text")),
    (TRACK, {"features": [None]}, ("tolerated", "features-as-text")),
    (TRACK, {"features": [{"handle": "handle-only.example"}]}, ("tolerated", "odd-features")),
    (TRACK, {"features": [{"did": ""}]}, ("tolerated", "odd-features")),
    (TRACK, {"features": [{"did": DID, "handle": "not a handle"}]}, ("tolerated", "odd-features")),
    (TRACK, {"features": [{"did": DID}] * 11}, ("tolerated", "odd-features")),
    (TRACK, {"features": [{"did": DID_512}]}, OK),
    (TRACK, {"features": [{"did": DID}, {"did": DID_512 + "b"}]}, ("tolerated", "too-long")),
    (TRACK, {"features": [DID_512 + "b"]}, ("tolerated", "features-as-text")),
    (TRACK, {"features": DID}, ("tolerated", "odd-features")),
    # Likes and comments.
    (LIKE, {}, OK),
    (LIKE, {"subject": {"uri": SUBJECT["uri"]}}, ("tolerated", "no-version")),
    (LIKE, {"subject": SUBJECT | {"cid": ""}}, ("tolerated", "no-version")),
    (LIKE, {"subject": SUBJECT | {"cid": {"$link": RAW}}}, ("tolerated", "no-version")),
    (LIKE, {"subject": SUBJECT | {"uri": f"at://{DID}/app.bsky.feed.post/x"}}, OK),
    (LIKE, {"subject": SUBJECT | {"uri": f"at://{DID}/fm.plyr.dev.track/3lfvhszifvc2c"}}, OK),
    (LIKE, {"subject": SUBJECT | {"uri": PRIVATE}}, ("rejected", "meaningless")),
    (LIKE, {"subject": {"cid": RECORD_CID}}, ("rejected", "meaningless")),
    (LIKE, {"subject": SUBJECT["uri"]}, ("rejected", "meaningless")),
    (LIKE, {"subject": None}, ("rejected", "meaningless")),
    (LIKE, {"subject": SUBJECT | {"uri": URI_1100}}, OK),
    (LIKE, {"subject": SUBJECT | {"uri": URI_1100.replace("x", "xx", 1)}}, TOO_LONG),
    (LIKE, {"subject": SUBJECT | {"uri": URI_OF_LONG_DID}}, TOO_LONG),
    (COMMENT, {"subject": {"uri": URI_OF_LONG_DID}, "createdAt": None}, TOO_LONG),
    (COMMENT, {"updatedAt": "now"}, ("tolerated", "no-time")),
    (COMMENT, {"subject": {"uri": SUBJECT["uri"]}}, ("tolerated", "no-version")),
    (COMMENT, {"subject": {}}, ("rejected", "meaningless")),
    (COMMENT, {"text": "字" * 1000}, ("tolerated", "long-text")),
    (COMMENT, {"text": "a" * 10_001}, ("rejected", "meaningless")),
    (COMMENT, {"text": ""}, ("rejected", "meaningless")),
    (COMMENT, {"text": None}, ("rejected", "meaningless")),
    (COMMENT, {"timestampMs": -1}, ("tolerated", "no-moment")),
    (COMMENT, {"timestampMs": "0:45"}, ("tolerated", "no-moment")),
    # Lists.
    (LIST, {"name": "2026", "listType": "album"}, OK),
    (LIST, {"name": "", "listType": "mixtape", "items": []}, OK),
    (LIST, {"items": [ITEM, ITEM]}, OK),
    (LIST, {"items": [ITEM] * 501}, ("tolerated", "long-list")),
    (LIST, {"items": [ITEM] * 5000}, ("tolerated", "long-list")),
    (LIST, {"items": [ITEM] * 5001}, ("rejected", "meaningless")),
    (LIST, {"items": [{"subject": SUBJECT | {"cid": ""}}]}, ("tolerated", "no-version")),
    (LIST, {"items": [{"subject": {"uri": SUBJECT["uri"]}}]}, ("tolerated", "no-version")),
    (LIST, {"items": [{"subject": {"cid": RECORD_CID}}]}, ("tolerated", "odd-item")),
    (LIST, {"items": [{}, None, SUBJECT["uri"], {"subject": SUBJECT | {"uri": PRIVATE}}]}, ("tolerated", "odd-item")),
    (LIST, {"items": [{"subject": SUBJECT | {"uri": URI_1100}}], "listType": "é" * 320}, OK),
    (LIST, {"items": [ITEM, {"subject": SUBJECT | {"uri": URI_OF_LONG_DID}}]}, ("tolerated", "too-long")),
    (LIST, {"listType": "é" * 320 + "!"}, ("tolerated", "too-long")),
    (LIST, {"items": {}}, ("rejected", "meaningless")),
    (LIST, {"items": None}, ("rejected", "meaningless")),
    (LIST, {"name": "a" * 65}, ("tolerated", "odd-detail")),
    (LIST, {"name": None, "listType": 1}, ("tolerated", "odd-detail")),
    # Profiles, feeds, and what others define.
    (PROFILE, {"bio": "a" * 257}, ("tolerated", "odd-detail")),
    (PROFILE, {"avatar": BLOB}, ("tolerated", "odd-detail")),
    (GENERATOR, {"displayName": "a" * 25}, ("tolerated", "long-name")),
    (GENERATOR, {"displayName": "a" * 2401}, ("rejected", "meaningless")),
    (GENERATOR, {"avatar": BLOB, "acceptsInteractions": "yes"}, ("tolerated", "odd-detail")),
    (GENERATOR, {"did": DID_512}, OK),
    (GENERATOR, {"did": DID_512 + "b"}, TOO_LONG),
    (GENERATOR, {"did": "feeds.test"}, ("rejected", "meaningless")),
    (BSKY, {"avatar": {"cid": RAW, "mimeType": "image/jpeg"}}, OK),
    (BSKY, {"avatar": BLOB, "website": "no", "pinnedPost": 1}, ("tolerated", "odd-detail")),
    (BSKY, {"displayName": None}, ("tolerated", "odd-detail")),
    (BSKY, {"createdAt": ""}, ("tolerated", "no-time")),
    (FOLLOW, {"via": {}}, ("tolerated", "odd-detail")),
    (FOLLOW, {"subject": DID_512}, OK),
    (FOLLOW, {"subject": DID_512 + "b"}, TOO_LONG),
    (FOLLOW, {"subject": "alice.test"}, ("rejected", "meaningless")),
    (PLAY, {"playedTime": "", "artists": []}, ("tolerated", "no-time")),
    (PLAY, {"originUri": URI_OF_LONG_DID}, OK),
    (PLAY, {"originUri": "", "trackName": ""}, ("tolerated", "odd-detail")),
    (ALPHA, {"originUrl": "https://plyr.fm/track/1", "musicServiceBaseDomain": "plyr.fm"}, OK),
    (ALPHA, {"trackName": None}, ("tolerated", "odd-detail")),
]


def judged(collection: str, value: object, key: str = "") -> Judgement:
    key = key or ("self" if collection.endswith("actor.profile") else rkey(1))
    return JUDGE.judge(collection, key, encode(value))


def outcome(judgement: Judgement) -> tuple[str, str]:
    return judgement.verdict, judgement.deviations[0].code if judgement.deviations else ""


@pytest.mark.parametrize(("collection", "change", "expected"), CASES, ids=lambda value: str(value)[:60])
def test_what_becomes_of_odd_records(collection: str, change: dict[str, Any], expected: tuple[str, str]) -> None:
    value = record(collection, change)
    judgement = judged(collection, value)
    assert outcome(judgement) == expected
    assert judgement.value == value
    assert all(deviation.verdict != "rejected" for deviation in judgement.deviations[1:])


@pytest.mark.parametrize(("collection", "change", "expected"), CASES, ids=lambda value: str(value)[:60])
def test_what_was_read_is_what_was_judged(collection: str, change: dict[str, Any], expected: tuple[str, str]) -> None:
    """Nothing that is a key of an index is longer than it may be, whatever else is wrong with the record."""
    value = record(collection, change)
    row = record_types("fm.plyr")[collection].row(incoming(f"at://{DID}/{collection}/x", value))
    if expected[0] != "rejected":
        longest = max((len(text.encode()) for text in _texts(row) if text.startswith(("at:", "did:"))), default=0)
        assert longest <= MAX_SUBJECT_BYTES
    if expected == TOO_LONG:
        assert row is None or not any(text.startswith(DID_512 + "b") for text in _texts(row))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _texts(item)


@pytest.mark.parametrize(("collection", "change", "expected"), CASES, ids=lambda value: str(value)[:60])
def test_one_judgement_of_a_block_is_that_under_every_key(
    collection: str, change: dict[str, Any], expected: tuple[str, str]
) -> None:
    value = record(collection, change)
    content = JUDGE.judge_content(collection, encode(value))
    for key in (rkey(1), rkey(2), "self", "any-key", "no key!", ".."):
        judgement = JUDGE.judge_key(content, key)
        assert judgement == JUDGE.judge(collection, key, encode(value))
        found = VALIDATORS[collection == BSKY].record_violations(collection, key, value)
        assert {tuple(violation) for violation in found[:50]} <= {told[:3] for told in judgement.deviations}
        is_misplaced = any(violation.rule == "key" for violation in found)
        assert judgement.verdict == ("rejected" if is_misplaced else expected[0])
        assert [told.rule == "key" for told in judgement.deviations[:1]] in ([], [is_misplaced])
        assert judgement.value == value


def test_judging_a_block_again_under_another_key_costs_little() -> None:
    content = JUDGE.judge_content(LIST, encode(record(LIST, {"items": [{"subject": {"uri": "x"}}] * 5000})))
    start = time.perf_counter()
    for n in range(1000):
        JUDGE.judge_key(content, rkey(n))
        JUDGE.judge_key(content, f"no-tid-{n}")
    assert time.perf_counter() - start < 0.5


def test_how_many_rows_it_comes_to() -> None:
    weights = {nsid: weight(judged(nsid, record(nsid, {"items": [ITEM] * 5}))) for nsid in MINIMAL}
    assert weights == dict.fromkeys(MINIMAL, 1) | {LIST: 6}
    assert weight(JUDGE.judge_content(LIST, encode(record(LIST, {"items": [ITEM] * 5})))) == 6
    assert weight(judged(LIST, record(LIST, {"items": [ITEM] * 5}), "no-tid")) == 1
    assert weight(JUDGE.judge(LIST, rkey(1), b"")) == 1


@pytest.mark.parametrize("collection", sorted(MINIMAL))
def test_any_record(collection: str) -> None:
    value = record(collection)
    assert judged(collection, value) == ("ok", value, ())
    assert outcome(judged(collection, record(collection, without="$type"))) == ("rejected", "wrong-type")
    assert outcome(judged(collection, value | {"$type": "fm.plyr.other"})) == ("rejected", "wrong-type")
    assert outcome(judged(collection, value, "no key!")) == ("rejected", "wrong-key")
    for missing in sorted(set(MINIMAL[collection]) - {"createdAt", "trackName", "displayName", "timestampMs"}):
        assert outcome(judged(collection, record(collection, without=missing))) == ("rejected", "meaningless")
    if "createdAt" in value:
        assert outcome(judged(collection, record(collection, without="createdAt"))) == ("tolerated", "no-time")


def test_keys() -> None:
    assert judged(TRACK, record(TRACK), "self").verdict == "rejected"
    assert judged(PROFILE, record(PROFILE), rkey(1)).verdict == "rejected"
    assert judged(BSKY, record(BSKY), rkey(1)).verdict == "rejected"
    assert judged(GENERATOR, record(GENERATOR), "latest").verdict == "ok"


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\xa0\xa0",
        b"\xff",
        encode([1]),
        encode("t"),
        b"\xa1\x61a\xfb\x3f\xf8\0\0\0\0\0\0",
        b"\xa1\x61a\x63\xed\xa0\x80",
    ],
    ids=["empty", "two", "break", "array", "text", "float", "surrogate"],
)
def test_what_is_no_record(block: bytes) -> None:
    judgement = JUDGE.judge(TRACK, rkey(1), block)
    assert judgement.value is None
    assert outcome(judgement) == ("rejected", "not-a-record")
    assert judgement.deviations[0].as_json()["path"] == ""


@pytest.mark.parametrize("bad", [{"$link": "x"}, {"$bytes": "!"}, {"deep": [{"$link": RAW, "y": 1}]}])
def test_what_json_would_take_for_something_else(bad: object) -> None:
    assert outcome(judged(TRACK, record(TRACK) | {"anything": bad})) == ("rejected", "not-for-json")


def test_text_that_only_names_a_link_is_text() -> None:
    assert judged(COMMENT, record(COMMENT, {"text": "$link and $bytes"})).verdict == "ok"


def test_the_worst_counts_and_is_told_first() -> None:
    judgement = judged(TRACK, record(TRACK, {"createdAt": "", "album": 1, "title": 1}))
    assert [(d.where, d.rule, d.code) for d in judgement.deviations] == [
        ("title", "type", "meaningless"),
        ("album", "type", "odd-detail"),
        ("createdAt", "format", "no-time"),
    ]


def test_a_list_of_broken_items_is_judged_whole_and_told_in_part() -> None:
    judgement = judged(LIST, record(LIST, {"items": [{"subject": SUBJECT | {"cid": ""}}] * 5000, "listType": 1}))
    assert judgement.verdict == "tolerated"
    assert len(judgement.deviations) == MAX_DEVIATIONS
    worse = judged(LIST, record(LIST, {"items": [{"subject": SUBJECT | {"cid": ""}}] * 4000, "$type": "x"}))
    assert worse.verdict == "rejected"


def test_more_wrong_than_is_looked_for_is_no_record() -> None:
    assert outcome(judged(TRACK, record(TRACK, {"features": [1] * 20_000}))) == ("rejected", "not-a-record")


def test_a_collection_that_is_none_of_ours() -> None:
    with pytest.raises(LexiconError):
        JUDGE.judge("fm.plyr.dev.track", rkey(1), encode({}))


def test_another_namespace() -> None:
    value = record(TRACK, {"artist": ""}) | {"$type": "fm.plyr.stg.track"}
    judgement = Judge("fm.plyr.stg").judge("fm.plyr.stg.track", rkey(1), encode(value))
    assert outcome(judgement) == ("tolerated", "no-artist")


def test_every_line_of_the_table_has_a_case() -> None:
    judge = Judge("fm.plyr")
    names = {nsid: kind.name for nsid, kind in record_types("fm.plyr").items()}
    seen = {("not-a-record", "*"), ("not-for-json", "*"), ("wrong-key", "*")}
    for collection, change, _ in CASES:
        key = "self" if collection.endswith("actor.profile") else rkey(1)
        for deviation in judge.judge(collection, key, encode(record(collection, change))).deviations:
            rule = rule_of(deviation.as_json(), names[collection])
            assert rule is not None
            assert rule.verdict == deviation.verdict
            seen.add((rule.code, rule.types))
    assert {(rule.code, rule.types) for rule in TABLE} == seen
    assert rule_of({"path": "", "rule": "", "detail": ""}, "track") is None


def test_a_sound_record_costs_little() -> None:
    block = encode(record(TRACK, {"audioBlob": BLOB, "features": [{"did": DID}], "createdAt": TIME}))
    best = min(_timed(block) for _ in range(5))
    # About 15 microseconds on a quiet machine; the bound tells that from doing anything twice, on a slow one.
    assert best < 200e-6


def _timed(block: bytes) -> float:
    start = time.perf_counter()
    for _ in range(200):
        JUDGE.judge(TRACK, rkey(1), block)
    return (time.perf_counter() - start) / 200


def test_values_are_those_of_the_data_model() -> None:
    assert judged(TRACK, record(TRACK, {"audioBlob": BLOB})).value == from_json(
        {"$type": TRACK} | dict(MINIMAL[TRACK])
    ) | {"audioBlob": from_json(dict(BLOB))}
