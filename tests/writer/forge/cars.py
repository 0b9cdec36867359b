"""Forged CARs: the container, its hashes, its root."""

import hashlib
import random
from collections.abc import Callable

from tests.writer.car import Block, car_header, section, varint, write_car
from tests.writer.cbor import RAW_CODEC, Link, Raw, Value, cid_of, encode, floating, indefinite, nested, pairs, wide
from tests.writer.forge.scene import FORGERIES, Builder, Forgery, Scene

TOO_MANY = 45_000


def _car(change: Callable[[bytes], bytes]) -> Builder:
    """The whole CAR changed as bytes."""

    def build(rng: random.Random) -> Forgery:
        scene = Scene.of(rng)
        return scene.with_fields(blocks=change(scene.payload()["blocks"]))

    return build


def _header(make: Callable[[Link], Value]) -> Builder:
    """Another header value, made from the root, before the genuine blocks."""

    def build(rng: random.Random) -> Forgery:
        scene = Scene.of(rng)
        header = car_header(make(cid_of(scene.event.signed)))
        return scene.with_fields(blocks=header + b"".join(map(section, scene.blocks())))

    return build


def _body(change: Callable[[bytes], bytes]) -> Builder:
    """The sections after the genuine header changed as bytes."""

    def build(rng: random.Random) -> Forgery:
        scene = Scene.of(rng)
        header = write_car([cid_of(scene.event.signed)], [])
        return scene.with_fields(blocks=header + change(b"".join(map(section, scene.blocks()))))

    return build


def _extra(block: Block) -> Builder:
    """One unlinked block more."""

    def build(rng: random.Random) -> Forgery:
        scene = Scene.of(rng)
        return scene.with_blocks([*scene.blocks(), block])

    return build


_CHANGES: tuple[tuple[str, str, Callable[[bytes], bytes]], ...] = (
    ("cut_in_last_block", "the last byte is missing", lambda car: car[:-1]),
    ("cut_in_header", "only ten bytes of the header are there", lambda car: car[:10]),
    ("header_length_alone", "nothing follows the header's length", lambda car: car[:1]),
    ("header_length_zero", "the header's length is zero", lambda car: b"\x00" + car),
    ("header_length_lies", "the header claims to be larger than the file", lambda car: b"\xff\x7f" + car[1:]),
    ("header_length_huge", "the header claims 2^62 bytes", lambda car: b"\x80" * 8 + b"\x40" + car[1:]),
    ("header_length_endless", "the header's length does not end", lambda _: b"\x80" * 1000),
    ("header_length_overflows", "the header's length has eleven bytes", lambda car: b"\xff" * 10 + b"\x01" + car),
    ("noise", "the CAR is noise", lambda _: b"\x5a" * 500),
)
for _name, _description, _change in _CHANGES:
    FORGERIES.add(f"car/{_name}", _description, _car(_change), "bad_car")

_HEADERS: tuple[tuple[str, str, Callable[[Link], Value]], ...] = (
    ("version_2", "version 2", lambda root: {"version": 2, "roots": [root]}),
    ("version_0", "version 0", lambda root: {"version": 0, "roots": [root]}),
    ("version_true", "the version is true", lambda root: {"version": True, "roots": [root]}),
    ("version_text", "the version is text", lambda root: {"version": "1", "roots": [root]}),
    ("version_float", "the version is 1.0", lambda root: {"version": floating(1.0), "roots": [root]}),
    ("no_version", "no version", lambda root: {"roots": [root]}),
    ("no_roots", "no list of roots", lambda _: {"version": 1}),
    ("empty_roots", "no root in the list", lambda _: {"version": 1, "roots": []}),
    ("roots_null", "roots are null", lambda _: {"version": 1, "roots": None}),
    ("root_bytes", "the root is a byte string", lambda root: {"version": 1, "roots": [bytes(root)]}),
    ("root_text", "the root is text", lambda root: {"version": 1, "roots": [str(root)]}),
    ("header_array", "the header is an array", lambda root: [1, [root]]),
    ("header_unsorted", "the keys are unsorted", lambda root: pairs([("version", 1), ("roots", [root])])),
    ("header_wide", "the version is in two bytes", lambda root: {"version": wide(1, 1), "roots": [root]}),
    ("header_indefinite", "a map of indefinite length", lambda root: indefinite({"version": 1, "roots": [root]})),
    (
        "header_repeats_key",
        "the roots are said twice",
        lambda root: pairs([("roots", [root]), ("roots", [root]), ("version", 1)]),
    ),
    ("header_trailing", "a byte follows", lambda root: Raw(encode({"version": 1, "roots": [root]}) + b"\xf6")),
    ("header_deep", "3,000 arrays", lambda _: nested(3000)),
    ("header_too_long", "more than 4 KiB of roots", lambda root: {"version": 1, "roots": [root] * 120}),
)
for _name, _description, _make in _HEADERS:
    FORGERIES.add(f"car/{_name}", f"header: {_description}", _header(_make), "bad_car")

_BODIES: tuple[tuple[str, str, Callable[[bytes], bytes]], ...] = (
    ("block_length_zero", "a block of length zero", lambda body: body + b"\x00"),
    ("block_without_cid", "a block too short for its CID", lambda body: body + varint(10) + bytes(10)),
    ("block_length_endless", "a length that does not end", lambda body: body + b"\x80" * 40),
    ("block_length_overflows", "a length of eleven bytes", lambda body: body + b"\xff" * 10 + b"\x01" + bytes(50)),
    ("block_length_huge", "a length of 2^62", lambda body: body + b"\x80" * 8 + b"\x40"),
    ("block_length_cut", "a length of which the rest is missing", lambda body: body + b"\x80"),
    ("stray_bytes", "a few stray bytes after the last block", lambda body: body + b"\x25\x01\x71"),
)
for _name, _description, _change in _BODIES:
    FORGERIES.add(f"car/{_name}", _description, _body(_change), "bad_car")

_DATA = encode({"extra": True})
_DIGEST = hashlib.sha256(_DATA).digest()
for _name, _cid in (
    ("cid_v0", b"\x12\x20" + _DIGEST),
    ("cid_v2", b"\x02\x71\x12\x20" + _DIGEST),
    ("cid_dag_pb", b"\x01\x70\x12\x20" + _DIGEST),
    ("cid_identity", b"\x01\x71\x00" + bytes((len(_DATA),)) + _DATA),
    ("cid_sha512", b"\x01\x71\x13\x40" + hashlib.sha512(_DATA).digest()),
    ("cid_sha1", b"\x01\x71\x11\x14" + hashlib.sha1(_DATA, usedforsecurity=False).digest()),
    ("cid_short_digest", b"\x01\x71\x12\x14" + _DIGEST[:20]),
):
    FORGERIES.add(f"car/{_name}", f"an unlinked block under a {_name}", _extra(Block(_cid, _DATA)), "bad_car")


@FORGERIES.row("car/too_many_blocks", "car_too_many_blocks")
def _too_many_blocks(rng: random.Random) -> Forgery:
    """45,000 unlinked blocks of three bytes"""
    scene = Scene.of(rng)
    extra = [number.to_bytes(3, "big") for number in range(TOO_MANY)]
    return scene.with_blocks([*scene.blocks(), *(Block(cid_of(data, RAW_CODEC), data) for data in extra)])


def _flipped(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :]


def _flip(choose: Callable[[Scene], set[Link]]) -> Builder:
    """One bit of one of the chosen blocks is another."""

    def build(rng: random.Random) -> Forgery:
        scene = Scene.of(rng)
        blocks = scene.blocks()
        at = rng.choice([index for index, block in enumerate(blocks) if block.cid in choose(scene)])
        blocks[at] = Block(blocks[at].cid, _flipped(rng, blocks[at].data))
        return scene.with_blocks(blocks)

    return build


_CHOICES: tuple[tuple[str, Callable[[Scene], set[Link]]], ...] = (
    ("record", lambda scene: set(scene.event.records)),
    ("node", lambda scene: set(scene.event.nodes)),
    ("commit", lambda scene: {cid_of(scene.event.signed)}),
)
for _name, _choose in _CHOICES:
    FORGERIES.add(f"car/flipped_{_name}", f"one bit of a {_name}", _flip(_choose), "block_hash_mismatch")
FORGERIES.add(
    "car/wrong_extra_block",
    "an unlinked block is not what its CID says",
    _extra(Block(cid_of(b"this"), b"that")),
    "block_hash_mismatch",
)
FORGERIES.add(
    "car/empty_extra_block",
    "an unlinked block has a CID and no bytes",
    _extra(Block(cid_of(b"this"), b"")),
    "block_hash_mismatch",
)


@FORGERIES.row("car/second_copy_wrong", "block_hash_mismatch")
def _second_copy_wrong(rng: random.Random) -> Forgery:
    """a record comes twice, and the second time it is another"""
    scene = Scene.of(rng)
    cid = next(iter(scene.event.records))
    return scene.with_blocks([*scene.blocks(), Block(cid, b"another")])


@FORGERIES.row("car/first_copy_wrong", "block_hash_mismatch")
def _first_copy_wrong(rng: random.Random) -> Forgery:
    """a record comes twice, and the first time it is another"""
    scene = Scene.of(rng)
    cid = next(iter(scene.event.records))
    return scene.with_blocks([Block(cid, b"another"), *scene.blocks()])


@FORGERIES.row("car/root_is_tree", "root_mismatch")
def _root_is_tree(rng: random.Random) -> Forgery:
    """the CAR's root is the tree's"""
    scene = Scene.of(rng)
    return scene.with_fields(blocks=write_car([scene.event.data], scene.blocks()))


@FORGERIES.row("car/root_is_second", "root_mismatch")
def _root_is_second(rng: random.Random) -> Forgery:
    """the commit is the CAR's second root"""
    scene = Scene.of(rng)
    return scene.with_fields(blocks=write_car([scene.event.data, cid_of(scene.event.signed)], scene.blocks()))


@FORGERIES.row("car/commit_field_elsewhere", "root_mismatch")
def _commit_field_elsewhere(rng: random.Random) -> Forgery:
    """the message names the commit before"""
    scene = Scene.of(rng)
    return scene.with_fields(commit=cid_of(scene.earlier.signed))


@FORGERIES.row("car/no_commit_block", "missing_commit_block")
def _no_commit_block(rng: random.Random) -> Forgery:
    """the commit's block is absent"""
    scene = Scene.of(rng)
    return scene.with_blocks([block for block in scene.blocks() if block.data != scene.event.signed])


@FORGERIES.row("car/header_alone", "missing_commit_block")
def _header_alone(rng: random.Random) -> Forgery:
    """there is no block at all"""
    return Scene.of(rng).with_blocks([])


@FORGERIES.row("car/no_root_node", "missing_root_node")
def _no_root_node(rng: random.Random) -> Forgery:
    """the tree's root node is absent"""
    scene = Scene.of(rng)
    return scene.with_blocks([block for block in scene.blocks() if block.cid != scene.event.data])
