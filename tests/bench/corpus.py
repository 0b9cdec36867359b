"""Frames for the benchmarks: really signed commits of many repositories, at the size that the network's have.

Made once, with the independent writer, and kept in `.cache/bench`: commits of one or a few operations on repositories
of a thousand records and more, interleaved, and padded with further nodes of the same trees.
"""

import json
import random
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tests.writer.captured import read_frames
from tests.writer.keys import K256, P256, SigningKey
from tests.writer.mining import LATEST, mine
from tests.writer.repo import CommitEvent, Host, Repo, Write

TARGET_BYTES = 3_000
"""Padding stops here; the mean then comes to the 4.3 kB of the network, since some commits are larger by nature."""
CACHE = Path(__file__).parents[2] / ".cache" / "bench"
REPOS = 40
COMMITS = 60
RECORDS = 1_500
_VERSION = 6


class Corpus(NamedTuple):
    """`frames` in the order of one stream, `keys` the Multikey of each DID that signs in it."""

    frames: list[bytes]
    keys: dict[str, str]

    @property
    def mean_bytes(self) -> float:
        """The mean size of a frame, in bytes."""
        return sum(map(len, self.frames)) / len(self.frames)


def on_topic(say: Callable[[str], None]) -> Corpus:
    """Commits in `fm.plyr.*`, each chained to the one before in its repository; every first one is a `first_seen`."""
    return _cached("on_topic", "fm.plyr.like", say)


def many(say: Callable[[str], None]) -> Corpus:
    """As `on_topic`, ten thousand of them: enough for a database to be at work for some seconds."""
    return _cached("many", "fm.plyr.like", say, commits=250)


def off_topic(say: Callable[[str], None]) -> Corpus:
    """The same in `app.bsky.*`."""
    return _cached("off_topic", "app.bsky.feed.like", say)


def path_of(name: str) -> Path:
    """The file that holds a corpus once it is made."""
    return CACHE / f"{name}.{_VERSION}.bin"


def _cached(name: str, collection: str, say: Callable[[str], None], *, commits: int = COMMITS) -> Corpus:
    frames_file = path_of(name)
    keys_file = frames_file.with_suffix(".json")
    if not keys_file.exists():
        say(f"making {REPOS * commits:,} {name} frames, once ...")
        corpus = _make(collection, commits)
        CACHE.mkdir(parents=True, exist_ok=True)
        frames_file.write_bytes(b"".join(struct.pack(">I", len(frame)) + frame for frame in corpus.frames))
        keys_file.write_text(json.dumps(corpus.keys))
    return Corpus(list(read_frames(frames_file)), json.loads(keys_file.read_text()))


def _make(collection: str, commits: int) -> Corpus:
    rng = random.Random(collection)
    host = Host(now_us=LATEST)
    repos = [_repo(rng, number, collection, host) for number in range(REPOS)]
    frames: list[bytes] = []
    for _ in range(commits):
        for repo in repos:
            host.advance(rng.randint(1_000, 1_000_000))
            event = repo.commit(_writes(rng, repo, collection))
            frames.append(_padded(rng, repo, event).frame())
    return Corpus(frames, {repo.did: repo.key.multikey for repo in repos if repo.key is not None})


def _repo(rng: random.Random, number: int, collection: str, host: Host) -> Repo:
    """A repository of some thousand records, most of them in one collection; one in ten signs with P-256."""
    name = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz234567", k=24))
    repo = Repo(f"did:plc:{name}", SigningKey.from_seed(name, P256 if number % 10 == 0 else K256), host)
    repo.commit([Write("create", mine(rng, collection=collection), _record(rng, collection)) for _ in range(RECORDS)])
    return repo


def _writes(rng: random.Random, repo: Repo, collection: str) -> list[Write]:
    """Mostly one create; now and then a delete, an update, or a few at once."""
    present = sorted(repo.leaves)
    kind = rng.random()
    if kind < 0.7:
        return [Write("create", mine(rng, collection=collection), _record(rng, collection))]
    if kind < 0.85:
        return [Write("delete", rng.choice(present).decode())]
    if kind < 0.95:
        return [Write("update", rng.choice(present).decode(), _record(rng, collection))]
    return [Write("create", mine(rng, collection=collection), _record(rng, collection)) for _ in range(4)]


def _record(rng: random.Random, collection: str) -> dict[str, object]:
    subject = {
        "uri": f"at://did:plc:{rng.getrandbits(120):024x}/fm.plyr.track/{mine(rng)[-13:]}",
        "cid": "bafyrei" + "a" * 52,
    }
    return {"$type": collection, "subject": subject, "createdAt": "2026-05-03T10:20:30.123Z", "n": rng.getrandbits(30)}


def _padded(rng: random.Random, repo: Repo, event: CommitEvent) -> CommitEvent:
    """`event` with more nodes of its tree, as an upstream that proves generously would send, up to the mean size.

    Which nodes is left to chance, so that no two commits bring the same ones; only nodes below one that is there count,
    since the others would not be reached.
    """
    room = TARGET_BYTES - len(event.frame())
    proof = dict(event.proof_nodes)
    spare = [child for node in repo.tree.walk() if node.cid in event.nodes for child in node.children if child]
    rng.shuffle(spare)
    while room > 0 and spare:
        node = spare.pop()
        if node.cid not in event.nodes and node.cid not in proof:
            proof[node.cid] = node.block
            room -= len(node.block) + 38
            spare += [child for child in node.children if child]
    return replace(event, proof_nodes=proof)
