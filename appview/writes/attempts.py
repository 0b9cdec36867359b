"""One request to a PDS, until it is known what came of it.

It is asked again by the same key alone, after a look (WR-08), and on top of what was there before it was first asked:
whatever was written since stays, and what was deleted since stays away.
"""

import asyncio
import random
import time
from typing import Final, NamedTuple

from appview.net.http import HttpClient
from appview.writes.access import Access, Lost, NotSent
from appview.writes.asked import Asked
from appview.writes.errors import InvalidSwap, Overtaken, PdsAway, PdsRefused, RecordAlreadyExists, Unsettled
from appview.writes.look import CannotLook, Seen, look
from lexicons.formats import tid_time_us

MAX_AHEAD: Final = 300.0
"""Seconds that a rev may be ahead of our clock (2.5 #7): beyond that nothing could follow it."""


class Patience(NamedTuple):
    """How long things may take, in seconds."""

    base: float = 5.0
    """What is there before a write is asked for."""
    answer: float = 20.0
    """One answer of a PDS to a write."""
    pauses: tuple[float, ...] = (0.0, 0.3, 1.5)
    """Before each try, on average."""
    write: float = 75.0
    """All tries of a write; less than it is held for in the journal."""
    same: float = 30.0
    """How long a call waits for another of the same key."""


PATIENT: Final = Patience()


class Done(NamedTuple):
    """It is in the repository, as of the commit `rev` with the CID `commit`; both None where nothing had to change.

    `is_found`: a look has found it there, and the commit may be a later one than that which brought it. `is_steady`:
    that commit has all of it for sure.
    """

    rev: str | None
    commit: str | None
    is_found: bool = False
    is_steady: bool = True


class Attempts:
    """The tries of one request. `lost` is the last answer that did not come: before that, every no is certain."""

    def __init__(self, access: Access, http: HttpClient, pds: str, asked: Asked, patience: Patience) -> None:
        self._patience = patience
        self._access = access
        self._http = http
        self._pds = pds
        self._asked = asked
        self.lost: Lost | None = None
        self._may_come_late = False

    async def settle(self, *, look_first: bool) -> Done:
        """Ask, and look where no answer comes.

        Raises Unsettled, Overtaken where it will never be known; else, of what was not done, every other WriteError but
        InvalidWrite.
        """
        away: NotSent | None = None
        if look_first:
            self.lost = Lost("The request was made before, and its answer was lost.")
            self._may_come_late = True
        for pause in self._patience.pauses:
            if self.lost is not None and (done := await self._looked()) is not None:
                return done
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load, guards nothing
            try:
                return await self._ask()
            except Lost as error:
                self.lost, away = error, None
                self._may_come_late |= error.status is None
            except NotSent as error:
                away = error
        if self.lost is None:
            raise PdsAway(str(away))
        if (done := await self._looked()) is not None:
            return done
        if self.lost.status is not None and not self._may_come_late:
            raise PdsRefused(f"{self.lost}. Nothing was written.", status=self.lost.status)
        raise Unsettled(f"{away or self.lost} Nothing is there yet.")

    async def _ask(self) -> Done:
        """Once. Raises Lost, NotSent, and what a refusal means."""
        body = self._asked.body(again=self.lost is not None)
        try:
            said = await self._access.call(self._asked.nsid, body, self._patience.answer)
        except InvalidSwap as error:
            return await self._swapped(error)
        try:
            rev, commit = self._asked.commit(said)
        except (ValueError, AttributeError) as error:
            raise Lost(f"The PDS did not answer as it should: {error}") from None
        if rev is None and (self.lost is not None or self._asked.replaces_another):
            # There was nothing to do, since it was done before: by a try whose answer was lost, or by a twin.
            return self._found(await self._look())
        if rev is not None and tid_time_us(rev) > (time.time() + MAX_AHEAD) * 1e6:
            raise Lost("The PDS answered with a rev of a time to come.")
        return Done(rev, commit)

    async def _swapped(self, error: InvalidSwap) -> Done:
        """Something else is there than was to be replaced: it may be what was to be written."""
        seen = await self._look()
        # A PDS that was asked but once, and refused, has done nothing.
        match self._asked.finding(seen.cids, is_unchanged=self.lost is None):
            case "done":
                return self._found(seen)
            case _ if self.lost is not None:
                raise Overtaken
            case "exists":
                raise RecordAlreadyExists("Another record is there under this key.")
            case _:
                raise error

    async def _looked(self) -> Done | None:
        """What a look says of an answer that was lost: done, or None for asking again."""
        seen = await self._look()
        match self._asked.finding(seen.cids, is_unchanged=seen.is_still(self._asked.base)):
            case "done":
                return self._found(seen)
            case "exists":
                raise RecordAlreadyExists("Another record is there under this key.")
            case "overtaken":
                raise Overtaken
            case "again":
                return None

    async def _look(self) -> Seen:
        try:
            return await look(self._http, self._pds, self._asked.did, [write.uri for write in self._asked.writes])
        except CannotLook as error:
            raise Unsettled(f"{self.lost or 'Something else was there than was expected.'} {error}") from None

    def _found(self, seen: Seen) -> Done:
        # Of a commit that was done, something may have been changed since: that is not ours to show.
        is_ours = seen.cids == [write.cid for write in self._asked.writes]
        return Done(seen.rev, seen.commit, is_found=True, is_steady=seen.is_steady and is_ours)
