"""The messages of `com.atproto.sync.subscribeRepos`, from a frame: field by field, syntax and size (ES-60 to ES-65).

What passes here is well formed and no more: nothing of it is proven yet.
"""

from typing import Any, Literal, NamedTuple, TypeAlias

from lexicons.data import CID
from lexicons.formats import is_datetime, is_did, is_nsid, is_record_key, is_tid
from lexicons.frames import ERROR, Frame

MAX_BLOCKS_BYTES = 2_000_000
MAX_OPS = 200
MAX_SYNC_BLOCKS_BYTES = 10_000
MAX_PATH_BYTES = 1_024
MAX_SEQ = 2**53 - 1

Action = Literal["create", "update", "delete"]


class EventError(ValueError):
    """A message is malformed; `reason` is a short fixed name, the message one sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class RepoOp(NamedTuple):
    """One operation of a commit, by the shape rule: create has `cid`, delete has `prev`, update has both."""

    action: Action
    collection: str
    rkey: str
    cid: bytes | None
    prev: bytes | None

    @property
    def path(self) -> str:
        """The key in the tree: `collection/rkey`."""
        return f"{self.collection}/{self.rkey}"


class CommitEvent(NamedTuple):
    """`#commit`: `blocks` is a CAR, `commit` and `prev_data` are 36-byte CIDs (ES-60)."""

    seq: int
    did: str
    rev: str
    since: str | None
    commit: bytes
    prev_data: bytes | None
    ops: tuple[RepoOp, ...]
    blocks: bytes
    time: str


class SyncEvent(NamedTuple):
    """`#sync`: where a repository stands, without its records (ES-61)."""

    seq: int
    did: str
    rev: str
    blocks: bytes
    time: str


class IdentityEvent(NamedTuple):
    """`#identity`: something about a DID may have changed. `handle` is hearsay (ES-62, ID-31)."""

    seq: int
    did: str
    handle: str | None
    time: str


class AccountEvent(NamedTuple):
    """`#account`: what the sender says of an account; `active` decides, `status` explains (ES-63)."""

    seq: int
    did: str
    active: bool
    status: str | None
    time: str


class InfoEvent(NamedTuple):
    """`#info`: a word about the stream itself, such as OutdatedCursor (ES-64)."""

    name: str
    message: str | None


class ErrorEvent(NamedTuple):
    """An error frame: the sender closes after it (ES-15)."""

    error: str
    message: str | None


class UnknownEvent(NamedTuple):
    """A type that this protocol version does not have, or has no longer: ignored (ES-12)."""

    t: str | None


Event: TypeAlias = CommitEvent | SyncEvent | IdentityEvent | AccountEvent | InfoEvent | ErrorEvent | UnknownEvent


def parse_event(frame: Frame) -> Event:
    """The message in a frame that `decode_frame` gave. Raises EventError.

    Reasons: `bad_envelope`, `bad_did`, `bad_rev`, `bad_since`, `bad_time`, `blocks_empty`, `blocks_too_large`,
    `too_many_ops`, `bad_op_action`, `bad_op_path`, `bad_op_shape`, `duplicate_path`.
    """
    payload = frame.payload
    if not frame.is_known:
        return UnknownEvent(frame.t)
    if frame.op == ERROR:
        return ErrorEvent(_required(payload, "error", str), _optional(payload, "message", str))
    if frame.t == "#commit":
        return _commit(payload)
    if frame.t == "#sync":
        did, rev, blocks = _did(payload, "did"), _rev(payload), _blocks(payload, MAX_SYNC_BLOCKS_BYTES)
        return SyncEvent(_seq(payload), did, rev, blocks, _time(payload))
    if frame.t == "#identity":
        return IdentityEvent(_seq(payload), _did(payload, "did"), _optional(payload, "handle", str), _time(payload))
    if frame.t == "#account":
        active, status = _required(payload, "active", bool), _optional(payload, "status", str)
        return AccountEvent(_seq(payload), _did(payload, "did"), active, status, _time(payload))
    if frame.t == "#info":
        return InfoEvent(_required(payload, "name", str), _optional(payload, "message", str))
    return UnknownEvent(frame.t)


def _commit(payload: dict[str, Any]) -> CommitEvent:
    # Size before content (ES-52); `rebase`, `tooBig` and `blobs` are on their way out and say nothing (ES-60).
    blocks = _blocks(payload, MAX_BLOCKS_BYTES)
    ops = _required(payload, "ops", list)
    if len(ops) > MAX_OPS:
        raise EventError("too_many_ops", f"a commit of {len(ops)} operations holds more than {MAX_OPS}")
    did, rev = _did(payload, "repo"), _rev(payload)
    since = _nullable(payload, "since", str)
    if since is not None and not is_tid(since):
        raise EventError("bad_since", "since is not a TID")
    return CommitEvent(
        _seq(payload),
        did,
        rev,
        since,
        _required(payload, "commit", CID),
        _optional(payload, "prevData", CID),
        _ops(ops),
        blocks,
        _time(payload),
    )


def _ops(ops: list[Any]) -> tuple[RepoOp, ...]:
    parsed = tuple([_op(op) for op in ops])
    if len(parsed) > 1 and len({(op.collection, op.rkey) for op in parsed}) < len(parsed):
        raise EventError("duplicate_path", "a path stands twice among the operations of a commit")
    return parsed


def _op(op: Any) -> RepoOp:
    if type(op) is not dict:
        raise EventError("bad_envelope", "an operation is not a map")
    action, path = _required(op, "action", str), _required(op, "path", str)
    cid, prev = _nullable(op, "cid", CID), _optional(op, "prev", CID)
    if action == "create":
        shaped = cid is not None and prev is None
    elif action == "update":
        shaped = cid is not None and prev is not None
    elif action == "delete":
        shaped = cid is None and prev is not None
    else:
        raise EventError("bad_op_action", "an operation is no create, update or delete")
    collection, _, rkey = path.partition("/")
    if len(path) > MAX_PATH_BYTES or not is_nsid(collection) or not is_record_key(rkey):
        raise EventError("bad_op_path", "an operation's path is no collection and record key")
    if not shaped:
        raise EventError("bad_op_shape", f"a {action} has a cid or a prev that it may not have, or lacks one")
    return RepoOp(action, collection, rkey, cid, prev)


def _required(payload: dict[str, Any], name: str, kind: type) -> Any:
    value = payload.get(name)
    if type(value) is not kind:
        raise EventError("bad_envelope", f"{name} is missing or of a wrong type")
    return value


def _optional(payload: dict[str, Any], name: str, kind: type) -> Any:
    value = payload.get(name)
    if value is not None and type(value) is not kind:
        raise EventError("bad_envelope", f"{name} is of a wrong type")
    return value


def _nullable(payload: dict[str, Any], name: str, kind: type) -> Any:
    if name not in payload:
        raise EventError("bad_envelope", f"{name} is missing, where it may only be null")
    return _optional(payload, name, kind)


def _seq(payload: dict[str, Any]) -> int:
    seq: int = _required(payload, "seq", int)
    if not 0 < seq <= MAX_SEQ:
        raise EventError("bad_envelope", "seq is not between 1 and 2^53-1")
    return seq


def _did(payload: dict[str, Any], name: str) -> str:
    did: str = _required(payload, name, str)
    if not is_did(did):
        raise EventError("bad_did", f"{name} is not a DID")
    return did


def _rev(payload: dict[str, Any]) -> str:
    rev: str = _required(payload, "rev", str)
    if not is_tid(rev):
        raise EventError("bad_rev", "rev is not a TID")
    return rev


def _time(payload: dict[str, Any]) -> str:
    time: str = _required(payload, "time", str)
    if not is_datetime(time):
        raise EventError("bad_time", "time is not a datetime")
    return time


def _blocks(payload: dict[str, Any], most: int) -> bytes:
    blocks: bytes = _required(payload, "blocks", bytes)
    if not blocks:
        raise EventError("blocks_empty", "blocks is empty")
    if len(blocks) > most:
        raise EventError("blocks_too_large", f"blocks of {len(blocks)} bytes are longer than {most}")
    return blocks
