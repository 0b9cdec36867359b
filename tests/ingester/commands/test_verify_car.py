import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from ingester.__main__ import main
from ingester.repo.car import read_car
from ingester.repo.commit import parse_commit
from ingester.repo.mst import load_tree
from lexicons.data import CID, encode
from tests.ingester.captured import commits
from tests.ingester.commands.running import Ran, called, ingester
from tests.shared import fixture
from tests.writer.car import Block, write_car
from tests.writer.cbor import Link, cid_of
from tests.writer.keys import K256, SigningKey
from tests.writer.mst import build
from tests.writer.repo import Host, Repo, Write, sign_commit

Capture = pytest.CaptureFixture[bytes]

DID, KEY = "did:plc:ewvi7nxzyoun6zhxrhs64oiz", SigningKey.from_seed("artist")
PATHS = [f"fm.plyr.{name}/{n:03}" for name in ("like", "track") for n in range(15)]


@pytest.fixture
def repo() -> Repo:
    """A repository of thirty records, every two of them equal."""
    made = Repo(DID, KEY)
    made.commit()
    made.commit([Write("create", path, {"$type": path.split("/")[0], "n": n // 2}) for n, path in enumerate(PATHS)])
    return made


def verified(capture: Capture, folder: Path, data: bytes, *options: object) -> dict[str, Any]:
    """The answer about a CAR, with its exit code as `code`."""
    path = folder / "repo.car"
    path.write_bytes(data)
    ran = called(capture, "verify-car", path, *options)
    (row,) = ran.rows
    assert ran.error == ""
    assert row["verdict"] == ("invalid" if ran.code else "ok")
    return {**row, "code": ran.code}


def refusal(capture: Capture, folder: Path, data: bytes, *options: object) -> str:
    row = verified(capture, folder, data, *options)
    assert row["code"] == 1
    assert row["detail"].isprintable()
    return str(row["reason"])


def dids_file(folder: Path, key: SigningKey = KEY) -> Path:
    path = folder / "dids.json"
    path.write_text(json.dumps({DID: {"doc": Repo(DID, key).did_document()}}))
    return path


def parts(repo: Repo) -> dict[bytes, bytes]:
    """Every block of an export by its CID."""
    return read_car(repo.export(), max_blocks=1_000).blocks


def export_of(repo: Repo, blocks: dict[bytes, bytes]) -> bytes:
    assert repo.last is not None
    return write_car([cid_of(repo.last.signed)], [Block(cid, block) for cid, block in blocks.items()])


@pytest.mark.parametrize(
    ("name", "dids", "collections"),
    [
        ("bob", "frames/dids.json", {"fm.plyr.list": 1, "fm.plyr.track": 199}),
        ("carol", "frames/dids.json", {"fm.plyr.comment": 1, "fm.plyr.like": 1, "fm.plyr.list": 2}),
        ("zoe", "frames/arroba/dids.json", {"fm.plyr.track": 12}),
    ],
)
def test_exports_of_real_repositories_hold(name: str, dids: str, collections: dict[str, int]) -> None:
    path = fixture(f"frames/cars/{name}.car")
    ran = ingester("verify-car", path, "--dids", fixture(dids))
    (row,) = ran.rows
    car = read_car(path.read_bytes(), max_blocks=10_000)
    commit = parse_commit(car.blocks[car.root])
    assert ran == Ran(0, ran.out, "")
    assert row == {
        "verdict": "ok",
        "did": commit.did,
        "rev": commit.rev,
        "data": str(CID(commit.data)),
        "commit": str(CID(car.root)),
        "signature": "ok",
        "blocks": len(car.blocks),
        "records": sum(collections.values()),
        "collections": collections,
        "malformed_records": 0,
    }


def test_the_proofs_of_a_record_and_of_none(capsysbinary: Capture) -> None:
    car = read_car(fixture("frames/cars/proof.car").read_bytes(), max_blocks=100)
    tree = load_tree(parse_commit(car.blocks[car.root]).data, car.blocks)
    records = {key: value for node in tree.nodes.values() for key, value in zip(node.keys, node.values, strict=True)}
    (proven,) = [key.decode() for key, value in records.items() if value in car.blocks]
    dids = ("--dids", fixture("frames/dids.json"))
    (row,) = called(capsysbinary, "verify-car", fixture("frames/cars/proof.car"), *dids, "--proof", proven).rows
    assert (row["verdict"], row["signature"], row["proof"]) == ("ok", "ok", proven)
    assert row["record"] == str(CID(records[proven.encode()]))
    absent = fixture("frames/cars/proof-absent.car")
    (row,) = called(capsysbinary, "verify-car", absent, *dids, "--proof", proven + "x").rows
    assert (row["verdict"], row["record"]) == ("ok", None)
    # It proves that one record is absent, and nothing of others, nor that it is an export.
    for options, reason in (
        (("--proof", proven), "record_block_missing"),
        (("--proof", "a.b.c/x"), "proof_incomplete"),
        ((), "incomplete_tree"),
    ):
        ran = called(capsysbinary, "verify-car", absent, *dids, *options)
        assert (ran.code, ran.rows[0]["reason"]) == (1, reason)


def test_an_export_in_any_order_with_more_than_is_needed(repo: Repo, tmp_path: Path, capsysbinary: Capture) -> None:
    extra = [Block(cid_of(b"junk"), b"junk")]
    shuffled = repo.export(random.Random(1), duplicates=9, extra=extra)
    for data, more in ((repo.export(), 0), (shuffled, 1)):
        row = verified(capsysbinary, tmp_path, data, "--dids", dids_file(tmp_path))
        assert (row["records"], row["malformed_records"], row["signature"]) == (30, 0, "ok")
        assert row["collections"] == {"fm.plyr.like": 15, "fm.plyr.track": 15}
        assert row["blocks"] == len(parts(repo)) + more


def test_an_empty_repository_is_whole(tmp_path: Path, capsysbinary: Capture) -> None:
    repo = Repo(DID, KEY)
    repo.commit()
    row = verified(capsysbinary, tmp_path, repo.export())
    assert (row["code"], row["records"], row["collections"], row["signature"]) == (0, 0, {}, "unchecked")
    assert row["data"] == "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm"


def test_an_export_without_any_of_its_blocks_is_refused(repo: Repo, tmp_path: Path, capsysbinary: Capture) -> None:
    blocks = parts(repo)
    commit = read_car(repo.export(), max_blocks=1_000).root
    records = set(repo.records)
    for missing in blocks:
        rest = {cid: block for cid, block in blocks.items() if cid != missing}
        expected = "incomplete_tree"
        if missing == commit:
            expected = "missing_commit_block"
        elif missing in records:
            expected = "record_block_missing"
        assert refusal(capsysbinary, tmp_path, export_of(repo, rest)) == expected


def test_an_export_cut_off_is_refused(repo: Repo, tmp_path: Path, capsysbinary: Capture) -> None:
    data, blocks = repo.export(), parts(repo)
    assert refusal(capsysbinary, tmp_path, b"") == "bad_car"
    assert refusal(capsysbinary, tmp_path, data + b"\0") == "bad_car"
    for cut in range(1, len(data), 211):
        assert refusal(capsysbinary, tmp_path, data[:cut]) == "bad_car"
    # Cut between two blocks it is a CAR like any other, and only the tree can tell.
    for count in range(len(blocks)):
        reason = refusal(capsysbinary, tmp_path, export_of(repo, dict(list(blocks.items())[:count])))
        assert reason in {"missing_commit_block", "incomplete_tree", "record_block_missing"}


def test_every_byte_counts(repo: Repo, tmp_path: Path, capsysbinary: Capture) -> None:
    data = repo.export()
    dids = dids_file(tmp_path)
    for at in range(0, len(data), 37):
        flipped = bytearray(data)
        flipped[at] ^= 1 << at % 8
        assert refusal(capsysbinary, tmp_path, bytes(flipped), "--dids", dids)


def test_a_signature_by_another_key_is_refused(repo: Repo, tmp_path: Path, capsysbinary: Capture) -> None:
    stranger = dids_file(tmp_path, SigningKey.from_seed("stranger"))
    assert refusal(capsysbinary, tmp_path, repo.export(), "--dids", stranger) == "bad_signature"
    assert repo.last is not None
    body = {name: CID(value) if type(value) is Link else value for name, value in repo.last.unsigned().items()}
    high = encode({**body, "sig": KEY.sign_high_s(encode(body))})
    blocks = [Block(cid_of(high), high), *(Block(Link(cid), block) for cid, block in parts(repo).items())]
    data = write_car([cid_of(high)], blocks)
    assert refusal(capsysbinary, tmp_path, data, "--dids", dids_file(tmp_path)) == "high_s_signature"
    assert verified(capsysbinary, tmp_path, data)["signature"] == "unchecked"


def test_the_slice_of_a_commit_is_no_export(tmp_path: Path, capsysbinary: Capture) -> None:
    event = commits("live-pds1")[-1]
    assert refusal(capsysbinary, tmp_path, event.blocks) in {"incomplete_tree", "record_block_missing"}


@pytest.mark.parametrize("block", [b"", b"\xff", b"not CBOR", encode([1]), b"\xa1\x61a\xf9\x3c\x00"], ids=repr)
def test_a_record_that_is_none_is_its_authors_fault(block: bytes, tmp_path: Path, capsysbinary: Capture) -> None:
    repo = Repo(DID, KEY)
    repo.commit([Write("create", "fm.plyr.track/a", block), Write("create", "fm.plyr.track/b", {"$type": "x"})])
    row = verified(capsysbinary, tmp_path, repo.export())
    assert (row["code"], row["records"], row["malformed_records"]) == (0, 2, 1)


def test_a_record_has_a_limit(tmp_path: Path, capsysbinary: Capture) -> None:
    repo = Repo(DID, KEY)
    repo.commit([Write("create", "fm.plyr.track/a", {"x": bytes(1_048_576)})])
    assert refusal(capsysbinary, tmp_path, repo.export()) == "record_too_large"


def test_many_keys_may_hold_one_record(tmp_path: Path, capsysbinary: Capture) -> None:
    # Were it decoded for each of them, a file of a megabyte would keep us for minutes.
    repo = Repo(DID, KEY)
    record = encode({"x": [0] * 120_000})
    repo.commit([Write("create", f"fm.plyr.track/{n:04}", record) for n in range(1_500)])
    row = verified(capsysbinary, tmp_path, repo.export())
    assert (row["records"], row["malformed_records"]) == (1_500, 0)


def test_keys_that_are_no_paths_are_counted_as_they_are(tmp_path: Path, capsysbinary: Capture) -> None:
    record = encode({"$type": "x"})
    tree = build({b"\xff\x00": cid_of(record), "ü/x\n".encode(): cid_of(record), b"no slash": cid_of(record)})
    unsigned = {"did": DID, "version": 3, "data": tree.cid, "rev": "3lbomqvqtzs2a", "prev": None}
    commit = sign_commit(unsigned, KEY)
    blocks = [Block(cid_of(commit), commit), Block(cid_of(record), record)]
    blocks += [Block(cid, block) for cid, block in tree.blocks().items()]
    row = verified(capsysbinary, tmp_path, write_car([cid_of(commit)], blocks))
    assert row["collections"] == {"no slash": 1, "ü": 1, "\ufffd\0": 1}


def test_other_blocks_at_the_root_are_no_commit(tmp_path: Path, capsysbinary: Capture) -> None:
    for block, reason in (
        (encode({"version": 2}), "commit_version"),
        (encode({}), "commit_version"),
        (b"", "bad_commit"),
    ):
        data = write_car([cid_of(block)], [Block(cid_of(block), block)])
        assert refusal(capsysbinary, tmp_path, data) == reason


def test_files_that_cannot_be_read_are_one_sentence(tmp_path: Path, capsysbinary: Capture) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with os.fdopen(os.open(pipe, os.O_RDWR), "rb"):
        for path, message in (
            (tmp_path / "nowhere", "No such file or directory"),
            (tmp_path, "Is a directory"),
            (pipe, "not a regular file"),
        ):
            ran = called(capsysbinary, "verify-car", path)
            assert (ran.code, ran.out) == (2, b"")
            assert ran.error.startswith(f"python -m ingester: {path} cannot be read: ")
            assert message in ran.error
            assert ran.error.count("\n") == 1


@pytest.mark.parametrize(
    "path", ["", "fm.plyr.track", "/", "fm.plyr.track/", "x/y", "fm.plyr.track/a/b", "\udcff", "a.b.c/\udcff"]
)
def test_a_proof_is_of_a_path(path: str, capsysbinary: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["verify-car", "any.car", "--proof", path])
    assert caught.value.code == 2
    assert b"is no collection and record key" in capsysbinary.readouterr().err


def test_a_name_that_no_utf8_spells_is_no_obstacle() -> None:
    ran = ingester("verify-car", os.fsdecode(b"\xff.car"))
    assert (ran.code, ran.out) == (2, b"")
    assert ran.error == "python -m ingester: \\udcff.car cannot be read: No such file or directory\n"


def test_a_rev_need_not_be_a_time(capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    """Some servers count their revs from 1970; their keys change all the same."""
    old, new = SigningKey.from_seed("old", K256), SigningKey.from_seed("new", K256)
    repo = Repo("did:plc:abcdefghijklmnopqrstuvwx", old, Host(now_us=1))
    repo.commit([Write("create", "fm.plyr.track/3laaaaaaaaaa2", {"$type": "fm.plyr.track"})])
    repo.rotate(new)
    repo.commit([Write("create", "fm.plyr.track/3laaaaaaaaaa3", {"$type": "fm.plyr.track"})])
    (tmp_path / "repo.car").write_bytes(repo.export())
    log = [
        {
            "did": repo.did,
            "operation": {"type": "plc_operation", "verificationMethods": {"atproto": f"did:key:{key.multikey}"}},
            "nullified": False,
            "createdAt": when,
        }
        for key, when in ((old, "2026-01-01T00:00:00Z"), (new, "2026-02-01T00:00:00Z"))
    ]
    (tmp_path / "dids.json").write_text(json.dumps({repo.did: {"log": log}}))
    ran = called(capsysbinary, "verify-car", tmp_path / "repo.car", "--dids", tmp_path / "dids.json")
    assert (ran.code, ran.rows[0].get("signature")) == (0, "ok"), ran


def test_a_proof_taken_for_an_export_says_how_to_verify_it(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    ran = called(capsysbinary, "verify-car", fixture("frames/cars/proof.car"))
    assert (ran.code, ran.rows[0]["reason"]) == (1, "incomplete_tree")
    assert "--proof" in ran.rows[0]["detail"]
