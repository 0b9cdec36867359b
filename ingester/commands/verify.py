"""`python -m ingester verify`: recorded frames in, one verdict a frame out."""

import argparse
import asyncio
import collections
import os
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from appview.commands import CommandError, Commands
from appview.commands.progress import Progress
from ingester.commands.keys import KeySource, add_key_options, frame_time, key_source
from ingester.events import CommitEvent, ErrorEvent, EventError, InfoEvent, SyncEvent, parse_event
from ingester.sync import Apply, Decision, Hold, Invalid, RepoState, Resync, Skip, decide
from lexicons.data import is_record
from lexicons.frames import ERROR, MAX_FRAME_BYTES, Frame, FrameError, decode_frame

_VERDICTS = {Apply: "ok", Skip: "skip", Invalid: "invalid", Resync: "discontinuous", Hold: "unchecked"}
_OUTPUT_LINES = 256


def register(commands: Commands) -> None:
    """Add the command to `commands`."""
    parser = commands.add_parser(
        "verify",
        help="verify recorded frames of com.atproto.sync.subscribeRepos",
        description="Verify recorded frames (u32 big-endian length + frame, repeated) and print one JSON line a frame: "
        "seq, type, did, verdict (ok, skip, invalid, discontinuous, unchecked), reason. Chain state starts empty and "
        "lives for the run; after a discontinuity the run goes on from the newer commit, as if the repository had been "
        "fetched again; what #account says is not held against later commits. Keys are those of the frame's own time. "
        "Exits with 0 when the file was read to its end, whatever the verdicts; with --strict 1 when a frame was "
        "invalid, discontinuous or unchecked; 2 when the file cannot be read.",
    )
    parser.add_argument("file", metavar="FRAMES-FILE", type=Path, help="the recorded frames; - for standard input")
    parser.add_argument("--strict", action="store_true", help="exit with 1 unless every verdict is ok or skip")
    add_key_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Verify the file, printing as it goes."""
    counts = asyncio.run(_verify_file(options))
    print(f"{counts.total()} frames: {', '.join(f'{n} {verdict}' for verdict, n in counts.items())}", file=sys.stderr)
    bad = counts["invalid"] + counts["discontinuous"] + counts["unchecked"]
    return 1 if options.strict and bad else 0


async def _verify_file(options: argparse.Namespace) -> collections.Counter[str]:
    counts: collections.Counter[str] = collections.Counter()
    lines: list[bytes] = []
    async with key_source(options) as keys:
        run_ = Run(keys)
        with _opened(options.file) as (file, size):
            progress = Progress(size, "bytes")
            try:
                for message, at in read_frames(file):
                    answer = await run_.verify(message, time.time_ns() // 1_000)
                    counts[answer["verdict"]] += 1
                    lines.append(orjson.dumps(answer))
                    # Who feeds a pipe may be waiting for what we say of it.
                    if not size or len(lines) >= _OUTPUT_LINES:
                        _flush(lines)
                        progress.at(at, f"{counts.total():,} frames")
            finally:
                # What comes before a cut in the file is not lost with what comes behind it.
                _flush(lines)
                progress.end()
    return counts


class Run:
    """One run over recorded frames: the chain states so far, and where keys come from."""

    def __init__(self, keys: KeySource) -> None:
        self._keys = keys
        self._states: dict[str, RepoState] = {}

    async def verify(self, message: bytes | None, now_us: int) -> dict[str, Any]:
        """The answer for one frame at `now_us` (microseconds since 1970); None is one that was too long to read."""
        answer: dict[str, Any] = {"seq": None, "type": None, "did": None, "verdict": "invalid", "reason": "bad_frame"}
        if message is None:
            return answer | {"reason": "frame_too_large"}
        try:
            frame = decode_frame(message)
        except FrameError as error:
            return answer | {"detail": str(error)}
        answer |= _labels(frame)
        try:
            event = parse_event(frame)
        except EventError as error:
            return answer | {"reason": error.reason, "detail": str(error)}
        state = signer = None
        if isinstance(event, CommitEvent | SyncEvent):
            state = self._states.get(event.did)
            signer = await self._keys.signer(event.did, frame_time(event.time))
        decision = decide(event, state, signer, now_us)
        self._remember(event.did if isinstance(event, CommitEvent | SyncEvent) else None, decision)
        answer |= {"verdict": _VERDICTS[type(decision)], "reason": decision.reason}
        if isinstance(decision, Skip) and decision.reason == "no_signing_key":
            answer["verdict"] = "unchecked"
        if isinstance(decision, Invalid):
            answer["detail"] = decision.detail
        if isinstance(decision, Apply) and (deviations := _deviations(decision)):
            answer["deviations"] = deviations
        if isinstance(event, ErrorEvent | InfoEvent):
            name = event.error if isinstance(event, ErrorEvent) else event.name
            answer["detail"] = f"{name}: {event.message}" if event.message else name
        return answer

    def _remember(self, did: str | None, decision: Decision) -> None:
        if did is not None and isinstance(decision, Apply | Resync):
            self._states[did] = RepoState(decision.head.rev, decision.head.data)


def read_frames(file: BinaryIO) -> Iterator[tuple[bytes | None, int]]:
    """Each frame and the offset behind it; None for one beyond the limit, which is passed over. Raises CommandError."""
    at = 0
    while prefix := file.read(4):
        if len(prefix) < 4:
            raise CommandError(f"the file is cut off in the length at byte {at}")
        (length,) = struct.unpack(">I", prefix)
        message = file.read(min(length, MAX_FRAME_BYTES))
        left = length - len(message)
        while left and (passed := len(file.read(min(left, MAX_FRAME_BYTES)))):
            left -= passed
        if left:
            raise CommandError(f"the file is cut off in the frame at byte {at}")
        at += 4 + length
        yield (message if length <= MAX_FRAME_BYTES else None), at


def _labels(frame: Frame) -> dict[str, Any]:
    """What a frame says it is, for the answer, whether or not the rest of it is any good."""
    did = frame.payload.get("repo" if frame.t == "#commit" else "did")
    seq = frame.payload.get("seq")
    return {
        "seq": seq if type(seq) is int else None,
        "type": "error" if frame.op == ERROR else frame.t if frame.is_known else None,
        "did": did if type(did) is str else None,
    }


def _deviations(decision: Apply) -> list[str]:
    """What is off without being wrong; a record that is none is its author's fault, not the commit's (RD-66)."""
    blocks = {record.op.cid: record.block for record in decision.records if record.block is not None}
    malformed = any(not is_record(block) for block in blocks.values())
    return [*decision.deviations, *(["malformed_record"] if malformed else [])]


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """The file and its size in bytes; that of standard input, or of a pipe, is not known, and 0."""
    if str(path) == "-":
        yield sys.stdin.buffer, 0
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None
    with file:
        yield file, os.fstat(file.fileno()).st_size


def _flush(lines: list[bytes]) -> None:
    if lines:
        text = b"\n".join(lines) + b"\n"
        lines.clear()
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
