"""What stands between a host and us, and does not do its work: wires that lose frames, exports that are none."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

from aiohttp import web

from tests.system.synthetic import CAR
from tests.writer.captured import open_frame
from tests.writer.car import read_car, write_car

REACH: Final = 6
"""How many frames later at most one comes that is late."""
PATIENCE: Final = 2.0
"""Seconds that a slow export takes in all."""


class Lossy:
    """A wire that drops a share of the frames, sends as many twice, and as many too late, out of their order."""

    def __init__(self, rng: random.Random, share: float) -> None:
        self.done: Counter[str] = Counter()
        self.lost: list[bytes] = []
        """What did not arrive when it should: a frame that comes behind a newer one is no better than a lost one."""
        self._rng = rng
        self._share = share
        self._late: list[list[Any]] = []

    def __call__(self, frame: bytes) -> list[bytes]:
        """The frames that arrive when `frame` is sent."""
        fate = int(self._rng.random() / self._share)
        arriving = [] if fate in (0, 2) else [frame]
        if fate in (0, 2):
            self.lost.append(frame)
        if fate in (1, 2):
            self._late.append([self._rng.randint(1, REACH), frame])
        if fate < 3:
            self.done[("dropped", "duplicated", "reordered")[fate]] += 1
        for late in self._late:
            late[0] -= 1
        arriving += [frame for wait, frame in self._late if wait <= 0]
        self._late = [late for late in self._late if late[0] > 0]
        return arriving

    def unheard(self) -> frozenset[str]:
        """The accounts of whose end it has lost the news."""
        return ended(self.lost)


def ended(frames: Iterable[bytes]) -> frozenset[str]:
    """The accounts of whose end these frames tell."""
    return frozenset(
        payload["did"]
        for header, payload in map(open_frame, frames)
        if header["t"] == "#account" and payload.get("status") == "deleted"
    )


class Stingy:
    """Loses the next commit of each of its `victims`; the one after it shows that, and the repository is fetched."""

    def __init__(self) -> None:
        self.victims: set[str] = set()
        self.hurt: set[str] = set()
        self.dropped = 0

    def __call__(self, frame: bytes) -> list[bytes]:
        """The frames that arrive when `frame` is sent."""
        header, payload = open_frame(frame)
        if header["t"] == "#commit" and payload["repo"] in self.victims:
            self.victims.discard(payload["repo"])
            self.hurt.add(payload["repo"])
            self.dropped += 1
            return []
        return [frame]


class Broken:
    """Exports that are cut, incomplete, slow, or broken off: `cut` for `answers_with`, `send` for `sends` of a PDS."""

    def __init__(self, rng: random.Random) -> None:
        self.done: Counter[str] = Counter()
        self._rng = rng
        self._cuts: list[tuple[str, Callable[[bytes], bytes]]] = [
            ("truncated", self._truncated),
            ("without a block", self._without_a_block),
            ("without records", self._without_records),
            ("empty", lambda _: b""),
            ("whole", bytes),
        ]

    def cut(self, export: bytes) -> bytes:
        """What is left of an export."""
        name, cut = self._rng.choice(self._cuts)
        self.done[name] += 1
        return cut(export)

    async def send(self, request: web.Request, export: bytes) -> web.StreamResponse:
        """Send an export a little at a time, or not to its end. One that is cut is never sent as if it were whole."""
        response = web.StreamResponse(headers={"content-type": CAR})
        is_broken_off = self._rng.random() < 0.5
        self.done["broken off" if is_broken_off else "slow"] += 1
        if is_broken_off and self._rng.random() < 0.5:
            response.content_length = len(export)  # else it is chunked, and the last chunk does not come
        await response.prepare(request)
        end = self._rng.randrange(len(export)) if is_broken_off and export else len(export)
        step = max(1, len(export) // 8)
        for start in range(0, end, step):
            await response.write(export[start : min(start + step, end)])
            await asyncio.sleep(PATIENCE / 8)
        if is_broken_off and request.transport is not None:
            request.transport.abort()
        return response

    def _truncated(self, export: bytes) -> bytes:
        return export[: self._rng.randrange(len(export))]

    def _without_a_block(self, export: bytes) -> bytes:
        """A sound CAR, which lacks one node or record of the tree."""
        car = read_car(export)
        missing = self._rng.randrange(1, len(car.blocks)) if len(car.blocks) > 1 else 0
        return write_car(car.roots, [block for place, block in enumerate(car.blocks) if place != missing])

    def _without_records(self, export: bytes) -> bytes:
        """A sound CAR, of the commit alone."""
        car = read_car(export)
        return write_car(car.roots, car.blocks[:1])
