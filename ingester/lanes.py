"""Lanes: for each repository everything happens in order, one after the other; different ones do not wait.

Most messages find all that they need in memory and are judged where they are read, with no task and no queue. One that
has to wait for something (a state from the database, a key from the directory) opens a lane for its DID, and those of
the same DID that come meanwhile queue up in it. A lane also runs what must not be crossed by a message of its DID.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from appview.index.records.fields import MAX_DID_BYTES
from ingester.effects import UNCHECKED, Effects, Item
from ingester.events import AccountEvent, CommitEvent, IdentityEvent, SyncEvent
from ingester.states import Signers, States
from ingester.sync import Apply, Decision, Hold, Invalid, RepoState, Resync, Signer, decide
from ingester.writer import Writer

MAX_WAITING: Final = 2_000
"""Messages in lanes, over all of them, beyond which no more are read from the upstreams."""
MAX_WAITING_BYTES: Final = 24_000_000
"""They take twice that: what is in a message, and the message as it came, which may have to be kept."""
LOOKUP_SECONDS: Final = 1.0
"""How long a message waits in its lane for who signed it. Then it is kept: strangers' slow hosts fill no lanes."""

Step = Callable[[], Awaitable[None]]


class Lanes:
    """The lanes of all repositories. `on_failure` is told when one of them breaks, which is a fault of ours."""

    def __init__(
        self,
        effects: Effects,
        writer: Writer,
        states: States,
        signers: Signers,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.waiting = 0
        """Messages in lanes."""
        self.waiting_bytes = 0
        self._effects = effects
        self._writer = writer
        self._states = states
        self._signers = signers
        self._on_failure = on_failure
        self._lanes: dict[str, deque[Item | Step]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def are_full(self) -> bool:
        """Whether no more should be read until some of it is done."""
        return self.waiting > MAX_WAITING or self.waiting_bytes > MAX_WAITING_BYTES or self._writer.is_full

    @property
    def oldest(self) -> float | None:
        """When the longest waiting message came (event loop's clock); None when none waits."""
        return min(
            (step.received for lane in self._lanes.values() for step in lane if isinstance(step, Item)), default=None
        )

    def __contains__(self, did: object) -> bool:
        """Whether something is going on with `did`."""
        return did in self._lanes

    def take(self, item: Item) -> None:
        """Judge a message now, or when its turn comes."""
        if len(item.event.did) > MAX_DID_BYTES:
            self._effects.put_aside(item, "did_too_long", f"a DID of {len(item.event.did)} characters is not indexed")
            return
        lane = self._lanes.get(item.event.did)
        if lane is None and self._settle_at_once(item):
            self._writer.wake()
            return
        self.waiting += 1
        self.waiting_bytes += len(item.message)
        if lane is None:
            self._open(item.event.did, item)
        else:
            lane.append(item)

    async def run(self, did: str, step: Step) -> None:
        """Do `step` when it is the turn of `did`, with nothing else of that DID going on; what it raises is raised."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def guarded() -> None:
            try:
                await step()
            except asyncio.CancelledError:
                done.cancel()
                raise
            except BaseException as error:  # noqa: BLE001 - handed on to who asked for the step
                if not done.done():
                    done.set_exception(error)
            else:
                if not done.done():
                    done.set_result(None)

        lane = self._lanes.get(did)
        if lane is None:
            self._open(did, guarded)
        else:
            lane.append(guarded)
        await done

    async def aclose(self) -> None:
        """Stop; what is in the lanes comes again with the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _open(self, did: str, first: Item | Step) -> None:
        self._lanes[did] = deque([first])
        task = asyncio.create_task(self._work_off(did))
        self._tasks.add(task)
        task.add_done_callback(self._closed)

    def _closed(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(error)

    async def _work_off(self, did: str) -> None:
        lane = self._lanes[did]
        while lane:
            step = lane[0]
            if isinstance(step, Item):
                await self._settle(step)
                self.waiting -= 1
                self.waiting_bytes -= len(step.message)
                self._writer.wake()
            else:
                await step()
            lane.popleft()
        del self._lanes[did]

    def _settle_at_once(self, item: Item) -> bool:
        """Judge a message with what is in memory; False where that is not enough."""
        event = item.event
        did = event.did
        if self._writer.is_full:
            return False
        if isinstance(event, IdentityEvent | AccountEvent):
            self._heard(item, event)
            return True
        if self._effects.held[did]:
            return False
        if did not in self._states:
            return False
        signer = self._signers.peek(did)
        state = self._states.peek(did)
        decision = decide(event, state, signer, time.time_ns() // 1_000)
        if _is_about_the_key(decision) or _wants_signer(decision):
            return False
        self._effects.record(item, state, decision)
        return True

    async def _settle(self, item: Item) -> None:
        """Judge a message with all that can be had."""
        event = item.event
        await self._writer.room()
        if isinstance(event, IdentityEvent | AccountEvent):
            self._heard(item, event)
            return
        if self._effects.held[event.did]:
            self._effects.keep_behind(item)
            return
        state = await self._states.get(event.did)
        decision = await self._judge_soon(event, state)
        await self._writer.room()
        self._effects.record(item, state, decision)

    async def _judge_soon(self, event: CommitEvent | SyncEvent, state: RepoState | None) -> Decision:
        """The decision on a message; Hold where who signed it cannot be had soon."""
        if self._signers.are_asked_for and self._signers.peek(event.did) is None:
            decision = _decide(event, state, None)
            if _wants_signer(decision):
                return decision
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                return await self.judge(event, state)
        except TimeoutError:
            return Hold("identity_unresolved")

    async def judge(self, event: CommitEvent | SyncEvent, state: RepoState | None) -> Decision:
        """The decision on a message, with the key as the directory has it now."""
        decision = _decide(event, state, None)
        if not _wants_signer(decision):
            return decision  # whoever signed it: nobody need be asked
        signer = await self._signers.get(event.did)
        decision = _decide(event, state, signer)
        if not _is_about_the_key(decision):
            return decision
        fresh = await self._signers.refresh(event.did)
        if fresh is not None and fresh != signer:
            decision = _decide(event, state, fresh)
            if not _is_about_the_key(decision):
                return decision
        former = await self._signers.former(event.did, event.rev) if isinstance(event, CommitEvent) else None
        if former is not None and (known := _by_former_key(event, state, former)) is not None:
            return known
        is_checked = fresh is not None and (former is not None or isinstance(event, SyncEvent))
        return decision if is_checked or type(decision) is not Invalid else decision._replace(reason=UNCHECKED)

    def _heard(self, item: Item, event: IdentityEvent | AccountEvent) -> None:
        if isinstance(event, IdentityEvent):
            self._signers.doubt(event.did)
        self._effects.record(item, None, _decide(event, None, None))


def _decide(
    event: CommitEvent | SyncEvent | IdentityEvent | AccountEvent, state: RepoState | None, signer: Signer | None
) -> Decision:
    return decide(event, state, signer, time.time_ns() // 1_000)


def _by_former_key(event: CommitEvent | SyncEvent, state: RepoState | None, former: Signer) -> Decision | None:
    """What a commit means that was signed by the key its repository had then, and has no more: it is true, and we are
    behind, so the repository is to be fetched as it is now (tests: rotation and migration in a replay). None where it
    was not signed by that one either.
    """
    decision = _decide(event, state, former)
    if isinstance(decision, Apply):
        return decision._replace(reason="first_seen") if state is None else Resync("former_key", decision.head)
    return decision if isinstance(decision, Resync | Hold) else None


def _wants_signer(decision: Decision) -> bool:
    return type(decision) is Hold and decision.reason == "identity_unresolved"


def _is_about_the_key(decision: Decision) -> bool:
    return type(decision) is Invalid and decision.reason == "bad_signature"
