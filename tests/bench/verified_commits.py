"""`verified_commits`: from a frame's bytes to a decision and decoded records, commits a second of one core.

Ours does all of it: strict envelope, every hash, signature, tree, inversion, chain, records strictly decoded. The limit
does the hashes and the signature and nothing else, on parts cut out beforehand. The peer is the `atproto` SDK's own
path, which decodes the message and the CAR and checks nothing at all.
"""

import hashlib
from collections.abc import Callable
from typing import Any

from atproto import CAR, parse_subscribe_repos_message
from atproto_firehose.models import Frame as SdkFrame
from coincurve._libsecp256k1 import ffi, lib
from coincurve.context import GLOBAL_CONTEXT

from appview.keys import PublicKey
from ingester.events import CommitEvent, parse_event
from ingester.repo.car import read_car
from ingester.repo.commit import parse_commit
from ingester.sync import MAX_COMMIT_BLOCKS, Apply, RepoState, Signer, decide
from lexicons.drisl import decode
from lexicons.frames import decode_frame
from tests.bench.corpus import Corpus, on_topic
from tests.bench.measure import Figure, interleaved, per_cpu_second
from tests.writer.mining import LATEST

_NOW_US = LATEST + 10**13


def run(say: Callable[[str], None]) -> Figure:
    """Take the figure."""
    corpus = on_topic(say)
    say(f"{len(corpus.frames):,} commits of {corpus.mean_bytes:,.0f} bytes on average")
    count = len(corpus.frames)
    signers = {did: Signer(PublicKey.from_multikey(key)) for did, key in corpus.keys.items()}
    parts = _hashes_and_signatures(corpus, signers)
    return interleaved(
        "verified_commits",
        "commits/s",
        lambda: per_cpu_second(count, lambda: _verify(corpus.frames, signers)),
        lambda: per_cpu_second(count, lambda: _hash_and_check(parts)),
        lambda: per_cpu_second(count, lambda: _decode_with_sdk(corpus.frames)),
        "atproto SDK, decoding only",
    )


def _verify(frames: list[bytes], signers: dict[str, Signer]) -> None:
    states: dict[str, RepoState] = {}
    for frame in frames:
        event = parse_event(decode_frame(frame))
        assert isinstance(event, CommitEvent)
        decision = decide(event, states.get(event.did), signers[event.did], _NOW_US)
        assert isinstance(decision, Apply), decision
        for record in decision.records:
            if record.block is not None:
                decode(record.block)
        states[event.did] = RepoState(decision.head.rev, decision.head.data)


def _hashes_and_signatures(corpus: Corpus, signers: dict[str, Signer]) -> list[tuple[list[bytes], Callable[[], bool]]]:
    """Of each frame its blocks, and a check of its signature with everything about it ready."""
    parts = []
    for frame in corpus.frames:
        event = parse_event(decode_frame(frame))
        assert isinstance(event, CommitEvent)
        car = read_car(event.blocks, max_blocks=MAX_COMMIT_BLOCKS)
        commit = parse_commit(car.blocks[car.root])
        parts.append((list(car.blocks.values()), _check(signers[event.did].key, commit.unsigned, commit.sig)))
    return parts


def _check(key: PublicKey | None, message: bytes, signature: bytes) -> Callable[[], bool]:
    assert key is not None
    if key.curve != "k256":
        return lambda: key.check(message, signature) == "ok"
    parsed: Any = ffi.new("secp256k1_ecdsa_signature *")
    point: Any = ffi.new("secp256k1_pubkey *")
    lib.secp256k1_ecdsa_signature_parse_compact(GLOBAL_CONTEXT.ctx, parsed, signature)
    lib.secp256k1_ec_pubkey_parse(GLOBAL_CONTEXT.ctx, point, key.compressed, len(key.compressed))
    verify, context, sha256 = lib.secp256k1_ecdsa_verify, GLOBAL_CONTEXT.ctx, hashlib.sha256
    return lambda: verify(context, parsed, sha256(message).digest(), point) == 1


def _hash_and_check(parts: list[tuple[list[bytes], Callable[[], bool]]]) -> None:
    sha256 = hashlib.sha256
    for blocks, check in parts:
        for block in blocks:
            sha256(block).digest()
        assert check()


def _decode_with_sdk(frames: list[bytes]) -> None:
    for frame in frames:
        message = parse_subscribe_repos_message(SdkFrame.from_bytes(frame))
        CAR.from_bytes(message.blocks)
