"""The decision: what one message of the firehose means for what we hold, from bytes and state alone. Pure.

Each guard is one condition, one named outcome, one return, in the order of Sync 1.1 (protocol.md 2.5): what costs least
comes first, and nothing is believed before the signature and the tree have proven it. Steps up to the inversion are
about the message itself, and failing them is *invalid*: nothing changes. Only then is it held against our state, and
not following from it is *resync*: the message is true, and we are the ones who lack something.
"""

from typing import Literal, NamedTuple, TypeAlias

from appview.keys import PublicKey
from ingester.events import (
    AccountEvent,
    CommitEvent,
    ErrorEvent,
    Event,
    IdentityEvent,
    InfoEvent,
    RepoOp,
    SyncEvent,
    UnknownEvent,
)
from ingester.repo.car import Car, read_car
from ingester.repo.commit import Commit, parse_commit
from ingester.repo.errors import CarError, CommitError, ProofError, RepoError
from ingester.repo.mst import EMPTY_ROOT, TreeOp, invert, load_tree
from lexicons.formats import tid_time_us

MAX_COMMIT_BLOCKS = 16_384
"""200 operations on a repository of 10^12 records touch a fifth of this."""
MAX_RECORD_BYTES = 1_048_576
"""One MiB: the laxer of the two limits in the specifications (ES-51)."""
FUTURE_US = 5 * 60 * 1_000_000
"""How far ahead of our clock a rev may lie, in microseconds, as at the relay."""

Status = Literal["synchronized", "desynchronized", "in_progress"]


class RepoState(NamedTuple):
    """What we hold of a repository: its last proven `rev` and tree root, or None in their place before the first."""

    rev: str | None
    data: bytes | None
    status: Status = "synchronized"
    active: bool = True


class Signer(NamedTuple):
    """What the identity of a DID came to: its signing key, or None where its document has no usable one."""

    key: PublicKey | None


class Record(NamedTuple):
    """A proven operation and, unless it is a delete, the record's own bytes, hashed but not yet decoded."""

    op: RepoOp
    block: bytes | None


class Head(NamedTuple):
    """Where a repository stands after a proven commit: `data` is the tree's root, `commit` the commit's CID."""

    rev: str
    data: bytes
    commit: bytes


NO_HEAD = Head("", b"", b"")
"""The head of a message that is about no commit."""


class Apply(NamedTuple):
    """Take it in: for #commit and #sync advance to `head` and write `records`, for the others act on `reason`.

    For #commit and #sync `reason` is `in_chain`, `first_commit`, `first_seen` or `unchanged`; for the others it names
    what is to be done: `refresh_identity`, `account_status`, `stream_info`, `stream_error`, `unknown_type`.
    `deviations` names what was off without being wrong, to be counted by host.
    """

    reason: str
    head: Head = NO_HEAD
    records: tuple[Record, ...] = ()
    deviations: tuple[str, ...] = ()


class Skip(NamedTuple):
    """Nothing to do: seen before, or not to be taken in now."""

    reason: str


class Hold(NamedTuple):
    """It cannot be judged yet, and must be kept until it can: no identity to be had, or a resync is under way."""

    reason: str


class Invalid(NamedTuple):
    """It is malformed or untrue: nothing changes. `detail` is a sentence for the log.

    `is_signed`: its commit is the repository's own, and what came with it does not prove it.
    """

    reason: str
    detail: str
    is_signed: bool = False


class Resync(NamedTuple):
    """It is true, and does not follow from what we hold: the repository is to be fetched again, to `head` at least."""

    reason: str
    head: Head


Decision: TypeAlias = Apply | Skip | Hold | Invalid | Resync


def decide(event: Event, state: RepoState | None, signer: Signer | None, now_us: int) -> Decision:
    """What `event` means, given what is held of its repository and who may sign for it.

    `state` is None for a repository never seen; `signer` is None while the identity could not be looked up; `now_us` is
    the clock, in microseconds since 1970. On `bad_signature` the caller refreshes the identity once and asks again.
    """
    match event:
        case CommitEvent():
            return _decide_commit(event, state, signer, now_us)
        case SyncEvent():
            return _decide_sync(event, state, signer, now_us)
        case IdentityEvent():
            return Apply("refresh_identity")
        case AccountEvent():
            return Apply("account_status")
        case InfoEvent():
            return Apply("stream_info")
        case ErrorEvent():
            return Apply("stream_error")
        case UnknownEvent():
            return Apply("unknown_type")


def _decide_commit(event: CommitEvent, state: RepoState | None, signer: Signer | None, now_us: int) -> Decision:
    key = _before_proof(event, state, signer, now_us)
    if not isinstance(key, PublicKey):
        return key
    try:
        car, commit = _proven_commit(event, event.commit, key)
    except RepoError as error:
        return Invalid(error.reason, str(error))
    try:
        before = _tree_before(event, car, commit)
        records = tuple([Record(op, _record_block(op, car)) for op in event.ops])
    except RepoError as error:
        return Invalid(error.reason, str(error), is_signed=True)
    if event.prev_data is not None and before != event.prev_data:
        return Invalid("prev_data_mismatch", "undoing the operations does not lead to prevData", is_signed=True)
    return _follow(event, state, before, Apply("in_chain", Head(event.rev, commit.data, event.commit), records))


def _follow(event: CommitEvent, state: RepoState | None, before: bytes, apply: Apply) -> Decision:
    """Hold a proven commit, which would be taken in by `apply`, against our state (step 15)."""
    if state is None or state.data is None:
        if state is not None and state.status == "in_progress":
            return Hold("resync_in_progress")
        # Proven to have been empty before, the repository is known whole; otherwise there is more to fetch (RD-53).
        return apply._replace(reason="first_commit" if before == EMPTY_ROOT else "first_seen")
    if state.status == "in_progress":
        return Hold("resync_in_progress")
    if event.prev_data is None:
        return Resync("missing_prev_data", apply.head)
    if event.prev_data != state.data:
        return Resync("prev_data_breaks_chain", apply.head)
    # The tree before is the one we hold, so nothing is missing whatever `since` says: an empty commit went by, or the
    # PDS leaves the field null (RD-58).
    return apply if event.since == state.rev else apply._replace(deviations=("since_mismatch",))


def _decide_sync(event: SyncEvent, state: RepoState | None, signer: Signer | None, now_us: int) -> Decision:
    key = _before_proof(event, state, signer, now_us)
    if not isinstance(key, PublicKey):
        return key
    try:
        car, commit = _proven_commit(event, None, key)
    except RepoError as error:
        return Invalid(error.reason, str(error))
    head = Head(event.rev, commit.data, car.root)
    if state is not None and state.status == "in_progress":
        return Hold("resync_in_progress")
    if state is None or state.data is None:
        return Apply("first_seen", head)
    if commit.data == state.data:
        return Apply("unchanged", head)
    if event.rev == state.rev:
        return Skip("replayed_rev")
    return Resync("sync_breaks_chain", head)


def _before_proof(
    event: CommitEvent | SyncEvent, state: RepoState | None, signer: Signer | None, now_us: int
) -> Decision | PublicKey:
    """The guards that cost nothing, for #commit and #sync; with none in the way, the key that must have signed."""
    if tid_time_us(event.rev) > now_us + FUTURE_US:
        return Invalid("future_rev", "rev lies more than five minutes ahead")
    if state is not None:
        if not state.active:
            return Skip("account_inactive")
        # One kind of message may come again with the rev that we hold, to say where the repository stands (RD-60).
        if state.rev is not None and (event.rev < state.rev or (event.rev == state.rev and type(event) is CommitEvent)):
            return Skip("replayed_rev")
        if state.status == "desynchronized":
            return Skip("desynchronized")
    if signer is None:
        return Hold("identity_unresolved")
    if signer.key is None:
        return Skip("no_signing_key")
    return signer.key


def _proven_commit(event: CommitEvent | SyncEvent, named: bytes | None, key: PublicKey) -> tuple[Car, Commit]:
    """The CAR of a message and its commit, signed by its repository's key for this rev. Raises RepoError."""
    car = read_car(event.blocks, max_blocks=MAX_COMMIT_BLOCKS)
    if named is not None and car.root != named:
        raise CarError("root_mismatch", "the root of the CAR is not the commit that the message names")
    block = car.blocks.get(car.root)
    if block is None:
        raise CarError("missing_commit_block", "the commit is not among the blocks")
    commit = parse_commit(block)
    if commit.did != event.did:
        raise CommitError("did_mismatch", "the commit is of another repository")
    if commit.rev != event.rev:
        raise CommitError("rev_mismatch", "the commit has another rev than the message")
    verdict = key.check(commit.unsigned, commit.sig)
    if verdict != "ok":
        raise CommitError(verdict, "the signature is not one of the repository's key over this commit")
    return car, commit


def _tree_before(event: CommitEvent, car: Car, commit: Commit) -> bytes:
    """The root of the tree before the operations, by undoing them. Raises RepoError."""
    # Where nothing changed there is nothing to undo, and a CAR of what is new need not hold the tree.
    if not event.ops and commit.data not in car.blocks:
        return commit.data
    tree = load_tree(commit.data, car.blocks)
    return invert(tree, [TreeOp(op.path.encode("ascii"), op.cid, op.prev) for op in event.ops])


def _record_block(op: RepoOp, car: Car) -> bytes | None:
    """The bytes of the record that an operation wrote; None for a delete. Raises ProofError."""
    if op.cid is None:
        return None
    block = car.blocks.get(op.cid)
    if block is None:
        raise ProofError("record_block_missing", "a created or updated record is not among the blocks")
    if len(block) > MAX_RECORD_BYTES:
        raise ProofError("record_too_large", f"a record of {len(block)} bytes is longer than {MAX_RECORD_BYTES}")
    return block
