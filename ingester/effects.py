"""What follows from a decision, put into the batch: records, the chain's new state, jobs, messages kept aside."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from appview.db import Connection
from appview.index.apply import Change
from appview.index.records import RecordType
from appview.index.records.track import read as read_track
from appview.index.repos import Chain, ProvenBy
from appview.index.tolerance import Content, Judge, Judgement, weight
from appview.net.cache import RateLimit
from ingester.batch import DeadLetter
from ingester.events import AccountEvent, CommitEvent, Event, IdentityEvent, SyncEvent
from ingester.judged import Judged
from ingester.metrics import Metrics
from ingester.room import STRANGERS, Room
from ingester.states import States
from ingester.stream import Stream
from ingester.sync import Apply, Decision, Head, Hold, Invalid, Record, RepoState, Resync, Skip
from ingester.witness import Witness
from ingester.writer import Writer

MAX_REPEATED_BYTES: Final = 65_536
MAX_REPEATED_ROWS: Final = 100
"""A block beyond this is taken under one key of a commit, or of an export, and not under two hundred."""
ASK_SECONDS: Final = 10.0
"""How often strangers can make us ask about an account, in a while of `ASK_WINDOW`; after that, once in one."""
ASK_WINDOW: Final = 600.0
AUDIT_SECONDS: Final = 600.0
"""How often one repository is fetched since commits of its came that are signed and prove nothing."""
AUDIT_DELAY: Final = 10.0
"""Behind whatever else was cut on the same way, and comes whole by another."""
UNCHECKED: Final = "unchecked_signature"
"""Why a message is refused whose signature is none of the key we know, when its document cannot be asked for anew."""
UNCHECKED_SECONDS: Final = 60.0
DELETED: Final = "deleted"
"""The note of a job that an event asked for which says so; no other note displaces it (appview/jobs/rows.py)."""
REFUSED: Final = "refused"
"""The note of a job that is wanted since a host did not give out a repository."""
_INACTIVE: Final = "inactive "
MAX_DEAD_FRAME: Final = 65_536
MAX_LOOKED_UP: Final = 20_000
"""Accounts that records name, remembered as looked up; of the others it is not known, and they are again."""

_VERDICTS: Final = {Apply: "ok", Skip: "skip", Hold: "held", Invalid: "invalid", Resync: "resync"}


class Item(NamedTuple):
    """A message on its way: from which stream, when it came (event loop's clock), what it says, and its bytes."""

    stream: Stream | None
    """None for one that was held, and is judged again."""
    received: float
    event: CommitEvent | SyncEvent | IdentityEvent | AccountEvent
    message: bytes


class Version(NamedTuple):
    """A version of a record: the rev it was proven at, its CID and bytes, None for its end."""

    rev: str
    cid: bytes | None
    block: bytes | None
    proven_by: ProvenBy


class Effects:
    """Turns decisions into what a batch holds. Each call is one step: nothing else runs within it."""

    def __init__(
        self,
        writer: Writer,
        states: States,
        types: Mapping[str, RecordType],
        judge: Judge,
        metrics: Metrics,
        witness: Witness,
        pds_of: Callable[[str], str | None],
    ) -> None:
        """`pds_of`: the origin of an account's PDS, as far as it is in memory."""
        self.room = Room(time.monotonic)
        self.held = self.room.held
        """How many messages are kept, by DID; while there are any, those that follow are kept behind them."""
        self.writer = writer
        self.states = states
        self.types = types
        self.metrics = metrics
        self._judge = judge
        self._witness = witness
        self._pds_of = pds_of
        self._looked_up: dict[str, None] = {}
        self._prompts = RateLimit(3, ASK_SECONDS, clock=time.monotonic)
        self._prompts_of_window = RateLimit(30, ASK_WINDOW, clock=time.monotonic)
        self._audits = RateLimit(1, AUDIT_SECONDS, clock=time.monotonic)

    def record(self, item: Item, state: RepoState | None, decision: Decision) -> None:
        """All that follows from `decision` on `item`, of whose repository `state` was held."""
        event = item.event
        self.metrics.frames[_kind(event), _VERDICTS[type(decision)], decision.reason] += 1
        self._testify(item, state, decision)
        match decision:
            case Apply() if isinstance(event, CommitEvent | SyncEvent):
                self._apply(event, state, decision)
            case Apply():
                self._ask(event)
            case Hold():
                self.hold(item, decision.reason)
            case Resync():
                self._resync(event.did, state, decision.head, decision.reason)
            case Invalid():
                self._bury(item, decision.reason, decision.detail)
                if decision.is_signed and state is not None:
                    self._audit(event.did)
                elif decision.reason == UNCHECKED and state is not None:
                    # Forgers can use up how often a key is asked for: it may be true all the same, and missing here.
                    # Each time: what was wanted before may have been done before this one came.
                    self.writer.batch.want("status", event.did, delay=UNCHECKED_SECONDS)
            case Skip("account_inactive"):
                # Its host may have said meanwhile that it is back, or we may have been told wrong.
                self._ask_host("status", event.did, None)
            case Skip():
                pass
        self._finish(item)

    def hold(self, item: Item, reason: str) -> None:
        """Keep a message until it can be judged."""
        did, size = item.event.did, len(item.message)
        has_room = self.room.has_some(did, size, self._place(did))
        if not has_room and not self.held[did] and self._is_stranger(did):
            # What strangers are there is asked now and then (discovery): no job is wanted for whoever invents them.
            self._bury(item, "no_room", "too much is kept already of repositories that nothing is known of")
        elif not has_room or not self.room.takes(did, size):
            self._overflow(did)
        else:
            self.keep(did, 1, size)
            self.writer.batch.hold(did, item.message, reason)
            if reason == "identity_unresolved":
                self.writer.batch.want("drain", did, reason)

    def keep(self, did: str, count: int, size: int) -> None:
        """So many messages of `did`, of `size` bytes together, are kept."""
        self.room.keep(did, count, size, self._place(did))

    def _place(self, did: str) -> str:
        return self._pds_of(did) or (STRANGERS if self._is_stranger(did) else "")

    def _is_stranger(self, did: str) -> bool:
        return did not in self.states.tracked

    def forget(self, did: str) -> None:
        """Nothing is known of `did` any more."""
        self.room.let_go(did)
        self._looked_up.pop(did, None)

    def keep_behind(self, item: Item) -> None:
        """Keep a message unjudged, since older ones of its repository are kept."""
        self.metrics.frames[_kind(item.event), "held", "behind_held"] += 1
        self._testify(item, None, Hold("behind_held"))
        self.hold(item, "behind_held")
        self._finish(item)

    def refuse(
        self, stream: Stream, seq: int | None, kind: str, did: str | None, reason: str, detail: str, message: bytes
    ) -> None:
        """Keep aside what is no message at all."""
        self.metrics.frames[kind, "invalid", reason] += 1
        frame = message if len(message) <= MAX_DEAD_FRAME else None
        self.writer.batch.bury(DeadLetter(stream.url, seq, did, reason, detail, frame))

    def _testify(self, item: Item, state: RepoState | None, decision: Decision) -> None:
        """Say which upstream brought which commit, and whether it was proven."""
        event, stream = item.event, item.stream
        if stream is None or not isinstance(event, CommitEvent):
            return
        # What is held since its repository is being fetched was held against the signature and its tree before.
        if isinstance(decision, Apply | Resync) or decision.reason == "resync_in_progress":
            self._witness.proven(stream.url, event.did, event.rev)
        else:
            self._witness.repeated(
                stream.url, event.did, event.rev, is_held=state is not None and state.rev == event.rev
            )

    def _finish(self, item: Item) -> None:
        if item.stream is not None:
            item.stream.finish(item.event.seq)
            self.writer.batch.received.append(item.received)

    def _apply(self, event: CommitEvent | SyncEvent, state: RepoState | None, decision: Apply) -> None:
        did, head, now = event.did, decision.head, datetime.now(UTC)
        if state is None and not self._makes_tracked(decision.records):
            return  # it came behind a message that would have, and was refused
        for deviation in decision.deviations:
            self.metrics.deviations[deviation] += 1
        self.take_in(did, head.rev, decision.records)
        if state is None:
            self.track(did, "first_seen")
            # By another upstream its host may have said already that it is gone, when that was no concern of ours.
            self.writer.batch.want("status", did, "first_seen")
        if decision.reason == "first_seen":
            chain = Chain(did, "in_progress", None, None, None, head.rev, decision.reason, "live", now)
            self.writer.batch.want("fetch", did, decision.reason)
        else:
            chain = Chain(did, "synchronized", head.rev, head.data, head.commit, None, decision.reason, "live", now)
        self.stand(chain, state)

    def _makes_tracked(self, records: tuple[Record, ...]) -> bool:
        return any(op.collection in self.types and self.types[op.collection].signal for op, _ in records)

    def _resync(self, did: str, state: RepoState | None, head: Head, reason: str) -> None:
        rev, data = (None, None) if state is None else (state.rev, state.data)
        self.stand(Chain(did, "in_progress", rev, data, None, head.rev, reason), state)
        self.writer.batch.want("fetch", did, reason)

    def _overflow(self, did: str) -> None:
        """Too much came while the repository was fetched: let all of it go, and fetch once more after this time."""
        self.drop(did, self.states.peek(did) if did in self.states else None, "held_overflow")
        self.writer.batch.want("fetch", did, "held_overflow")

    def drop(self, did: str, state: RepoState | None, reason: str) -> None:
        """Let all go that is kept of `did`, whose state is `state`: its repository is not whole then."""
        if did in self.states.tracked and state is not None:
            chain = Chain(did, "desynchronized", state.rev, state.data, None, None, reason)
            self.stand(chain, state)

        async def let_go(connection: Connection, _now: datetime) -> None:
            await connection.execute("delete from held_frames where did = $1", did)

        if self.held[did]:
            self.writer.act(let_go)
            self.room.let_go(did)

    def track(self, did: str, reason: str) -> None:
        """Follow the repository of `did`, which has no chain yet, from now on."""
        self.states.tracked.add(did)
        self.writer.batch.seen.add(did)
        self.writer.batch.want("identity", did, reason)

    def stand(self, chain: Chain, state: RepoState | None) -> None:
        """A repository stands at `chain` from now on."""
        active = state is None or state.active
        self.writer.batch.chain(chain)
        self.states.put(chain.did, RepoState(chain.rev, chain.data, chain.status, active))

    def take_in(self, did: str, rev: str, records: tuple[Record, ...]) -> None:
        """The proven operations of a commit on records of our collections."""
        judged = Judged()
        for op, block in records:
            if op.collection in self.types:
                self.change(did, op.collection, op.rkey, Version(rev, op.cid, block, "live"), judged)

    def change(self, did: str, collection: str, rkey: str, version: Version, judged: Judged) -> None:
        """A record's new version, or its end. `judged` is what the same commit, or export, has had judged so far.

        One block may stand under any number of keys: it is judged once, and one that is large is taken in once.
        """
        judgement: Judgement | None = None
        rev, cid, block, proven_by = version
        if block is not None and cid is not None:
            if judged.is_large(collection, cid):
                self.metrics.deviations["large_block_repeated"] += 1
                return
            content = judged.get(collection, cid)
            if content is None:
                content = self._judge.judge_content(collection, block)
                judged.keep(collection, cid, content, is_large=is_large(block, content))
            judgement = self._judge.judge_key(content, rkey)
            self.metrics.records[collection, judgement.verdict] += 1
            self.writer.batch.rows += weight(judgement)
            if judgement.value is not None and "features" in judgement.value:
                self._look_up(did for did in named(judgement.value) if did not in self.states.tracked)
        uri = f"at://{did}/{collection}/{rkey}"
        self.writer.batch.change(Change(uri, did, collection, rkey, rev, cid, block, judgement, proven_by))

    def _look_up(self, dids: Iterable[str]) -> None:
        """Have those who are named in a record looked up, so that their handles can be shown; not each time anew."""
        for did in dids:
            if did not in self._looked_up:
                self._looked_up[did] = None
                self.writer.batch.want("identity", did, "named")
        while len(self._looked_up) > MAX_LOOKED_UP:
            del self._looked_up[next(iter(self._looked_up))]

    def _ask(self, event: Event) -> None:
        """What an #identity or #account event says is hearsay: it makes us ask."""
        if isinstance(event, IdentityEvent | AccountEvent) and not (
            event.did in self.states.tracked or self.held[event.did]
        ):
            return  # it came behind a message that was refused
        if isinstance(event, IdentityEvent):
            self._ask_host("identity", event.did, "identity_event")
        elif isinstance(event, AccountEvent):
            self._ask_host("status", event.did, claim_of(event))

    def _ask_host(self, kind: str, did: str, note: str | None) -> None:
        """Have a host asked about an account, at once the first times, and then now and then, but never not at all."""
        key = f"{kind} {did}"
        delay = 0.0 if self._prompts.allow(key) else ASK_SECONDS
        if not self._prompts_of_window.allow(key):
            delay = ASK_WINDOW
        self.writer.batch.want(kind, did, note, delay=delay)

    def _audit(self, did: str) -> None:
        """A commit that its repository signed was not proven: whoever cut it, what is held may lack something."""
        if self._audits.allow(did):
            self.writer.batch.want("fetch", did, "audit", delay=AUDIT_DELAY)

    def put_aside(self, item: Item, reason: str, detail: str) -> None:
        """Keep aside a message that is not to be judged at all."""
        self.metrics.frames[_kind(item.event), "invalid", reason] += 1
        self._bury(item, reason, detail)
        self._finish(item)

    def _bury(self, item: Item, reason: str, detail: str) -> None:
        event, url = item.event, item.stream.url if item.stream is not None else "held"
        frame = item.message if len(item.message) <= MAX_DEAD_FRAME else None
        self.writer.batch.bury(DeadLetter(url, event.seq, event.did, reason, detail, frame))


def is_large(block: bytes, content: Content) -> bool:
    """Whether a block of a commit, or of an export, is taken in under the first of its keys alone."""
    return len(block) > MAX_REPEATED_BYTES or weight(content) > MAX_REPEATED_ROWS


def claim_of(event: AccountEvent) -> str:
    """What an event claims of an account, as the note of the job that checks it: `active` decides, not the word."""
    if event.active:
        return "active"
    return DELETED if event.status == DELETED else f"{_INACTIVE}{event.status or ''}"


def claimed_status(note: str | None) -> str | None:
    """Why an account is not active, by the claim that a note carries; None where it carries none of that kind."""
    if note == DELETED:
        return DELETED
    if note is None or not note.startswith(_INACTIVE):
        return None
    return note.removeprefix(_INACTIVE) or _INACTIVE.strip()


def _kind(event: Event) -> str:
    return _KINDS[type(event)]


_KINDS: Final[dict[type, str]] = {
    CommitEvent: "#commit",
    SyncEvent: "#sync",
    IdentityEvent: "#identity",
    AccountEvent: "#account",
}


def named(record: Mapping[str, object]) -> Iterator[str]:
    """The accounts that take part in a track."""
    return (feature.did for feature in read_track(record).features)
