"""Forged messages of the other kinds: `#sync`, `#identity`, `#account`."""

import random
from collections.abc import Callable
from typing import Any

from tests.writer.car import Block, write_car
from tests.writer.cbor import RAW_CODEC, Value, cid_of, decode, decode_first, encode
from tests.writer.forge.scene import FORGERIES, Builder, Forgery, Scene
from tests.writer.keys import SigningKey
from tests.writer.repo import Head, message, sign_commit


def _fields(frame: bytes) -> dict[str, Any]:
    """The payload of a genuine frame, to change."""
    _, at = decode_first(frame)
    payload: dict[str, Any] = decode(frame[at:])
    return payload


def _sync_car(commit: bytes, *extra: Block) -> bytes:
    return write_car([cid_of(commit)], [Block(cid_of(commit), commit), *extra])


def _sync(change: Callable[[random.Random, Scene, dict[str, Any]], Value]) -> Builder:
    """A `#sync` of the scene's newest commit, its fields changed in place."""

    def build(rng: random.Random) -> Forgery:
        scene = Scene.of(rng)
        fields = _fields(scene.repo.sync())
        change(rng, scene, fields)
        return scene.forgery(message("#sync", fields))

    return build


def _blocks(make: Callable[[random.Random, Scene], bytes]) -> Builder:
    """A `#sync` with another CAR."""
    return _sync(lambda rng, scene, fields: fields.update(blocks=make(rng, scene)))


def _resigned(key: Callable[[Scene], SigningKey] = lambda scene: scene.key, **changes: Value) -> Builder:
    """A `#sync` of a commit with other fields, or by another key."""
    return _blocks(lambda _, scene: _sync_car(sign_commit({**scene.event.unsigned(), **changes}, key(scene))))


_STRANGER = SigningKey.from_seed("a stranger")
_NOISE = bytes(9_800)
for _name, _description, _build, _reasons in (
    ("other_key", "by another key", _resigned(lambda _: _STRANGER), "bad_signature"),
    ("high_s", "with the higher s", _blocks(lambda _, scene: _sync_car(_high_s(scene))), "high_s_signature"),
    ("version_2", "of version 2", _resigned(version=2), "commit_version"),
    ("other_account", "of another account", _resigned(did="did:plc:another"), "did_mismatch"),
    ("other_rev", "of another rev", _resigned(rev="3jzfcijpj2z2a"), "rev_mismatch"),
    ("data_missing", "that names no tree", _resigned(data=None), "bad_commit"),
    ("root_missing", "that is absent", _blocks(lambda _, scene: write_car([cid_of(b"x")], [])), "missing_commit_block"),
    ("no_blocks", "in no bytes", _blocks(lambda _, __: b""), "blocks_empty"),
    ("cut_off", "cut off", _blocks(lambda _, scene: _sync_car(scene.event.signed)[:-1]), "bad_car"),
    (
        "flipped",
        "of which one bit is another",
        _blocks(lambda _, scene: _sync_car(scene.event.signed)[:-1] + b"\x00"),
        "block_hash_mismatch",
    ),
    (
        "too_large",
        "in more than 10,000 bytes",
        _blocks(lambda _, scene: _sync_car(scene.event.signed, Block(cid_of(_NOISE, RAW_CODEC), _NOISE))),
        "blocks_too_large",
    ),
    ("no_rev", "without rev", _sync(lambda _, __, fields: fields.pop("rev")), "bad_envelope"),
    ("bad_rev", "whose rev is no TID", _sync(lambda _, __, fields: fields.update(rev="x")), "bad_rev"),
    ("bad_did", "whose did is none", _sync(lambda _, __, fields: fields.update(did="x")), "bad_did"),
    ("repo_for_did", "that says repo for did", _sync(lambda _, __, f: f.update(repo=f.pop("did"))), "bad_envelope"),
    ("far_future", "of next year", _sync(lambda _, __, fields: fields.update(rev="jzzzzzzzzzzzz")), "future_rev"),
):
    FORGERIES.add(f"sync/{_name}", f"a #sync of a commit {_description}", _build, _reasons)


def _high_s(scene: Scene) -> bytes:
    unsigned = scene.event.unsigned()
    return encode({**unsigned, "sig": scene.key.sign_high_s(encode(unsigned))})


@FORGERIES.row("sync/after_migration", "rev_mismatch bad_signature")
def _after_migration(rng: random.Random) -> Forgery:
    """what the reference PDS sends after a migration: another rev than the commit's, signed with the old key"""
    scene = Scene.of(rng)
    frames = scene.repo.migrate(scene.repo.host, SigningKey.from_seed(str(rng.getrandbits(64))))
    return scene.forgery(frames[-1])


@FORGERIES.row("sync/replayed", "replayed_rev", "skip")
def _replayed(rng: random.Random) -> Forgery:
    """a #sync of the commit before the one that is known"""
    scene = Scene.of(rng)
    frame = scene.repo.sync()
    later = scene.repo.commit()
    return scene.forgery(frame, prior=Head(later.rev, later.data))


@FORGERIES.row("sync/same_rev_other_data", "replayed_rev", "skip")
def _other_data(rng: random.Random) -> Forgery:
    """a #sync of the rev that is known, over another tree"""
    scene = Scene.of(rng)
    return scene.forgery(scene.repo.sync(), prior=Head(scene.event.rev, scene.prior.data))


@FORGERIES.row("sync/new_data", "sync_breaks_chain", "resync")
def _new_data(rng: random.Random) -> Forgery:
    """a sound #sync of a commit that was missed"""
    scene = Scene.of(rng)
    return scene.forgery(scene.repo.sync())


def _other(make: Callable[[Scene], bytes], kind: str, change: Callable[[dict[str, Any]], object]) -> Builder:
    def build(rng: random.Random) -> Forgery:
        scene = Scene.of(rng)
        fields = _fields(make(scene))
        change(fields)
        return scene.forgery(message(kind, fields))

    return build


def _put(**values: Value) -> Callable[[dict[str, Any]], object]:
    return lambda fields: fields.update(values)


def _drop(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda fields: fields.pop(name)


def _identity(scene: Scene) -> bytes:
    return scene.repo.identity()


def _account(scene: Scene) -> bytes:
    return scene.repo.account(active=False, status="deactivated")


_CHANGES: tuple[tuple[str, Callable[[dict[str, Any]], object], str], ...] = (
    ("without_did", _drop("did"), "bad_envelope"),
    ("without_seq", _drop("seq"), "bad_envelope"),
    ("without_time", _drop("time"), "bad_envelope"),
    ("did_integer", _put(did=1), "bad_envelope"),
    ("seq_text", _put(seq="1"), "bad_envelope"),
    ("bad_did", _put(did="artist.example"), "bad_did"),
    ("bad_time", _put(time="yesterday"), "bad_time"),
)
for _name, _change, _reasons in _CHANGES:
    FORGERIES.add(f"identity/{_name}", f"#identity: {_name}", _other(_identity, "#identity", _change), _reasons)
    FORGERIES.add(f"account/{_name}", f"#account: {_name}", _other(_account, "#account", _change), _reasons)
for _name, _change in (
    ("without_active", _drop("active")),
    ("active_text", _put(active="true")),
    ("active_integer", _put(active=1)),
    ("active_null", _put(active=None)),
    ("status_integer", _put(status=1)),
):
    FORGERIES.add(f"account/{_name}", f"#account: {_name}", _other(_account, "#account", _change), "bad_envelope")
FORGERIES.add(
    "identity/handle_integer",
    "#identity: the handle is a number",
    _other(_identity, "#identity", _put(handle=7)),
    "bad_envelope",
)
