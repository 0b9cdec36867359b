"""An upstream that lies: it forges, strips, replays and floods, about accounts that others report honestly."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from tests.network import records
from tests.system.life import Life
from tests.system.relay import Upstream, renumbered
from tests.system.synthetic import Account, Directory, Pds, did_of
from tests.writer.captured import open_frame
from tests.writer.car import read_car, write_car
from tests.writer.cbor import CborError, Link, encode
from tests.writer.forge import FORGERIES
from tests.writer.keys import CURVES, K256, SigningKey
from tests.writer.repo import CommitEvent, Host, Repo, Write, message, timestamp
from tests.writer.witness import examine

PAUSE: Final = 0.004
"""Seconds between two attacks."""
FLOOD: Final = 20
"""Messages of one flood."""
GARBAGE: Final = 0.002
"""The share of frames behind which one comes that cannot be read, and drops the connection."""
MAX_FRAME: Final = 5_000_000

Attack = Callable[[], Sequence[bytes]]
Tamper = Callable[[CommitEvent, dict[str, Any]], object]


class Hostile(Upstream):
    """Speaks of the accounts of `life` while `attack` runs; `done` counts what it has sent, by kind."""

    def __init__(self, rng: random.Random, directory: Directory, pdses: Sequence[Pds], life: Life) -> None:
        super().__init__()
        self.done: Counter[str] = Counter()
        self._rng = rng
        self._directory = directory
        self._pdses = pdses
        self._life = life
        self._forgeries = list(FORGERIES.values())
        self._attacks: dict[str, Attack] = {
            "signed by others": self._signed_by_others,
            "of other accounts": self._of_other_accounts,
            "stripped": self._stripped,
            "from the table of forgeries": self._from_the_table,
            "replayed": self._replayed,
            "lies about accounts": self._lies,
            "of nobody": self._of_nobody,
        }
        self._unreadable = b"\xff" * 64
        self.stream.wire = self._with_garbage

    async def attack(self) -> None:
        """Attack for ever."""
        while True:
            name = self._rng.choice(list(self._attacks))
            for frame in self._attacks[name]():
                if _has_envelope(frame):
                    self.send(frame)
                    self.done[name] += 1
                else:  # it cannot be numbered, and drops the connection
                    self._unreadable = frame
            await asyncio.sleep(PAUSE)

    def _with_garbage(self, frame: bytes) -> Sequence[bytes]:
        if self._rng.random() > GARBAGE:
            return (frame,)
        self.done["unreadable"] += 1
        garbage = (self._unreadable, self._rng.randbytes(200), frame[: len(frame) // 2], b"", b"\0" * (MAX_FRAME + 1))
        return (frame, self._rng.choice(garbage))

    def _victim(self) -> Account:
        """Somebody who writes, with something that can be turned against them."""
        return self._rng.choice([account for account in self._life.accounts if account.active and account.repo.last])

    def _newest(self, account: Account) -> CommitEvent:
        event = account.repo.last
        if event is None:
            raise RuntimeError("An account begins with a commit.")
        return event

    # --- attacks ---

    def _signed_by_others(self) -> Sequence[bytes]:
        """What chains in every way, on a copy of the repository, but for the key; or a #sync to it."""
        repo = self._victim().repo
        key = SigningKey.from_seed(str(self._rng.getrandbits(64)), self._rng.choice(CURVES))
        host = Host(repo.host.url, repo.host.now_us + 1_000)
        fake = Repo(repo.did, key, host, repo.handle, dict(repo.leaves), repo.records.copy(), repo.tree, repo.last)
        writes = [Write("create", f"{records.TRACK}/{host.tid()}", records.track("Forged"))]
        writes += [Write("delete", path.decode()) for path in list(repo.leaves)[:3]]
        return [fake.commit(writes).frame(), fake.sync()]

    def _of_other_accounts(self) -> Sequence[bytes]:
        """A true commit, said to be of somebody else."""
        event, other = self._newest(self._victim()), self._victim()
        if event.did == other.did:
            return []
        return [message("#commit", _payload(event) | {"repo": other.did, "rev": other.pds.host.tid()})]

    def _stripped(self) -> Sequence[bytes]:
        """A true commit of just now without something of it: the honest one may come before or after."""
        event = self._newest(self._victim())
        payload = _payload(event)
        self._rng.choice(_TAMPERINGS)(event, payload)
        return [message("#commit", payload)]

    def _from_the_table(self) -> Sequence[bytes]:
        """A row of `tests/writer/forge`, of an account that the directory has; wrong whatever is held of it."""
        forgery = self._rng.choice(self._forgeries).build(self._rng)
        frame = renumbered(forgery.frame, 1) if _has_envelope(forgery.frame) else forgery.frame
        if examine(frame, forgery.multikey, None, time.time_ns() // 1_000).verdict != "invalid":
            return []  # its flaw was its number, its time, or that it does not follow from a state that nobody has here
        document = forgery.document
        document["service"][0]["serviceEndpoint"] = self._pdses[0].url
        self._directory.publish(document, timestamp(1_750_000_000_000_000))
        return [frame]

    def _replayed(self) -> Sequence[bytes]:
        """What was true once, a few messages of a host from anywhere in its stream."""
        frames = self._rng.choice(self._pdses).stream.frames
        start = self._rng.randrange(len(frames))
        return frames[start : start + FLOOD]

    def _lies(self) -> Sequence[bytes]:
        """That somebody is gone, hidden, back, or somebody else."""
        account = self._rng.choice(self._life.accounts)
        fake = Repo(account.did, None, Host(now_us=account.pds.host.now_us), "liar.example")
        status = self._rng.choice(("deleted", "takendown", "deactivated", "suspended", None))
        return [fake.account(active=status is None, status=status), fake.identity()]

    def _of_nobody(self) -> Sequence[bytes]:
        """Commits of accounts that do not exist."""
        frames = []
        for _ in range(FLOOD):
            did = did_of(str(self._rng.getrandbits(64)))
            repo = Repo(did, SigningKey.from_seed(did, K256), Host(now_us=self._pdses[0].host.now_us))
            frames.append(repo.create(f"{records.TRACK}/{repo.host.tid()}", records.track("Nobody's")).frame())
        return frames


def _has_envelope(frame: bytes) -> bool:
    """Whether a frame can be taken apart, and put together again."""
    try:
        return all(isinstance(part, dict) for part in open_frame(frame))
    except CborError:
        return False


def _payload(event: CommitEvent) -> dict[str, Any]:
    """The message of a commit, to change."""
    _, payload = open_frame(event.frame())
    return payload


def _without_prev_data(_: CommitEvent, payload: dict[str, Any]) -> None:
    payload.pop("prevData", None)


def _nothing_done(event: CommitEvent, payload: dict[str, Any]) -> None:
    """As if the commit had changed nothing."""
    payload.update(ops=[], prevData=event.data)


def _without_ops(_: CommitEvent, payload: dict[str, Any]) -> None:
    payload["ops"] = []


def _without_an_op(_: CommitEvent, payload: dict[str, Any]) -> None:
    payload["ops"] = payload["ops"][:-1]


def _without_prevs(_: CommitEvent, payload: dict[str, Any]) -> None:
    payload["ops"] = [{name: value for name, value in op.items() if name != "prev"} for op in payload["ops"]]


def _without_blocks(_: CommitEvent, payload: dict[str, Any]) -> None:
    payload["blocks"] = b""


def _without_a_block(_: CommitEvent, payload: dict[str, Any]) -> None:
    car = read_car(payload["blocks"])
    payload["blocks"] = write_car(car.roots, car.blocks[:-1])


def _with_other_records(event: CommitEvent, payload: dict[str, Any]) -> None:
    """The same tree, and other bytes under its records' names."""
    other = dict.fromkeys(event.records, encode(records.track("Forged")))
    car = read_car(payload["blocks"])
    payload["blocks"] = write_car(car.roots, replace(event, records=other).blocks(event.signed))


def _with_another_since(event: CommitEvent, payload: dict[str, Any]) -> None:
    """What is not signed, and proves nothing, otherwise."""
    payload.update(since=event.rev, time=timestamp(0), blobs=[Link(event.data)])


_TAMPERINGS: Final[Sequence[Tamper]] = (
    _without_prev_data,
    _nothing_done,
    _without_ops,
    _without_an_op,
    _without_prevs,
    _without_blocks,
    _without_a_block,
    _with_other_records,
    _with_another_since,
)
