import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingester.events import (
    MAX_BLOCKS_BYTES,
    MAX_OPS,
    MAX_SEQ,
    MAX_SYNC_BLOCKS_BYTES,
    AccountEvent,
    CommitEvent,
    ErrorEvent,
    EventError,
    IdentityEvent,
    InfoEvent,
    RepoOp,
    SyncEvent,
    UnknownEvent,
    parse_event,
)
from lexicons.data import CID
from lexicons.frames import Frame
from tests.ingester.captured import CAPTURES, events

DID, REV, TIME = "did:plc:ewvi7nxzyoun6zhxrhs64oiz", "3lbomqvqtzs2a", "2026-11-22T13:52:00.000Z"
COMMIT, TREE, RECORD, OLD = (CID.of(name) for name in (b"commit", b"tree", b"record", b"old"))
CREATE = {"action": "create", "path": "fm.plyr.track/3lbomqvqtzs2a", "cid": RECORD}
UPDATE = {"action": "update", "path": "fm.plyr.track/3lbomqvqtzs2b", "cid": RECORD, "prev": OLD}
DELETE = {"action": "delete", "path": "fm.plyr.like/3lbomqvqtzs2c", "cid": None, "prev": OLD}

PAYLOADS: dict[str, dict[str, Any]] = {
    "#commit": {
        "seq": 7,
        "repo": DID,
        "rev": REV,
        "since": "3lbomqvqtzs22",
        "commit": COMMIT,
        "prevData": TREE,
        "ops": [CREATE, UPDATE, DELETE],
        "blocks": b"car",
        "time": TIME,
        "tooBig": False,
        "rebase": False,
        "blobs": [],
    },
    "#sync": {"seq": 7, "did": DID, "rev": REV, "blocks": b"car", "time": TIME},
    "#identity": {"seq": 7, "did": DID, "handle": "artist.example", "time": TIME},
    "#account": {"seq": 7, "did": DID, "active": False, "status": "takendown", "time": TIME},
    "#info": {"name": "OutdatedCursor", "message": "too old"},
}


def parsed(kind: str, **changes: Any) -> Any:
    payload = PAYLOADS[kind] | changes
    return parse_event(Frame(1, kind, {name: value for name, value in payload.items() if value is not ...}))


def refused(reason: str, kind: str, **changes: Any) -> None:
    """Changed so, the message is refused; `...` takes a field away."""
    with pytest.raises(EventError) as caught:
        parsed(kind, **changes)
    assert caught.value.reason == reason


def with_op(reason: str, op: Any) -> None:
    refused(reason, "#commit", ops=[CREATE, op])


def test_a_commit_is_read_field_by_field() -> None:
    ops = (
        RepoOp("create", "fm.plyr.track", "3lbomqvqtzs2a", RECORD, None),
        RepoOp("update", "fm.plyr.track", "3lbomqvqtzs2b", RECORD, OLD),
        RepoOp("delete", "fm.plyr.like", "3lbomqvqtzs2c", None, OLD),
    )
    assert parsed("#commit") == CommitEvent(7, DID, REV, "3lbomqvqtzs22", COMMIT, TREE, ops, b"car", TIME)
    assert ops[2].path == "fm.plyr.like/3lbomqvqtzs2c"


def test_the_other_messages_are_read_field_by_field() -> None:
    assert parsed("#sync") == SyncEvent(7, DID, REV, b"car", TIME)
    assert parsed("#identity") == IdentityEvent(7, DID, "artist.example", TIME)
    assert parsed("#identity", handle=...) == IdentityEvent(7, DID, None, TIME)
    assert parsed("#account") == AccountEvent(7, DID, active=False, status="takendown", time=TIME)
    assert parsed("#account", active=True, status=...) == AccountEvent(7, DID, active=True, status=None, time=TIME)
    assert parsed("#account", status="of a new kind").status == "of a new kind"
    assert parsed("#info") == InfoEvent("OutdatedCursor", "too old")
    assert parsed("#info", message=...) == InfoEvent("OutdatedCursor", None)


def test_errors_and_what_is_not_known() -> None:
    assert parse_event(Frame(-1, None, {"error": "FutureCursor"})) == ErrorEvent("FutureCursor", None)
    assert parse_event(Frame(-1, "#commit", {"error": "X", "message": "y"})) == ErrorEvent("X", "y")
    assert parse_event(Frame(1, "#tombstone", {})) == UnknownEvent("#tombstone")
    assert parse_event(Frame(1, "commit", {})) == UnknownEvent("commit")
    assert parse_event(Frame(1, "com.atproto.sync.subscribeRepos#commit", {})).__class__ is UnknownEvent
    assert parse_event(Frame(7, "#commit", {"seq": "x"})) == UnknownEvent("#commit")
    assert parse_event(Frame(0, None, {})) == UnknownEvent(None)
    for payload in ({}, {"error": None}, {"error": 5}, {"error": "X", "message": 5}):
        with pytest.raises(EventError) as caught:
            parse_event(Frame(-1, None, payload))
        assert caught.value.reason == "bad_envelope"


@pytest.mark.parametrize("kind", PAYLOADS)
def test_unknown_fields_are_ignored(kind: str) -> None:
    assert parsed(kind, new={"x": [1]}, zzz=None) == parsed(kind)


@pytest.mark.parametrize("value", [..., None, True, 5, "yes", [COMMIT]])
def test_the_retired_fields_say_nothing(value: Any) -> None:
    for name in ("tooBig", "rebase", "blobs"):
        assert parsed("#commit", **{name: value}) == parsed("#commit")


@pytest.mark.parametrize(
    ("kind", "required"),
    [
        ("#commit", ["seq", "repo", "rev", "commit", "ops", "blocks", "time"]),
        ("#sync", ["seq", "did", "rev", "blocks", "time"]),
        ("#identity", ["seq", "did", "time"]),
        ("#account", ["seq", "did", "active", "time"]),
        ("#info", ["name"]),
    ],
)
def test_a_field_that_is_missing_or_of_another_type_is_refused(kind: str, required: list[str]) -> None:
    for name in required:
        wrong: list[Any] = [..., None, {}, 1.5, CID.of(b"x") if name != "commit" else bytes(COMMIT)]
        wrong += [True] if name != "active" else [1, "true"]
        wrong += [b"bytes"] if name != "blocks" else ["text"]
        wrong += ["7"] if name in ("seq", "commit", "ops") else [7]
        for value in wrong:
            refused("bad_envelope", kind, **{name: value})


@pytest.mark.parametrize(
    ("kind", "name", "wrong"),
    [
        ("#commit", "prevData", [5, "x", bytes(TREE), str(TREE), False]),
        ("#identity", "handle", [5, b"x", False]),
        ("#account", "status", [5, b"x", True]),
        ("#info", "message", [5, b"x"]),
    ],
)
def test_a_field_that_may_be_absent_may_be_null_but_of_no_other_type(kind: str, name: str, wrong: list[Any]) -> None:
    assert parsed(kind, **{name: None}) == parsed(kind, **{name: ...})
    for value in wrong:
        refused("bad_envelope", kind, **{name: value})


def test_since_may_be_null_but_not_absent() -> None:
    assert parsed("#commit", since=None).since is None
    for value in (..., 5, b"x", True, COMMIT):
        refused("bad_envelope", "#commit", since=value)


@pytest.mark.parametrize("kind", ["#commit", "#sync", "#identity", "#account"])
def test_seq_and_time_and_did_have_their_syntax(kind: str) -> None:
    did = "repo" if kind == "#commit" else "did"
    for seq in (1, MAX_SEQ):
        assert parsed(kind, seq=seq).seq == seq
    for seq in (0, -1, MAX_SEQ + 1, 2**63 - 1):
        refused("bad_envelope", kind, seq=seq)
    for time in ("", "now", "2026-11-22", "2026-11-22T13:52:00", "2026-13-22T13:52:00Z", TIME + "\n", "x" * 10_000):
        refused("bad_time", kind, time=time)
    for time in ("2026-11-22T13:52:60Z", "0000-01-01T00:00:00Z", "2026-11-22T13:52:00.123456789+14:00"):
        assert parsed(kind, time=time).time == time
    for name in ("", "did:", "artist.example", DID + "\n", DID + "#atproto", "did:plc:" + "a" * 3_000, "did:web:é"):
        refused("bad_did", kind, **{did: name})
    assert parsed(kind, **{did: "did:web:artist.example"}).did == "did:web:artist.example"


@pytest.mark.parametrize(
    "tid", ["", "3lbomqvqtzs2", REV + "2", REV + "\n", REV.upper(), "zlbomqvqtzs2a", "3lbomqvqtzs20"]
)
def test_revs_are_tids(tid: str) -> None:
    refused("bad_rev", "#commit", rev=tid)
    refused("bad_rev", "#sync", rev=tid)
    refused("bad_since", "#commit", since=tid)


def test_blocks_have_their_limits() -> None:
    for kind, most in (("#commit", MAX_BLOCKS_BYTES), ("#sync", MAX_SYNC_BLOCKS_BYTES)):
        assert len(parsed(kind, blocks=bytes(most)).blocks) == most
        refused("blocks_too_large", kind, blocks=bytes(most + 1))
        refused("blocks_empty", kind, blocks=b"")


def test_operations_have_their_limit_and_may_be_none() -> None:
    ops = [CREATE | {"path": f"fm.plyr.track/{n}"} for n in range(MAX_OPS + 1)]
    assert len(parsed("#commit", ops=ops[:-1]).ops) == MAX_OPS
    refused("too_many_ops", "#commit", ops=ops)
    refused("too_many_ops", "#commit", ops=[None] * (MAX_OPS + 1))
    assert parsed("#commit", ops=[]).ops == ()


def test_size_is_looked_at_before_content() -> None:
    refused("blocks_too_large", "#commit", blocks=bytes(MAX_BLOCKS_BYTES + 1), repo="no DID", ops=[None] * 1_000)
    refused("too_many_ops", "#commit", ops=[None] * 1_000, repo="no DID", rev="no TID")


@pytest.mark.parametrize("op", [None, 5, [], "create", CID.of(b"x"), b""])
def test_an_operation_is_a_map(op: Any) -> None:
    with_op("bad_envelope", op)


@pytest.mark.parametrize("action", ["", "Create", "created", "create\n", "\0"])
def test_an_operation_is_one_of_three(action: str) -> None:
    with_op("bad_op_action", CREATE | {"action": action})


@pytest.mark.parametrize("name", ["action", "path"])
def test_an_operation_has_an_action_and_a_path(name: str) -> None:
    others: list[Any] = [None, 5, b"create", ["create"], {}, True]
    for value in others:
        with_op("bad_envelope", CREATE | {name: value})
    with_op("bad_envelope", {key: value for key, value in CREATE.items() if key != name})


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "fm.plyr.track",
        "fm.plyr.track/",
        "/fm.plyr.track/a",
        "fm.plyr.track/a/",
        "fm.plyr.track/a/b",
        "fm.plyr.track//a",
        "fm.plyr/a",
        "track/a",
        "fm.plyr.track/.",
        "fm.plyr.track/..",
        "fm.plyr.track/a b",
        "fm.plyr.track/a\n",
        "fm.plyr.track\n/a",
        "fm.plyr.track/é",
        "fm.plyr.trâck/a",
        "fm.plyr.track/\0",
        "fm.plyr.track/\ud800",
        "fm.plyr.track/@",
        "fm.plyr.track#x/a",
        "fm.plyr.*/a",
        "fm.plyr.track/" + "a" * 513,
        "fm." + "plyr." * 80 + "track/a",
        "at://fm.plyr.track/a",
    ],
    ids=lambda path: repr(path)[:40],
)
def test_a_path_is_a_collection_and_a_key(path: str) -> None:
    with_op("bad_op_path", CREATE | {"path": path})
    with_op("bad_op_path", DELETE | {"path": path})


@pytest.mark.parametrize("path", ["a.b.c/self", "fm.plyr.track/a:b_c~d-e.f", "fm.plyr.track/" + "a" * 512, "a.b.c/..."])
def test_a_key_may_be_of_any_of_its_letters(path: str) -> None:
    assert parsed("#commit", ops=[CREATE | {"path": path}]).ops[0].path == path


def test_the_shape_of_an_operation_is_that_of_its_action() -> None:
    for action, wants_cid, wants_prev in (("create", True, False), ("update", True, True), ("delete", False, True)):
        for cid, prev in itertools.product((None, RECORD), (..., None, RECORD)):
            op = {"action": action, "path": "fm.plyr.track/a", "cid": cid} | ({} if prev is ... else {"prev": prev})
            if (cid is RECORD, prev is RECORD) == (wants_cid, wants_prev):
                assert parsed("#commit", ops=[op]).ops[0].action == action
            else:
                with_op("bad_op_shape", op)
        with_op("bad_envelope", {"action": action, "path": "fm.plyr.track/a", "prev": OLD})


def test_the_links_of_an_operation_are_links() -> None:
    for value in (str(RECORD), bytes(RECORD), 5, False, [RECORD]):
        with_op("bad_envelope", CREATE | {"cid": value})
        with_op("bad_envelope", UPDATE | {"prev": value})
    odd = CID(b"\x01\x55\x00\x00")
    assert parsed("#commit", ops=[UPDATE | {"cid": odd, "prev": odd}]).ops[0].cid == odd


def test_a_path_stands_once() -> None:
    path = {"path": CREATE["path"]}
    for other in (CREATE, UPDATE | path, DELETE | path):
        refused("duplicate_path", "#commit", ops=[CREATE, DELETE, other])
    assert len(parsed("#commit", ops=[CREATE, CREATE | {"path": "fm.plyr.like/3lbomqvqtzs2a"}]).ops) == 2


@pytest.mark.parametrize("name", CAPTURES)
def test_everything_captured_is_well_formed(name: str) -> None:
    assert events(name)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 2**54)
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.sampled_from([DID, REV, TIME, COMMIT, CREATE, UPDATE, DELETE, "fm.plyr.track/a", "create", "delete"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["action", "path", "cid"]), inner),
    max_leaves=6,
)


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from([*PAYLOADS, "#new"]),
    st.sampled_from([1, -1, 5]),
    st.dictionaries(st.sampled_from(sorted({name for fields in PAYLOADS.values() for name in fields})), values),
    st.booleans(),
)
def test_any_payload_is_an_event_or_an_event_error(kind: str, op: int, fields: dict[str, Any], whole: bool) -> None:
    payload = PAYLOADS.get(kind, {}) | fields if whole else fields
    try:
        event = parse_event(Frame(op, kind, payload))
    except EventError as error:
        assert error.reason.isidentifier()  # noqa: PT017 - no error at all is as good
        return
    assert hash(event) is not None
