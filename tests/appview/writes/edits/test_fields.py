"""Fields set and cleared: what an edit is not about is carried, whatever it is."""

from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from appview.writes.edits import fields

NOW: Final = "2026-06-01T12:00:00.000Z"
BLOB: Final = {
    "$type": "blob",
    "ref": {"$link": "bafkreifnvhfnyy7p3ara2gdyv6krztsd26luv2mi45j7hw3sreq7xjpd24"},
    "size": 1,
}
TRACK: Final[dict[str, Any]] = {
    "$type": "fm.plyr.track",
    "title": "Song",
    "album": "Ours",
    "audioBlob": BLOB,
    "fileType": "mp3",
    "org.example.mood": {"colour": "blue", "$bytes": "AAEC"},
    "createdAt": "2026-03-01T12:00:00.000Z",
}

names = st.sampled_from(["title", "album", "bio", "org.example.x", "createdAt", "$type"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=5), inner, max_size=3),
    max_leaves=6,
)
records = st.dictionaries(names | st.text(min_size=1, max_size=8), values, max_size=8)


def test_what_is_given_is_set_and_the_rest_stays_as_it_was() -> None:
    assert fields.edited(TRACK, {"title": "New"}, ["album"]) == {
        name: value for name, value in (TRACK | {"title": "New"}).items() if name != "album"
    }
    assert fields.edited(TRACK, {"title": "Song"}, ["imageUrl"]) is None
    assert fields.edited(TRACK, {}) is None


def test_an_edit_stamps_what_it_changes_and_nothing_else() -> None:
    assert fields.edited(TRACK, {"title": "New"}, updated_at=NOW) == TRACK | {"title": "New", "updatedAt": NOW}
    assert fields.edited(TRACK, {"title": "Song"}, updated_at=NOW) is None


def test_one_is_not_true() -> None:
    assert fields.edited({"duration": True}, {"duration": 1}) == {"duration": 1}


@given(records, st.dictionaries(names, values, max_size=3), st.sets(names, max_size=2))
def test_an_edit_made_again_changes_nothing(record: dict[str, Any], change: dict[str, Any], clear: set[str]) -> None:
    once = fields.edited(record, change, clear - change.keys())
    if once is None:
        return
    assert fields.edited(once, change, clear - change.keys()) is None
    untouched = record.keys() - change.keys() - clear
    assert {name: once[name] for name in untouched} == {name: record[name] for name in untouched}
    assert not (clear - change.keys()) & once.keys()


@given(records, values, values)
def test_edits_of_different_fields_come_out_the_same_in_either_order(record: Any, one: Any, other: Any) -> None:
    def both(*changes: dict[str, Any]) -> Any:
        after = record
        for change in changes:
            edit = fields.edited(after, change)
            after = after if edit is None else edit
        return after

    assert both({"title": one}, {"album": other}) == both({"album": other}, {"title": one})


def test_features_keep_what_the_record_says_of_those_who_stay() -> None:
    before = [
        {"did": "did:plc:a", "handle": "a.test", "org.example.role": "drums"},
        "did:plc:old",
        {"did": "did:plc:b"},
        {"handle": "nobody"},
    ]
    asked = [{"did": "did:plc:c"}, {"did": "did:plc:a", "handle": "new.test"}]
    assert fields.of_track(TRACK | {"features": before}, {"features": asked}) == {
        "features": [{"did": "did:plc:c"}, {"did": "did:plc:a", "handle": "new.test", "org.example.role": "drums"}]
    }
    assert fields.of_track(TRACK | {"features": "odd"}, {"features": asked}) == {"features": asked}
    assert fields.of_track(TRACK | {"features": before}, {"features": []}) == {"features": []}


def test_labels_and_gates_keep_what_is_of_the_same_kind() -> None:
    kind = {"$type": "com.atproto.label.defs#selfLabels"}
    before = TRACK | {
        "labels": kind | {"by": "hand", "values": [{"val": "loud", "since": 1}, {"val": "long"}]},
        "supportGate": {"type": "any", "org.example.tier": 3},
    }
    asked = {"labels": kind | {"values": [{"val": "loud"}]}, "supportGate": {"type": "any"}}
    assert fields.of_track(before, asked) == {
        "labels": kind | {"by": "hand", "values": [{"val": "loud", "since": 1}]},
        "supportGate": {"type": "any", "org.example.tier": 3},
    }
    assert fields.of_track(before, {"supportGate": {"type": "copyright"}}) == {"supportGate": {"type": "copyright"}}
    other = {"$type": "org.example.labels", "values": []}
    assert fields.of_track(before, {"labels": other}) == {"labels": other}
    assert fields.of_track({"labels": other}, asked) == asked


def test_the_same_deed_made_twice() -> None:
    first = {
        "subject": {"uri": "at://x", "cid": "a"},
        "text": "Hi",
        "createdAt": NOW,
        "more": [{"uri": "u", "cid": "c"}],
    }
    again = {
        "subject": {"uri": "at://x", "cid": "b"},
        "text": "Hi",
        "createdAt": "later",
        "more": [{"uri": "u", "cid": "d"}],
    }
    assert fields.is_same_deed(first, again)
    assert not fields.is_same_deed(first, again | {"text": "Ho"})
    assert not fields.is_same_deed(first, again | {"subject": {"uri": "at://y", "cid": "a"}})
    assert not fields.is_same_deed(first, again | {"cid": "x"})
