"""Forged commits and signatures."""

import random
from collections.abc import Callable
from typing import Any

from tests.writer.cbor import (
    RAW_CODEC,
    Link,
    Raw,
    Value,
    cid_of,
    decode,
    encode,
    floating,
    indefinite,
    nested,
    pairs,
    tagged,
    wide,
)
from tests.writer.forge.scene import FORGERIES, Builder, Forgery, Scene, new_did
from tests.writer.keys import K256, P256, SigningKey

Fields = dict[str, Any]


def _fields(**changes: Value) -> Builder:
    """Fields of the commit otherwise, and signed so."""
    return lambda rng: Scene.of(rng).with_commit_fields(**changes)


def _encoded(dress: Callable[[Fields], Value]) -> Builder:
    """The genuine commit, its signature over the canonical form, in another encoding."""

    def build(rng: random.Random) -> Forgery:
        scene = Scene.of(rng)
        unsigned = scene.event.unsigned()
        return scene.with_commit(encode(dress({**unsigned, "sig": scene.key.sign(encode(unsigned))})))

    return build


def _without(name: str) -> Builder:
    def build(rng: random.Random) -> Forgery:
        scene = Scene.of(rng)
        unsigned = {key: value for key, value in scene.event.unsigned().items() if key != name}
        return scene.with_commit(encode({**unsigned, "sig": scene.key.sign(encode(unsigned))}))

    return build


_DRESSES: tuple[tuple[str, str, Callable[[Fields], Value]], ...] = (
    ("unsorted", "its keys are in alphabetical order", lambda body: pairs(sorted(body.items()))),
    ("repeats_key", "it says sig twice", lambda body: pairs([*_canonical(body), ("sig", body["sig"])])),
    ("wide_version", "its version is in two bytes", lambda body: {**body, "version": wide(3, 1)}),
    ("float_version", "its version is 3.0", lambda body: {**body, "version": floating(3.0)}),
    ("indefinite", "it is a map of indefinite length", indefinite),
    ("indefinite_sig", "its signature is of indefinite length", lambda body: {**body, "sig": indefinite(body["sig"])}),
    ("trailing_byte", "a byte follows it", lambda body: Raw(encode(body) + b"\x00")),
    ("second_object", "a second object follows it", lambda body: Raw(encode(body) * 2)),
    ("undefined_prev", "its prev is undefined", lambda body: {**body, "prev": Raw(b"\xf7")}),
    ("tagged", "it stands in a self-description tag", lambda body: tagged(55799, body)),
    ("array", "it is an array", lambda body: list(body.values())),
    ("number", "it is a number", lambda _: 3),
    ("deep", "it is 100,000 arrays", lambda _: nested(100_000)),
    ("deep_field", "an unknown field is 100,000 arrays deep", lambda body: {**body, "zzz": nested(100_000)}),
    ("float_field", "an unknown field is a float", lambda body: {**body, "zzz": floating(0.5)}),
)


def _canonical(body: Fields) -> list[tuple[Value, Value]]:
    return list(decode(encode(body)).items())


for _name, _description, _dress in _DRESSES:
    FORGERIES.add(f"commit/{_name}", f"the commit: {_description}", _encoded(_dress), "bad_commit")
for _name in ("did", "data", "rev", "prev"):
    FORGERIES.add(f"commit/without_{_name}", f"the commit has no {_name}", _without(_name), "bad_commit")
FORGERIES.add("commit/without_version", "the commit has no version", _without("version"), "bad_commit commit_version")
FORGERIES.add(
    "commit/without_sig",
    "the commit is not signed",
    lambda rng: (scene := Scene.of(rng)).with_commit(encode(scene.event.unsigned())),
    "bad_commit",
)

_TREE = cid_of(b"tree")
for _name, _value in (
    *(("did", 7), ("did", None), ("rev", 7), ("rev", None), ("data", None), ("data", bytes(_TREE))),
    *(("data", str(_TREE)), ("prev", "none"), ("prev", False), ("prev", 0)),
):
    FORGERIES.add(
        f"commit/{_name}_is_{type(_value).__name__}",
        f"the commit's {_name} is {_value!r}",
        _fields(**{_name: _value}),
        "bad_commit",
    )
for _name, _value in (("text", "3"), ("null", None), ("true", True)):
    FORGERIES.add(
        f"commit/version_{_name}", f"the version is {_value!r}", _fields(version=_value), "bad_commit commit_version"
    )
for _number in (0, 1, 2, 4, -3, 3 + (1 << 32)):
    FORGERIES.add(f"commit/version_{_number}", f"the version is {_number}", _fields(version=_number), "commit_version")
_KINDS: tuple[tuple[str, Callable[[Link], bytes]], ...] = (
    ("dag_pb", lambda cid: b"\x01\x70" + cid[2:]),
    ("cid_v0", lambda cid: cid[2:]),
    ("cut_off", lambda cid: cid[:-1]),
    ("longer", lambda cid: cid + b"\x00"),
    ("empty", lambda _: b""),
)


def _data_as(kind: Callable[[Link], bytes]) -> Builder:
    """The tree named by a CID of another kind."""

    def build(rng: random.Random) -> Forgery:
        scene = Scene.of(rng)
        return scene.with_commit_fields(data=Link(kind(scene.event.data)))

    return build


for _name, _kind in _KINDS:
    FORGERIES.add(
        f"commit/data_{_name}",
        f"the commit names its tree by a CID of another kind: {_name}",
        _data_as(_kind),
        "bad_commit",
    )


@FORGERIES.row("commit/data_raw", "bad_commit bad_mst_node")
def _data_raw(rng: random.Random) -> Forgery:
    """the commit names its tree by a CID of raw bytes, under which the CAR has the root node too"""
    scene = Scene.of(rng)
    root = scene.event.nodes[scene.event.data]
    data = cid_of(root, RAW_CODEC)
    return scene.with_event(scene.over_tree(data, {**scene.event.nodes, data: root}))


@FORGERIES.row("commit/named_as_raw", "bad_commit bad_car")
def _named_as_raw(rng: random.Random) -> Forgery:
    """the commit's own CID, in root, message and block, is of raw bytes"""
    scene = Scene.of(rng)
    return scene.with_commit_named(cid_of(scene.event.signed, RAW_CODEC))


@FORGERIES.row("commit/other_account", "did_mismatch")
def _other_account(rng: random.Random) -> Forgery:
    """the commit is of another account of the same key"""
    scene = Scene.of(rng)
    return scene.with_commit_fields(did=new_did(rng))


@FORGERIES.row("commit/other_envelope_account", "did_mismatch")
def _other_envelope_account(rng: random.Random) -> Forgery:
    """the message gives the commit out as another account's of the same key"""
    scene = Scene.of(rng)
    did = new_did(rng)
    return scene.with_fields(repo=did)._replace(did=did)


@FORGERIES.row("commit/earlier_rev", "rev_mismatch")
def _earlier_rev(rng: random.Random) -> Forgery:
    """the commit's rev is one before the message's"""
    scene = Scene.of(rng)
    return scene.with_commit_fields(rev=scene.prior.rev)


@FORGERIES.row("commit/envelope_rev_ahead", "rev_mismatch")
def _envelope_rev_ahead(rng: random.Random) -> Forgery:
    """the message's rev is ahead of the commit's"""
    scene = Scene.of(rng)
    return scene.with_fields(rev=scene.repo.host.tid())


FORGERIES.add("commit/rev_no_tid", "the commit's rev is no TID", _fields(rev="latest"), "rev_mismatch bad_commit")


def _signed(sign: Callable[[Scene, bytes], bytes]) -> Builder:
    """The genuine commit with another signature over the same bytes."""

    def build(rng: random.Random) -> Forgery:
        scene = Scene.of(rng)
        unsigned = scene.event.unsigned()
        return scene.with_commit(encode({**unsigned, "sig": sign(scene, encode(unsigned))}))

    return build


def _over(message: Callable[[Fields], bytes]) -> Builder:
    """The genuine commit with a right signature over the wrong bytes."""
    return _signed(lambda scene, _: scene.key.sign(message(scene.event.unsigned())))


def _stranger(scene: Scene, *, same_curve: bool) -> SigningKey:
    other = P256 if scene.key.curve is K256 else K256
    return SigningKey.from_seed("a stranger", scene.key.curve if same_curve else other)


def _parts(change: Callable[[int, int, int], tuple[int, int]]) -> Callable[[Scene, bytes], bytes]:
    """r and s, with the order of the group beside them, made into others."""

    def sign(scene: Scene, message: bytes) -> bytes:
        good = scene.key.sign(message)
        r, s = int.from_bytes(good[:32], "big"), int.from_bytes(good[32:], "big")
        return SigningKey.compact(*change(r, s, scene.key.curve.order))

    return sign


_SIGNATURES: tuple[tuple[str, str, Callable[[Scene, bytes], bytes]], ...] = (
    ("other_key", "by another key of the curve", lambda scene, body: _stranger(scene, same_curve=True).sign(body)),
    ("other_curve", "by a key of the other curve", lambda scene, body: _stranger(scene, same_curve=False).sign(body)),
    ("of_other_commit", "of the commit before", lambda scene, _: scene.earlier.signature()),
    ("der", "in DER", lambda scene, body: scene.key.sign_der(body)),
    ("zero", "all zeros", lambda _, __: bytes(64)),
    ("all_ones", "all ones but for a low s", lambda _, __: b"\xff" * 32 + b"\x7f" + bytes(31)),
    ("r_zero", "r is 0", _parts(lambda _, s, __: (0, s))),
    ("s_zero", "s is 0", _parts(lambda r, _, __: (r, 0))),
    ("r_is_order", "r is the order", _parts(lambda _, s, order: (order, s))),
    ("r_beyond_order", "r is the largest number", _parts(lambda _, s, __: ((1 << 256) - 1, s))),
    ("swapped", "s and r change places", _parts(lambda r, s, order: (s, min(r, order - r)))),
    ("empty", "empty", lambda _, __: b""),
    ("short", "one byte short", lambda scene, body: scene.key.sign(body)[:-1]),
    ("long", "one byte long", lambda scene, body: scene.key.sign(body) + b"\x00"),
    ("recoverable", "with a recovery byte before it", lambda scene, body: b"\x1b" + scene.key.sign(body)),
    ("doubled", "twice in a row", lambda scene, body: scene.key.sign(body) * 2),
)
for _name, _description, _sign in _SIGNATURES:
    FORGERIES.add(f"signature/{_name}", f"the signature: {_description}", _signed(_sign), "bad_signature")
FORGERIES.add(
    "signature/high_s",
    "the signature: the higher s",
    _signed(lambda scene, body: scene.key.sign_high_s(body)),
    "high_s_signature",
)
FORGERIES.add(
    "signature/s_plus_order",
    "the signature: s beyond the order, or the highest that 32 bytes hold",
    _signed(_parts(lambda r, s, order: (r, min(s + order, (1 << 256) - 1)))),
    "high_s_signature bad_signature",
)
_MESSAGES: tuple[tuple[str, str, Callable[[Fields], bytes]], ...] = (
    ("prev_left_out", "of the commit without its prev", lambda body: encode(_less(body, "prev"))),
    ("version_left_out", "of the commit without its version", lambda body: encode(_less(body, "version"))),
    ("empty_sig", "of the commit with an empty sig", lambda body: encode({**body, "sig": b""})),
    ("of_cid", "of the unsigned commit's CID", lambda body: cid_of(encode(body))),
    ("of_digest", "of the digest, so hashed twice", lambda body: cid_of(encode(body))[4:]),
    ("of_unsorted", "of the commit in alphabetical order", lambda body: encode(pairs(sorted(body.items())))),
)


def _less(body: Fields, name: str) -> Fields:
    return {key: value for key, value in body.items() if key != name}


for _name, _description, _message in _MESSAGES:
    FORGERIES.add(f"signature/{_name}", f"the signature: {_description}", _over(_message), "bad_signature")


@FORGERIES.row("signature/flipped", "bad_signature high_s_signature")
def _flipped(rng: random.Random) -> Forgery:
    """the signature: one bit is another"""
    bit = 1 << rng.randrange(512)
    return _signed(lambda scene, body: (int.from_bytes(scene.key.sign(body), "big") ^ bit).to_bytes(64, "big"))(rng)


@FORGERIES.row("signature/retired_key", "bad_signature")
def _retired_key(rng: random.Random) -> Forgery:
    """the signature: by the key that the account had until now"""
    scene = Scene.of(rng)
    retired = scene.event
    scene.repo.rotate(SigningKey.from_seed(str(rng.getrandbits(128)), rng.choice((P256, K256))))
    return scene.forgery(retired.frame())


@FORGERIES.row("signature/changed_data", "bad_signature")
def _changed_data(rng: random.Random) -> Forgery:
    """the signature: of another tree, whose name alone was then exchanged"""
    scene = Scene.of(rng)
    unsigned = scene.event.unsigned()
    other = encode({**unsigned, "data": scene.prior.data})
    return scene.with_commit(encode({**unsigned, "sig": scene.key.sign(other)}))
