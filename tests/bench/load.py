"""Callers of an HTTP server, in a process of their own, that cost as little as they can: all the rest is the server's.

Each caller has one connection that is kept alive, asks, reads the answer to its end, and asks again. Answers are not
looked into: what they are is asserted elsewhere, and here only that they are 200.
"""

import multiprocessing
import selectors
import socket
import statistics
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from multiprocessing.connection import Connection
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from tests.appview.accounts.tokens import Issuer
from tests.bench.serving import SERVICE_DID

CALLERS: Final = 16
_PATIENCE: Final = 30.0
_TOKENS_A_SECOND: Final = 500
_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"


class Ask(NamedTuple):
    """One request: a path with its query, and who asks (a DID), where somebody does."""

    path: str
    viewer: str | None = None


class Load(NamedTuple):
    """What the callers met with: `times` are the seconds that each answer took, `size` the bytes of all bodies."""

    times: Sequence[float]
    seconds: float
    size: int

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.times) / self.seconds

    def percentile(self, percent: int) -> float:
        """In milliseconds."""
        return statistics.quantiles(self.times, n=100, method="inclusive")[percent - 1] * 1_000


class Refused(Exception):
    """The server answered otherwise than with 200, or not at all."""


def load(origin: str, asks: Sequence[Ask], *, seconds: float, callers: int = CALLERS) -> Load:
    """Ask `asks` of the server at `origin`, in turn and over again, for so long. Raises Refused.

    Tokens are good for one call: where somebody asks, so many requests are made ahead that they will do.
    """
    requests = _requests(origin, asks, seconds)
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_drive, args=(theirs, origin, requests, seconds, callers), daemon=True)
    process.start()
    theirs.close()
    try:
        answer = ours.recv()
    except EOFError:
        raise Refused("the callers' process ended without a word") from None
    finally:
        process.join()
    if isinstance(answer, str):
        raise Refused(answer)
    times, took, size = answer
    return Load(array("d", times), took, size)


@dataclass(slots=True)
class _Caller:
    socket: socket.socket
    began: float = 0.0
    head: bytearray = field(default_factory=bytearray)
    missing: int = -1
    """Bytes of the body that are still to come; -1 while the head is not whole."""


def _requests(origin: str, asks: Sequence[Ask], seconds: float) -> list[bytes]:
    host = urlsplit(origin).netloc
    if asks[0].viewer is None:
        return [_request(host, ask.path) for ask in asks]
    issuers = {did: Issuer(did) for did in {ask.viewer or "" for ask in asks}}
    return [
        _request(host, ask.path, issuers[ask.viewer or ""].token(SERVICE_DID, _method(ask), time.time()))
        for ask in islice(cycle(asks), int(seconds * _TOKENS_A_SECOND))
    ]


def _method(ask: Ask) -> str:
    return ask.path.removeprefix("/xrpc/").partition("?")[0]


def _drive(result: Connection, origin: str, requests: Sequence[bytes], seconds: float, callers: int) -> None:
    try:
        result.send(_driven(origin, requests, seconds, callers))
    except (Refused, OSError) as error:
        result.send(f"{type(error).__name__}: {error}")


def _driven(origin: str, asked: Sequence[bytes], seconds: float, callers: int) -> tuple[bytes, float, int]:
    host, port = urlsplit(origin).hostname or "", urlsplit(origin).port or 80
    requests = cycle(asked)
    selector = selectors.DefaultSelector()
    for _ in range(callers):
        caller = _Caller(socket.create_connection((host, port)))
        caller.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(caller.socket, selectors.EVENT_READ, caller)
        _ask(caller, next(requests))
    buffer = bytearray(1 << 18)
    times = array("d")
    size = 0
    began = time.perf_counter()
    end = began + seconds
    while (now := time.perf_counter()) < end:
        ready = selector.select(_PATIENCE)
        if not ready:
            raise Refused(f"no answer within {_PATIENCE:.0f} seconds")
        for key, _ in ready:
            caller = key.data
            count = caller.socket.recv_into(buffer)
            if count == 0:
                raise Refused("the server hung up")
            size += count
            if _is_whole(caller, buffer, count):
                times.append(time.perf_counter() - caller.began)
                _ask(caller, next(requests))
    for key in list(selector.get_map().values()):
        key.data.socket.close()
    return times.tobytes(), now - began, size


def _request(host: str, path: str, token: str | None = None) -> bytes:
    authorization = f"Authorization: Bearer {token}\r\n" if token is not None else ""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{authorization}\r\n".encode()


def _ask(caller: _Caller, request: bytes) -> None:
    caller.head.clear()
    caller.missing = -1
    caller.began = time.perf_counter()
    caller.socket.sendall(request)


def _is_whole(caller: _Caller, buffer: bytearray, count: int) -> bool:
    """Whether the answer has come to its end with these bytes."""
    if caller.missing >= 0:
        caller.missing -= count
        return caller.missing == 0
    caller.head += buffer[:count]
    end = caller.head.find(_END)
    if end < 0:
        return False
    head = bytes(caller.head[:end]).lower()
    at = head.find(_LENGTH)
    if not head.startswith(b"http/1.1 200 ") or at < 0:
        raise Refused(bytes(caller.head[:2_000]).decode(errors="replace"))
    length = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0])
    caller.missing = length - (len(caller.head) - end - len(_END))
    return caller.missing == 0
