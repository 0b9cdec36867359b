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
    MAX_SEQ,
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
from ingester.metrics import UNKNOWN, Metrics, kind_of
from ingester.scope import Scope
from ingester.stream import Stream
from lexicons.frames import Frame, FrameError, decode_frame, glance

FIRST_SECONDS: Final = 1.0
MOST_SECONDS: Final = 64.0
STABLE_SECONDS: Final = 60.0
"""A connection that lasted this long, or brought a message, was a good one: the next waits are short again (ES-42)."""
BEHIND_SECONDS: Final = 60.0
"""How old what comes now may say it is before we say that we are catching up."""
MAX_REPLAYED: Final = 1_000
REPLAY_SECONDS: Final = 10.0
"""How many messages, and for how long, a server may send again before its sequence is taken to have begun anew."""
MAX_SAID: Final = 200
"""Characters shown of what a stranger says."""
_MAX_TIME: Final = 64
_OUTDATED: Final = "OutdatedCursor"
_ERRORS: Final = frozenset({"FutureCursor", "ConsumerTooSlow"})
"""What the protocol has error frames for; other names are shown, and not counted apart."""

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
        on_gap: Callable[[], None],
    ) -> None:
        """`on_fresh` is told its URL when it is followed from now on; `on_gap`, when messages are lost to us."""
        self.stream = stream
        self.state: Literal["connecting", "live", "waiting"] = "connecting"
        self._scope = scope
        self._lanes = lanes
        self._effects = effects
        self._metrics = metrics
        self._on_fresh = on_fresh
        self._on_gap = on_gap
        self._flow = Flow(self._live)
        self._since = datetime.now(UTC)
        self._error: str | None = None
        self._last_frame_at: float | None = None
        self._last_time: str | None = None
        self._replayed = 0
        """Messages from below the cursor since the last one from above it, or since the connection was made."""
        self._replayed_since = 0.0
        self._told: set[str] = set()
        """The names of #info that this connection brought; each is logged once."""
        self._stuck: tuple[int | None, datetime] | None = None
        """The seq behind which no frame can be read, and since when."""
        self._clock = asyncio.get_running_loop().time

    async def run(self) -> None:
        """Follow for ever."""
        failures = 0
        while True:
            self._become("connecting")
            self._replayed = 0
            self._told.clear()
            started, before = self._clock(), self.stream.last
            try:
                await follow(self.stream.url, self._take, cursor=self.stream.last, flow=self._flow)
                self._error = "the server closed the stream"
            except StreamError as error:
                self._error = said(str(error))
            except FrameError as error:
                self._error = f"{said(str(error))}; {self._standstill()}"
            lasted = self._clock() - started >= STABLE_SECONDS
            was_good = self.stream.last != before or (lasted and not self._replayed)
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
            made = datetime.fromisoformat(self._last_time or "")
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

    def _standstill(self) -> str:
        """Where we stand while the next frame cannot be read, which only the server can mend (ES-13)."""
        if self._stuck is None or self._stuck[0] != self.stream.last:
            self._stuck = self.stream.last, datetime.now(UTC)
        last, since = self._stuck
        where = "before the first message" if last is None else f"at seq {last}"
        return f"we stand {where} since {since.isoformat(timespec='seconds')}"

    def _take(self, message: bytes) -> None:
        """One message, within the read of the socket. Raises FrameError, on which the connection drops (ES-13)."""
        frame = glance(message)
        payload, received = frame.payload, self._clock()
        time, seq = payload.get("time"), payload.get("seq")
        self._last_frame_at = received
        self._last_time = time if type(time) is str and len(time) < _MAX_TIME else None
        if seq is not None:
            if not self.stream.is_new(seq):
                self._pass_over(frame, seq, received)
                return
            if self._replayed:
                self._replayed, self._error = 0, None
        if not self._scope.concerns(frame):
            self._metrics.off_topic += 1
            if seq is not None:
                self.stream.pass_by(seq)
            return
        self._take_closely(frame, message, received, seq)
        if self._lanes.are_full:
            self._flow.pause()

    def _pass_over(self, frame: Frame, seq: object, received: float) -> None:
        """A message that came before, or whose seq is none.

        Servers may send some again after connecting. Where that does not end, or goes back too far, the server has
        begun to count anew and what it sends is not what our cursor speaks of: that is said, and where it stays so
        StreamError raised. The cursor is the operator's to reset, as for FutureCursor.
        """
        is_seq = type(seq) is int and 0 < seq <= MAX_SEQ
        self._metrics.frames[kind_of(frame), "skip", "replayed_seq" if is_seq else "bad_seq"] += 1
        last = self.stream.last
        if type(seq) is not int or not is_seq or last is None or seq == last:
            return  # with the cursor's own message many servers begin
        if not self._replayed:
            self._replayed_since = received
        self._replayed += 1
        lasts = self._replayed > MAX_REPLAYED or received - self._replayed_since > REPLAY_SECONDS
        if lasts or last - seq > MAX_REPLAYED:
            self._error = f"the server's sequence is behind our cursor: it sends {seq}, and we stand at {last}"
        if lasts:
            self._metrics.behind[self.stream.url] += 1
            raise StreamError(self._error)

    def _take_closely(self, glanced: Frame, message: bytes, received: float, seq: int | None) -> None:
        try:
            event = parse_event(decode_frame(message))
        except EventError as error:
            did = glanced.payload.get("repo" if glanced.t == "#commit" else "did")
            shown = said(did) if type(did) is str else None
            self._effects.refuse(self.stream, seq, kind_of(glanced), shown, error.reason, said(str(error)), message)
            if seq is not None:
                self.stream.pass_by(seq)
            return
        if isinstance(event, CommitEvent | SyncEvent | IdentityEvent | AccountEvent):
            self.stream.begin(event.seq)
            self._lanes.take(Item(self.stream, received, event, message))
        elif isinstance(event, ErrorEvent):
            self._metrics.frames["error", "ok", event.error if event.error in _ERRORS else UNKNOWN] += 1
            because = f": {said(event.message)}" if event.message else ""
            raise StreamError(f"the server says {said(event.error)}{because}")
        elif isinstance(event, InfoEvent):
            self._inform(event)

    def _inform(self, event: InfoEvent) -> None:
        """A word about the stream: logged, and acted upon, once a connection."""
        name = event.name if event.name == _OUTDATED else UNKNOWN
        self._metrics.frames["#info", "ok", name] += 1
        if name in self._told:
            return
        self._told.add(name)
        log.warning("%s says %s: %s", self.stream.url, said(event.name), said(event.message or ""))
        if name == _OUTDATED:
            # What lies between our cursor and the oldest message there is does not come any more.
            self._on_gap()


def said(text: str) -> str:
    """What a stranger says, cut and without control characters: fit for a log, a terminal and the database."""
    return "".join([mark if mark.isprintable() else "\N{REPLACEMENT CHARACTER}" for mark in text[:MAX_SAID]])
