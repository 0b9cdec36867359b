"""Seeded random histories: many repositories of every habit, each commit with the whole truth beside it."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.writer.cbor import Link
from tests.writer.keys import CURVES, SigningKey
from tests.writer.mining import EARLIEST, LATEST, mine
from tests.writer.repo import CommitEvent, Host, Repo, Write

COLLECTIONS = ("fm.plyr.track", "fm.plyr.like", "fm.plyr.comment", "app.bsky.feed.post", "app.bsky.graph.follow")


class Step(NamedTuple):
    """One commit and the truth about it; `event.frame()` makes the frame."""

    event: CommitEvent
    before: dict[bytes, Link]
    after: dict[bytes, Link]
    root_before: Link
    root_after: Link


@dataclass(frozen=True)
class Habits:
    """How one account behaves: which keys it mints, how many at a time, and how large it likes to be."""

    size: int
    batch: int
    collections: tuple[str, ...]
    clustered: bool
    mined: float
    updates: float

    @classmethod
    def of(cls, rng: random.Random, max_keys: int) -> "Habits":
        return cls(
            size=rng.choice((0, 1, 2, 5, rng.randint(3, 40), rng.randint(10, max(10, max_keys)))),
            batch=rng.choice((1, 1, 3, 10)),
            collections=tuple(rng.sample(COLLECTIONS, rng.randint(1, 3))),
            clustered=rng.random() < 0.5,
            mined=rng.choice((0.0, 0.02, 0.3)),
            updates=rng.random(),
        )


def histories(rng: random.Random, commits: int, *, signed: bool = False, max_keys: int = 400) -> Iterator[Step]:
    """`commits` commits in all, over as many repositories as that takes; unsigned where only the trees matter."""
    while commits > 0:
        lifetime = min(commits, rng.choice((1, 3, 20, 100, 300)))
        yield from history(rng, lifetime, signed=signed, max_keys=max_keys)
        commits -= lifetime


def history(rng: random.Random, commits: int, *, signed: bool = False, max_keys: int = 400) -> Iterator[Step]:
    """The first `commits` commits of one repository."""
    habits = Habits.of(rng, max_keys)
    name = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz234567", k=24))
    key = SigningKey.from_seed(name, rng.choice(CURVES)) if signed else None
    repo = Repo(f"did:plc:{name}", key, Host(now_us=LATEST))
    for _ in range(commits):
        before, root_before = repo.leaves, repo.tree.cid
        repo.host.advance(rng.randint(1, 10**9))
        event = repo.commit(_batch(rng, habits, list(before)))
        yield Step(event, before, repo.leaves, root_before, event.data)


def _batch(rng: random.Random, habits: Habits, present: list[bytes]) -> list[Write]:
    """Writes that lead towards the size the account likes, or past it; now and then none, 200, or a clean sweep."""
    rng.shuffle(present)
    mood = rng.random()
    if mood < 0.01:
        return [Write("delete", key.decode()) for key in present[:200]]
    count = 0 if mood < 0.02 else 200 if mood < 0.025 else rng.randint(1, habits.batch)
    growth = 0.8 if len(present) < habits.size else 0.2
    writes = []
    for number in range(count):
        if rng.random() < growth or not present:
            path, action = _mint(rng, habits, number), "create"
        else:
            path, action = present.pop().decode(), "update" if rng.random() < habits.updates else "delete"
        record = {"$type": path.split("/", 1)[0], "n": rng.getrandbits(32)}
        writes.append(Write(action, path, None if action == "delete" else record))
    return writes


def _mint(rng: random.Random, habits: Habits, number: int) -> str:
    """A path, new but for a chance of one in 10^11: anywhere in time, or near the others of its cluster."""
    collection = rng.choice(habits.collections)
    height = rng.choice((1, 2, 2, 3, 3, 4)) if rng.random() < habits.mined else None
    low = EARLIEST + number * 10**9 if habits.clustered else EARLIEST
    return mine(rng, height, collection=collection, low=low, high=low + 10**8 if habits.clustered else LATEST)
