"""Frames out of the ordinary that are sound: a verifier that refuses one of them is too strict."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.writer.car import Block, write_car
from tests.writer.cbor import RAW_CODEC, Link, Value, cid_of, encode, floating, nested
from tests.writer.forge.envelope import at_age, creates, padded
from tests.writer.forge.frames import frame_of_size
from tests.writer.forge.nodes import long_key, tall
from tests.writer.forge.proofs import creates_of_size
from tests.writer.forge.scene import (
    GENUINE,
    Builder,
    Forgery,
    Scene,
    Writes,
    create,
    mixed,
    one_create,
    one_delete,
    one_update,
)
from tests.writer.forge.trees import of_heights
from tests.writer.keys import K256, P256, SigningKey
from tests.writer.mining import mine, mine_sequence
from tests.writer.proof import ProofError, invert, minimal_proof
from tests.writer.repo import Head, Host, Repo, Write, info


def _made(writes: Writes, paths: Callable[[random.Random], list[str]] | None = None) -> Builder:
    return lambda rng: Scene.of(rng, writes, paths=paths(rng) if paths else None).genuine()


def _fields(**fields: Value) -> Builder:
    """Some fields of the message otherwise."""
    return lambda rng: Scene.of(rng).with_fields(**fields)


def _scene(change: Callable[[random.Random, Scene], Forgery]) -> Builder:
    return lambda rng: change(rng, Scene.of(rng))


def _everything(_: random.Random, repo: Repo) -> list[Write]:
    return [Write("delete", key.decode()) for key in repo.leaves]


def _nothing(_: random.Random, __: Repo) -> list[Write]:
    return []


def _back(rng: random.Random, repo: Repo) -> list[Write]:
    """A record that another path has too."""
    return [create(rng, mine(rng), next(iter(repo.records.values())))]


def _without(*names: str) -> Callable[[random.Random, Scene], Forgery]:
    def change(_: random.Random, scene: Scene) -> Forgery:
        return scene.with_payload({key: value for key, value in scene.payload().items() if key not in names})

    return change


def _shuffled(rng: random.Random, scene: Scene) -> Forgery:
    blocks = scene.blocks()
    rng.shuffle(blocks)
    return scene.with_blocks(blocks)


def _any_op_order(rng: random.Random, scene: Scene) -> Forgery:
    return scene.with_ops(rng.shuffle)


def _with_roots(_: random.Random, scene: Scene) -> Forgery:
    roots = [cid_of(scene.event.signed), cid_of(b"elsewhere"), scene.event.data]
    return scene.with_fields(blocks=write_car(roots, scene.blocks()))


def _minimal(_: random.Random, scene: Scene) -> Forgery:
    """Only the nodes that the inversion cannot do without."""
    event = scene.event

    def sufficient(nodes: Any) -> bool:
        try:
            return invert(nodes, event.data, event.ops) == event.prev_data
        except ProofError:
            return False

    return scene.with_event(replace(event, new_nodes=minimal_proof(event.nodes, sufficient), proof_nodes={}))


def _rotated(rng: random.Random, scene: Scene) -> Forgery:
    """The first commit by a new key of the other curve."""
    prior = scene.repo.head
    other = P256 if scene.key.curve is K256 else K256
    scene.repo.rotate(SigningKey.from_seed(str(rng.getrandbits(64)), other))
    return scene.forgery(scene.repo.commit(mixed(rng, scene.repo)).frame(), prior=prior)


def _migrated(rng: random.Random, scene: Scene) -> Forgery:
    """The first commit on a new host chains, though the `#sync` before it did not verify."""
    prior = scene.repo.head
    host = Host("https://new.example", now_us=scene.repo.host.now_us)
    scene.repo.migrate(host, SigningKey.from_seed(str(rng.getrandbits(64))))
    host.advance()
    return scene.forgery(scene.repo.commit(mixed(rng, scene.repo)).frame(), prior=prior)


def _genesis(writes: Writes) -> Builder:
    def build(rng: random.Random) -> Forgery:
        scene = Scene.of(rng)
        repo = Repo(scene.event.did, scene.key, scene.repo.host)
        return scene.forgery(repo.commit(writes(rng, repo)).frame(), prior=None)

    return build


def _bad_record(block: bytes) -> Builder:
    """The commit is sound; its record is what the reader of records must refuse."""
    return _made(lambda rng, _: [create(rng, mine(rng), block)])


def _odd_leaf(link: bytes) -> Builder:
    """An untouched key whose value is a CID of another kind, before and after (RD-11)."""

    def build(rng: random.Random) -> Forgery:
        paths = mine_sequence(rng, [0] * 4)
        scene = Scene.of(rng)
        repo = Repo(scene.event.did, scene.key, scene.repo.host)
        repo.commit()
        repo.leaves[paths[0].encode()] = Link(link)
        earlier = repo.commit([create(rng, path) for path in paths[1:3]])
        event = repo.commit([create(rng, paths[3])])
        return scene.with_event(event, prior=Head(earlier.rev, earlier.data))

    return build


_ROWS: tuple[tuple[str, str, Builder], ...] = (
    ("create", "one create", _made(one_create)),
    ("update", "one update", _made(one_update)),
    ("delete", "one delete", _made(one_delete)),
    ("mixed", "all actions together", _made(mixed)),
    ("no_ops", "no operation, the tree as before", _made(_nothing)),
    ("delete_all", "the repository is emptied", _made(_everything)),
    ("create_in_empty", "the first record after the empty tree", _made(one_create, lambda _: [])),
    ("record_used_twice", "a record that another path has too", _made(_back)),
    ("two_hundred_ops", "as many operations as may be", _made(creates(200))),
    ("first_sight", "of an account not known yet", lambda rng: Scene.of(rng).at_first_sight()),
    ("genesis", "the first commit, empty", _genesis(_nothing)),
    ("genesis_with_records", "the first commit, with records", _genesis(creates(5))),
    ("empty_nodes_on_path", "a key two layers below its neighbours", lambda rng: tall(rng).genuine()),
    ("grown_root", "the new key is higher than the root", lambda rng: of_heights(rng, [0, 1, 0, 4, 0], 3).genuine()),
    ("deep_split", "the new key splits three layers", lambda rng: of_heights(rng, [2, 1, 0, 3, 0, 1, 2], 3).genuine()),
    ("shuffled_blocks", "blocks in any order", _scene(_shuffled)),
    ("shuffled_ops", "operations in any order", _scene(_any_op_order)),
    ("duplicate_blocks", "each block twice", _scene(lambda _, s: s.with_blocks(s.blocks() * 2))),
    ("extra_block", "an unlinked block", _scene(lambda _, s: s.with_blocks([*s.blocks(), Block(cid_of(b"x"), b"x")]))),
    (
        "extra_raw_block",
        "an unlinked block of raw bytes",
        _scene(lambda _, s: s.with_blocks([*s.blocks(), Block(cid_of(b"x", RAW_CODEC), b"x")])),
    ),
    ("frame_at_limit", "a frame of just five million bytes", lambda rng: frame_of_size(rng, 5_000_000)),
    ("blocks_at_limit", "blocks of just two million bytes", lambda rng: padded(Scene.of(rng), 2_000_000)),
    ("record_of_a_million", "a record of just a million bytes", _made(creates_of_size(1_000_000))),
    ("record_of_a_mebibyte", "a record of just 1 MiB", _made(creates_of_size(1_048_576))),
    ("several_roots", "a CAR with more roots, the commit first", _scene(_with_roots)),
    ("minimal_proof", "only the nodes that are needed", _scene(_minimal)),
    (
        "whole_tree",
        "all nodes there are",
        _scene(lambda _, s: s.with_event(s.over_tree(s.event.data, s.repo.tree.blocks()))),
    ),
    ("unknown_field", "a field that nobody knows", _fields(zzz={"a": [1, None]})),
    ("unknown_type_field", "a $type that does not belong there", _fields(**{"$type": "x"})),
    ("too_big_true", "tooBig is true", _fields(tooBig=True)),
    ("rebase_true", "rebase is true", _fields(rebase=True)),
    ("blobs", "blobs are listed", _fields(blobs=[cid_of(b"blob", RAW_CODEC)])),
    ("without_deprecated", "the deprecated fields are gone", _scene(_without("tooBig", "rebase", "blobs"))),
    ("since_null", "since is null, as another implementation always says", _fields(since=None)),
    ("time_with_offset", "time has an offset and microseconds", _fields(time="2026-11-22T11:12:24.934567+00:00")),
    ("time_long_ago", "time is of 1985", _fields(time="1985-04-12T23:20:50.123Z")),
    ("seq_largest", "seq is the largest number", _fields(seq=(1 << 53) - 1)),
    ("rev_in_1970", "rev is a bare counter", lambda rng: Scene.of(rng, rev="2222222222322").at_first_sight()),
    ("rev_four_minutes_ahead", "rev is a little ahead", lambda rng: at_age(Scene.of(rng), -240_000_000)),
    ("signed_extra_field", "a signed field that nobody knows", _scene(lambda _, s: s.with_commit_fields(zzz="x"))),
    ("prev_is_link", "prev names a commit", _scene(lambda _, s: s.with_commit_fields(prev=cid_of(b"before")))),
    ("rotated_key", "the first commit by a new key of the other curve", _scene(_rotated)),
    ("migrated", "the first commit on a new host", _scene(_migrated)),
    ("key_of_1024", "there is a key of 1,024 bytes", lambda rng: long_key(rng, 1024).genuine()),
    ("leaf_raw", "an untouched value is a raw CID", _odd_leaf(cid_of(b"x", RAW_CODEC))),
    ("leaf_sha512", "an untouched value is a SHA-512 CID", _odd_leaf(b"\x01\x71\x13\x40" + bytes(64))),
    ("bad_record_empty", "a record of no bytes", _bad_record(b"")),
    ("bad_record_noise", "a record that is noise", _bad_record(b"\xff\x00noise")),
    ("bad_record_float", "a record with a float", _bad_record(encode({"$type": "fm.plyr.track", "x": floating(0.5)}))),
    ("bad_record_array", "a record that is an array", _bad_record(encode([1, 2]))),
    ("bad_record_deep", "a record of 100,000 arrays", _bad_record(nested(100_000))),
    ("bad_record_deep_maps", "a record of 50,000 maps", _bad_record(nested(50_000, b"\xa1\x61a"))),
    ("bad_record_count_lies", "a record that claims 2^60 elements", _bad_record(b"\x9b\x10" + bytes(7))),
    ("record_like_node", "a record in the form of a node", _bad_record(encode({"e": [], "l": None}))),
    ("identity", "an #identity", _scene(lambda _, s: s.forgery(s.repo.identity()))),
    ("identity_without_handle", "without a handle", _scene(lambda _, s: s.forgery(s.repo.identity(with_handle=False)))),
    ("account", "an #account", _scene(lambda _, s: s.forgery(s.repo.account()))),
    (
        "account_unknown_status",
        "a status that nobody knows",
        _scene(lambda _, s: s.forgery(s.repo.account(active=True, status="resting"))),
    ),
    ("info", "an #info", _scene(lambda _, s: s.forgery(info("OutdatedCursor", "too old")))),
    (
        "sync_same_data",
        "a #sync of a newer rev over the same tree",
        _scene(lambda _, s: s.forgery(s.repo.sync(), prior=Head(s.prior.rev, s.event.data))),
    ),
    (
        "sync_again",
        "a #sync of the very commit that is known",
        _scene(lambda _, s: s.forgery(s.repo.sync(), prior=Head(s.event.rev, s.event.data))),
    ),
    ("sync_first_sight", "a #sync of an account not known", _scene(lambda _, s: s.forgery(s.repo.sync(), prior=None))),
)
for _name, _description, _build in _ROWS:
    GENUINE.add(_name, _description, _build, "", "ok")


def _passed_over(header: Value) -> Builder:
    return _scene(lambda _, s: s.forgery(encode(header) + encode({})))


_HEADERS: tuple[tuple[str, str, Value], ...] = (
    ("unknown_t", "a message of another kind", {"op": 1, "t": "#newKind"}),
    ("retired_t", "a message of a retired kind", {"op": 1, "t": "#tombstone"}),
    ("unknown_op", "another op", {"op": 7}),
    ("unknown_op_with_t", "another op with a t", {"op": 2, "t": "#commit"}),
    ("zero_op", "op 0", {"op": 0, "t": "#commit"}),
)
for _name, _description, _header in _HEADERS:
    GENUINE.add(_name, _description, _passed_over(_header), "", "ignored")
GENUINE.add(
    "header_extra_field",
    "a field of the header that nobody knows",
    _scene(lambda _, s: s.forgery(encode({"op": 1, "t": "#commit", "x": 1}) + encode(s.payload()))),
    "",
    "ok",
)
