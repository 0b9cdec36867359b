"""Our frames read by other libraries, and the reference PDS's frames made again by us."""

import random

import cbor2
import libipld
import pytest
from atproto_core.car import CAR
from atproto_firehose import parse_subscribe_repos_message
from atproto_subscription.frames import Frame, MessageFrame

from tests.shared import fixture
from tests.writer.captured import Directory, open_frame, read_frames
from tests.writer.car import Block, CarError, hashes_right, read_car, varint, write_car
from tests.writer.cbor import Link, cid_of, decode, encode
from tests.writer.keys import K256, P256, SigningKey, verify
from tests.writer.mining import mine
from tests.writer.mst import Node, build
from tests.writer.proof import Op, Stub, covering_nodes, invert, read_tree
from tests.writer.repo import Host, Repo, Write, error, info, tid, tid_time

DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"


def a_repo(seed: int = 1) -> tuple[random.Random, Repo]:
    rng = random.Random(seed)
    repo = Repo(DID, SigningKey.from_seed(f"repo {seed}", rng.choice((K256, P256))), Host())
    repo.commit()
    repo.commit([Write("create", mine(rng), {"$type": "fm.plyr.track", "n": n}) for n in range(60)])
    return rng, repo


def test_captured_commits_made_again() -> None:
    """Each frame, node and root of 7,687 captured commits is what we make of the same operations."""
    directory = Directory(fixture("frames/load.dids.json"))
    trees: dict[str, Node] = {}
    leaves: dict[str, dict[bytes, Link]] = {}
    commits = 0
    for frame in read_frames(fixture("frames/load-commits-pds1.bin")):
        header, payload = open_frame(frame)
        assert encode(header) + encode(payload) == frame
        if header["t"] != "#commit":
            continue
        commits += 1
        car = read_car(payload["blocks"])
        assert all(map(hashes_right, car.blocks))
        assert write_car(car.roots, car.blocks) == payload["blocks"]
        did, blocks = payload["repo"], {Link(block.cid): block.data for block in car.blocks}
        commit = decode(blocks[payload["commit"]])
        unsigned = {name: value for name, value in commit.items() if name != "sig"}
        assert encode(commit) == blocks[payload["commit"]]
        if commits % 5 == 0:  # OpenSSL is slow with this curve
            assert verify(directory.multikey(did, payload["time"]), encode(unsigned), commit["sig"])
        ops = [Op(op["action"], op["path"], op["cid"], op.get("prev")) for op in payload["ops"]]
        assert [op.wire() for op in ops] == payload["ops"]
        held = leaves.setdefault(did, {})
        held.update({op.key: op.cid for op in ops if op.cid is not None})
        tree = build(held)
        assert tree.cid == commit["data"]
        fresh, others = covering_nodes(trees.get(did), tree, sorted(held), [op.key for op in ops])
        records = {op.cid for op in ops}
        assert fresh.keys() | others.keys() | records | {payload["commit"]} == blocks.keys()
        assert all(blocks[cid] == block for cid, block in (fresh | others).items())
        if "prevData" in payload:
            assert payload["prevData"] == trees[did].cid == invert(blocks, tree.cid, ops)
        trees[did] = tree
    assert commits == 7687


@pytest.mark.parametrize("name", ["bob", "carol", "zoe"])
def test_captured_repositories_rebuilt(name: str) -> None:
    car = read_car(fixture(f"frames/cars/{name}.car").read_bytes())
    assert all(map(hashes_right, car.blocks))
    blocks = {Link(block.cid): block.data for block in car.blocks}
    data = decode(blocks[car.roots[0]])["data"]
    leaves = {item[0]: item[1] for item in read_tree(blocks, data) if not isinstance(item, Stub)}
    tree = build(leaves)
    assert tree.cid == data
    assert tree.blocks().keys() | set(leaves.values()) | {car.roots[0]} == blocks.keys()


def test_frames_as_other_libraries_read_them() -> None:
    rng, repo = a_repo()
    old = next(iter(repo.leaves)).decode()
    event = repo.commit([Write("create", mine(rng), {"$type": "fm.plyr.track"}), Write("delete", old)])
    header, payload = libipld.decode_dag_cbor_multi(event.frame())
    assert (header, payload["repo"], payload["rev"]) == ({"op": 1, "t": "#commit"}, DID, event.rev)
    message = Frame.from_bytes(event.frame())
    assert isinstance(message, MessageFrame)
    parsed = parse_subscribe_repos_message(message)
    assert [(op.action, op.path) for op in parsed.ops] == [(op.action, op.path) for op in event.ops]
    car = CAR.from_bytes(parsed.blocks)
    assert str(car.root) == str(cid_of(event.signed))
    assert {str(cid) for cid in car.blocks} == {str(Link(block.cid)) for block in event.blocks(event.signed)}
    for frame in (repo.sync(), repo.identity(), repo.account(active=False, status="deactivated"), info("a", "b")):
        message = Frame.from_bytes(frame)
        assert isinstance(message, MessageFrame)
        parse_subscribe_repos_message(message)
    assert cbor2.loads(error("FutureCursor", "x")) == {"op": -1}


def test_frame_has_the_fields_of_the_reference() -> None:
    rng, repo = a_repo()
    path = mine(rng)
    create, update, delete = repo.create(path, {"a": 1}), repo.update(path, {"a": 2}), repo.delete(path)
    captured = [open_frame(frame) for frame in read_frames(fixture("frames/live-pds1.bin"))]
    shapes = {(kind["t"], frozenset(body), *_op_shapes(body)) for kind, body in captured}
    first = Repo(DID, repo.key, repo.host).commit()
    frames = [event.frame() for event in (create, update, delete, first)]
    for frame in [*frames, repo.sync(), repo.identity(), repo.account()]:
        kind, body = open_frame(frame)
        assert (kind["t"], frozenset(body), *_op_shapes(body)) in shapes


def _op_shapes(body: dict[str, list[dict[str, object]]]) -> set[tuple[str, ...]]:
    return {(str(op["action"]), *sorted(op)) for op in body.get("ops", [])}


def test_chain() -> None:
    rng, repo = a_repo()
    head = repo.head
    assert head is not None
    event = repo.create(mine(rng), {"a": 1})
    assert (event.since, event.prev_data) == head
    assert event.rev > head.rev
    assert event.frame() == event.frame()
    assert invert(event.nodes, event.data, event.ops) == head.data
    first = Repo(DID, repo.key).commit()
    assert (first.since, first.prev_data, first.ops) == (None, None, ())
    assert str(first.data) == "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm"


def test_impossible_writes_are_refused() -> None:
    rng, repo = a_repo()
    path, known = mine(rng), next(iter(repo.leaves)).decode()
    for writes in (
        [Write("update", path, {})],
        [Write("delete", path)],
        [Write("create", known, {})],
        [Write("create", path)],
        [Write("create", path, {}), Write("delete", path)],
    ):
        with pytest.raises(ValueError, match="Nothing can"):
            repo.commit(writes)


def test_revs_increase_on_a_standing_clock() -> None:
    host = Host()
    revs = [host.tid() for _ in range(100)]
    assert revs == sorted(set(revs))
    assert tid_time(revs[0]) == host.now_us
    assert tid(0, 1) == "2222222222223"


def test_rotation_and_migration() -> None:
    rng, repo = a_repo()
    assert repo.key is not None
    old, new = repo.key, SigningKey.from_seed("new", P256)
    head = repo.head
    frames = [
        open_frame(frame) for frame in repo.migrate(Host("https://new.example", now_us=1_800_000_000_000_000), new)
    ]
    assert [kind["t"] for kind, _ in frames] == ["#identity", "#account", "#identity", "#sync"]
    _, sync = frames[-1]
    signed = decode(read_car(sync["blocks"]).blocks[0].data)
    unsigned = {name: value for name, value in signed.items() if name != "sig"}
    assert sync["rev"] != signed["rev"]
    assert verify(old.multikey, encode(unsigned), signed["sig"])
    event = repo.create(mine(rng), {"a": 1})
    assert (event.since, event.prev_data) == head
    assert verify(new.multikey, encode(event.unsigned()), event.signature())
    assert repo.did_document()["verificationMethod"][0]["publicKeyMultibase"] == new.multikey
    assert repo.did_document()["service"][0]["serviceEndpoint"] == "https://new.example"


def test_export() -> None:
    _, repo = a_repo()
    plain, wild = repo.export(), repo.export(random.Random(1), duplicates=5, extra=[Block(cid_of(b"x"), b"x")])
    car = read_car(plain)
    blocks = {Link(block.cid): block.data for block in car.blocks}
    assert str(CAR.from_bytes(plain).root) == str(car.roots[0])
    items = read_tree(blocks, decode(blocks[car.roots[0]])["data"])
    assert items == list(repo.leaves.items())
    assert set(repo.leaves.values()) <= blocks.keys()
    other = read_car(wild)
    assert {block.cid for block in other.blocks} == {block.cid for block in car.blocks} | {cid_of(b"x")}
    assert len(other.blocks) == len(car.blocks) + 6


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"\x80" * 20, varint(5) + b"abc", write_car([cid_of(b"x")], [Block(b"short", b"")])]
)
def test_broken_cars_are_refused(data: bytes) -> None:
    with pytest.raises(CarError):
        read_car(data)
