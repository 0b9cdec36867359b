"""The one writer of a shard: whatever is ready is committed together, with the cursors that it allows.

A transaction begins with the row of its shard, locked, and the epoch in it (`ingester.leader`): a writer whose shard
another has taken over finds a newer epoch there and stops, however long it slept. A batch is written until it is
durable: a lost connection may mean that it is already, and writing it twice changes nothing.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import asyncpg

from appview.db import AWAY, Connection
from appview.index import actors, repos
from appview.index.apply import apply
from appview.index.records import RecordType
from appview.jobs import rows as jobs
from ingester.batch import Action, Batch, DeadLetter
from ingester.leader import Leadership
from ingester.metrics import Metrics
from ingester.shard import Shard
from ingester.stream import Stream

MAX_CHANGES: Final = 2_000
"""Of one batch, and about as much other work; more waits for the next one."""
MAX_BYTES: Final = 4_000_000
"""Of which several batches may be in memory, decoded, encoded and as they came."""
MAX_ROWS: Final = 20_000
MAX_MESSAGES: Final = 2_500
"""Far fewer than the states that are kept in memory, so that none is let go before it is durable."""
LETTERS: Final = 500
"""Dead letters kept of each reason; the oldest go first."""
OUR_LETTERS: Final = 10_000
UNWRITABLE: Final = "unwritable"
"""The reason of those that are no fault of who wrote them, but ours."""
_FAILURES: Final = (*AWAY, asyncpg.PostgresError)

log = logging.getLogger("plyr.writer")


class Writer:
    """Writes batches for `shard`, one after the other. Between `open` and `run`, the shard is this process's alone."""

    def __init__(
        self, url: str, shard: Shard, types: Mapping[str, RecordType], streams: Mapping[str, Stream], metrics: Metrics
    ) -> None:
        self.batch = Batch()
        """The batch that is being filled."""
        self.on_room: list[Callable[[], None]] = []
        """Called when there is room again."""
        self.on_commit: list[Callable[[Batch], None]] = []
        """Called with each batch that has become durable."""
        self.status: tuple[object, str] | None = None
        """What the ingester says of itself, and its metrics, to be written with the next batch."""
        self.leadership = Leadership(url, shard)
        self._shard = str(shard)
        self._types = types
        self._streams = streams
        self._metrics = metrics
        self._cursors: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._ready: deque[Batch] = deque()

    async def open(self) -> None:
        """Take the shard over, waiting for as long as another ingester has it."""
        await self.leadership.take()

    async def close(self) -> None:
        """Let go of the shard; what is not written is left to the next start."""
        await self.leadership.let_go()

    # --- filling ---

    @property
    def is_full(self) -> bool:
        """Whether the batch that is being filled is as large as a batch may be."""
        batch = self.batch
        return (
            len(batch.changes) >= MAX_CHANGES
            or batch.bytes >= MAX_BYTES
            or batch.rows >= MAX_ROWS
            or len(batch.received) >= MAX_MESSAGES
            or len(batch.chains) >= MAX_MESSAGES
        )

    def wake(self) -> None:
        """There is something to write."""
        self._wake.set()

    def act(self, action: Action) -> None:
        """Do something rare behind all that is in the batch; what is added from now on comes after it."""
        self.batch.actions.append(action)
        self.batch.touched = True
        self._seal()
        self._wake.set()

    async def room(self) -> None:
        """Wait until the batch that is being filled can take more."""
        while self.is_full or len(self._ready) > 1:
            await self.durable()

    async def durable(self) -> None:
        """Wait until everything that was put into a batch before this call is committed."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.batch.waiters.append(future)
        self._wake.set()
        await future

    # --- writing ---

    async def run(self) -> None:
        """Write for ever. Raises Fenced; whatever else it raises is our own broken state."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._ready or self.batch.is_worth_writing or self.status is not None:
                if not self._ready:
                    self._seal()
                batch = self._ready.popleft()
                status, self.status = self.status, None
                for callback in self.on_room:
                    callback()
                await self._write(batch, status)
                self._settle(batch)

    def _seal(self) -> None:
        """Nothing more comes into the batch: its cursors are those that the messages finished till now allow."""
        for url, stream in self._streams.items():
            cursor = stream.cursor
            if cursor is not None and cursor != self._cursors.get(url):
                self.batch.cursors[url] = self._cursors[url] = cursor
        self._ready.append(self.batch)
        self.batch = Batch()

    def _settle(self, batch: Batch) -> None:
        self._metrics.batches += 1
        now = asyncio.get_running_loop().time()
        for received in batch.received:
            self._metrics.visible.observe(now - received)
        for callback in self.on_commit:
            callback(batch)
        for waiter in batch.waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _write(self, batch: Batch, status: tuple[object, str] | None) -> None:
        """Write one batch, however often it takes.

        Something in it that the database does not take (nothing should be) is set aside, and stops neither its
        repository nor the shard.
        """
        is_careful = False
        while True:
            try:
                await self._transaction(self.leadership.connection, batch, status, is_careful=is_careful)
            except _FAILURES as error:
                if _may_pass(error):
                    log.warning("a batch of %d changes is written again: %s", len(batch.changes), error)
                    if not isinstance(error, asyncpg.TransactionRollbackError):
                        await self.leadership.resume()
                elif is_careful:
                    raise
                else:
                    log.exception("a batch of %d changes does not go in whole", len(batch.changes))
                    is_careful = True
            else:
                return

    async def _transaction(
        self, connection: Connection, batch: Batch, status: tuple[object, str] | None, *, is_careful: bool
    ) -> None:
        now = datetime.now(UTC)
        async with connection.transaction():
            await self.leadership.fence(connection)
            if batch.seen:
                await actors.see(connection, batch.seen)
            if is_careful:
                await self._apply_one_by_one(connection, batch, now)
            else:
                await apply(connection, self._types, batch.changes, now)
            await repos.save(connection, batch.chains.values(), now)
            if batch.audited:
                await repos.save_audited(connection, batch.audited, now)
            await self._keep(connection, batch, now)
            for (kind, note, delay), subjects in _alike(batch).items():
                await jobs.want(connection, kind, subjects, note=note, delay=delay)
            for action in batch.actions:
                await action(connection, now)
            for job in batch.finished:
                await jobs.done(connection, job)
            if batch.cursors:
                await self._save_cursors(connection, batch.cursors)
            if status is not None:
                await connection.execute(
                    "update shards set status = $2, metrics = $3, status_at = now() where shard = $1",
                    self._shard,
                    *status,
                )

    async def _apply_one_by_one(self, connection: Connection, batch: Batch, now: datetime) -> None:
        """Every change by itself, and those that fail to the dead letters."""
        for change in batch.changes:
            try:
                async with connection.transaction():
                    await apply(connection, self._types, [change], now, doubts=True)
            except _FAILURES as error:
                if _may_pass(error):
                    raise
                log.error("%s cannot be written: %s", change.uri[:500], error)
                batch.bury(DeadLetter("index", None, change.did, UNWRITABLE, f"{change.uri}: {error}", change.block))

    async def _keep(self, connection: Connection, batch: Batch, now: datetime) -> None:
        """Messages that wait, messages that waited, and messages that were refused."""
        if batch.held:
            await connection.execute(
                """
                insert into held_frames (did, frame, reason, received_at)
                select did, frame, reason, $4 from unnest($1::text[], $2::bytea[], $3::text[])
                    with ordinality as held (did, frame, reason, place) order by place
                """,
                *map(list, zip(*batch.held, strict=True)),
                now,
            )
        if batch.drained:
            await connection.execute("delete from held_frames where id = any($1)", batch.drained)
        if batch.dead:
            await connection.execute(
                """
                insert into dead_letters (upstream, seq, did, reason, detail, frame, received_at)
                select *, $7::timestamptz
                from unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bytea[])
                """,
                *map(list, zip(*batch.dead, strict=True)),
                now,
            )
            await self._let_old_ones_go(connection, sorted({letter.reason for letter in batch.dead}))

    async def _let_old_ones_go(self, connection: Connection, reasons: list[str]) -> None:
        """Keep the newest letters of each reason: whoever can send one kind without end drives out no other."""
        await connection.execute(
            """
            delete from dead_letters using (
                select given.reason, (
                    select id from dead_letters as kept where kept.reason = given.reason
                    order by id desc offset given.most limit 1
                ) as last
                from unnest($1::text[], $2::integer[]) as given (reason, most)
            ) as bound
            where dead_letters.reason = bound.reason and dead_letters.id <= bound.last
            """,
            reasons,
            [OUR_LETTERS if reason == UNWRITABLE else LETTERS for reason in reasons],
        )

    async def _save_cursors(self, connection: Connection, cursors: Mapping[str, int]) -> None:
        await connection.execute(
            """
            insert into upstreams (shard, url, cursor) select $1, * from unnest($2::text[], $3::bigint[])
            on conflict (shard, url) do update set cursor = excluded.cursor
            """,
            self._shard,
            list(cursors),
            list(cursors.values()),
        )


def _alike(batch: Batch) -> dict[tuple[str, str | None, float], list[str]]:
    """The subjects of jobs that are wanted in the same words: by kind, note, and delay."""
    alike: dict[tuple[str, str | None, float], list[str]] = {}
    for (kind, did), (note, delay) in batch.jobs.items():
        alike.setdefault((kind, note, delay), []).append(did)
    return alike


def _may_pass(error: Exception) -> bool:
    """Whether what went wrong lies around a transaction (deadlocks too) and not in what is in it."""
    if isinstance(error, ValueError | asyncpg.QueryCanceledError):
        return False  # the driver could not encode a value; a statement was stopped by an operator
    return isinstance(error, (*AWAY, asyncpg.TransactionRollbackError))
