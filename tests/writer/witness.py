"""A second opinion on a frame: the checks in the protocol's order, each in its plainest form, speed no concern.

It shares nothing with the project's verifier, and it keeps the forgeries honest: each must fail here where it says.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from tests.writer.car import Car, CarError, hashes_right, is_blessed, read_car
from tests.writer.cbor import CborError, Link, decode, decode_first, encode
from tests.writer.keys import has_low_s, verify
from tests.writer.mst import common_prefix, height_of
from tests.writer.proof import Incomplete, Op, invert, locate, read_tree
from tests.writer.repo import Head, tid_time

MAX_FRAME, MAX_BLOCKS, MAX_SYNC, MAX_OPS, MAX_RECORD = 5_000_000, 2_000_000, 10_000, 200, 1_048_576
MAX_KEY, MAX_WIDTH, MAX_CAR_BLOCKS, FUTURE_US = 1024, 2000, 30_000, 300_000_000

_DID = re.compile(r"did:[a-z]+:[a-zA-Z0-9._:%-]{0,2000}[a-zA-Z0-9._-]")
_TID = re.compile(r"[234567abcdefghij][234567abcdefghijklmnopqrstuvwxyz]{12}")
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_NSID = re.compile(rf"(?!\d)(?=.{{1,317}}/)(?:{_LABEL}\.)+{_LABEL}\.[a-zA-Z][a-zA-Z0-9]{{0,62}}/")
_RKEY = re.compile(r"(?!\.\.?\Z)[a-zA-Z0-9._:~-]{1,512}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,20})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)


class Verdict(NamedTuple):
    """`ok`, `ignored` (an unknown kind of message), `skip`, `resync` or `invalid`, and why."""

    verdict: str
    reason: str = ""


class Flaw(Exception):
    """The first thing that is wrong."""

    def __init__(self, reason: str, verdict: str = "invalid") -> None:
        super().__init__(reason)
        self.found = Verdict(verdict, reason)


def require(held: bool, reason: str) -> None:
    if not held:
        raise Flaw(reason)


def examine(frame: bytes, multikey: str, prior: Head | None, now_us: int) -> Verdict:
    """What a strict verifier makes of a frame, with one key and one chain state to hold it against."""
    try:
        kind, payload = _open_frame(frame)
        if kind not in _FIELDS:
            return Verdict("ignored")
        _check_fields(payload, _FIELDS[kind])
        if kind == "#commit":
            _commit(payload, multikey, prior, now_us)
        elif kind == "#sync":
            _sync(payload, multikey, prior, now_us)
    except Flaw as flaw:
        return flaw.found
    return Verdict("ok")


def _open_frame(frame: bytes) -> tuple[str, dict[str, Any]]:
    require(len(frame) <= MAX_FRAME, "frame_too_large")
    try:
        header, at = decode_first(frame)
        payload = decode(frame[at:])
    except CborError as error:
        raise Flaw("bad_frame") from error
    require(isinstance(header, dict) and isinstance(payload, dict), "bad_frame")
    require(_integer(header.get("op")), "bad_frame")
    if header["op"] != 1:
        return "", payload
    require(isinstance(header.get("t"), str), "bad_frame")
    return header["t"], payload


def _integer(value: object) -> bool:
    return type(value) is int


def _text(value: object) -> bool:
    return type(value) is str


def _link(value: object) -> bool:
    return type(value) is Link


def _bytes(value: object) -> bool:
    return type(value) is bytes


def _boolean(value: object) -> bool:
    return type(value) is bool


def _sequence_number(value: object) -> bool:
    return isinstance(value, int) and _integer(value) and 0 < value < 1 << 53


def _or_null(test: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or test(value)


def _all_ops(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(op, dict) and _fields_right(op, _OP) for op in value)


Fields = Mapping[str, Callable[[object], bool]]  # a name that ends in ? is of an optional field
_OP: Fields = {"action": _text, "path": _text, "cid": _or_null(_link), "prev?": _link}
_COMMIT: Fields = {
    "did": _text,
    "version": _integer,
    "data": _link,
    "rev": _text,
    "prev": _or_null(_link),
    "sig": _bytes,
}
_ENTRY: Fields = {"p": _integer, "k": _bytes, "v": _link, "t": _or_null(_link)}
_EVENT: Fields = {"seq": _sequence_number, "did": _text, "time": _text}
_FIELDS: Mapping[str, Fields] = {
    "#commit": {
        "seq": _sequence_number,
        "repo": _text,
        "time": _text,
        "rev": _text,
        "since": _or_null(_text),
        "commit": _link,
        "blocks": _bytes,
        "ops": _all_ops,
        "prevData?": _link,
    },
    "#sync": {**_EVENT, "rev": _text, "blocks": _bytes},
    "#identity": {**_EVENT, "handle?": _text},
    "#account": {**_EVENT, "active": _boolean, "status?": _text},
    "#info": {"name": _text, "message?": _text},
}


def _fields_right(body: Mapping[str, Any], fields: Fields) -> bool:
    return all(
        test(body[name.rstrip("?")]) if name.rstrip("?") in body else name.endswith("?")
        for name, test in fields.items()
    )


def _check_fields(payload: Mapping[str, Any], fields: Fields) -> None:
    require(_fields_right(payload, fields), "bad_envelope")
    known = {name: payload[name] for name in fields if name in payload}
    did = known.get("repo", known.get("did"))
    require(did is None or (len(did) <= 2048 and _DID.fullmatch(did) is not None), "bad_did")
    require("rev" not in known or _TID.fullmatch(known["rev"]) is not None, "bad_rev")
    since = known.get("since")
    require(since is None or _TID.fullmatch(since) is not None, "bad_since")
    require("time" not in known or _is_time(known["time"]), "bad_time")


def _is_time(text: str) -> bool:
    if not _TIME.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _check_rev(payload: Mapping[str, Any], prior: Head | None, now_us: int) -> None:
    require(tid_time(payload["rev"]) <= now_us + FUTURE_US, "future_rev")
    if prior is not None and payload["rev"] <= prior.rev:
        raise Flaw("replayed_rev", "skip")


def _commit(payload: Mapping[str, Any], multikey: str, prior: Head | None, now_us: int) -> None:
    require(len(payload["blocks"]) <= MAX_BLOCKS, "blocks_too_large")
    require(len(payload["blocks"]) > 0, "blocks_empty")
    require(len(payload["ops"]) <= MAX_OPS, "too_many_ops")
    _check_rev(payload, prior, now_us)
    ops = [Op(op["action"], op["path"], op["cid"], op.get("prev")) for op in payload["ops"]]
    _check_ops(ops)
    car = _open_car(payload["blocks"])
    require(car.roots[0] == payload["commit"], "root_mismatch")
    blocks = {Link(block.cid): block.data for block in car.blocks}
    commit = _check_commit(blocks, payload["commit"], payload["repo"], payload["rev"], multikey)
    _check_tree(blocks, commit["data"])
    _check_forward(blocks, commit["data"], ops)
    prev_data = payload.get("prevData")
    if prev_data is not None:
        try:
            require(invert(blocks, commit["data"], ops) == prev_data, "prev_data_mismatch")
        except Incomplete as error:
            raise Flaw("proof_incomplete") from error
    if prior is not None and prev_data is None:
        raise Flaw("missing_prev_data", "resync")
    if prior is not None and prev_data != prior.data:
        raise Flaw("prev_data_breaks_chain", "resync")


def _sync(payload: Mapping[str, Any], multikey: str, prior: Head | None, now_us: int) -> None:
    require(len(payload["blocks"]) <= MAX_SYNC, "blocks_too_large")
    require(len(payload["blocks"]) > 0, "blocks_empty")
    # Unlike a #commit, it may come again with the rev that is known, to say where the repository stands (RD-60).
    known = prior is not None and payload["rev"] == prior.rev
    _check_rev(payload, None if known else prior, now_us)
    car = _open_car(payload["blocks"])
    blocks = {Link(block.cid): block.data for block in car.blocks}
    commit = _check_commit(blocks, car.roots[0], payload["did"], payload["rev"], multikey)
    if prior is not None and commit["data"] != prior.data:
        raise Flaw("replayed_rev", "skip") if known else Flaw("sync_breaks_chain", "resync")


def _check_ops(ops: list[Op]) -> None:
    shapes = {"create": (True, False), "update": (True, True), "delete": (False, True)}
    for op in ops:
        require(op.action in shapes, "bad_op_action")
        collection = _NSID.match(op.path)
        require(collection is not None and _RKEY.fullmatch(op.path[collection.end() :]) is not None, "bad_op_path")
        require((op.cid is not None, op.prev is not None) == shapes[op.action], "bad_op_shape")
    require(len({op.path for op in ops}) == len(ops), "duplicate_path")


def _open_car(data: bytes) -> Car:
    try:
        car = read_car(data)
    except CarError as error:
        raise Flaw("bad_car") from error
    require(len(car.blocks) <= MAX_CAR_BLOCKS, "car_too_many_blocks")
    require(all(map(hashes_right, car.blocks)), "block_hash_mismatch")
    return car


def _check_commit(blocks: Mapping[Link, bytes], root: Link, did: str, rev: str, multikey: str) -> Mapping[str, Any]:
    require(root in blocks, "missing_commit_block")
    try:
        found = decode(blocks[root])
    except CborError as error:
        raise Flaw("bad_commit") from error
    require(isinstance(found, dict) and _fields_right(found, _COMMIT), "bad_commit")
    commit: dict[str, Any] = found
    require(is_blessed(root) and is_blessed(commit["data"]), "bad_commit")
    require(commit["version"] == 3, "commit_version")
    require(commit["did"] == did, "did_mismatch")
    require(commit["rev"] == rev, "rev_mismatch")
    unsigned = encode({name: value for name, value in commit.items() if name != "sig"})
    if not verify(multikey, unsigned, commit["sig"]):
        high = len(commit["sig"]) == 64 and not has_low_s(multikey, commit["sig"])
        raise Flaw("high_s_signature" if high else "bad_signature")
    return commit


def _check_tree(blocks: Mapping[Link, bytes], root: Link) -> None:
    require(root in blocks, "missing_root_node")
    entries = _node(blocks, root)["e"]
    if not entries:
        require(_node(blocks, root)["l"] is None, "mst_empty_node")
        return
    require(entries[0]["p"] == 0, "mst_prefix")
    _check_node(blocks, root, height_of(entries[0]["k"]), b"", None)


def _node(blocks: Mapping[Link, bytes], cid: Link) -> Mapping[str, Any]:
    """The node of this name, of the right shape and types, every child's name blessed."""
    require(is_blessed(cid), "bad_mst_node")
    try:
        found = decode(blocks[cid])
    except CborError as error:
        raise Flaw("bad_mst_node") from error
    shaped = isinstance(found, dict) and set(found) == {"l", "e"} and isinstance(found["e"], list)
    require(shaped and _or_null(_link)(found["l"]), "bad_mst_node")
    node: dict[str, Any] = found
    for item in node["e"]:
        require(isinstance(item, dict) and set(item) == set(_ENTRY) and _fields_right(item, _ENTRY), "bad_mst_node")
    require(len(node["e"]) <= MAX_WIDTH, "mst_node_too_wide")
    return node


def _check_node(blocks: Mapping[Link, bytes], cid: Link, layer: int, low: bytes, high: bytes | None) -> None:
    """One node and all below it; its keys lie between `low` and `high`, both exclusive."""
    require(layer >= 0, "mst_too_deep")
    if cid not in blocks:
        require(is_blessed(cid), "bad_mst_node")
        return
    node = _node(blocks, cid)
    require(bool(node["e"]) or node["l"] is not None, "mst_empty_node")
    key, bounds = b"", [low]
    for entry in node["e"]:
        require(0 <= entry["p"] <= len(key), "mst_prefix")
        full = key[: entry["p"]] + entry["k"]
        require(entry["p"] == common_prefix(key, full), "mst_prefix")
        require(full > bounds[-1], "mst_key_order")
        require(len(full) <= MAX_KEY, "mst_key_too_long")
        require(height_of(full) == layer, "mst_key_depth")
        bounds.append(full)
        key = full
    require(high is None or bounds[-1] < high, "mst_key_order")
    children = [node["l"], *(entry["t"] for entry in node["e"])]
    for child, below, above in zip(children, bounds, [*bounds[1:], high], strict=True):
        if child is not None:
            _check_node(blocks, child, layer - 1, below, above)


def _check_forward(blocks: Mapping[Link, bytes], root: Link, ops: list[Op]) -> None:
    items = read_tree(blocks, root)
    for op in ops:
        try:
            at = locate(items, op.key)
        except Incomplete as error:
            raise Flaw("proof_incomplete") from error
        present = at < len(items) and items[at][0] == op.key
        if op.cid is None:
            require(not present, "deleted_path_present")
            continue
        require(present, "op_not_in_tree")
        require(items[at][1] == op.cid, "op_cid_mismatch")
        require(op.cid in blocks, "record_block_missing")
        require(len(blocks[op.cid]) <= MAX_RECORD, "record_too_large")
