"""The second opinion on captured frames: what the fixtures' own notes expect of them."""

import random
from collections import Counter

import pytest

from tests.shared import fixture
from tests.writer.captured import Directory, open_frame, read_frames
from tests.writer.car import read_car
from tests.writer.cbor import Value, decode
from tests.writer.forge import Scene
from tests.writer.repo import Head, message
from tests.writer.witness import Verdict, examine

NOBODY = "zQ3shZc2QzApp2oymGvQbzP8eKheVshBHbU4ZYjeXqwSKEn6N"
AFTER_ALL = 1 << 52


def test_noise_is_a_verdict_and_never_an_error() -> None:
    rng = random.Random(11)
    verdicts: Counter[str] = Counter()
    for _ in range(40):
        forgery = Scene.of(rng).genuine()
        frame = bytearray(forgery.frame)
        for _ in range(10):
            frame[rng.randrange(len(frame))] ^= 1 << rng.randrange(8)
            verdicts[examine(bytes(frame), forgery.multikey, forgery.prior, forgery.now_us).verdict] += 1
    assert verdicts["invalid"] > 380


def test_fields_of_other_kinds_are_unknown_fields() -> None:
    """What is checked in one kind of message may be anything in another."""
    strange: dict[str, Value] = {"since": 7, "repo": None, "rev": [], "blocks": "x", "ops": 1}
    body: dict[str, Value] = {"seq": 1, "did": "did:plc:abc", "time": "2026-11-22T11:12:24Z", **strange}
    assert examine(message("#identity", body), NOBODY, None, AFTER_ALL) == Verdict("ok")
    assert examine(message("#info", {"name": "x", "did": 7, "time": 7}), NOBODY, None, AFTER_ALL) == Verdict("ok")


@pytest.mark.parametrize(
    ("frames", "dids", "refused"),
    [
        ("live-pds1.bin", "dids.json", []),
        ("live-pds2.bin", "dids.json", ["rev_mismatch"]),
        ("replay-pds1.bin", "dids.json", []),
        ("replay-pds2.bin", "dids.json", ["rev_mismatch"]),
        ("arroba/replay.bin", "arroba/dids.json", []),
    ],
)
def test_captured_frames(frames: str, dids: str, refused: list[str]) -> None:
    """All is well but for the `#sync` of a new host after a migration."""
    directory = Directory(fixture(f"frames/{dids}"))
    heads: dict[str, Head] = {}
    verdicts: Counter[str] = Counter()
    for frame in read_frames(fixture(f"frames/{frames}")):
        header, payload = open_frame(frame)
        did: str = payload.get("repo") or payload["did"]
        signed = header["t"] in ("#commit", "#sync")
        key = directory.multikey(did, payload["time"]) if signed else NOBODY
        found = examine(frame, key, heads.get(did), AFTER_ALL)
        verdicts[found.verdict] += 1
        if found.verdict == "invalid":
            assert [found.reason] == refused
        if found.verdict == "ok" and header["t"] == "#commit":
            blocks = {block.cid: block.data for block in read_car(payload["blocks"]).blocks}
            heads[did] = Head(payload["rev"], decode(blocks[payload["commit"]])["data"])
    assert verdicts["invalid"] == len(refused)
    assert verdicts["resync"] == 0
    assert verdicts["ok"] > 20
