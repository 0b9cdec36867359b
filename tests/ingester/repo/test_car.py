import hashlib
import mmap
from collections.abc import Callable

import libipld
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingester.repo.car import MAX_BLOCK_BYTES, MAX_HEADER_BYTES, Car, CarIndex, index_car, read_car
from ingester.repo.errors import CarError
from lexicons.data import CID, encode
from tests.ingester.captured import CAPTURES, commits, syncs
from tests.shared import fixture

COMMIT, OTHER = b"\xa1\x61a\x01", b"\xa1\x61b\x02"
ROOT = CID.of(COMMIT)
MANY = 1_000


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes((*out, number))


def header(**fields: object) -> bytes:
    encoded = encode({"version": 1, "roots": [ROOT], **fields})
    return varint(len(encoded)) + encoded


def section(block: bytes, cid: bytes | None = None) -> bytes:
    cid = CID.of(block) if cid is None else cid
    return varint(len(cid) + len(block)) + cid + block


HEADER = header()
LONG_HEADER = header(roots=[ROOT, CID.of(OTHER)])
PLAIN = HEADER + section(COMMIT) + section(OTHER)


def both(data: bytes) -> Car:
    """The CAR as both readers have it, which must be the same or the same error."""
    car, again = _outcome(lambda: read_car(data, max_blocks=MANY)), _outcome(lambda: _indexed(data))
    if isinstance(car, CarError):
        assert isinstance(again, CarError)
        assert (again.reason, str(again)) == (car.reason, str(car))
        raise car
    assert car == again
    return car


def _outcome(read: Callable[[], Car]) -> Car | CarError:
    try:
        return read()
    except CarError as error:
        return error


def as_car(index: CarIndex) -> Car:
    blocks = {cid: block for cid in index.cids() if (block := index.block(cid)) is not None}
    assert len(blocks) == len(index)
    assert all(index.size(cid) == len(block) for cid, block in blocks.items())
    return Car(index.root, blocks)


def _indexed(data: bytes) -> Car:
    return as_car(index_car(data))


def refused(data: bytes, reason: str = "bad_car") -> None:
    with pytest.raises(CarError) as caught:
        both(data)
    assert caught.value.reason == reason


def test_a_car_is_its_root_and_its_blocks() -> None:
    assert both(PLAIN) == (ROOT, {bytes(ROOT): COMMIT, bytes(CID.of(OTHER)): OTHER})
    assert type(both(PLAIN).root) is bytes


def test_blocks_come_in_any_order_twice_and_more_than_are_needed() -> None:
    extra = section(b"extra", CID.of(b"extra", 0x55))
    car = both(HEADER + section(OTHER) + extra + section(COMMIT) + section(OTHER) + section(COMMIT))
    assert car.blocks == {**both(PLAIN).blocks, bytes(CID.of(b"extra", 0x55)): b"extra"}


def test_one_block_may_have_two_names() -> None:
    raw = CID.of(COMMIT, 0x55)
    assert both(PLAIN + section(COMMIT, raw)).blocks[raw] == COMMIT


def test_the_first_of_several_roots_counts() -> None:
    assert both(header(roots=[ROOT, CID.of(OTHER)]) + section(COMMIT)).root == ROOT
    assert both(header(roots=[ROOT, ROOT]) + section(COMMIT)).root == ROOT
    assert both(header(roots=[ROOT, CID(b"\x01\x55\x00\x00")])).root == ROOT
    assert both(header(roots=[ROOT, None, 5])).root == ROOT


def test_a_root_need_not_be_among_the_blocks_here() -> None:
    assert both(HEADER) == (ROOT, {})


def test_unknown_fields_of_the_header_are_ignored() -> None:
    assert both(header(characteristics={"x": b""}) + section(COMMIT)).root == ROOT


@pytest.mark.parametrize(
    "fields",
    [
        {"version": 2},
        {"version": 0},
        {"version": None},
        {"version": "1"},
        {"version": True},
        {"version": [1]},
        {"roots": []},
        {"roots": None},
        {"roots": ROOT},
        {"roots": {"0": ROOT}},
        {"roots": [None]},
        {"roots": [bytes(ROOT)]},
        {"roots": [str(ROOT)]},
        {"roots": [CID.of(COMMIT, 0x55)]},
        {"roots": [CID(b"\x01\x71\x13\x40" + bytes(64))]},
        {"roots": [CID(b"\x01\x71\x12\x1f" + bytes(31))]},
        {"roots": [CID(b"\x01\x55\x00\x00")]},
    ],
    ids=repr,
)
def test_another_version_or_root_is_refused(fields: dict[str, object]) -> None:
    refused(header(**fields) + section(COMMIT))


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"\xf6",
        b"\x80",
        b"\xa0",
        b"\xa1\x67version\x01",
        b"\xa1\x65roots\x81" + encode(ROOT),
        b"\xa2\x67version\x01\x65roots\x81" + encode(ROOT),
        b"\xa2\x65roots\x81" + encode(ROOT) + b"\x67version\x18\x01",
        b"\xa2\x65roots\x81" + encode(ROOT) + b"\x67version\xf9\x3c\x00",
        b"\xbf\x65roots\x81" + encode(ROOT) + b"\x67version\x01\xff",
        b"\xa2\x65roots\x81\xd8\x2a\x58\x24" + ROOT + b"\x67version\x01",
        HEADER[1:] + b"\x00",
        HEADER[1:-1],
        b"\x81" * 2_000,
    ],
    ids=repr,
)
def test_a_header_that_is_not_canonical_is_refused(encoded: bytes) -> None:
    refused(varint(len(encoded)) + encoded + section(COMMIT))


def test_a_header_has_a_limit() -> None:
    padding = MAX_HEADER_BYTES - len(encode({"version": 1, "roots": [ROOT], "x": bytes(300)})) + 300
    assert both(header(x=bytes(padding))).root == ROOT
    refused(header(x=bytes(padding + 1)))


@pytest.mark.parametrize(
    "number",
    [
        b"\x80",
        b"\xff",
        b"\x80\x00",
        b"\xba\x00",  # 58, not minimal
        b"\xba\x80\x00",
        b"\x80" * 9 + b"\x01",  # ten bytes
        b"\xff" * 8 + b"\x7f",  # 2^63-1 in nine
        b"\xff" * 100,
        b"\x00",
    ],
    ids=repr,
)
def test_a_length_is_minimal_and_ends(number: bytes) -> None:
    refused(number + HEADER[1:] + section(COMMIT))
    refused(HEADER + number + section(COMMIT)[1:])
    refused(HEADER + number)


@pytest.mark.parametrize("start", [HEADER, LONG_HEADER], ids=["short header", "long header"])
def test_a_car_cut_within_a_block_or_the_header_is_refused(start: bytes) -> None:
    data = start + section(COMMIT) + section(b"\x58\xc8" + bytes(200))
    ends = {len(start), len(start + section(COMMIT)), len(data)}
    for cut in range(len(data)):
        if cut in ends:
            both(data[:cut])
        else:
            refused(data[:cut])


def test_every_byte_of_a_block_counts() -> None:
    data = HEADER + section(COMMIT) + section(OTHER)
    for at in range(len(HEADER) + 1 + 4, len(HEADER) + 1 + 36 + len(COMMIT)):
        flipped = bytearray(data)
        flipped[at] ^= 1
        refused(bytes(flipped), "block_hash_mismatch")


def test_a_block_is_not_hashed_by_what_its_cid_says() -> None:
    digest = hashlib.sha256(COMMIT).digest()
    for cid in (
        b"\x01\x71\x00\x20" + digest,  # identity
        b"\x01\x71\x00" + varint(len(COMMIT)) + COMMIT,
        b"\x01\x71\x13\x40" + hashlib.sha512(COMMIT).digest(),
        b"\x01\x71\x16\x20" + hashlib.sha3_256(COMMIT).digest(),
        b"\x01\x70\x12\x20" + digest,  # dag-pb
        b"\x01\x00\x12\x20" + digest,
        b"\x12\x20" + digest,  # version 0
        b"\x02\x71\x12\x20" + digest,
        b"\x01\xf1\x00\x12\x20" + digest,
        b"\x01\x71\x12\x1f" + digest[:31],
        b"",
    ):
        refused(HEADER + section(COMMIT, cid))
    refused(HEADER + section(COMMIT, CID.of(OTHER)), "block_hash_mismatch")
    refused(HEADER + section(b"", CID.of(OTHER)), "block_hash_mismatch")
    assert both(HEADER + section(b"")).blocks == {bytes(CID.of(b"")): b""}


def test_a_block_shorter_than_a_cid_is_refused() -> None:
    for length in range(36):
        refused(HEADER + varint(length) + bytes(ROOT)[:length] + section(COMMIT))
    refused(HEADER + varint(0))


def test_a_block_has_a_limit() -> None:
    block = bytes(MAX_BLOCK_BYTES - 36)
    assert both(HEADER + section(block)).blocks[bytes(CID.of(block))] == block
    refused(HEADER + section(block + b"\0"))


def test_the_number_of_blocks_has_a_limit() -> None:
    data = HEADER + b"".join(section(bytes((n,))) for n in range(10))
    assert len(read_car(data, max_blocks=10).blocks) == 10
    with pytest.raises(CarError) as caught:
        read_car(data, max_blocks=9)
    assert caught.value.reason == "car_too_many_blocks"
    assert len(read_car(data + section(b"\0") * 5, max_blocks=10).blocks) == 10


def test_nothing_is_no_car() -> None:
    refused(b"")


@pytest.mark.parametrize("name", CAPTURES)
def test_what_was_captured_is_read_as_another_reader_reads_it(name: str) -> None:
    cars = [event.blocks for event in commits(name)] + [event.blocks for event in syncs(name)]
    for data in cars[:200]:
        car = both(data)
        other_header, other_blocks = libipld.decode_car(data)
        assert car.root == other_header["roots"][0]
        assert car.blocks.keys() == other_blocks.keys()


@pytest.mark.parametrize("name", ["bob", "carol", "zoe", "proof", "proof-absent"])
def test_exports_are_read_from_a_mapped_file(name: str) -> None:
    path = fixture(f"frames/cars/{name}.car")
    progress: list[int] = []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        car = as_car(index_car(data, on_progress=progress.append))
    assert both(path.read_bytes()) == car
    assert progress == []


def test_thousands_of_blocks_are_found_among_one_another() -> None:
    blocks = [n.to_bytes(3) for n in range(30_000)]
    index = index_car(HEADER + b"".join(map(section, [*blocks, *blocks[::7]])))
    assert len(index) == len(blocks)
    assert [index.block(CID.of(block)) for block in blocks] == blocks
    assert sorted(index.cids()) == sorted(map(CID.of, blocks))
    for absent in (CID.of(b"absent"), CID.of(blocks[5], 0x55), CID.of(blocks[5])[:-1], b""):
        assert (index.block(absent), index.size(absent)) == (None, -1)


def test_progress_is_told_now_and_then() -> None:
    data = HEADER + b"".join(section(n.to_bytes(2)) for n in range(9_000))
    progress: list[int] = []
    index_car(data, on_progress=progress.append)
    assert len(progress) == 2
    assert progress == sorted(progress)
    assert progress[-1] < len(data)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=100), st.sampled_from([b"", HEADER, LONG_HEADER, HEADER + section(COMMIT)]))
def test_random_bytes_are_a_car_or_a_car_error(tail: bytes, start: bytes) -> None:
    _only_car_errors(start + tail)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_car_with_a_byte_changed_is_a_car_or_a_car_error(data: st.DataObject) -> None:
    car = bytearray(PLAIN)
    car[data.draw(st.integers(0, len(car) - 1))] ^= data.draw(st.integers(1, 255))
    _only_car_errors(bytes(car))


def _only_car_errors(data: bytes) -> None:
    try:
        car = both(data)
    except CarError:
        return
    assert all(cid[4:] == hashlib.sha256(block).digest() for cid, block in car.blocks.items())
