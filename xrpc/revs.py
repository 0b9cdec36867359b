"""`atproto-min-rev`: waiting until a repository is indexed as far as its owner knows that it goes.

All who wait are looked after by one loop, which lasts as long as anybody waits: however many they are, they hold no
connection, and the database is asked one thing at a time.
"""

import asyncio
import logging
from typing import Final

from appview.db import Pool
from appview.reads.callers import indexed_revs
from lexicons.formats import is_tid
from xrpc.availability import within
from xrpc.errors import InvalidRequest, Unavailable

WAIT_SECONDS: Final = 2.0
"""A commit is indexed some milliseconds after its PDS has sent it, which takes up to a second of its own."""

MAX_WAITING: Final = 64
"""Callers at once, a part of those that a process answers at once; one more does not wait."""

_POLL_SECONDS: Final = 0.05
_QUERY_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


def read_rev(text: str) -> str:
    """The rev in an `atproto-min-rev`. Raises InvalidRequest."""
    if not is_tid(text):
        raise InvalidRequest("atproto-min-rev is not a rev.")
    return text


class Revs:
    """The revs that callers wait for, in the index that `pool` reads."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: set[_Waiter] = set()
        self._loop: asyncio.Task[None] | None = None

    async def reached(self, did: str, rev: str, known: str | None) -> str | None:
        """How far the repository of `did`, at `known` when last looked at, is indexed once that is `rev` or later, or
        WAIT_SECONDS have passed.
        """
        if (known or "") >= rev or len(self._waiting) >= MAX_WAITING:
            return known
        waiter = _Waiter(did, rev, known)
        self._waiting.add(waiter)
        if self._loop is None or self._loop.done():
            self._loop = asyncio.create_task(self._look())
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await waiter.reached.wait()
        except TimeoutError:
            log.debug("%s is not indexed to %s in time", did, rev)
        finally:
            self._waiting.discard(waiter)
        return waiter.known

    async def aclose(self) -> None:
        """Look no more."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def _look(self) -> None:
        while self._waiting:
            await asyncio.sleep(_POLL_SECONDS)
            dids = list({waiter.did for waiter in self._waiting})
            try:
                revs = await within(_QUERY_SECONDS, indexed_revs(self._pool, dids))
            except Unavailable:
                continue
            for waiter in self._waiting:
                waiter.see(revs.get(waiter.did))


class _Waiter:
    """One caller who waits."""

    def __init__(self, did: str, rev: str, known: str | None) -> None:
        self.did = did
        self.known = known
        self.reached = asyncio.Event()
        self._rev = rev

    def see(self, rev: str | None) -> None:
        """Take note that the repository is indexed to `rev`."""
        if rev is not None:
            self.known = rev
            if rev >= self._rev:
                self.reached.set()
