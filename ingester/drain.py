"""Messages that were kept are judged as soon as they can be: their repository is here, or its identity can be had."""

import asyncio
from typing import Final

from appview.db import Pool
from appview.jobs.rows import Job
from ingester.batch import DeadLetter
from ingester.effects import MAX_DEAD_FRAME, Effects, Item
from ingester.events import CommitEvent, EventError, SyncEvent, parse_event
from ingester.hosts import Busy, HostError
from ingester.lanes import Lanes
from ingester.states import Signers
from ingester.sync import Hold
from lexicons.frames import FrameError, decode_frame

AT_ONCE: Final = 20
"""Kept messages read at once; each may have five megabytes."""
STRANGERS_AT_ONCE: Final = 3
"""Drains of repositories that are not tracked, fewer than there are in all: each may wait for a slow host."""
STRANGERS_WAIT: Final = 5.0
"""Seconds until another of them is tried."""


class Drainer:
    """Judges what was kept of a repository, oldest first."""

    def __init__(self, pool: Pool, signers: Signers, lanes: Lanes, effects: Effects) -> None:
        self._pool = pool
        self._signers = signers
        self._lanes = lanes
        self._effects = effects
        self._writer = effects.writer
        self._states = effects.states
        self._strangers = 0
        """Drains of repositories that are not tracked."""

    async def drain(self, job: Job) -> None:
        """Judge what was kept of the job's DID. Raises HostError where something still cannot be."""
        did = job.subject
        is_stranger = did not in self._states.tracked
        if is_stranger and self._strangers >= STRANGERS_AT_ONCE and not self._is_given_up(did):
            raise Busy("others that nothing is known of are being looked up", STRANGERS_WAIT)
        self._strangers += is_stranger
        try:
            await self._lanes.run(did, lambda: self._drain(did))
        finally:
            self._strangers -= is_stranger
        self._writer.batch.finish(job)
        self._writer.wake()

    async def _drain(self, did: str) -> None:
        """A step of the lane of `did`."""
        if self._is_given_up(did):
            self._effects.drop(did, await self._states.get(did), "identity_unresolved")
            return
        if not self._effects.held[did]:
            await self._count(did)
        if await self._is_fetched(did):
            return  # the fetch that is under way ends with it
        # That its identity could not be had is remembered for longer than it takes to be had again.
        self._signers.purge(did)
        if not await self._judge(did) and not await self._is_fetched(did):
            raise HostError(f"the identity of {did} cannot be had yet", temporary=True)

    def _is_given_up(self, did: str) -> bool:
        """Whether a stranger's own host has not said for long who that is; if it ever does, discovery finds out."""
        is_stranger = did not in self._states.tracked and did.startswith("did:web:")
        return is_stranger and self._effects.room.is_overdue(did)

    async def _count(self, did: str) -> None:
        """Learn of messages that are kept though nobody here kept them: a command put them there."""
        await self._writer.durable()
        async with self._pool.acquire() as connection:
            row = await connection.fetchrow(
                "select count(*), coalesce(sum(octet_length(frame)), 0) from held_frames where did = $1", did
            )
        count, size = row or (0, 0)
        if count:
            self._effects.keep(did, count, size)

    async def _is_fetched(self, did: str) -> bool:
        state = await self._states.get(did)
        return state is not None and state.status == "in_progress"

    async def _judge(self, did: str) -> bool:
        """Judge them one after the other; False where one cannot be yet."""
        while True:
            await self._writer.durable()
            async with self._pool.acquire() as connection:
                rows = await connection.fetch(
                    "select id, frame from held_frames where did = $1 order by id limit $2", did, AT_ONCE
                )
            if not rows:
                self._effects.room.let_go(did)
                return True
            for row in rows:
                if not await self._judge_one(did, row["frame"]):
                    return False
                self._writer.batch.drained.append(row["id"])
                self._writer.batch.touched = True

    async def _judge_one(self, did: str, frame: bytes) -> bool:
        try:
            event = parse_event(decode_frame(frame))
        except (FrameError, EventError) as error:
            # It was kept by another version than this one.
            reason = error.reason if isinstance(error, EventError) else "unreadable"
            kept = frame if len(frame) <= MAX_DEAD_FRAME else None
            self._writer.batch.bury(DeadLetter("held", None, did, reason, str(error), kept))
            return True
        if isinstance(event, CommitEvent | SyncEvent):
            state = await self._states.get(did)
            decision = await self._lanes.judge(event, state)
            if isinstance(decision, Hold):
                return False
            await self._writer.room()
            self._effects.record(Item(None, asyncio.get_running_loop().time(), event, frame), state, decision)
        return True
