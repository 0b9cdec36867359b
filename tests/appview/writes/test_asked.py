"""What follows from what a PDS has after an answer that was lost; keys that are minted; what is said of a PDS."""

import pytest

from appview.accounts.oauth.scopes import Action
from appview.unset import UNSET, Unset
from appview.writes.asked import Asked, Finding, Method, Version, Write, request_digest
from appview.writes.errors import MAX_SAID, printable
from appview.writes.tids import Tids
from lexicons.cid import CID
from lexicons.formats import is_tid, tid_time_us

DID = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
OURS, OLD, OTHER = (CID.of(name.encode()) for name in ("ours", "old", "other"))


def write(action: Action, name: str = "a", cid: CID | None = OURS, *, minted: bool = False) -> Write:
    version = None if cid is None else Version({}, b"", cid)
    return Write(action, f"at://{DID}/fm.plyr.track/{name}", "fm.plyr.track", name, version, minted)


@pytest.mark.parametrize(
    ("method", "swap", "cid", "seen", "finding", "since"),
    [
        ("create", None, OURS, OURS, "done", "done"),
        ("create", None, OURS, None, "again", "overtaken"),
        ("create", None, OURS, OTHER, "exists", "overtaken"),
        ("put", None, OURS, OTHER, "exists", "overtaken"),
        ("put", UNSET, OURS, OURS, "done", "done"),
        ("put", UNSET, OURS, None, "again", "overtaken"),
        ("put", UNSET, OURS, OTHER, "again", "overtaken"),
        ("put", OLD, OURS, OURS, "done", "done"),
        ("put", OLD, OURS, OLD, "again", "again"),
        ("put", OLD, OURS, OTHER, "overtaken", "overtaken"),
        ("put", OLD, OURS, None, "overtaken", "overtaken"),
        ("delete", UNSET, None, None, "done", "done"),
        ("delete", UNSET, None, OTHER, "again", "overtaken"),
        ("delete", OLD, None, None, "done", "done"),
        ("delete", OLD, None, OLD, "again", "again"),
        ("delete", OLD, None, OTHER, "overtaken", "overtaken"),
    ],
)
def test_one_record(
    method: Method, swap: CID | Unset | None, cid: CID | None, seen: CID | None, finding: Finding, since: Finding
) -> None:
    """`since`: where something was written since."""
    action: Action = "delete" if cid is None else "update"
    asked = Asked(DID, method, (write(action, cid=cid),), swap)
    assert asked.finding([seen], is_unchanged=True) == finding
    assert asked.finding([seen], is_unchanged=False) == since


@pytest.mark.parametrize(
    ("writes", "seen", "finding", "since"),
    [
        ([write("create", minted=True), write("delete", "b", None)], [OURS, None], "done", "done"),
        # Somebody made another of what was to be deleted, after it was.
        ([write("create", minted=True), write("delete", "b", None)], [OURS, OTHER], "done", "done"),
        ([write("create", minted=True), write("update", "b")], [None, OLD], "again", "overtaken"),
        ([write("create"), write("update", "b")], [OURS, OLD], "exists", "overtaken"),
        ([write("create"), write("update", "b")], [OTHER, OURS], "exists", "overtaken"),
        ([write("update"), write("update", "b")], [OURS, OLD], "again", "overtaken"),
    ],
)
def test_a_commit(writes: list[Write], seen: list[CID | None], finding: Finding, since: Finding) -> None:
    asked = Asked(DID, "apply", tuple(writes))
    assert asked.finding(seen, is_unchanged=True) == finding
    assert asked.finding(seen, is_unchanged=False) == since


def test_what_is_asked_again_is_asked_on_top_of_what_was_there() -> None:
    blind = Asked(DID, "put", (write("update"),), base="the base")
    assert "swapCommit" not in blind.body()
    assert blind.body(again=True)["swapCommit"] == "the base"
    guarded = Asked(DID, "put", (write("update"),), OLD, base="the base")
    assert guarded.body(again=True) == guarded.body()
    alone = Asked(DID, "put", (write("update"),), swap_commit="theirs", base="theirs")
    assert alone.body(again=True) == alone.body() == blind.body() | {"swapCommit": "theirs"}


def test_the_digest_of_a_request() -> None:
    one = request_digest("create", ["a"], [{"x": 1, "y": {"createdAt": 1}, "createdAt": "now"}])
    assert one == request_digest("create", ["a"], [{"createdAt": "then", "y": {"createdAt": 1}, "x": 1}])
    for other in (
        request_digest("put", ["a"], [{"x": 1, "y": {"createdAt": 1}}]),
        request_digest("create", ["a", ""], [{"x": 1, "y": {"createdAt": 1}}]),
        request_digest("create", ["a"], [{"x": 2, "y": {"createdAt": 1}}]),
        request_digest("create", ["a"], [{"x": 1, "y": {"createdAt": 2}}]),
        request_digest("create", ["a"], [{"x": 1, "y": {"createdAt": 1}}, None]),
    ):
        assert other != one


def test_tids_are_of_now_and_rise_whatever_the_clock_does() -> None:
    times = iter([5_000_000, 5_000_000, 5_000_400, 1_000, 9_000_000])
    tids = Tids(lambda: next(times))
    minted = [tids.mint() for _ in range(5)]
    assert all(map(is_tid, minted))
    assert sorted(set(minted)) == minted
    assert [tid_time_us(tid) for tid in minted] == [5_000, 5_001, 5_002, 5_003, 9_000]


def test_two_processes_mint_others() -> None:
    tids = {Tids(lambda: 5_000_000).mint() for _ in range(20)}
    assert len(tids) > 15


def test_what_is_said_of_a_pds_is_one_line() -> None:
    assert printable("a\nb\x00c\u202ed\ud800e") == "a b c d e"
    assert len(printable("x" * 10_000)) == MAX_SAID
