"""The sweep: each repository, for ever, is compared with what its own PDS says; who was asked longest ago is next.

What differs is looked at once more after a while, since its messages may be on their way. What differs still is drift:
counted, logged, and settled by a job, as everything else of its kind is; a fetch compares every record.
"""

import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple

from appview.db import AWAY, Pool
from appview.index import repos
from appview.index.repos import Audited, Chain
from appview.jobs import rows as jobs
from appview.net.errors import Gone, IdentityError
from appview.net.identity import IdentityResolver
from ingester.account import DOCUMENT_SECONDS
from ingester.budget import HostClient, origin
from ingester.effects import Effects
from ingester.fetch import AUDIT
from ingester.hosts import HostError, LatestCommit, NoRepo, NotServed, get_latest_commit, get_repo_status
from ingester.promises import Promises
from ingester.shard import Shard
from lexicons.cid import CID

DAY: Final = 86_400.0
MOST_A_SECOND: Final = 20.0
"""Repositories begun in a second at the most, however many there are: a million take fourteen hours then."""
GRACE_SECONDS: Final = 60.0
"""Between the two looks at one that differs; at most a tenth of the time around."""
WHOLE: Final = timedelta(days=30)
"""How old the last fetch of a whole repository may be: a record may have changed here under a head that is the same."""
AT_ONCE: Final = 256
"""Repositories that are asked about, or wait for their second look."""
PAGE: Final = 200
PAUSE_SECONDS: Final = 1.0
"""Between two tries, where there is nothing to do or nobody to ask."""
PATIENCE: Final = 30
"""For how many of them a host may have no room for us: whoever waits for a fetch goes first."""

log = logging.getLogger("plyr.audit")

Outcome = Literal["equal", "behind", "ahead", "differs", "away", "back", "gone", "settling", "unfetched", "unreachable"]
"""What came of a look, from our side: `behind` its PDS, or `ahead` of it; with another commit at the same rev; `away`,
`back` or `gone` is an account whose PDS says so, and we do not; `unfetched` is not whole, and its job is lost. With any
of these it is `settling` while the job is there that will settle it.
"""
_AS_IT_SHOULD: Final = frozenset({"equal", "settling", "unreachable"})
_BY_FETCH: Final = frozenset({"behind", "differs"})
_BY_STATUS: Final = frozenset({"away", "back", "gone"})
_FIRST: Final = Audited(None, "")


class Said(NamedTuple):
    """What a PDS says: why the account is not active, or None if it is; and where its repository stands."""

    status: str | None
    head: LatestCommit | None

    def __str__(self) -> str:
        if self.head is None:
            return self.status or "active"
        return f"{self.head.rev} ({CID(self.head.cid)})"


class Look(NamedTuple):
    """What came of looking at a repository: our side, and theirs, None where it could not be asked."""

    outcome: Outcome
    chain: Chain
    said: Said | None


class Audit:
    """Goes round the repositories of `shard`, in `around` seconds as long as that is no more than a few a second."""

    def __init__(
        self,
        pool: Pool,
        http: HostClient,
        identities: IdentityResolver,
        effects: Effects,
        shard: Shard,
        promises: Promises,
        *,
        around: float = DAY,
    ) -> None:
        self._pool = pool
        self._http = http
        self._identities = identities
        self._writer = effects.writer
        self._metrics = effects.metrics
        self._tracked = effects.states.tracked
        self._shard = shard
        self._promises = promises
        self._around = around
        self._grace = min(GRACE_SECONDS, around / 10)
        self._clock = asyncio.get_running_loop().time
        self._last = float("-inf")
        """When the last one was begun."""
        self._round_began = datetime.now(UTC)
        self._place = _FIRST
        """The last one of this round whose turn has come."""
        self._under_way: set[str] = set()
        self._room = asyncio.Semaphore(AT_ONCE)

    @property
    def oldest_seconds(self) -> float:
        """How long ago the one was audited whose turn it is; one that never was counts from when the round began."""
        return (datetime.now(UTC) - (self._place.at or self._round_began)).total_seconds()

    async def run(self) -> None:
        """Go round for ever, once the streams have had time to bring what was missed."""
        await asyncio.sleep(self._grace)
        async with asyncio.TaskGroup() as tasks:
            while True:
                for audited in await self._page():
                    await self._pace()
                    self._place = audited
                    if audited.did not in self._under_way:
                        await self._room.acquire()
                        self._under_way.add(audited.did)
                        tasks.create_task(self._audit(audited.did))

    async def _page(self) -> list[Audited]:
        """Who comes next in this round; at its end none, and another round begins."""
        try:
            async with self._pool.acquire() as connection:
                page = await repos.to_audit(connection, self._shard, self._place, self._round_began, PAGE)
        except AWAY as error:
            log.warning("waiting for the database: %s", error)
            await asyncio.sleep(PAUSE_SECONDS)
            return []
        if not page:
            if self._place == _FIRST:
                await asyncio.sleep(PAUSE_SECONDS)
            self._place, self._round_began = _FIRST, datetime.now(UTC)
        return page

    async def _pace(self) -> None:
        """Wait until it is the turn of the next one; meanwhile there may have come to be more of them."""
        while True:
            gap = max(1 / MOST_A_SECOND, self._around / max(1, len(self._tracked)))
            wait = self._last + gap - self._clock()
            if wait <= 0:
                self._last = self._clock()
                return
            await asyncio.sleep(min(wait, PAUSE_SECONDS))

    async def _audit(self, did: str) -> None:
        try:
            look = await self._look(did)
            if look is not None and look.outcome not in _AS_IT_SHOULD:
                await asyncio.sleep(self._grace)
                look = await self._look(did, look)
            if look is not None:
                self._settle(did, look, is_whole=await self._is_whole(look))
        except AWAY as error:
            # It stays the one that was not asked about for longest; its turn comes first in the next round.
            log.warning("the audit of %s broke off: %s", did, error)
        finally:
            self._under_way.discard(did)
            self._room.release()

    async def _look(self, did: str, before: Look | None = None) -> Look | None:
        """Compare what is here with what the PDS says; None where the repository is followed no more.

        Ours is read first: so it is never taken to be ahead of a PDS that is merely being written to.
        """
        async with self._pool.acquire() as connection:
            chain, active = (await repos.known(connection, [did]))[did]
            is_wanted = {kind: await jobs.find(connection, kind, did) is not None for kind in ("fetch", "status")}
            pds: str | None = await connection.fetchval("select pds from actors where did = $1", did)
        if chain is None:
            return None
        try:
            # As it was when its identity was last looked up; it may have moved, so that the second look asks anew.
            said = await self._ask(did, pds if before is None else None, active=active)
        except (HostError, IdentityError) as error:
            log.info("%s cannot be compared: %s", did, error)
            return Look("unreachable", chain, None)
        outcome = _compare(chain, said, active=active)
        if outcome == "behind" and before is not None and before.outcome == "behind" and _has_followed(chain, before):
            outcome = "equal"
        if outcome == "behind" and said.head is not None and self._promises.is_empty(chain, said.head.rev):
            return Look("unreachable", chain, said)  # it names what it does not give
        kind = "status" if outcome in _BY_STATUS else "fetch"
        return Look("settling" if outcome not in _AS_IT_SHOULD and is_wanted[kind] else outcome, chain, said)

    async def _ask(self, did: str, pds: str | None, *, active: bool) -> Said:
        """What its `pds` says of an account that is `active` here; where none is given, the one of its DID document.

        Raises HostError, IdentityError.
        """
        if pds is None:
            try:
                pds = (await self._identities.document(did, max_age=DOCUMENT_SECONDS)).pds
            except Gone:
                return Said("deleted", None)
        if pds is None:
            raise HostError(f"{did} names no PDS", temporary=False)
        try:
            await self._turn(pds)
            with suppress(NotServed):  # then its head has to say as much
                status = await get_repo_status(self._http, pds, did)
                if not status.active:
                    return Said(status.status or "inactive", None)
                if not active:
                    return Said(None, None)
            await self._turn(pds)
            return Said(None, await get_latest_commit(self._http, pds, did))
        except NoRepo as error:
            return Said(error.status, None)

    async def _turn(self, host: str) -> None:
        """Wait until the host may be asked, behind all who have to ask it. Raises HostError."""
        for _ in range(PATIENCE):
            if self._http.budget.has_room(origin(host)):
                return
            await asyncio.sleep(PAUSE_SECONDS)
        raise HostError(f"{host} has no room for an audit", temporary=True)

    async def _is_whole(self, look: Look) -> bool:
        """Whether it may stay as it is, being equal as far as that was asked: it was fetched within a month, or others
        wait for their fetch, and need it more.
        """
        if look.outcome != "equal" or look.said is None or look.said.head is None:
            return True
        fetched_at = look.chain.fetched_at
        if fetched_at is not None and datetime.now(UTC) - fetched_at < WHOLE:
            return True
        row = await self._pool.fetchrow("select from jobs where kind = 'fetch' and due_at <= now() limit 1")
        return row is not None

    def _settle(self, did: str, look: Look, *, is_whole: bool) -> None:
        """What follows from the last look at a repository."""
        outcome, chain, said = look
        batch = self._writer.batch
        self._metrics.audited[outcome] += 1
        if outcome not in _AS_IT_SHOULD:
            self._metrics.drift[outcome] += 1
            log.warning("%s: %s; here at %s, %s; its PDS says %s", did, outcome, chain.rev, chain.status, said)
        if outcome == "behind" and said is not None and said.head is not None:
            self._promises.made(did, said.head.rev)
        if outcome in _BY_FETCH or not is_whole:
            batch.want("fetch", did, AUDIT)
        elif outcome == "unfetched":
            batch.want("fetch", did, outcome)
        elif outcome in _BY_STATUS:
            batch.want("status", did, AUDIT)
        batch.audited.add(did)
        self._writer.wake()


def _compare(chain: Chain, said: Said, *, active: bool) -> Outcome:
    """How a repository stands to what its PDS says."""
    if said.status is not None:
        if not active:
            return "equal"
        return "gone" if said.status == "deleted" else "away"
    if not active:
        return "back"
    if chain.status != "synchronized":
        return "unfetched"
    # The commit names the tree and the rev. Beside it, an account that moved has another rev until it writes again.
    if said.head is None or said.head.cid == chain.commit_cid:
        return "equal"
    theirs, ours = said.head.rev, chain.rev or ""
    if theirs == ours:
        return "differs"
    return "behind" if theirs > ours else "ahead"


def _has_followed(chain: Chain, before: Look) -> bool:
    """Whether we stand by now where the PDS stood at an earlier look: then it is only being written to."""
    return before.said is not None and before.said.head is not None and (chain.rev or "") >= before.said.head.rev
