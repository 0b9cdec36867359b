"""A write from the journal to the PDS and into the index, each step after the one before is safe.

No lock and no connection is held while a PDS is asked. Whoever asked may leave: what was begun is brought to its end.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import asyncpg

from appview.accounts.grants import Grants
from appview.accounts.oauth import OAuth
from appview.accounts.oauth.scopes import RepoNeed, permits
from appview.db import AWAY, Pool
from appview.index import pending
from appview.index.pending import OwnWrite
from appview.index.rebuild import Makers
from appview.net.http import HttpClient
from appview.writes import journal
from appview.writes.access import Access
from appview.writes.asked import Asked, Method, Version, Write
from appview.writes.attempts import PATIENT, Attempts, Done, Patience
from appview.writes.errors import (
    IdempotencyMismatch,
    InvalidSwap,
    Overtaken,
    PdsAway,
    RecordAlreadyExists,
    Unsettled,
    WriteError,
)
from appview.writes.hosts import Hosts
from appview.writes.journal import Intent
from appview.writes.look import CannotLook, newest
from appview.writes.metrics import WriteMetrics
from lexicons.cid import CID
from lexicons.data import decode
from lexicons.formats import parse_at_uri

SWAPS: Final = 12
"""How often an edit is made anew because somebody else changed the record meanwhile."""

_POLL: Final = (0.05, 0.5)
_PAUSE: Final = (0.01, 0.1)
_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Written(NamedTuple):
    """A record that was written, or deleted, where `cid` is None.

    `rev` and `commit`, its CID: a commit as of which that is so, mostly the one that made it so; None when nothing had
    to change (WR-06).
    """

    uri: str
    cid: str | None
    rev: str | None
    commit: str | None = None


Make: TypeAlias = Callable[[], Awaitable[Asked | Written]]
"""Asks for an edit anew, of the record as it is now; or says what is there, when there is nothing left to change."""


Came: TypeAlias = tuple[list[Written], str]
"""What was written, and how that came about."""


class Key(NamedTuple):
    """An idempotency key, and the digest of what is asked under it."""

    text: str
    request: bytes


class Carrier:
    """Carries out writes; one a process."""

    def __init__(
        self,
        pool: Pool,
        grants: Grants,
        oauth: OAuth,
        http: HttpClient,
        makers: Makers,
        metrics: WriteMetrics,
        patience: Patience = PATIENT,
    ) -> None:
        self.http = http
        self.metrics = metrics
        self.hosts = Hosts()
        self._pool = pool
        self._grants = grants
        self._oauth = oauth
        self._shows = pending.Shows(pool, makers)
        self._patience = patience
        self._under_way: set[asyncio.Task[Any]] = set()

    async def aclose(self) -> None:
        """Wait for what is under way; what is cut off all the same is settled later, by a job."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def access(self, did: str, grant: int) -> Access:
        """The PDS of `did`, whose grant it is."""
        return Access(self._oauth, self._grants, did, grant)

    async def carry(self, access: Access, asked: Asked, key: Key | None) -> list[Written]:
        """Have `asked` done once, whatever happens. Raises WriteError."""
        return await self._to_the_end(self._timed(asked.method, self._begin(access, asked, key)))

    async def edit(self, access: Access, did: str, key: Key | None, make: Make) -> Written:
        """Have done once what `make` asks for, and anew of what is there then where that comes too late.

        Raises WriteError, and what `make` raises.
        """
        (written,) = await self._to_the_end(self._timed("put", self._edit(access, did, key, make)))
        return written

    async def _to_the_end(self, work: Coroutine[Any, Any, _T]) -> _T:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        # Whoever asked may be gone, and then nobody else looks at how it came out.
        if not task.cancelled():
            task.exception()

    async def _timed(self, method: Method, work: Awaitable[Came]) -> list[Written]:
        began = time.monotonic()
        try:
            done, outcome = await work
        except WriteError as error:
            outcome = type(error).__name__
            raise
        except BaseException:
            outcome = "failed"
            raise
        finally:
            self.metrics.outcomes.labels(method, outcome).inc()
            self.metrics.seconds.labels(method).observe(time.monotonic() - began)
        return done

    async def _edit(self, access: Access, did: str, key: Key | None, make: Make) -> Came:
        there = None if key is None else await journal.find(self._pool, did, key.text)
        if there is not None and key is not None:
            there = await self._over(there, key)
            if there.state != "refused":
                # Whether it was done is not to be guessed from what it would be now.
                return await self._again(access, there, _edited(there))
        asked = await make()
        if isinstance(asked, Asked):
            return await self._begin(access, asked, key, make)
        if key is None or await journal.keep(self._pool, did, asked.uri, asked.cid, *key):
            return [asked], "unchanged"
        raise Unsettled("The same request is being made by another.")

    async def _begin(self, access: Access, asked: Asked, key: Key | None, make: Make | None = None) -> Came:
        granted = await access.granted(*asked.needs)
        if asked.method == "create" and not all(
            permits(granted.scope, RepoNeed(write.collection, "update")) for write in asked.writes
        ):
            asked = replace(asked, by_put=False)
        text, request = key or (None, None)
        there = None if text is None else await journal.find(self._pool, asked.did, text)
        if there is None:
            with self.hosts.one(granted.pds):
                asked = await self._based(granted.pds, asked)
                there, is_mine = await journal.begin(self._pool, asked, text, request)
                if is_mine or key is None:
                    return await self._carry_out(access, granted.pds, there, asked, make, look_first=False)
        if key is None:
            raise RuntimeError("Without a key there is nothing to be found.")
        return await self._again(access, await self._over(there, key), asked, make)

    async def _again(self, access: Access, there: Intent, asked: Asked, make: Make | None = None) -> Came:
        """What is asked as it was before, by the same key; nobody is at it. What was not refused is the very same."""
        if there.state in ("written", "settled"):
            return _results(there), "repeated"
        if there.state == "unknown":
            raise Overtaken
        pds = (await access.granted(*asked.needs)).pds
        with self.hosts.one(pds):
            is_same = there.state != "refused"
            asked = _resumed(asked, there) if is_same else _rekeyed(asked, there)
            # What was found not to have been done is done on top of what is there now.
            asked = replace(asked, base=there.base) if there.state == "intended" else await self._based(pds, asked)
            if not await journal.take(self._pool, there, asked):
                raise Unsettled("The same request is being made by another.")
            return await self._carry_out(access, pds, there, asked, None if is_same else make, look_first=is_same)

    async def _based(self, pds: str, asked: Asked) -> Asked:
        """The same, on top of what is there before it. Raises PdsAway where the PDS does not say.

        If it gave no answer to the write either, nobody could ever tell what came of that.
        """
        if asked.guarded_by is not None:
            return asked
        if asked.swap_commit is not None:
            return replace(asked, base=asked.swap_commit)
        try:
            _, commit = await newest(self.http, pds, asked.did, seconds=self._patience.base)
        except CannotLook as error:
            raise PdsAway(f"{error} Nothing was written.") from None
        return replace(asked, base=commit)

    async def _over(self, intent: Intent, key: Key) -> Intent:
        """The same row once nobody is at it any more. Raises IdempotencyMismatch, Unsettled."""
        deadline = time.monotonic() + self._patience.same
        poll, longest = _POLL
        now: Intent | None = intent
        while now is not None:
            if now.request != key.request:
                raise IdempotencyMismatch("This idempotency key was sent with another request before.")
            if not (now.state == "intended" and now.is_held):
                return now
            if time.monotonic() >= deadline:
                break
            await asyncio.sleep(poll)
            poll = min(2 * poll, longest)
            now = await journal.find(self._pool, intent.did, key.text)
        raise Unsettled("The same request is still under way.")

    async def _carry_out(
        self, access: Access, pds: str, intent: Intent, asked: Asked, make: Make | None, *, look_first: bool
    ) -> Came:
        """Ask the PDS, journal what came of it, and show it; the intent is ours."""
        attempts = Attempts(access, self.http, pds, asked, self._patience)
        try:
            async with asyncio.timeout(self._patience.write):
                for left in reversed(range(SWAPS)):
                    try:
                        done = await attempts.settle(look_first=look_first)
                        break
                    except (InvalidSwap, RecordAlreadyExists):
                        if make is None or not left or attempts.lost is not None:
                            raise
                    again = await self._anew(pds, intent, make)
                    if isinstance(again, Written):
                        return [again], "unchanged"
                    asked = again
                    attempts = Attempts(access, self.http, pds, asked, self._patience)
        except TimeoutError:
            error = Unsettled("The PDS took too long; whether it was written is not known yet.")
            await self._note(self._release(intent, error))
            raise error from None
        except WriteError as error:
            if isinstance(error, Overtaken):
                await self._note(journal.ended(self._pool, intent.id, "unknown", error.message))
            elif attempts.lost is None and not isinstance(error, Unsettled):
                await self._note(journal.ended(self._pool, intent.id, "refused", error.message))
            else:
                await self._note(self._release(intent, error))
            raise
        await self._note(journal.written(self._pool, intent.id, done.rev, done.commit, to_show=done.is_steady))
        await self._show(asked, done)
        outcome = "found" if done.is_found else "done" if done.rev else "unchanged"
        return _of(asked, done), outcome

    async def _release(self, intent: Intent, error: WriteError) -> None:
        await journal.released(self._pool, intent.id, error.message)
        await journal.bound(self._pool, intent.did)

    async def _anew(self, pds: str, intent: Intent, make: Make) -> Asked | Written:
        """What the edit is now that the record is another, written down."""
        await asyncio.sleep(random.uniform(*_PAUSE))  # noqa: S311 - spreads load, guards nothing
        try:
            again = await make()
        except BaseException:
            await self._note(journal.ended(self._pool, intent.id, "refused", "The edit does not fit any more."))
            raise
        if isinstance(again, Written):
            await self._note(journal.unchanged(self._pool, intent.id, again.cid))
            return again
        again = await self._based(pds, again)
        await journal.revise(self._pool, intent.id, again)
        return again

    async def _show(self, asked: Asked, done: Done) -> None:
        """Have readers see it at once; where that fails, a job sees to it, and the echo does.

        Where nothing had to change the index should have it, and is looked at whether it has.
        """
        try:
            if done.rev is None:
                await pending.doubt(self._pool, asked.did, {write.uri: write.cid for write in asked.writes})
            elif done.is_steady:
                writes = own_writes(asked, done.rev, is_found=done.is_found)
                await self._shows.show(writes, datetime.now(UTC))
        except (asyncpg.PostgresError, TimeoutError, *AWAY) as error:
            self.metrics.unshown.inc()
            _log.warning("a write of %s is not shown yet: %r", asked.did, error)

    async def _note(self, noting: Awaitable[None]) -> None:
        """Write down in the journal what is so, whether or not that can be written down now."""
        try:
            await noting
        except (asyncpg.PostgresError, TimeoutError, *AWAY) as error:
            _log.warning("the journal does not know yet what came of a write: %r", error)


def own_writes(asked: Asked, rev: str, *, is_found: bool) -> list[OwnWrite]:
    """What the index is told of a commit, or of what a look has found as of it."""
    return [
        OwnWrite(
            write.uri,
            asked.did,
            write.collection,
            write.rkey,
            rev,
            write.cid,
            write.version.block if write.version else None,
            is_found,
        )
        for write in asked.writes
    ]


def _of(asked: Asked, done: Done) -> list[Written]:
    return [
        Written(write.uri, None if write.cid is None else str(write.cid), done.rev, done.commit)
        for write in asked.writes
    ]


def _results(intent: Intent) -> list[Written]:
    pairs = zip(intent.uris, intent.cids, strict=True)
    return [Written(uri, None if cid is None else str(cid), intent.rev, intent.commit) for uri, cid in pairs]


def _resumed(asked: Asked, intent: Intent) -> Asked:
    """The request that was made before: its keys, its records."""
    writes = [
        _under(write, uri, _version(cid, block))
        for write, uri, cid, block in zip(asked.writes, intent.uris, intent.cids, intent.blocks, strict=True)
    ]
    return replace(asked, writes=tuple(writes))


def _edited(intent: Intent) -> Asked:
    """The edit that was asked for before: it replaces what it was made of."""
    (uri,), blocks = intent.uris, intent.blocks or (None,)
    parts = parse_at_uri(uri)
    write = Write("update", uri, parts.collection or "", parts.rkey or "", _version(intent.cids[0], blocks[0]))
    return Asked(intent.did, "put", (write,), intent.swap)


def _version(cid: CID | None, block: bytes | None) -> Version | None:
    return None if cid is None or block is None else Version(decode(block), block, cid)


def _rekeyed(asked: Asked, intent: Intent) -> Asked:
    """The request that is made now, under the keys that were made for it before."""
    pairs = zip(asked.writes, intent.uris, strict=True)
    return replace(asked, writes=tuple(_under(write, uri, write.version) for write, uri in pairs))


def _under(write: Write, uri: str, version: Version | None) -> Write:
    return replace(write, uri=uri, rkey=uri.rpartition("/")[2], version=version)
