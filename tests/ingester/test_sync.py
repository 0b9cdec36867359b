import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import pytest

from appview.keys import PublicKey
from ingester.events import (
    AccountEvent,
    CommitEvent,
    ErrorEvent,
    IdentityEvent,
    InfoEvent,
    RepoOp,
    SyncEvent,
    UnknownEvent,
    parse_event,
)
from ingester.repo.mst import EMPTY_ROOT
from ingester.sync import (
    FUTURE_US,
    MAX_COMMIT_BLOCKS,
    MAX_RECORD_BYTES,
    Apply,
    Decision,
    Head,
    Hold,
    Invalid,
    Record,
    RepoState,
    Resync,
    Signer,
    Skip,
    Status,
    decide,
)
from lexicons.data import CID, encode
from lexicons.formats import tid_from_time_us, tid_time_us
from lexicons.frames import decode_frame
from tests.ingester.captured import ALL_OK, commits, events, signer
from tests.writer.car import Block, write_car
from tests.writer.cbor import Link, cid_of
from tests.writer.keys import K256, P256, SigningKey
from tests.writer.repo import CommitEvent as Written
from tests.writer.repo import Repo, Write, sign_commit

DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
KEY, STRANGER = SigningKey.from_seed("artist", P256), SigningKey.from_seed("stranger", K256)
SIGNER = Signer(PublicKey.from_multikey(KEY.multikey))
A, B, C = "fm.plyr.track/3lbomqvqtzs2a", "fm.plyr.track/3lbomqvqtzs2b", "fm.plyr.like/3lbomqvqtzs2c"
RECORD: dict[str, Any] = {"$type": "fm.plyr.track", "title": "song"}
OTHER_CID = CID.of(b"something else")


def event_of(frame: bytes) -> Any:
    return parse_event(decode_frame(frame))


def car_of(written: Written, *, without: tuple[bytes, ...] = (), extra: tuple[bytes, ...] = ()) -> bytes:
    """The CAR of a commit, without some blocks or with more."""
    blocks = [block for block in written.blocks(written.signed) if block.cid not in without]
    return write_car([cid_of(written.signed)], [*blocks, *(Block(cid_of(data), data) for data in extra)])


@dataclass
class Scene:
    """A repository with records at A and B, and then a commit that creates C, updates A and deletes B."""

    repo: Repo
    earlier: Written
    written: Written
    event: CommitEvent = field(init=False)
    state: RepoState | None = field(init=False)
    signer: Signer | None = SIGNER
    now_us: int = 0

    def __post_init__(self) -> None:
        self.event = event_of(self.written.frame())
        self.state = RepoState(self.earlier.rev, bytes(self.earlier.data))
        self.now_us = self.repo.host.now_us

    def decide(self) -> Decision:
        return decide(self.event, self.state, self.signer, self.now_us)


def scene(writes: list[Write] | None = None) -> Scene:
    repo = Repo(DID, KEY)
    repo.commit()
    earlier = repo.commit([Write("create", A, RECORD), Write("create", B, RECORD)])
    repo.host.advance()
    default = [Write("create", C, RECORD), Write("update", A, {**RECORD, "title": "song, again"}), Write("delete", B)]
    return Scene(repo, earlier, repo.commit(default if writes is None else writes))


def invalid(decision: Decision) -> str:
    assert isinstance(decision, Invalid)
    assert decision.detail.isprintable()
    return decision.reason


# --- what is taken in ---


def test_a_commit_that_follows_is_taken_in_with_its_records() -> None:
    it = scene()
    blocks = {bytes(cid): block for cid, block in it.repo.records.items()}
    ops = it.event.ops
    assert [op.action for op in ops] == ["create", "update", "delete"]
    records = tuple(Record(op, blocks[op.cid] if op.cid else None) for op in ops)
    head = Head(it.written.rev, bytes(it.written.data), bytes(cid_of(it.written.signed)))
    assert it.decide() == Apply("in_chain", head, records)
    assert head.data != it.earlier.data


def test_the_first_commit_of_a_repository_is_known_for_it() -> None:
    for writes in ([], [Write("create", A, RECORD)]):
        it = Repo(DID, KEY)
        event = event_of(it.commit(writes).frame())
        decision = decide(event, None, SIGNER, it.host.now_us)
        assert isinstance(decision, Apply)
        assert (decision.reason, len(decision.records)) == ("first_commit", len(writes))
        # A repository is also known whole when it is proven to have been empty before.
        second = event_of(it.commit([Write("create", B, RECORD)]).frame())
        reason = decide(second, None, SIGNER, it.host.now_us).reason
        assert reason == ("first_seen" if writes else "first_commit")


def test_a_repository_first_seen_later_is_taken_in_with_more_to_fetch() -> None:
    it = scene()
    for state in (None, RepoState(None, None)):
        decision = decide(it.event, state, SIGNER, it.now_us)
        assert isinstance(decision, Apply)
        assert (decision.reason, len(decision.records)) == ("first_seen", 3)
        decision = decide(it.event._replace(prev_data=None), state, SIGNER, it.now_us)
        assert decision.reason == "first_seen"
        assert invalid(decide(it.event._replace(prev_data=OTHER_CID), state, SIGNER, it.now_us)) == "prev_data_mismatch"


def test_a_commit_without_operations_advances_the_head() -> None:
    it = scene([])
    assert it.decide() == Apply("in_chain", Head(it.written.rev, bytes(it.earlier.data), it.event.commit))


def test_a_commit_without_operations_needs_no_tree() -> None:
    # There is nothing to undo, and what is new, which is what a CAR has to hold, is the commit alone.
    it = scene([])
    it.event = it.event._replace(blocks=car_of(it.written, without=(bytes(it.written.data),)))
    assert it.decide() == Apply("in_chain", Head(it.written.rev, bytes(it.earlier.data), it.event.commit))
    it.event = it.event._replace(prev_data=OTHER_CID)
    assert invalid(it.decide()) == "prev_data_mismatch"


def test_a_commit_without_operations_is_held_to_its_tree_where_that_is_there() -> None:
    repo = Repo(DID, KEY)
    event, root = event_of(repo.commit().frame()), encode({"e": [], "l": OTHER_CID})
    unsigned = {"did": DID, "version": 3, "data": Link(CID.of(root)), "rev": event.rev, "prev": None}
    commit = sign_commit(unsigned, KEY)
    blocks = write_car([cid_of(commit)], [Block(cid_of(commit), commit), Block(cid_of(root), root)])
    event = event._replace(commit=bytes(cid_of(commit)), blocks=blocks)
    assert invalid(decide(event, None, SIGNER, repo.host.now_us)) == "mst_empty_node"


def test_an_update_to_the_same_record_is_an_update() -> None:
    assert scene([Write("update", A, RECORD)]).decide().reason == "in_chain"


def test_operations_may_come_in_any_order() -> None:
    it = scene()
    for ops in itertools.permutations(it.event.ops):
        assert decide(it.event._replace(ops=ops), it.state, SIGNER, it.now_us).reason == "in_chain"


def test_more_blocks_than_needed_are_ignored() -> None:
    it = scene()
    it.event = it.event._replace(blocks=car_of(it.written, extra=(b"\xa1\x61a\x01", b"junk")))
    assert it.decide().reason == "in_chain"


def test_since_that_does_not_follow_is_counted_and_no_more() -> None:
    it = scene()
    for since in (None, "3lbomqvqtzs22", it.written.rev):
        decision = decide(it.event._replace(since=since), it.state, SIGNER, it.now_us)
        assert isinstance(decision, Apply)
        assert (decision.reason, decision.deviations) == ("in_chain", ("since_mismatch",))
    decision = it.decide()
    assert isinstance(decision, Apply)
    assert decision.deviations == ()


def test_a_record_that_is_none_is_not_looked_at_here() -> None:
    for block in (b"", b"\xff", b"not CBOR", encode([1])):
        decision = scene([Write("create", C, block)]).decide()
        assert isinstance(decision, Apply)
        assert decision.records[0].block == block


def test_a_record_is_taken_to_its_limit() -> None:
    largest = encode({"x": bytes(MAX_RECORD_BYTES - 8)})
    assert len(largest) == MAX_RECORD_BYTES
    assert scene([Write("create", C, largest)]).decide().reason == "in_chain"
    assert invalid(scene([Write("create", C, largest + b"\0")]).decide()) == "record_too_large"


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (IdentityEvent(1, DID, None, ""), "refresh_identity"),
        (AccountEvent(1, DID, active=False, status="deleted", time=""), "account_status"),
        (InfoEvent("OutdatedCursor", None), "stream_info"),
        (ErrorEvent("FutureCursor", None), "stream_error"),
        (UnknownEvent("#tombstone"), "unknown_type"),
    ],
)
def test_other_messages_say_what_is_to_be_done(event: Any, reason: str) -> None:
    for state in (None, RepoState(None, None, "desynchronized", active=False)):
        assert decide(event, state, None, 0) == Apply(reason)


# --- what is not ---


def test_a_rev_from_the_future_is_invalid() -> None:
    it = scene()
    rev_us = tid_time_us(it.written.rev)
    for now_us, reason in ((rev_us - FUTURE_US, "in_chain"), (rev_us - FUTURE_US - 1, "future_rev"), (0, "future_rev")):
        assert decide(it.event, it.state, SIGNER, now_us).reason == reason
    sync = event_of(it.repo.sync())
    assert invalid(decide(sync, it.state, SIGNER, rev_us - FUTURE_US - 1)) == "future_rev"
    # A TID with its top bit set lies centuries ahead, and does not pass for an old one.
    assert invalid(decide(it.event._replace(rev="jzzzzzzzzzzzz"), it.state, SIGNER, it.now_us)) == "future_rev"


def test_an_account_that_is_not_active_is_passed_over() -> None:
    it = scene()
    state = RepoState(it.earlier.rev, bytes(it.earlier.data), active=False)
    assert decide(it.event, state, SIGNER, it.now_us) == Skip("account_inactive")
    assert decide(event_of(it.repo.sync()), state, SIGNER, it.now_us) == Skip("account_inactive")


def test_a_rev_that_was_seen_is_passed_over() -> None:
    it = scene()
    for rev in (it.written.rev, tid_from_time_us(tid_time_us(it.written.rev) + 1, 0)):
        for status in get_args(Status):
            state = RepoState(rev, bytes(it.written.data), status)
            assert decide(it.event, state, SIGNER, it.now_us) == Skip("replayed_rev")


def test_a_repository_that_waits_to_be_fetched_takes_nothing_in() -> None:
    it = scene()
    for rev, data in ((it.earlier.rev, bytes(it.earlier.data)), (None, None)):
        state = RepoState(rev, data, "desynchronized")
        assert decide(it.event, state, SIGNER, it.now_us) == Skip("desynchronized")
        assert decide(event_of(it.repo.sync()), state, SIGNER, it.now_us) == Skip("desynchronized")


def test_a_repository_that_is_being_fetched_keeps_what_is_proven() -> None:
    it = scene()
    for rev, data in ((it.earlier.rev, bytes(it.earlier.data)), (None, None), (it.earlier.rev, bytes(OTHER_CID))):
        state = RepoState(rev, data, "in_progress")
        assert decide(it.event, state, SIGNER, it.now_us) == Hold("resync_in_progress")
        assert decide(event_of(it.repo.sync()), state, SIGNER, it.now_us) == Hold("resync_in_progress")
        forged = it.event._replace(commit=bytes(OTHER_CID))
        assert invalid(decide(forged, state, SIGNER, it.now_us)) == "root_mismatch"


def test_without_an_identity_there_is_no_telling() -> None:
    it = scene()
    assert decide(it.event, it.state, None, it.now_us) == Hold("identity_unresolved")
    assert decide(it.event, it.state, Signer(None), it.now_us) == Skip("no_signing_key")
    assert decide(event_of(it.repo.sync()), it.state, None, it.now_us) == Hold("identity_unresolved")


def test_a_signature_is_the_keys_over_this_commit() -> None:
    it = scene()
    wrong = Signer(PublicKey.from_multikey(STRANGER.multikey))
    assert invalid(decide(it.event, it.state, wrong, it.now_us)) == "bad_signature"
    unsigned = _linked(it.written.unsigned())
    for sig, reason in (
        (KEY.sign_high_s(encode(unsigned)), "high_s_signature"),
        (KEY.sign_der(encode(unsigned)), "bad_signature"),
        (STRANGER.sign(encode(unsigned)), "bad_signature"),
        (KEY.sign(encode({**unsigned, "rev": it.earlier.rev})), "bad_signature"),
        (KEY.sign(encode({name: value for name, value in unsigned.items() if name != "prev"})), "bad_signature"),
        (bytes(64), "bad_signature"),
        (b"", "bad_signature"),
    ):
        assert invalid(_with_commit(it, {**unsigned, "sig": sig})) == reason
    for fields in (unsigned, {**unsigned, "more": [1, {"x": None}]}):
        assert _with_commit(it, {**fields, "sig": KEY.sign(encode(fields))}).reason == "in_chain"


def _linked(fields: dict[str, Any]) -> dict[str, Any]:
    """The writer's links as ours."""
    return {name: CID(value) if type(value) is Link else value for name, value in fields.items()}


def _with_commit(it: Scene, fields: dict[str, Any]) -> Decision:
    """The decision about the scene's event with another commit object."""
    commit = encode(_linked(fields))
    cid = cid_of(commit)
    blocks = [block for block in it.written.blocks(it.written.signed) if block.cid != cid_of(it.written.signed)]
    car = write_car([cid], [Block(cid, commit), *blocks])
    return decide(it.event._replace(commit=bytes(cid), blocks=car), it.state, it.signer, it.now_us)


def test_a_commit_object_is_one_and_of_this_repository_and_rev() -> None:
    it = scene()
    signed = {**it.written.unsigned(), "sig": it.written.signature()}
    assert invalid(_with_commit(it, {**signed, "version": 2})) == "commit_version"
    assert invalid(_with_commit(it, {k: v for k, v in signed.items() if k != "prev"})) == "bad_commit"
    assert invalid(_with_commit(it, {**signed, "did": "did:plc:z72i7hdynmk6r22z27h6tvur"})) == "did_mismatch"
    assert invalid(_with_commit(it, {**signed, "rev": it.earlier.rev})) == "rev_mismatch"
    assert invalid(decide(it.event._replace(did="did:web:a.example"), it.state, SIGNER, it.now_us)) == "did_mismatch"
    later = it.event._replace(rev=tid_from_time_us(tid_time_us(it.written.rev) + 1, 0))
    assert invalid(decide(later, it.state, SIGNER, it.now_us)) == "rev_mismatch"


def test_a_car_is_whole_and_its_root_is_the_commit() -> None:
    it = scene()
    flipped = bytearray(it.event.blocks)
    flipped[-1] ^= 1
    for blocks, reason in (
        (b"\0", "bad_car"),
        (it.event.blocks[:-1], "bad_car"),
        (bytes(flipped), "block_hash_mismatch"),
        (car_of(it.written, without=(it.event.commit,)), "missing_commit_block"),
        (write_car([Link(OTHER_CID)], it.written.blocks(it.written.signed)), "root_mismatch"),
    ):
        assert invalid(decide(it.event._replace(blocks=blocks), it.state, SIGNER, it.now_us)) == reason
    many = car_of(it.written, extra=tuple(n.to_bytes(3) for n in range(MAX_COMMIT_BLOCKS)))
    assert invalid(decide(it.event._replace(blocks=many), it.state, SIGNER, it.now_us)) == "car_too_many_blocks"
    odd = it.event._replace(commit=b"\x01\x55" + it.event.commit[2:])
    assert invalid(decide(odd, it.state, SIGNER, it.now_us)) == "root_mismatch"


def test_a_tree_that_lacks_what_an_operation_needs_is_refused() -> None:
    it = scene()
    for cid in it.written.nodes:
        it.event = it.event._replace(blocks=car_of(it.written, without=(cid,)))
        root = cid == it.written.data
        assert invalid(it.decide()) == ("missing_root_node" if root else "proof_incomplete")


def test_a_tree_that_breaks_a_rule_is_refused() -> None:
    it = scene()
    node = encode({"e": [], "l": OTHER_CID})
    unsigned = {**it.written.unsigned(), "data": Link(CID.of(node))}
    commit = sign_commit(unsigned, KEY)
    blocks = [Block(cid_of(commit), commit), Block(cid_of(node), node)]
    event = it.event._replace(commit=bytes(cid_of(commit)), blocks=write_car([cid_of(commit)], blocks))
    assert invalid(decide(event, it.state, SIGNER, it.now_us)) == "mst_empty_node"


def test_operations_that_the_tree_contradicts_are_refused() -> None:
    it = scene()
    create, update, delete = it.event.ops
    absent = RepoOp("create", "fm.plyr.track", "absent", bytes(OTHER_CID), None)
    for ops, reason in (
        ((create, update, delete, absent), "op_not_in_tree"),
        ((create._replace(cid=bytes(OTHER_CID)), update, delete), "op_cid_mismatch"),
        ((create, update, RepoOp("delete", update.collection, update.rkey, None, update.prev)), "deleted_path_present"),
        ((create, update), "prev_data_mismatch"),
        ((), "prev_data_mismatch"),
        ((create, update._replace(prev=bytes(OTHER_CID)), delete), "prev_data_mismatch"),
        ((create, update, delete._replace(prev=bytes(OTHER_CID))), "prev_data_mismatch"),
        ((create._replace(action="update", prev=bytes(OTHER_CID)), update, delete), "prev_data_mismatch"),
        ((create, update._replace(action="create", prev=None), delete), "prev_data_mismatch"),
    ):
        assert invalid(decide(it.event._replace(ops=ops), it.state, SIGNER, it.now_us)) == reason


def test_a_record_comes_with_its_operation() -> None:
    it = scene()
    for op in it.event.ops[:2]:
        assert op.cid is not None
        it.event = it.event._replace(blocks=car_of(it.written, without=(op.cid,)))
        assert invalid(it.decide()) == "record_block_missing"


# --- what is true and does not follow ---


def test_a_commit_that_does_not_follow_asks_for_a_resync() -> None:
    it = scene()
    head = Head(it.written.rev, bytes(it.written.data), it.event.commit)
    for data in (bytes(OTHER_CID), EMPTY_ROOT, bytes(it.written.data)):
        state = RepoState(it.earlier.rev, data)
        assert decide(it.event, state, SIGNER, it.now_us) == Resync("prev_data_breaks_chain", head)
    # Even with the right rev before it: `since` proves nothing.
    assert it.event.since == it.earlier.rev


def test_a_commit_without_prev_data_asks_for_a_resync_of_what_is_held() -> None:
    it = scene()
    it.event = it.event._replace(prev_data=None)
    assert it.decide() == Resync("missing_prev_data", Head(it.written.rev, bytes(it.written.data), it.event.commit))


# --- #sync ---


def test_a_sync_says_where_a_repository_stands() -> None:
    it = scene()
    sync: SyncEvent = event_of(it.repo.sync())
    head = Head(it.written.rev, bytes(it.written.data), it.event.commit)
    data = bytes(it.written.data)
    for state, decision in (
        (None, Apply("first_seen", head)),
        (RepoState(None, None), Apply("first_seen", head)),
        (RepoState(it.written.rev, data), Apply("unchanged", head)),
        (RepoState(it.earlier.rev, data), Apply("unchanged", head)),
        (RepoState(it.earlier.rev, bytes(it.earlier.data)), Resync("sync_breaks_chain", head)),
        (RepoState(it.written.rev, bytes(OTHER_CID)), Skip("replayed_rev")),
        (RepoState(tid_from_time_us(tid_time_us(it.written.rev) + 1, 0), data), Skip("replayed_rev")),
    ):
        assert decide(sync, state, SIGNER, it.now_us) == decision


def test_a_sync_is_proven_before_it_says_anything() -> None:
    it = scene()
    sync: SyncEvent = event_of(it.repo.sync())
    flipped = bytearray(sync.blocks)
    flipped[-1] ^= 1
    later = tid_from_time_us(tid_time_us(it.written.rev) + 1, 0)
    for forged, reason in (
        (sync._replace(blocks=b"\0"), "bad_car"),
        (sync._replace(blocks=bytes(flipped)), "block_hash_mismatch"),
        (sync._replace(blocks=write_car([Link(OTHER_CID)], [])), "missing_commit_block"),
        (sync._replace(did="did:web:a.example"), "did_mismatch"),
        (sync._replace(rev=later), "rev_mismatch"),
    ):
        for state in (None, it.state, RepoState(it.earlier.rev, bytes(it.written.data))):
            assert invalid(decide(forged, state, SIGNER, it.now_us)) == reason
    wrong = Signer(PublicKey.from_multikey(STRANGER.multikey))
    assert invalid(decide(sync, it.state, wrong, it.now_us)) == "bad_signature"


# --- the order of the guards ---

Fault = Callable[[Scene], None]


def _event(**changes: Any) -> Fault:
    def fault(it: Scene) -> None:
        it.event = it.event._replace(**changes)

    return fault


def _state(**changes: Any) -> Fault:
    def fault(it: Scene) -> None:
        it.state = (it.state or RepoState(None, None))._replace(**changes)

    return fault


def _signer(signer: Signer | None) -> Fault:
    def fault(it: Scene) -> None:
        it.signer = signer

    return fault


def _without(part: Callable[[Scene], bytes]) -> Fault:
    """Leave a block out of the CAR, besides those already left out."""

    def fault(it: Scene) -> None:
        cid = part(it)
        missing = tuple(block.cid for block in it.written.blocks(it.written.signed) if block.cid not in it.event.blocks)
        it.event = it.event._replace(blocks=car_of(it.written, without=(*missing, cid)))

    return fault


def _another_op(it: Scene) -> None:
    absent = RepoOp("create", "fm.plyr.track", "absent", bytes(OTHER_CID), None)
    it.event = it.event._replace(ops=(absent, *it.event.ops))


def _past(it: Scene) -> None:
    it.now_us = 0


# In the order in which they are to be found; those with one knob cannot stand together.
LADDER: list[tuple[str, str, Fault]] = [
    ("future_rev", "clock", _past),
    ("account_inactive", "active", _state(active=False)),
    ("replayed_rev", "rev", lambda it: _state(rev=it.written.rev)(it)),
    ("desynchronized", "status", _state(status="desynchronized")),
    ("identity_unresolved", "signer", _signer(None)),
    ("no_signing_key", "signer", _signer(Signer(None))),
    ("bad_car", "car", _event(blocks=b"\0")),
    ("root_mismatch", "commit", _event(commit=bytes(OTHER_CID))),
    ("missing_commit_block", "commit", _without(lambda it: bytes(cid_of(it.written.signed)))),
    ("did_mismatch", "did", _event(did="did:web:a.example")),
    ("bad_signature", "signer", _signer(Signer(PublicKey.from_multikey(STRANGER.multikey)))),
    ("missing_root_node", "car", _without(lambda it: bytes(it.written.data))),
    ("op_not_in_tree", "ops", _another_op),
    ("record_block_missing", "record", _without(lambda it: it.event.ops[-2].cid or b"")),
    ("prev_data_mismatch", "prev", _event(prev_data=bytes(OTHER_CID))),
    ("resync_in_progress", "status", _state(status="in_progress")),
    ("missing_prev_data", "prev", _event(prev_data=None)),
    ("prev_data_breaks_chain", "data", _state(data=bytes(OTHER_CID))),
]


def test_every_guard_alone() -> None:
    for reason, _, fault in LADDER:
        it = scene()
        fault(it)
        assert it.decide().reason == reason


def test_of_two_faults_the_one_that_costs_less_to_find_is_told() -> None:
    for (first, one, early), (second, other, late) in itertools.combinations(LADDER, 2):
        if one == other or {one, other} in ({"car", "record"}, {"car", "commit"}, {"commit", "record"}):
            continue
        for faults in ((early, late), (late, early)):
            it = scene()
            for fault in faults:
                fault(it)
            assert it.decide().reason == first, f"{first} and {second}"


# --- what was captured ---


@pytest.mark.parametrize("name", [name for name in ALL_OK if not name.startswith("load")])
def test_captured_streams_are_in_chain(name: str) -> None:
    states: dict[str, RepoState] = {}
    reasons = []
    for event in events(name):
        if not isinstance(event, CommitEvent | SyncEvent):
            continue
        decision = decide(event, states.get(event.did), signer(name, event), 2_000_000_000_000_000)
        assert isinstance(decision, Apply), decision
        reasons.append(decision.reason)
        states[event.did] = RepoState(decision.head.rev, decision.head.data)
        # The same again is nothing new, and nothing changes by it.
        again = decide(event, states[event.did], signer(name, event), 2_000_000_000_000_000)
        assert again == Skip("replayed_rev") or (isinstance(event, SyncEvent) and again.reason == "unchanged")
    assert set(reasons) >= {"in_chain", "first_commit", "unchanged"}


def test_a_captured_commit_with_any_byte_of_its_car_changed_is_invalid() -> None:
    event = min(commits("live-pds1")[4:], key=lambda event: len(event.blocks))
    state = RepoState(event.since, event.prev_data)
    key = signer("live-pds1", event)
    assert decide(event, state, key, 2_000_000_000_000_000).reason == "in_chain"
    for at in range(0, len(event.blocks), 3):
        flipped = bytearray(event.blocks)
        flipped[at] ^= 1 << at % 8
        decision = decide(event._replace(blocks=bytes(flipped)), state, key, 2_000_000_000_000_000)
        assert isinstance(decision, Invalid)


def test_deciding_changes_nothing() -> None:
    it = scene()
    first = it.decide()
    assert it.decide() == first
    assert replace(it).decide() == first
