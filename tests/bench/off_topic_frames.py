"""`off_topic_frames`: frames that are none of ours, from the socket to having been looked at, by processor time.

Ours is the firehose's own path. The limit reads the bare bytes of a socket, cut by lengths, and decodes each envelope;
no WebSocket, no look. The peer is the `atproto` SDK's firehose client with a callback that does nothing. Each runs in a
process of its own and counts only its own processor time; the sender is another.
"""

import asyncio
import multiprocessing
import socket
import struct
import time
from collections.abc import Callable

import libipld
from atproto import AsyncFirehoseSubscribeReposClient

from ingester.firehose import follow
from ingester.scope import Scope
from ingester.shard import Shard
from ingester.tracked import Tracked
from lexicons.frames import glance
from tests.bench.corpus import off_topic, path_of
from tests.bench.feeder import feeding
from tests.bench.measure import Figure, interleaved

_REPEATS = 25
_SIGNAL = frozenset({"fm.plyr.track", "fm.plyr.like", "fm.plyr.comment", "fm.plyr.list", "fm.plyr.actor.profile"})


def run(say: Callable[[str], None]) -> Figure:
    """Take the figure."""
    corpus = off_topic(say)
    count = len(corpus.frames) * _REPEATS
    say(f"{count:,} frames of {corpus.mean_bytes:,.0f} bytes on average, each time")
    with feeding(path_of("off_topic"), _REPEATS) as port:
        return interleaved(
            "off_topic_frames",
            "frames/CPU-s",
            lambda: count / _cpu_seconds(_ours, port, count),
            lambda: count / _cpu_seconds(_bare, port, count),
            lambda: count / _cpu_seconds(_sdk, port, count),
            "atproto SDK, callback does nothing",
            rounds=5,
        )


def _cpu_seconds(client: Callable[[int, int], float], port: int, count: int) -> float:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(client, (port, count))


def _ours(port: int, count: int) -> float:
    tracked = Tracked()
    for number in range(100_000):
        tracked.add(f"did:plc:{number:024d}")
    scope = Scope(tracked, _SIGNAL, Shard(0, 1))
    seen = concerning = 0

    def take(message: bytes) -> None:
        nonlocal seen, concerning
        seen += 1
        concerning += scope.concerns(glance(message))

    started = time.process_time()
    asyncio.run(follow(f"ws://127.0.0.1:{port}", take, cursor=0))
    spent = time.process_time() - started
    assert (seen, concerning) == (count, 0), (seen, concerning)
    return spent


def _bare(port: int, count: int) -> float:
    decode = libipld.decode_dag_cbor_multi
    seen = 0
    started = time.process_time()
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"RAW")
        buffer = bytearray(1 << 20)
        view, filled = memoryview(buffer), 0
        while size := client.recv_into(view[filled:]):
            filled += size
            at = 0
            while filled - at >= 4:
                (length,) = struct.unpack_from(">I", buffer, at)
                if filled - at < 4 + length:
                    break
                decode(bytes(view[at + 4 : at + 4 + length]))
                seen += 1
                at += 4 + length
            buffer[: filled - at] = buffer[at:filled]
            filled -= at
    spent = time.process_time() - started
    assert seen == count, seen
    return spent


def _sdk(port: int, count: int) -> float:
    client = AsyncFirehoseSubscribeReposClient(base_uri=f"ws://127.0.0.1:{port}/xrpc")
    seen = 0

    async def take(_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == count:
            await client.stop()

    started = time.process_time()
    asyncio.run(client.start(take))
    spent = time.process_time() - started
    assert seen == count, seen
    return spent
