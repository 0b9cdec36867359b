"""Forged envelopes and operations: the message's own fields, before its CAR is opened."""

import random
from collections.abc import Callable, Mapping

from tests.writer.car import Block
from tests.writer.cbor import RAW_CODEC, Value, cid_of
from tests.writer.forge.scene import (
    FORGERIES,
    Builder,
    Forgery,
    Scene,
    Writes,
    create,
    one_create,
    one_delete,
    one_update,
    record,
)
from tests.writer.mining import mine

LINK = cid_of(b"anything")
WRONG: Mapping[str, tuple[Value, ...]] = {
    "seq": ("1", True, 0, -1, 1 << 53, None),
    "repo": (7, None, b"did:plc:x"),
    "time": (1_790_000_000, None),
    "rev": (7, None, LINK),
    "since": (7, LINK),
    "commit": (bytes(LINK), str(LINK), None),
    "blocks": ("text", [], None, LINK),
    "ops": ({}, None, "ops", [7], [None], [[]]),
    "prevData": (bytes(LINK), str(LINK), 7),
}


def _field(name: str, value: Value) -> Builder:
    return lambda rng: Scene.of(rng).with_fields(**{name: value})


def _without(name: str) -> Builder:
    def build(rng: random.Random) -> Forgery:
        scene = Scene.of(rng)
        payload = scene.payload()
        del payload[name]
        return scene.with_payload(payload)

    return build


for _field_name, _values in WRONG.items():
    if _field_name != "prevData":
        FORGERIES.add(
            f"envelope/without_{_field_name}", f"there is no {_field_name}", _without(_field_name), "bad_envelope"
        )
    for _number, _value in enumerate(_values):
        FORGERIES.add(
            f"envelope/{_field_name}_wrong_{_number}",
            f"{_field_name} is {_value!r}",
            _field(_field_name, _value),
            "bad_envelope",
        )


def _op(change: Callable[[dict[str, Value]], object], writes: Writes = one_update) -> Builder:
    return lambda rng: Scene.of(rng, writes).with_ops(lambda ops: change(ops[0]))


def _put(**fields: Value) -> Callable[[dict[str, Value]], object]:
    return lambda op: op.update(fields)


def _drop(name: str) -> Callable[[dict[str, Value]], object]:
    return lambda op: op.pop(name)


for _field_name in ("action", "path", "cid"):
    FORGERIES.add(
        f"envelope/op_without_{_field_name}", f"an op has no {_field_name}", _op(_drop(_field_name)), "bad_envelope"
    )
for _field_name, _value in (
    *(("action", 1), ("action", None), ("path", 1), ("path", b"fm.plyr.track/x"), ("path", None)),
    *(("cid", str(LINK)), ("cid", bytes(LINK)), ("cid", 7), ("prev", str(LINK)), ("prev", bytes(LINK)), ("prev", 7)),
):
    FORGERIES.add(
        f"envelope/op_{_field_name}_is_{type(_value).__name__}",
        f"an op's {_field_name} is {_value!r}",
        _op(_put(**{_field_name: _value})),
        "bad_envelope",
    )


def _with_did(did: str) -> Builder:
    return lambda rng: Scene.of(rng, did=did).genuine()


def _with_rev(rev: str) -> Builder:
    return lambda rng: Scene.of(rng, rev=rev).genuine()


def _with_since(since: str) -> Builder:
    def build(rng: random.Random) -> Forgery:
        scene = Scene.of(rng)
        return scene.with_payload({**scene.payload(), "since": since}, prior=None)

    return build


_BAD_DIDS = (
    *("", "did", "did:plc", "did:plc:", ":plc:abc", "artist.example", "DID:plc:abc", "did:PLC:abc", "did:m1:abc"),
    *("did:plc:abc\n", " did:plc:abc", "did:plc:abc def", "did:plc:abc/path", "did:plc:abc?q", "did:plc:abc#atproto"),
    *("did:plc:abc:", "did:plc:abc%", "did:plc:" + "a" * 2100, "did:plc:ab\u00e9c", "did:plc:abc\x00"),
)
_BAD_TIDS = (
    *("", "3jzfcijpj2z2", "3jzfcijpj2z2aa", "3JZFCIJPJ2Z2A", "0000000000000", "3jzf-cij-pj2z2", "kjzfcijpj2z2a"),
    *("zzzzzzzzzzzzz", "3jzfcijpj2z2a\n", "3jzfcijpj2z2\n", "3jzfcijpj2z21", "3jzfcijpj2z2\u0661", "self"),
)
_BAD_TIMES = (
    *("", "now", "2026-11-22", "2026-11-22T11:12:24.934", "2026-11-22 11:12:24Z", "2026-13-22T11:12:24Z"),
    *("2026-11-22T25:12:24Z", "2026-11-22T11:12:24Z\n", "2026-02-30T11:12:24Z", "1790000000"),
)
for _number, _text in enumerate(_BAD_DIDS):
    FORGERIES.add(f"envelope/bad_did_{_number}", f"the account is {_text[:40]!r}", _with_did(_text), "bad_did")
for _number, _text in enumerate(_BAD_TIDS):
    FORGERIES.add(f"envelope/bad_rev_{_number}", f"rev is {_text!r}", _with_rev(_text), "bad_rev")
    FORGERIES.add(f"envelope/bad_since_{_number}", f"since is {_text!r}", _with_since(_text), "bad_since")
for _number, _text in enumerate(_BAD_TIMES):
    FORGERIES.add(f"envelope/bad_time_{_number}", f"time is {_text!r}", _field("time", _text), "bad_time")


def padded(scene: Scene, size: int) -> Forgery:
    """The genuine commit with one unlinked block more, so that `blocks` are `size` bytes."""
    plain = len(scene.payload()["blocks"])
    padding = bytes(size - plain - 36 - 3)
    return scene.with_blocks([*scene.blocks(), Block(cid_of(padding, RAW_CODEC), padding)])


def at_age(scene: Scene, microseconds: int) -> Forgery:
    """The genuine frame, come `microseconds` after its rev (before it, when negative)."""
    return scene.forgery(scene.event.frame(), now_us=scene.repo.host.now_us + microseconds)


def creates(count: int) -> Writes:
    """That many creates in one commit."""
    return lambda rng, _: [create(rng, mine(rng)) for _ in range(count)]


FORGERIES.add(
    "envelope/blocks_too_large",
    "blocks are one byte too many, by an unlinked block",
    lambda rng: padded(Scene.of(rng), 2_000_001),
    "blocks_too_large",
)
FORGERIES.add("envelope/blocks_empty", "blocks are no bytes", _field("blocks", b""), "blocks_empty")
FORGERIES.add("envelope/too_many_ops", "201 creates", lambda rng: Scene.of(rng, creates(201)).genuine(), "too_many_ops")
FORGERIES.add(
    "envelope/future_rev", "rev is six minutes ahead", lambda rng: at_age(Scene.of(rng), -360_000_000), "future_rev"
)
FORGERIES.add(
    "envelope/far_future_rev", "rev is a year ahead", lambda rng: at_age(Scene.of(rng), -31 * 10**12), "future_rev"
)
FORGERIES.add("envelope/last_rev", "rev is the last TID there is", _with_rev("jzzzzzzzzzzzz"), "future_rev")

for _action in ("", "upsert", "CREATE", "create ", "create\n"):
    FORGERIES.add(f"ops/action_{_action!r}", f"the action is {_action!r}", _op(_put(action=_action)), "bad_op_action")


def _create_at(path: str) -> Builder:
    """The path is in the tree too, so that its syntax is all that is wrong."""
    return lambda rng: Scene.of(rng, lambda rng, _: [create(rng, path, record(rng))]).genuine()


_BAD_PATHS = (
    *("", "/", "fm.plyr.track", "fm.plyr.track/", "/fm.plyr.track/abc", "fm.plyr.track/a/b", "fm.plyr.track//a"),
    *("fm.plyr.track/.", "fm.plyr.track/..", "fm.plyr.track/a b", "fm.plyr.track/a\n", "fm.plyr.track/a\x00"),
    *(
        "fm.plyr.track/\u00e9",
        "fm.plyr.track/a#b",
        "fm.plyr.track/a?b",
        "fm.plyr.track/a@b",
        "fm.plyr.track/" + "a" * 513,
    ),
    *("plyr/abc", "fm.plyr/abc", "fm..track/abc", "fm.plyr.3track/abc", "fm.plyr.tr-ack/abc", "1fm.plyr.track/abc"),
    *(
        "-fm.plyr.track/abc",
        "fm.plyr.track\n/abc",
        "fm.plyr." + "a" * 64 + "/abc",
        "a" * 63 + (".a" + "a" * 62) * 4 + ".aaa/abc",
    ),
)
for _number, _text in enumerate(_BAD_PATHS):
    FORGERIES.add(f"ops/bad_path_{_number}", f"a path is {_text[:40]!r}", _create_at(_text), "bad_op_path")

for _name, _description, _change, _writes in (
    ("create_with_prev", "a create has a prev", _put(prev=LINK), one_create),
    ("create_without_cid", "a create has no cid", _put(cid=None), one_create),
    ("update_without_prev", "the prev of the only update was stripped", _drop("prev"), one_update),
    ("update_without_cid", "an update has no cid", _put(cid=None), one_update),
    ("delete_without_prev", "the prev of the only delete was stripped", _drop("prev"), one_delete),
    ("delete_with_cid", "a delete has a cid", _put(cid=LINK), one_delete),
):
    FORGERIES.add(f"ops/{_name}", _description, _op(_change, _writes), "bad_op_shape")


@FORGERIES.row("ops/one_prev_stripped_of_several", "bad_op_shape")
def _one_prev_stripped(rng: random.Random) -> Forgery:
    """of several updates and deletes one has lost its prev"""

    def strip(ops: list[dict[str, Value]]) -> None:
        rng.choice([op for op in ops if "prev" in op]).pop("prev")

    return Scene.of(rng).with_ops(strip)


@FORGERIES.row("ops/create_twice", "duplicate_path")
def _create_twice(rng: random.Random) -> Forgery:
    """one create is said twice"""
    return Scene.of(rng, one_create).with_ops(lambda ops: ops.append(ops[0]))


@FORGERIES.row("ops/update_in_two_steps", "duplicate_path")
def _update_in_two_steps(rng: random.Random) -> Forgery:
    """two updates of one path, which in reverse order would even undo"""

    def split(ops: list[dict[str, Value]]) -> None:
        ops[:] = [{**ops[0], "cid": LINK}, {**ops[0], "prev": LINK}]

    return Scene.of(rng, one_update).with_ops(split)


@FORGERIES.row("ops/create_and_delete", "duplicate_path")
def _create_and_delete(rng: random.Random) -> Forgery:
    """a path is created and deleted, which together do nothing"""
    scene = Scene.of(rng)
    path = mine(rng)
    pair: list[dict[str, Value]] = [
        {"action": "create", "path": path, "cid": LINK},
        {"action": "delete", "path": path, "cid": None, "prev": LINK},
    ]
    return scene.with_ops(lambda ops: ops.extend(pair))
