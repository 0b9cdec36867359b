"""What the dearest input costs that anyone may send: bounded, and searched for, not assumed."""

import random
import tracemalloc
from contextlib import suppress

import pytest

from ingester.repo.node import parse_node
from lexicons.drisl import MAX_ENTRIES
from lexicons.frames import CHEAP_BYTES, MAX_FRAME_BYTES, FrameError, decode_frame, glance
from tests.fuzz.cost import FILLERS, Nest, cost, dearest
from tests.fuzz.targets.node_target import RECORD, node_block, one_layer
from tests.writer.cbor import ARRAY, MAP, Raw, cid_of, encode, head

MOST_SECONDS = 2.0
"""Of processor time: no figure of speed, but what tells a bounded cost (a fifth of this at most) from a hang."""
MOST_MB = 128


def _glance(message: bytes) -> None:
    with suppress(FrameError):
        glance(message)


def _decode(message: bytes) -> None:
    with suppress(FrameError):
        decode_frame(message)


def _memory_mb(message: bytes) -> float:
    tracemalloc.start()
    _glance(message)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / (1 << 20)


@pytest.fixture(scope="module")
def worst() -> tuple[float, Nest]:
    return dearest(_glance, CHEAP_BYTES, random.Random(1), tries=15)


def test_a_glance_is_cheap_whatever_it_falls_on(worst: tuple[float, Nest]) -> None:
    seconds, nest = worst
    assert seconds < MOST_SECONDS, nest
    assert _memory_mb(nest.build(CHEAP_BYTES)) < MOST_MB, nest


def test_the_search_finds_what_is_dear(worst: tuple[float, Nest]) -> None:
    seconds, nest = worst
    assert seconds > 50 * cost(_glance, Nest(depth=0).build(CHEAP_BYTES))
    assert nest.depth > 100


@pytest.mark.parametrize("filler", FILLERS, ids=bytes.hex)
def test_a_full_frame_costs_no_more_than_its_entries(filler: bytes) -> None:
    half = (MAX_ENTRIES - 10) // 2
    array = Raw(head(ARRAY, half) + filler * half)
    frame = encode({"op": 1, "t": "#commit"}) + encode({"a": [array, array]})
    assert cost(_decode, frame) < MOST_SECONDS


def test_nodes_that_were_seen_do_not_stay() -> None:
    # 25 MB of them for each frame of 2 MB: keys are whole in memory, and share most of their bytes on the wire.
    keys = one_layer(b"fm.plyr.track/" + b"k" * 500, 2_000)
    block = node_block(keys, [RECORD] * len(keys), [None] * (len(keys) + 1))
    tracemalloc.start()
    for number in range(32):
        parse_node(block.replace(RECORD, cid_of(b"%d" % number)))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 16 << 20


@pytest.mark.parametrize("share", [1.0, 0.02])
def test_the_longest_frames_are_cheap_to_refuse(share: float) -> None:
    for nest in (Nest(ARRAY, 26, share, 30), Nest(MAP, 26, share, 30), Nest(ARRAY, 26, share, 1, b"\x80", headed=True)):
        assert cost(_decode, nest.build(MAX_FRAME_BYTES)) < MOST_SECONDS
