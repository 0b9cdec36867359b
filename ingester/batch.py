"""What is to be written in one transaction: gathered while the one before is being committed."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from appview.db import Connection
from appview.index.apply import Change
from appview.index.repos import Chain
from appview.jobs.rows import Job

if TYPE_CHECKING:
    import asyncio

MAX_TEXT: Final = 500
"""Characters kept of what strangers say of themselves."""

Action = Callable[[Connection, datetime], Awaitable[object]]
"""Something rare that is done in the transaction, behind everything else of its batch."""


class HeldFrame(NamedTuple):
    """A message kept until it can be judged."""

    did: str
    frame: bytes
    reason: str


class DeadLetter(NamedTuple):
    """A message that was refused, kept aside with its reason; `frame` None where it is too large to keep."""

    upstream: str
    seq: int | None
    did: str | None
    reason: str
    detail: str
    frame: bytes | None


class Batch:
    """One transaction's worth. What is in it has its order by repository from the lanes that filled it."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.changes: list[Change] = []
        self.chains: dict[str, Chain] = {}
        self.audited: set[str] = set()
        """Repositories compared with their PDSes; that this is noted can wait for the next second."""
        self.held: list[HeldFrame] = []
        self.drained: list[int] = []
        self.dead: list[DeadLetter] = []
        self.jobs: dict[tuple[str, str], tuple[str | None, float]] = {}
        """Note, and delay in seconds, by kind and subject."""
        self.finished: list[Job] = []
        self.actions: list[Action] = []
        self.received: list[float] = []
        """When the messages in it came, by the event loop's clock."""
        self.cursors: dict[str, int] = {}
        """By upstream, as far as the messages that are finished with this batch allow."""
        self.bytes = 0
        self.rows = 0
        """Rows that the changes come to, roughly: a list has one for each item."""
        self.touched = False
        self.waiters: list[asyncio.Future[None]] = []

    @property
    def is_worth_writing(self) -> bool:
        """Whether anything but a cursor, which can wait for the next second, is to be written."""
        return self.touched or bool(self.waiters)

    def change(self, change: Change) -> None:
        """A record's new version or end."""
        self.changes.append(change)
        self.bytes += len(change.block or b"")
        self.touched = True

    def chain(self, chain: Chain) -> None:
        """Where a repository stands from now on."""
        self.chains[chain.did] = chain
        self.touched = True

    def hold(self, did: str, frame: bytes, reason: str) -> None:
        """Keep a message that cannot be judged yet."""
        self.held.append(HeldFrame(did, frame, reason))
        self.bytes += len(frame)
        self.touched = True

    def bury(self, letter: DeadLetter) -> None:
        """Keep a message that was refused; what strangers wrote in it is cut, and made to fit into a text."""
        self.dead.append(
            letter._replace(did=_text(letter.did), reason=_text(letter.reason) or "", detail=_text(letter.detail) or "")
        )
        self.bytes += len(letter.frame or b"")
        self.touched = True

    def want(self, kind: str, did: str, note: str | None = None, *, delay: float = 0.0) -> None:
        """Ask for a job, in `delay` seconds; of several notes that one counts which would if they came one by one."""
        last, last_delay = self.jobs.get((kind, did), (None, delay))
        self.jobs[kind, did] = last if last == "deleted" else _text(note) or last, min(delay, last_delay)
        self.touched = True

    def finish(self, job: Job) -> None:
        """A job is done, with what is in this batch."""
        self.finished.append(job)
        self.touched = True


def _text(text: str | None) -> str | None:
    """`text` as Postgres takes it: NUL, and half of a surrogate pair, are no characters there."""
    return None if text is None else text[:MAX_TEXT].replace("\0", "\ufffd").encode(errors="replace").decode()
