"""`memory`: what the real ingester takes of memory and time: a million tracked repositories, ten million frames.

Half of the frames come with one in ten thousand on topic, half with one in a hundred: really signed commits in the
chains of fifty thousand of the tracked repositories, so that everything kept in memory is full at the end.
`python -m tests.bench.memory --frames 400000 --repos 20000` is a quick one. Exits with 1 when it takes more memory than
it may, or an event costs more at the end than at the beginning.
"""

import argparse
import asyncio
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Final

from appview import db
from tests.bench.backlog import FIRST_SEQ, Phase, Sample, Start, commits, sample, sending, starts
from tests.bench.rig import NOWHERE, database
from tests.writer.repo import did_document

FRAMES: Final = 10_000_000
REPOS: Final = 1_000_000
LIMIT_MB: Final = 300
MAX_RATIO: Final = 1.25
"""Of the last tenth's cost an event to the second's; the machine's moods alone are a tenth."""
ROOT: Final = Path(__file__).parents[2]
_MB: Final = 1_000_000
_SAMPLES: Final = 40
_SECONDS: Final = 300
_COUNTED: Final = re.compile(r'plyr_frames_total\{[^}]*reason="in_chain"[^}]*\} ([0-9.]+)')


def run(say: Callable[[str], None], frames: int = FRAMES, repos: int = REPOS) -> int:
    """Take the figures, print them, and say by the exit code whether they are within their limits."""
    phases = [Phase(frames // 2, 10_000), Phase(frames // 2, 100)]
    on_topic = sum(phase.on_topic for phase in phases)
    say(f"{frames:,} frames, {on_topic:,} of them signed commits of tracked repositories; they are made first ...")
    active = list(starts(commits(say), on_topic))
    with database() as url, sending(phases, frames // _SAMPLES) as (port, pipe):
        say(f"{repos:,} tracked repositories ...")
        asyncio.run(_fill(url, port, max(0, repos - len(active)), active))
        # The audit would ask hosts that are not there, of repositories without end.
        settings = process_settings(url, PLYR_RELAY_URLS=f"ws://127.0.0.1:{port}", PLYR_AUDIT_SECONDS="99999999")
        with _ingester(settings) as process:
            pipe.send(process.pid)
            samples = list(_samples(say, pipe, process))
            ended = asyncio.run(_durable(url, FIRST_SEQ + frames, on_topic))
            samples.append(sample(process.pid, frames))
    return _report(samples, ended, phases)


def process_settings(url: str, **variables: str) -> dict[str, str]:
    """The environment of a process of ours on this database, which speaks to nobody but those in `variables`."""
    return {
        "PLYR_DATABASE_URL": url,
        "PLYR_DEV": "1",
        "PLYR_PLC_URL": NOWHERE,
        "PLYR_DISCOVERY_URL": NOWHERE,
        "PYTHONPATH": str(ROOT),
        **variables,
    }


@contextmanager
def _ingester(settings: dict[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
    """`python -m ingester run` in a process of its own, and in an empty folder, where no .env is."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen([sys.executable, "-m", "ingester", "run"], cwd=folder, env=settings)
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, "the ingester did not end in order"
        finally:
            process.kill()
            process.wait()


async def _fill(url: str, port: int, count: int, active: Sequence[Start]) -> None:
    """Let so many repositories be tracked, those that will write among them, all audited just now."""
    connection = await db.connect(url, command_seconds=600)
    await connection.execute(
        """
        with made as materialized (
            -- No hexadecimal digit but is, or becomes, a letter of did:plc.
            select 'did:plc:' || translate(left(md5(i::text), 24), '0189', 'ghij') as did, md5(i::text) as seed
            from generate_series(1, $1::bigint) as i
        ), accounts as (insert into actors (did) select did from made)
        insert into repos (did, status, rev, data, reason, status_at, audited_at)
        select did, 'synchronized', '3kaaaaaaaaaa2', decode('01711220' || seed || seed, 'hex'), 'made', now(), now()
        from made
        """,
        count,
    )
    await connection.execute(
        """
        with given as materialized (
            select * from unnest($1::text[], $2::text[], $3::bytea[], $4::jsonb[]) as given (did, rev, data, document)
        ), accounts as (insert into actors (did) select did from given),
        documents as (insert into did_documents select did, document, now() from given)
        insert into repos (did, status, rev, data, reason, status_at, audited_at)
        select did, 'synchronized', rev, data, 'benchmark', now(), now() from given
        """,
        [start.did for start in active],
        [start.rev for start in active],
        [start.data for start in active],
        [did_document(start.did, start.key, "https://pds.example") for start in active],
    )
    await connection.execute("insert into upstreams values ('0/1', $1, $2)", f"ws://127.0.0.1:{port}", FIRST_SEQ)
    await connection.execute("vacuum analyze")
    await connection.close()


def _samples(say: Callable[[str], None], pipe: Pipe, process: "subprocess.Popen[bytes]") -> Iterator[Sample]:
    while True:
        while not pipe.poll(1):
            assert process.poll() is None, "the ingester has ended"
        taken: Sample | None = pipe.recv()
        if taken is None:
            return
        say(f"{taken.frames:,} frames, {taken.rss / _MB:.0f} MB")
        yield taken


async def _durable(url: str, last: int, on_topic: int) -> float:
    """Wait until all is durable and nothing of it was refused; when that was, by the monotonic clock."""
    connection = await db.connect(url)
    async with asyncio.timeout(_SECONDS):
        while await connection.fetchval("select cursor from upstreams") != last:
            await asyncio.sleep(0.05)
        ended = time.monotonic()
        # The counters follow with the next heartbeat.
        while _taken_in(await connection.fetchval("select metrics from shards")) != on_topic:
            await asyncio.sleep(0.2)
    odd = await connection.fetchval(
        """
        select (select count(*) from repos where status <> 'synchronized') + (select count(*) from dead_letters)
            + (select count(*) from held_frames)
        """
    )
    assert not odd, f"{odd} commits were not taken in as they are"
    await connection.close()
    return ended


def _taken_in(metrics: str | None) -> int:
    return sum(int(float(count)) for count in _COUNTED.findall(metrics or ""))


def _report(samples: Sequence[Sample], ended: float, phases: Sequence[Phase]) -> int:
    row = "{:>12} {:>9} {:>9} {:>12} {:>11}"
    print(row.format("frames", "RSS, MB", "peak, MB", "CPU us/frame", "frames/s"))
    for before, after in pairwise(samples):
        count = after.frames - before.frames
        if count:
            cost, rate = (after.cpu - before.cpu) / count * 1e6, count / (after.clock - before.clock)
            print(
                row.format(
                    f"{after.frames:,}",
                    f"{after.rss / _MB:.0f}",
                    f"{after.peak / _MB:.0f}",
                    f"{cost:.2f}",
                    f"{rate:,.0f}",
                )
            )
    peak = max(taken.peak for taken in samples) / _MB
    print(f"memory: {peak:.0f} MB at most, of {LIMIT_MB} MB; {samples[0].rss / _MB:.0f} MB before the first frame")
    ratios = []
    at = 0
    for phase in phases:
        own = [taken for taken in samples[:-1] if at <= taken.frames <= at + phase.frames]
        at += phase.frames
        tenth = max(1, len(own) // 10)
        # When the first tenth is over, most of its commits are still under way.
        ratios.append(_cost(own[-tenth - 1], own[-1]) / _cost(own[tenth], own[2 * tenth]))
        rate = phase.frames / (own[-1].clock - own[0].clock)
        cost = _cost(own[0], own[-1])
        print(f"one in {phase.every:,} on topic: {cost:.2f} us a frame, the last tenth {ratios[-1]:.2f} x the second;")
        print(f"  {rate:,.0f} frames/s: an hour of 1,000 a second is caught up with in {3_600_000 / rate:.0f} s")
    print(f"all of it durable {ended - samples[-2].clock:.1f} s after the last frame was sent")
    return int(peak > LIMIT_MB or max(ratios) > MAX_RATIO)


def _cost(before: Sample, after: Sample) -> float:
    """Microseconds of processor time a frame."""
    return (after.cpu - before.cpu) / (after.frames - before.frames) * 1e6


def main() -> int:
    """Run it at the size that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.memory", description=__doc__)
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--repos", type=int, default=REPOS)
    options = parser.parse_args()
    return run(lambda text: print(text, file=sys.stderr, flush=True), options.frames, options.repos)


if __name__ == "__main__":
    sys.exit(main())
