"""The one writer of a shard: whatever is ready is committed together, with the cursors that it allows.

A transaction begins with the row of its shard, locked, and the epoch in it: a writer whose shard another has taken over
finds a newer epoch there and stops, however long it slept (an advisory lock alone would not fence it off). A batch is
written until it is durable: a lost connection may mean that it is already, and writing it twice changes nothing.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import asyncpg

from appview.db import AWAY, Connection, DatabaseError, connect
from appview.index import actors, repos
from appview.index.apply import apply
from appview.index.lock import index_lock
from appview.index.records import RecordType
from appview.jobs import rows as jobs
from ingester.batch import Action, Batch, DeadLetter
from ingester.metrics import Metrics
from ingester.stream import Stream

MAX_CHANGES: Final = 2_000
"""Of one batch, and about as much other work; more waits for the next one."""
MAX_BYTES: Final = 16_000_000
MAX_ROWS: Final = 20_000
MAX_MESSAGES: Final = 20_000
"""Far fewer than the states that are kept in memory, so that none is let go before it is durable."""
WRITE_SECONDS: Final = 3_600.0
"""What a statement of the writer may take: it waits for commands that hold the index, and may hide a large account."""
DEAD_LETTERS: Final = 10_000
"""Kept in all; the oldest go first."""
RETRY_SECONDS: Final = 0.5
_SHARD_LOCK: Final = 0x706C_7973
_HOLDERS: Final = """
    from pg_locks where locktype = 'advisory' and granted and classid = $1::bigint::oid and objid = $2::bigint::oid
        and objsubid = 2 and database = (select oid from pg_database where datname = current_database())
"""

_FAILURES: Final = (*AWAY, asyncpg.PostgresError)

log = logging.getLogger("plyr.writer")


class Fenced(Exception):
    """Another ingester has taken over this shard: this one must write no more."""


class Writer:
    """Writes batches for `shard`, one after the other. Between `open` and `run`, the shard is this process's alone."""

    def __init__(
        self, url: str, shard: str, types: Mapping[str, RecordType], streams: Mapping[str, Stream], metrics: Metrics
    ) -> None:
        self.batch = Batch()
        """The batch that is being filled."""
        self.on_room: list[Callable[[], None]] = []
        """Called when there is room again."""
        self.on_commit: list[Callable[[Batch], None]] = []
        """Called with each batch that has become durable."""
        self.status: tuple[object, str] | None = None
        """What the ingester says of itself, and its metrics, to be written with the next batch."""
        self._url = url
        self._shard = shard
        self._index = int(shard.partition("/")[0])
        self._types = types
        self._streams = streams
        self._metrics = metrics
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._epoch = 0
        self._cursors: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._ready: deque[Batch] = deque()

    # --- taking the shard ---

    async def open(self) -> None:
        """Take the shard over, waiting for as long as another ingester has it."""
        await self._lock(standby=True)
        connection = self._connected()
        async with connection.transaction():
            # The row may be new, and no command may be at work that has not seen it.
            await index_lock(connection)
            self._epoch = await connection.fetchval(
                """
                insert into shards (shard, epoch) values ($1, 1)
                on conflict (shard) do update set epoch = shards.epoch + 1 returning epoch
                """,
                self._shard,
            )
        log.info("writing for shard %s, epoch %d", self._shard, self._epoch)

    async def close(self) -> None:
        """Let go of the shard; what is not written is left to the next start."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _lock(self, *, standby: bool) -> None:
        """Connect, and take the shard's lock, which lives as long as the connection.

        Waits for the database, and on `standby` for whoever has the shard. Raises Fenced.
        """
        waits_for = ""
        while True:
            try:
                connection = await connect(self._url, command_seconds=WRITE_SECONDS)
                if await connection.fetchval("select pg_try_advisory_lock($1, $2)", _SHARD_LOCK, self._index):
                    # The connection is the process that holds the shard: whoever looks at the server sees its name.
                    # It looks up keys: a plan made, and kept, while a table was small must not be a scan of it.
                    await connection.execute("set application_name = 'plyr-ingester-writer'; set enable_seqscan = off")
                    self._connection = connection
                    return
                is_ours = not standby and await self._end_our_last_session(connection)
                await connection.close()
            except (DatabaseError, asyncpg.PostgresError, *AWAY) as error:
                reason = f"waiting for the database: {error}"
            else:
                reason = f"another ingester holds shard {self._shard}; standing by"
                if is_ours:
                    reason = f"waiting for our own lost connection to let go of shard {self._shard}"
                elif not standby:
                    raise Fenced(reason)
            if reason != waits_for:
                log.warning("%s", reason)
                waits_for = reason
            await asyncio.sleep(RETRY_SECONDS)

    async def _end_our_last_session(self, connection: Connection) -> bool:
        """The server may not have noticed that our last connection is gone, and holds the lock for it; while the epoch
        is ours, that session can be nobody else's.
        """
        if self._epoch != await connection.fetchval("select epoch from shards where shard = $1", self._shard):
            return False
        await connection.execute(f"select pg_terminate_backend(pid) {_HOLDERS}", _SHARD_LOCK, self._index)
        return True

    def _connected(self) -> "asyncpg.Connection[asyncpg.Record]":
        if self._connection is None:
            raise RuntimeError("The writer is not open.")
        return self._connection

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
                await self._transaction(self._connected(), batch, status, is_careful=is_careful)
            except _FAILURES as error:
                if _may_pass(error):
                    log.warning("a batch of %d changes is written again: %s", len(batch.changes), error)
                    await self._reconnect()
                elif is_careful:
                    raise
                else:
                    log.exception("a batch of %d changes does not go in whole", len(batch.changes))
                    is_careful = True
            else:
                return

    async def _reconnect(self) -> None:
        await self.close()
        await asyncio.sleep(RETRY_SECONDS)
        await self._lock(standby=False)

    async def _transaction(
        self, connection: Connection, batch: Batch, status: tuple[object, str] | None, *, is_careful: bool
    ) -> None:
        now = datetime.now(UTC)
        async with connection.transaction():
            await self._fence(connection)
            if batch.seen:
                await actors.see(connection, batch.seen)
            if is_careful:
                await self._apply_one_by_one(connection, batch, now)
            else:
                await apply(connection, self._types, batch.changes, now)
            await repos.save(connection, batch.chains.values(), now)
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
                    await apply(connection, self._types, [change], now)
            except _FAILURES as error:
                if _may_pass(error):
                    raise
                log.error("%s cannot be written: %s", change.uri[:500], error)
                batch.bury(DeadLetter("index", None, change.did, "unwritable", f"{change.uri}: {error}", change.block))

    async def _fence(self, connection: Connection) -> None:
        epoch = await connection.fetchval("select epoch from shards where shard = $1 for update", self._shard)
        if epoch != self._epoch:
            raise Fenced(f"shard {self._shard} was taken over: epoch {self._epoch} is now {epoch}")

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
            await connection.execute(
                "delete from dead_letters where id <= (select max(id) - $1 from dead_letters)", DEAD_LETTERS
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


async def is_held(connection: Connection, shard: str) -> bool:
    """Whether an ingester holds `shard` now."""
    index = int(shard.partition("/")[0])
    held: bool = await connection.fetchval(f"select exists (select {_HOLDERS})", _SHARD_LOCK, index)
    return held
