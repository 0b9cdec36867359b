"""A little of the network, the same in every run: accounts that sign, their frames, the truth about each commit.

Keys sign deterministically, so that an input kept from an earlier run still verifies in this one.
"""

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.shared import FIXTURES
from tests.writer.car import write_car
from tests.writer.cbor import Link, cid_of
from tests.writer.keys import K256, P256, Curve, SigningKey
from tests.writer.mining import mine
from tests.writer.repo import CommitEvent, Head, Host, Repo, Write, error, info

NOW_US = 1_790_000_100_000_000
_ECDSA = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
_MAX_CAPTURED = 8_192
"""Bytes; longer frames teach a fuzzer nothing and slow it down."""


class SteadyKey(SigningKey):
    """A key whose signatures are a function of the message (RFC 6979)."""

    def _sign(self, message: bytes) -> tuple[int, int]:
        return decode_dss_signature(self._private.sign(message, _ECDSA))


@dataclass(frozen=True)
class Step:
    """One genuine commit: its frame, what a verifier held before it, and all leaves of the tree after it."""

    event: CommitEvent
    before: Head | None
    leaves: dict[bytes, Link]
    frame: bytes

    @property
    def commit(self) -> Link:
        """The CID of the signed commit."""
        return cid_of(self.event.signed)

    @property
    def car(self) -> bytes:
        """The blocks that the frame carries."""
        return write_car([self.commit], self.event.blocks(self.event.signed))


@dataclass(frozen=True)
class History:
    """All that one account ever sent: commits in order, and the other frames; the repository as it stands."""

    did: str
    key: SigningKey
    repo: Repo
    steps: tuple[Step, ...]
    others: tuple[bytes, ...]


@lru_cache
def histories() -> tuple[History, ...]:
    """Three accounts: one of either curve, and last the hostile one, whose key the mutators hold and use."""
    return (_history("honest-p", P256, 11), _history("honest-k", K256, 12), _history("hostile", K256, 13))


def _history(name: str, curve: Curve, seed: int) -> History:
    key = SteadyKey.from_seed(name, curve)
    rng = random.Random(seed)
    repo = Repo(f"did:plc:{name}", key, Host(now_us=1_790_000_000_000_000))
    steps = [_step(repo, [])]
    for count, mined in ((1, None), (3, 1), (1, 2), (12, None), (2, 3), (1, 0), (20, None)):
        steps.append(_step(repo, [_create(rng, mined) for _ in range(count)]))
        present = [path.decode() for path in repo.leaves]
        steps.append(_step(repo, [Write("update", rng.choice(present), _record(rng))]))
    for size in (1, 2, 5):
        present = [path.decode() for path in rng.sample(list(repo.leaves), size)]
        steps.append(_step(repo, [Write("delete", path) for path in present]))
    gone, changed = (path.decode() for path in rng.sample(list(repo.leaves), 2))
    writes = [_create(rng, 2), _create(rng, None), Write("delete", gone), Write("update", changed, _record(rng))]
    steps.append(_step(repo, writes))
    others = (repo.sync(), repo.identity(), repo.identity(with_handle=False), repo.account())
    return History(repo.did, key, repo, tuple(steps), (*others, repo.account(active=False, status="takendown")))


def _step(repo: Repo, writes: list[Write]) -> Step:
    before = repo.head
    repo.host.advance()
    event = repo.commit(writes)
    return Step(event, before, repo.leaves, event.frame())


def _create(rng: random.Random, height: int | None) -> Write:
    collection = rng.choice(("fm.plyr.track", "fm.plyr.like"))
    return Write("create", mine(rng, height, collection=collection), _record(rng))


def _record(rng: random.Random) -> dict[str, object]:
    return {"$type": "fm.plyr.track", "title": "a" * rng.randrange(1, 30), "n": rng.getrandbits(40)}


def steps() -> Iterator[tuple[History, Step]]:
    """Every genuine commit, with the account it is of."""
    for history in histories():
        for step in history.steps:
            yield history, step


def frames() -> Iterator[bytes]:
    """Hand-made frames of every kind, then captured ones where they stand beside this checkout."""
    for history in histories():
        yield from (step.frame for step in history.steps)
        yield from history.others
    yield info("OutdatedCursor", "Requested cursor exceeded limit.")
    yield error("FutureCursor", "Cursor in the future.")
    folder = FIXTURES / "frames"
    for pattern in ("live-*.bin", "arroba/*.bin", "errors/*.bin"):
        for path in sorted(folder.glob(pattern)):
            yield from _captured(path)


def _captured(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    while data:
        (size,) = struct.unpack_from(">I", data)
        if size <= _MAX_CAPTURED:
            yield data[4 : 4 + size]
        data = data[4 + size :]


def cars() -> Iterator[bytes]:
    """CARs: of hand-made commits, of whole repositories, and short captured ones where there are any."""
    for history in histories():
        yield from (step.car for step in history.steps)
        yield history.repo.export()
    for path in sorted((FIXTURES / "frames" / "cars").glob("*.car")):
        if path.stat().st_size <= _MAX_CAPTURED:
            yield path.read_bytes()
