"""One upstream, followed for as long as the process lives: connected to, and again after each failure."""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
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
from ingester.metrics import UNKNOWN, kind_of
from ingester.patience import Patience
from ingester.poison import Poison
from ingester.scope import Scope
from ingester.stream import Stream
from lexicons.frames import Frame, FrameError, decode_frame, glance

BEHIND_SECONDS: Final = 60.0
"""How old what comes now may say it is before we say that we are catching up."""
MAX_REPLAYED: Final = 1_000
REPLAY_SECONDS: Final = 10.0
"""How many messages, and for how long, a server may send again before its sequence is taken to have begun anew."""
MIN_BUSY: Final = 100
"""Messages of a connection from which it can be told how busy it is, and in which steps its server counts."""
STEPS_SECONDS: Final = 5.0
"""For how long, at most, so many are waited for before it is said whether there is a hole before the first."""
BUSY_TIMES: Final = 100
"""A pause of as many times the mean one is a silence; a step of as many times the mean one is a hole."""
MAX_SAID: Final = 200
"""Characters shown of what a stranger says."""
_MAX_TIME: Final = 64
_OUTDATED: Final = "OutdatedCursor"
_ERRORS: Final = frozenset({"FutureCursor", "ConsumerTooSlow"})
"""What the protocol has error frames for; other names are shown, and not counted apart."""

log = logging.getLogger("plyr.upstream")

State = Literal["connecting", "live", "waiting", "blind"]


class Upstream:
    """Follows `stream.url`, giving what concerns us to `lanes`."""

    def __init__(
        self,
        stream: Stream,
        scope: Scope,
        lanes: Lanes,
        effects: Effects,
        on_fresh: Callable[[str], None],
        on_gap: Callable[[str, int | None, int | None], None],
        patience: Patience,
    ) -> None:
        """`on_fresh` is told its URL when it is followed from now on; `on_gap`, its URL and between which seqs (None:
        not known) messages are lost to us, before the cursor moves over them.
        """
        self.stream = stream
        self.state: State = "connecting"
        self.steady_since: float | None = None
        """Since when it has been read as it came (event loop's clock), by the looks of `look`; None: it is not."""
        self.doubt: str | None = None
        """What speaks against it though it is live."""
        self.failures = 0
        """Connections in a row that failed, or brought nothing."""
        self._scope = scope
        self._lanes = lanes
        self._effects = effects
        self._metrics = effects.metrics
        self._on_fresh = on_fresh
        self._on_gap = on_gap
        self._patience = patience
        self._is_fresh = True
        self._flow = Flow(self._live)
        self._leash = asyncio.timeout(None)
        self._dropped_for = ""
        self._aside = 0.0
        self._recalled = asyncio.Event()
        self._since = datetime.now(UTC)
        self._error: str | None = None
        self._last_frame_at: float | None = None
        self._last_time: str | None = None
        self._begin_connection()
        self._steps = self._span = 0
        """Messages of earlier connections, and how far their seqs reached: the steps in which the server counts."""
        self._clock = asyncio.get_running_loop().time
        self._poison = Poison(self._clock)

    def _begin_connection(self) -> None:
        self._frames = 0
        self._first_frame_at = 0.0
        self._began_at = self._first_seq = self.stream.last
        self._beginning: tuple[int, int, int, float] | None = None
        """While it is not known if there is a hole: our cursor, the first seq behind it, `_frames` then, and when."""
        self._is_checked = False
        """Whether it is known if the stream goes on where our cursor stands."""
        self._hole_at: int | None = -1
        """Behind which seq something was passed over that could not be read."""
        self._replayed = 0
        """Messages from below the cursor since the last one from above it, or since the connection was made."""
        self._replayed_since = 0.0
        self._told: set[str] = set()
        """The names of #info that this connection brought; each is logged once."""

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            self._become("connecting")
            self._begin_connection()
            started, before = self._clock(), self.stream.last
            self._error = await self._follow()
            self._judge_beginning(self.stream.last, is_over=True)
            self._measure()
            lasted = self._clock() - started >= self._patience.stable
            was_good = self.stream.last != before or (lasted and not self._replayed)
            self.failures = 1 if was_good else self.failures + 1
            # From the whole range: those whom a server's restart cut off do not come back together.
            wait = self._aside or random.uniform(0.0, self.longest_wait)  # noqa: S311 - spreads load, guards nothing
            self._become("blind" if self._aside else "waiting")
            self._aside = 0.0
            log.warning("%s: %s; again in %.1f s", self.stream.url, self._error, wait)
            self._recalled.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._recalled.wait()

    @property
    def longest_wait(self) -> float:
        """Seconds, at most, until the next attempt to connect, after as many failures as there were."""
        return min(self._patience.most_wait, self._patience.first_wait * 2.0 ** min(self.failures, 16))

    async def _follow(self) -> str:
        """One connection, from the cursor on; how it ended."""
        try:
            async with asyncio.timeout(None) as self._leash:
                await follow(
                    self.stream.url, self._take, cursor=self.stream.last, flow=self._flow, refuse=self._take_unreadable
                )
        except StreamError as error:
            return said(str(error))
        except FrameError as error:
            return f"{said(str(error))}; {self._standstill()}"
        except TimeoutError:
            return self._dropped_for
        return "the server closed the stream"

    def drop(self, reason: str, *, aside: float = 0.0) -> None:
        """End the connection. It is made again as after any failure, or, with `aside`, in so many seconds."""
        if self.state == "live" and not self._leash.expired():
            self._dropped_for, self._aside = reason, aside
            self._leash.reschedule(self._clock())

    def recall(self) -> None:
        """Connect to one that was set aside now."""
        if self.state == "blind":
            self._recalled.set()

    def look(self) -> None:
        """See how it stands; to be called each second."""
        self._judge_beginning(self.stream.last)
        is_steady = self.state == "live" and not self._flow.is_paused and not self.is_behind
        if not is_steady:
            self.steady_since = None
        elif self.steady_since is None:
            self.steady_since = self._clock()

    @property
    def is_silent(self) -> bool:
        """Whether nothing comes, pings answered or not, though this connection used to bring much, evenly."""
        if self.steady_since is None or self._last_frame_at is None or self._frames < MIN_BUSY:
            return False
        mean = (self._last_frame_at - self._first_frame_at) / (self._frames - 1)
        silence = self._clock() - max(self._last_frame_at, self.steady_since)
        return silence > max(self._patience.silence, BUSY_TIMES * mean)

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
            "error": self._error or self.doubt,
            "last_frame_at": last,
            "last_seq": self.stream.last,
            "cursor": self.stream.cursor,
        }

    def _become(self, state: State) -> None:
        self.state, self._since = state, datetime.now(UTC)
        self.steady_since = None

    def _live(self) -> None:
        self._become("live")
        self._error = None
        self._metrics.connects[self.stream.url] += 1
        log.info("%s: following from %s", self.stream.url, "now on" if self.stream.last is None else self.stream.last)
        if self.stream.last is None:
            # What was written before this moment does not come by the stream.
            if self._is_fresh:
                self._on_fresh(self.stream.url)
            else:
                self._on_gap(self.stream.url, None, None)
        self._is_fresh = False

    def _measure(self) -> None:
        """Remember of a connection that is over in which steps its server counts."""
        if self._frames >= MIN_BUSY and self._first_seq is not None and self.stream.last is not None:
            self._steps += self._frames
            self._span += self.stream.last - self._first_seq

    def _check_beginning(self, seq: object) -> None:
        """Hold the first message of a connection against our cursor: between them there may be a hole.

        Servers that have nothing as old say so (OutdatedCursor), or they do not (ES-24).
        """
        self._is_checked = True
        last = self.stream.last
        if type(seq) is not int or not self.stream.is_new(seq):
            return
        self._first_seq = seq
        if last is not None and seq - last > 1:
            self._beginning = last, seq, self._frames, self._clock()
            # As long as it is not known whether something is missing, the cursor stays before it.
            self.stream.begin(last + 1)

    def _judge_beginning(self, newest: int | None, *, is_over: bool = False) -> None:
        """Say whether there is a hole before the first message, once it is known in which steps the server counts:
        by earlier connections, or by this one up to `newest`, when it has brought some, lasts for a while, or is over.
        """
        if self._beginning is None or newest is None:
            return
        last, first, frames, since = self._beginning
        steps, span = self._steps, self._span
        if not steps:
            steps, span = self._frames - frames, newest - first
            is_known = steps >= MIN_BUSY or 0 < span <= 2 * steps or self._clock() - since > STEPS_SECONDS
            if not (is_known or is_over):
                return
        # One that numbers by the clock, or counts for others too, has no hole in each step.
        if first - last > (BUSY_TIMES * span / steps if span > 2 * steps else 1):
            self._on_gap(self.stream.url, last, first)
        self._beginning = None
        self.stream.finish(last + 1)

    def _standstill(self) -> str:
        """Where we stand while the next frame cannot be read (ES-13)."""
        last = self.stream.last
        where = "before the first message" if last is None else f"at seq {last}"
        return f"we stand {where} since {self._poison.since(last).isoformat(timespec='seconds')}"

    def _take_unreadable(
        self, message: bytes, error: FrameError, seq: int | None = None, did: str | None = None
    ) -> None:
        """Keep aside what is no frame, and drop the connection (ES-13): raises `error`. Where the same message comes
        again at the same place, nothing that the server does will mend it: it is passed over, as a hole.
        """
        last = self.stream.last
        if not self._poison.is_known(message, last):
            self._effects.refuse(self.stream, seq, UNKNOWN, did, "unreadable", said(str(error)), message)
            if self._poison.is_worth_a_drop(has_moved=last != self._began_at):
                raise error
        self._metrics.frames[UNKNOWN, "skip", "unreadable"] += 1
        self._is_checked = True
        if self._hole_at != last:
            self._hole_at = last
            self._on_gap(self.stream.url, last, None)
        if seq is not None:
            self.stream.pass_by(seq)

    def _take(self, message: bytes) -> None:
        """One message, within the read of the socket. Raises FrameError, on which the connection drops (ES-13)."""
        try:
            frame = glance(message)
        except FrameError as error:
            self._take_unreadable(message, error)
            return
        payload, received = frame.payload, self._clock()
        time, seq = payload.get("time"), payload.get("seq")
        if not self._frames:
            self._first_frame_at = received
        self._frames += 1
        self._last_frame_at = received
        self._last_time = time if type(time) is str and len(time) < _MAX_TIME else None
        if seq is not None:
            if not self._is_checked:
                self._check_beginning(seq)
            if not self.stream.is_new(seq):
                self._pass_over(frame, seq, received)
                return
            if self._beginning is not None:
                self._judge_beginning(seq)
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
        """A message that came before, or whose seq is none: servers may send some again after connecting.

        Where that does not end, or goes back too far, the server has begun to count anew, and what it sends is not what
        our cursor speaks of: that is said, and where it stays so StreamError raised. The cursor is the operator's.
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
        except FrameError as error:
            self._take_unreadable(message, error, seq, _did_of(glanced))
            return
        except EventError as error:
            did = _did_of(glanced)
            self._effects.refuse(self.stream, seq, kind_of(glanced), did, error.reason, said(str(error)), message)
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
            self._is_checked = True
            self._on_gap(self.stream.url, self.stream.last, None)


def _did_of(glanced: Frame) -> str | None:
    """Whom a message is about, so that what is kept of it can be found, and forgotten with all the rest."""
    did = glanced.payload.get("repo" if glanced.t == "#commit" else "did")
    return said(did) if type(did) is str else None


def said(text: str) -> str:
    """What a stranger says, cut and without control characters: fit for a log, a terminal and the database."""
    return "".join([mark if mark.isprintable() else "\N{REPLACEMENT CHARACTER}" for mark in text[:MAX_SAID]])
