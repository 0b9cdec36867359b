"""A server that sends the same frames again and again, as fast as they are taken: the far end of a benchmark.

What it speaks is a WebSocket, by hand: a library would only stand in the way of a sender that does nothing but send.
"""

import base64
import hashlib
import multiprocessing
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from tests.writer.captured import read_frames

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CLOSE = b"\x88\x02\x03\xe8"


@contextmanager
def feeding(frames_file: Path, repeats: int, *, pause: float = 0.0) -> Iterator[int]:
    """A port on loopback where each connection gets all frames `repeats` times, and then the end.

    A WebSocket client gets WebSocket messages; one that sends `RAW` gets each frame behind its length in four bytes.
    With a `pause` in seconds, messages come one by one with that much in between.
    """
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(frames_file, repeats, pause, theirs), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _serve(frames_file: Path, repeats: int, pause: float, ready: Connection) -> None:
    frames = list(read_frames(frames_file))
    raw = b"".join(struct.pack(">I", len(frame)) + frame for frame in frames)
    messages = [message(frame) for frame in frames]
    if not pause:
        messages = [b"".join(messages)]
    with socket.create_server(("127.0.0.1", 0)) as server:
        ready.send(server.getsockname()[1])
        while True:
            client, _ = server.accept()
            with client:
                try:
                    _feed(client, raw, messages, repeats, pause)
                except (BrokenPipeError, ConnectionResetError):
                    continue  # whoever it was has seen enough


def _feed(client: socket.socket, raw: bytes, messages: list[bytes], repeats: int, pause: float) -> None:
    request = client.recv(4_096)
    if request == b"RAW":
        for _ in range(repeats):
            client.sendall(raw)
        return
    if not shake_hands(client, request):
        return
    for _ in range(repeats):
        for one in messages:
            client.sendall(one)
            time.sleep(pause)
    client.sendall(CLOSE)
    client.recv(4_096)


def shake_hands(client: socket.socket, request: bytes) -> bool:
    """Answer a client, of whose request this is the beginning; whether it is one of WebSocket."""
    while b"\r\n\r\n" not in request:
        request += client.recv(4_096)
    headers = dict(line.split(b": ", 1) for line in request.split(b"\r\n")[1:] if b": " in line)
    key = next((value for name, value in headers.items() if name.lower() == b"sec-websocket-key"), None)
    if key is None:
        client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return False
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324 - the handshake's own hash
    client.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    return True


def message(frame: bytes) -> bytes:
    """`frame` as one binary WebSocket message, unmasked as a server's are."""
    size = len(frame)
    if size < 126:
        return bytes((0x82, size)) + frame
    if size < 65_536:
        return struct.pack(">BBH", 0x82, 126, size) + frame
    return struct.pack(">BBQ", 0x82, 127, size) + frame
