"""CARs: two readers, the one that holds blocks and the one that only knows where they lie, must be of one mind."""

import random
from collections.abc import Callable, Iterator
from mmap import mmap

from ingester.repo.car import Car, index_car, read_car
from ingester.repo.errors import CarError
from tests.fuzz import history
from tests.fuzz.mutation import mutate_value
from tests.fuzz.target import Havoc, Target, require
from tests.writer import car as writer
from tests.writer.car import Block, car_header, section, varint
from tests.writer.cbor import Raw, Value, cid_of

MAX_BLOCKS = 200


def check(data: bytes) -> bool:
    """Only CarError; `read_car` and `index_car` give the same root and blocks, or refuse for the same reason."""
    held = _outcome(lambda: read_car(data, max_blocks=MAX_BLOCKS))
    indexed = _outcome(lambda: _by_index(data))
    if held == "car_too_many_blocks":
        return False
    require(held == indexed, "read_car and index_car do not agree")
    if data:
        with mmap(-1, len(data)) as mapped:
            mapped[:] = data
            require(_outcome(lambda: _by_index(mapped)) == held, "index_car reads a mapped file otherwise")
    return isinstance(held, Car)


def _outcome(read: Callable[[], Car]) -> Car | str:
    try:
        return read()
    except CarError as error:
        return error.reason


def _by_index(data: bytes | mmap) -> Car:
    index = index_car(data)
    blocks = {cid: block for cid in index.cids() if (block := index.block(cid)) is not None}
    require(len(blocks) == len(index), "a block of the index is not found in it")
    return Car(index.root, blocks)


def mutate(data: bytes, rng: random.Random, havoc: Havoc) -> bytes:
    """Change a header or a block by its meaning, with the hashes put right; blind where it is no CAR."""
    try:
        car = writer.read_car(data)
    except writer.CarError:
        return havoc(data, len(data) + 300)
    roots: Value = list(car.roots)
    blocks = [Raw(section(block)) for block in car.blocks]
    at = rng.randrange(len(blocks) + 1)
    match rng.randrange(8):
        case 0:
            return havoc(data, len(data) + 300)
        case 1:
            roots = mutate_value(roots, rng, havoc)
        case 2:
            header = mutate_value({"version": 1, "roots": roots}, rng, havoc)
            return car_header(header) + b"".join(blocks)
        case 3:
            rng.shuffle(blocks)
        case 4:
            blocks[at:at] = blocks[at : at + 1] * rng.choice((1, 2, MAX_BLOCKS))
        case 5:
            del blocks[at : at + rng.choice((1, 1, 5))]
        case 6 if at < len(blocks):
            blocks[at] = Raw(section(_changed(car.blocks[at], rng, havoc)))
        case _:
            blocks.insert(at, Raw(_odd_section(rng)))
    return car_header({"version": 1, "roots": roots}) + b"".join(blocks)


def _changed(block: Block, rng: random.Random, havoc: Havoc) -> Block:
    changed = havoc(block.data, len(block.data) + 300)
    return Block(cid_of(changed, rng.choice((0x71, 0x71, 0x55))), changed)


def _odd_section(rng: random.Random) -> bytes:
    size = rng.choice((0, 1, 35, 36, 37, 127, 128, 5_000_000, 2**63, 2**70))
    start = rng.choice((varint(size), b"\x80" * 9 + b"\x00", b"\xa4\x00", b"\x80\x00"))
    return start + rng.choice((b"", bytes(36), cid_of(b""), b"\x01\x71\x00\x20" + bytes(32)))


def seeds() -> Iterator[bytes]:
    """Hand-made and captured CARs, and one with two roots, whose header is not the usual one."""
    yield from history.cars()
    _, step = next(history.steps())
    yield car_header({"version": 1, "roots": [step.commit, step.commit]}) + step.car[59:]


TARGET = Target(check, seeds, mutate, max_len=16_384)
