"""A stream of any length, made as fast as it is taken: strangers' commits, and some of repositories that are tracked.

Strangers' are the frames of the `off_topic` corpus, again and again, under other DIDs and seqs. The others are the
commits of the `many` corpus, each given to several accounts that sign it anew, and write nothing else: so each is of a
repository that was not heard of before, and nothing of it is in memory.
"""

import hashlib
import multiprocessing
import os
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from coincurve import PrivateKey

from appview.keys import PublicKey
from ingester.events import CommitEvent, parse_event
from ingester.repo.car import read_car
from ingester.repo.commit import parse_commit
from lexicons.frames import decode_frame
from tests.bench.corpus import many, off_topic
from tests.bench.feeder import CLOSE, message, shake_hands
from tests.writer.cbor import encode

FIRST_SEQ = 1 << 40
"""Large enough for every seq to be written in as many bytes."""
_MAX_BLOCKS = 2_000
_SEQ = b"\x63seq\x1b" + FIRST_SEQ.to_bytes(8)
_put_seq = struct.Struct(">Q").pack_into
_LETTERS = b"abcdefghijklmnopqrstuvwxyz234567"


class Phase(NamedTuple):
    """So many frames, of which one in `every` is of a tracked repository."""

    frames: int
    every: int

    @property
    def on_topic(self) -> int:
        """How many are of tracked repositories."""
        return self.frames // self.every


class Start(NamedTuple):
    """Where an account's repository stands before its first commit, and its key as a Multikey."""

    did: str
    rev: str
    data: bytes
    key: str


class Sample(NamedTuple):
    """The consumer after so many frames: seconds of the clock and of processor time, memory in bytes, now and most."""

    frames: int
    clock: float
    cpu: float
    rss: int
    peak: int


class Commit(NamedTuple):
    """A commit of the corpus: rev and tree before it, its frame, and what of that is the account's."""

    since: str
    prev_data: bytes
    frame: bytes
    did: bytes
    unsigned: bytes
    block: bytes
    sig: bytes

    def by(self, did: bytes, key: PrivateKey) -> bytes:
        """The frame of the same commit, made and signed by another account."""
        sig = key.sign_recoverable(self.unsigned.replace(self.did, did))[:64]
        block = self.block.replace(self.did, did).replace(self.sig, sig)
        frame = self.frame.replace(self.did, did).replace(self.sig, sig)
        return frame.replace(hashlib.sha256(self.block).digest(), hashlib.sha256(block).digest())


def commits(say: Callable[[str], None]) -> list[Commit]:
    """The commits of the corpus."""
    found = []
    for frame in many(say).frames:
        event = parse_event(decode_frame(frame))
        assert isinstance(event, CommitEvent)
        if event.since is not None and event.prev_data is not None:
            car = read_car(event.blocks, max_blocks=_MAX_BLOCKS)
            block = car.blocks[car.root]
            commit = parse_commit(block)
            own = (event.did.encode(), commit.unsigned, block, commit.sig)
            found.append(Commit(event.since, event.prev_data, _with_long_seq(frame, event.seq), *own))
    return found


def account(number: int) -> tuple[str, PrivateKey]:
    """The DID and key of one of the accounts."""
    seed = hashlib.sha256(f"backlog {number}".encode()).digest()
    return "did:plc:" + "".join(chr(_LETTERS[byte & 31]) for byte in seed[:24]), PrivateKey(seed)


def starts(made: list[Commit], count: int) -> Iterator[Start]:
    """So many accounts, and where each stands before its commit."""
    for number in range(count):
        did, key = account(number)
        commit = made[number % len(made)]
        multikey = PublicKey("k256", key.public_key.format(compressed=True)).multikey()
        yield Start(did, commit.since, commit.prev_data, multikey)


def _tracked_frames(made: list[Commit], count: int) -> Iterator[bytes]:
    """The commit of each account."""
    for number in range(count):
        did, key = account(number)
        yield made[number % len(made)].by(did.encode(), key)


def _with_long_seq(frame: bytes, seq: int) -> bytes:
    """The frame, whose seq is this one, with one that takes as many bytes as all here."""
    old = b"\x63seq" + encode(seq)
    assert frame.count(old) == 1
    return frame.replace(old, _SEQ)


# --- the server ---


@contextmanager
def sending(phases: list[Phase], step: int) -> Iterator[tuple[int, Connection]]:
    """A port on loopback whose first connection gets all phases, and a pipe.

    To be told the process id of who takes them; it then gives a Sample each `step` frames, and None behind the last.
    The connection stays open.
    """
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(phases, step, theirs), daemon=True)
    process.start()
    try:
        yield ours.recv(), ours
    finally:
        process.terminate()
        process.join()


def _subscriber(server: socket.socket) -> socket.socket:
    """The first client that asks for the stream, its handshake done; others ask what this host is."""
    while True:
        client, _ = server.accept()
        if shake_hands(client, client.recv(4_096)):
            return client
        client.close()


def _serve(phases: list[Phase], step: int, pipe: Connection) -> None:
    tracked = list(_tracked_frames(commits(_nothing), sum(phase.on_topic for phase in phases)))
    strangers = _Strangers()
    with socket.create_server(("127.0.0.1", 0)) as server:
        pipe.send(server.getsockname()[1])
        pid = pipe.recv()
        with _subscriber(server) as client:
            mine = iter(tracked)
            sent = 0
            pipe.send(sample(pid, sent))
            for phase in phases:
                end = sent + phase.frames
                while sent < end:
                    # Up to the next frame of a tracked repository, the next sample, or the end.
                    run = min(end, sent + phase.every - sent % phase.every - 1, sent + step - sent % step)
                    if run > sent:
                        strangers.send(client, FIRST_SEQ + sent + 1, run - sent)
                        sent = run
                    if sent < end and sent % phase.every == phase.every - 1:
                        sent += 1
                        client.sendall(message(_numbered(next(mine), FIRST_SEQ + sent)))
                    if sent % step == 0:
                        pipe.send(sample(pid, sent))
            pipe.send(None)
            pipe.recv()  # nothing comes: until whoever started this is done
            client.sendall(CLOSE)


class _Strangers:
    """Commits of repositories that nobody here follows: the same few thousand under ever other names."""

    def __init__(self) -> None:
        block, self._places = bytearray(), []
        for frame in off_topic(_nothing).frames:
            event = parse_event(decode_frame(frame))
            assert isinstance(event, CommitEvent)
            whole = message(_with_long_seq(frame, event.seq))
            seq, did = whole.index(_SEQ) + len(_SEQ) - 8, whole.index(event.did.encode()) + len("did:plc:")
            self._places.append((len(block), len(block) + seq, len(block) + did))
            block += whole
        self._places.append((len(block), 0, 0))
        self._block = block
        self._next = 0
        self._names = bytes(random.Random(1).choices(_LETTERS, k=1_000_003))
        self._name = 0

    def send(self, client: socket.socket, seq: int, count: int) -> None:
        """Send so many, numbered from `seq` on."""
        while count:
            some = min(count, len(self._places) - 1 - self._next)
            block, names, name = self._block, self._names, self._name
            for place in range(self._next, self._next + some):
                _, at_seq, at_did = self._places[place]
                _put_seq(block, at_seq, seq)
                block[at_did : at_did + 24] = names[name : name + 24]
                name = name + 7 if name + 31 <= len(names) else name % 7
                seq += 1
            self._name = name
            client.sendall(memoryview(block)[self._places[self._next][0] : self._places[self._next + some][0]])
            self._next = (self._next + some) % (len(self._places) - 1)
            count -= some


def _numbered(frame: bytes, seq: int) -> bytes:
    assert frame.count(_SEQ) == 1
    return frame.replace(_SEQ, _SEQ[:-8] + seq.to_bytes(8))


def sample(pid: int, frames: int) -> Sample:
    """How the process stands."""
    sizes = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    cpu = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
    rss, peak = (int(sizes[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return Sample(frames, time.monotonic(), cpu, rss, peak)


def _nothing(_text: str) -> None:
    pass
