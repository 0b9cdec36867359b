"""One upstream, followed for as long as the process lives: connected to, and again after each failure."""

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Literal

from appview.status import Upstream as Standing
from ingester.effects import Effects, Item
from ingester.events import (
    AccountEvent,
    CommitEvent,
    ErrorEvent,
    EventError,
    IdentityEvent,
    InfoEvent,
    SyncEvent,
    parse_event,
)
from ingester.firehose import Flow, StreamError, follow
from ingester.lanes import Lanes
from ingester.metrics import Metrics
from ingester.scope import Scope
from ingester.stream import Stream
from lexicons.frames import Frame, FrameError, decode_frame, glance

FIRST_SECONDS: Final = 1.0
MOST_SECONDS: Final = 64.0
STABLE_SECONDS: Final = 60.0
"""A connection that lasted this long, or brought a message, was a good one: the next waits are short again (ES-42)."""
BEHIND_SECONDS: Final = 60.0
"""How old what comes now may say it is before we say that we are catching up."""

log = logging.getLogger("plyr.upstream")


class Upstream:
    """Follows `stream.url`, giving what concerns us to `lanes`."""

    def __init__(
        self,
        stream: Stream,
        scope: Scope,
        lanes: Lanes,
        effects: Effects,
        metrics: Metrics,
        on_fresh: Callable[[str], None],
    ) -> None:
        self.stream = stream
        self.state: Literal["connecting", "live", "waiting"] = "connecting"
        self._scope = scope
        self._lanes = lanes
        self._effects = effects
        self._metrics = metrics
        self._on_fresh = on_fresh
        self._flow = Flow(self._live)
        self._since = datetime.now(UTC)
        self._error: str | None = None
        self._last_frame_at: float | None = None
        self._last_time: object = None
        self._clock = asyncio.get_running_loop().time

    async def run(self) -> None:
        """Follow for ever."""
        failures = 0
        while True:
            self._become("connecting")
            started, before = self._clock(), self.stream.last
            try:
                await follow(self.stream.url, self._take, cursor=self.stream.last, flow=self._flow)
                self._error = "the server closed the stream"
            except (StreamError, FrameError) as error:
                self._error = str(error)
            was_good = self.stream.last != before or self._clock() - started >= STABLE_SECONDS
            failures = 1 if was_good else failures + 1
            wait = random.uniform(0.0, min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** min(failures, 16)))  # noqa: S311 - spreads load, guards nothing
            self._become("waiting")
            log.warning("%s: %s; again in %.1f s", self.stream.url, self._error, wait)
            await asyncio.sleep(wait)

    def relieve(self) -> None:
        """There may be room again: go on reading if there is."""
        if not self._lanes.are_full:
            self._flow.resume()

    @property
    def is_behind(self) -> bool:
        """Whether what comes in now was made a while ago, by its own word."""
        if self._last_frame_at is None or self._clock() - self._last_frame_at > BEHIND_SECONDS:
            return False
        try:
            made = datetime.fromisoformat(str(self._last_time))
            return (datetime.now(UTC) - made).total_seconds() > BEHIND_SECONDS
        except (ValueError, TypeError):
            return False

    def status(self) -> Standing:
        """How it stands, for people and for `/ready`."""
        ago = None if self._last_frame_at is None else self._clock() - self._last_frame_at
        last = None if ago is None else datetime.fromtimestamp(datetime.now(UTC).timestamp() - ago, UTC).isoformat()
        return {
            "url": self.stream.url,
            "state": self.state,
            "since": self._since.isoformat(),
            "error": self._error,
            "last_frame_at": last,
            "last_seq": self.stream.last,
            "cursor": self.stream.cursor,
        }

    def _become(self, state: Literal["connecting", "live", "waiting"]) -> None:
        self.state, self._since = state, datetime.now(UTC)

    def _live(self) -> None:
        self._become("live")
        self._error = None
        self._metrics.connects[self.stream.url] += 1
        log.info("%s: following from %s", self.stream.url, "now on" if self.stream.last is None else self.stream.last)
        if self.stream.last is None:
            # What was written before this moment does not come by the stream.
            self._on_fresh(self.stream.url)

    def _take(self, message: bytes) -> None:
        """One message, within the read of the socket. Raises FrameError, on which the connection drops (ES-13)."""
        frame = glance(message)
        payload, received = frame.payload, self._clock()
        self._last_frame_at, self._last_time = received, payload.get("time")
        seq = payload.get("seq")
        if seq is not None and not self.stream.is_new(seq):
            self._metrics.frames[frame.t or "error", "skip", "replayed_seq"] += 1
            return
        if not self._scope.concerns(frame):
            self._metrics.off_topic += 1
            if seq is not None:
                self.stream.pass_by(seq)
            return
        self._take_closely(frame, message, received, seq)
        if self._lanes.are_full:
            self._flow.pause()

    def _take_closely(self, glanced: Frame, message: bytes, received: float, seq: int | None) -> None:
        try:
            event = parse_event(decode_frame(message))
        except EventError as error:
            did = glanced.payload.get("repo" if glanced.t == "#commit" else "did")
            self._effects.refuse(
                self.stream, seq, glanced.t or "error", str(did)[:300], error.reason, str(error), message
            )
            if seq is not None:
                self.stream.pass_by(seq)
            return
        if isinstance(event, CommitEvent | SyncEvent | IdentityEvent | AccountEvent):
            self.stream.begin(event.seq)
            self._lanes.take(Item(self.stream, received, event, message))
        elif isinstance(event, ErrorEvent):
            self._metrics.frames["error", "ok", event.error] += 1
            raise StreamError(f"the server says {event.error}{f': {event.message}' if event.message else ''}")
        elif isinstance(event, InfoEvent):
            self._metrics.frames["#info", "ok", event.name] += 1
            log.warning("%s says %s: %s", self.stream.url, event.name, event.message or "")
