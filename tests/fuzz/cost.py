"""Looking for the dearest input: what can a hostile sender make one call cost, within the bytes it may send?

libipld allocates what arrays say they hold before it looks, so the shapes tried are nests of containers with claims.
A nest is given by how often it opens, the head it opens with, and how much each claims of what is left behind it.
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from tests.writer.cbor import ARRAY, MAP, encode, wide_head

_WIDTHS = {24: 1, 25: 2, 26: 4, 27: 8}
_HEADER = encode({"op": 1, "t": "#commit"})


@dataclass(frozen=True, slots=True)
class Nest:
    """Containers within containers, each first in the one around it, up to a frame's size."""

    major: int = ARRAY
    info: int = 25
    share: float = 1.0
    """How much of the bytes behind it a container says are its entries."""
    depth: int = 1_000
    filler: bytes = b"\xf6"
    """What the innermost holds, over and over."""
    headed: bool = False
    """Whether a frame's header comes first."""

    def build(self, size: int) -> bytes:
        """The input, of just `size` bytes."""
        out = bytearray(_HEADER if self.headed else b"")
        width = _WIDTHS[self.info]
        key = b"\x61a" if self.major == MAP else b""
        for _ in range(self.depth):
            left = size - len(out) - 1 - width
            if left <= 0:
                break
            claim = min(int(left * self.share) // (2 if key else 1), (1 << 8 * width) - 1)
            out += wide_head(self.major, claim, self.info, width) + key
        out += self.filler * ((size - len(out)) // len(self.filler) + 1)
        return bytes(out[:size])

    def changed(self, rng: random.Random) -> "Nest":
        """A neighbour of this shape."""
        match rng.randrange(5):
            case 0:
                return replace(self, share=rng.choice((1.0, 0.999, rng.random())))
            case 1:
                return replace(self, depth=max(1, int(self.depth * rng.choice((0.5, 0.9, 1.1, 2)))))
            case 2:
                return replace(self, info=rng.choice(tuple(_WIDTHS)))
            case 3:
                return replace(self, filler=rng.choice(FILLERS))
            case _:
                return replace(self, headed=not self.headed)


FILLERS = (b"\xf6", b"\x80", b"\xa0", b"\x40", b"\x61a", b"\x18\xff", b"\xa1\x61a\xa0", b"\x81\x80", b"\xff")


def starts() -> Iterator[Nest]:
    """Where the climb begins: flat and full of each filler, deep and bare, in between."""
    yield from (Nest(depth=0, filler=filler) for filler in FILLERS)
    yield from (Nest(major, depth=depth) for major in (ARRAY, MAP) for depth in (1, 30, 300, 1_000, 10_000))


def dearest(call: Callable[[bytes], object], size: int, rng: random.Random, tries: int) -> tuple[float, Nest]:
    """The most processor time, in seconds, that a hill climb of `tries` steps makes `call` take, and the shape."""
    worst, best = 0.0, Nest()
    for nest in starts():
        if (found := cost(call, nest.build(size), worst)) > worst:
            worst, best = found, nest
    for _ in range(tries):
        nest = best.changed(rng)
        if (found := cost(call, nest.build(size), worst)) > worst:
            worst, best = found, nest
    return worst, best


def cost(call: Callable[[bytes], object], data: bytes, floor: float = 0.0) -> float:
    """The processor time of one call, in seconds: above `floor` the least of three, and 0.0 below it."""
    return min(_time(call, data) for _ in range(3)) if _time(call, data) > floor else 0.0


def _time(call: Callable[[bytes], object], data: bytes) -> float:
    started = time.process_time()
    call(data)
    return time.process_time() - started
