"""Who may write for a shard: one process at a time, by a lock that lives as long as its connection, and an epoch.

The lock says who leads; it does not stop one that was paused and knows nothing of what happened since. That does the
epoch, which each transaction compares (`fence`). Others stand by for the lock, and end the session of a leader that has
neither said nor done anything for a while: its machine may be gone, or asleep.
"""

import asyncio
import logging
import time
from typing import Final, NamedTuple

import asyncpg

from appview.db import AWAY, Connection, DatabaseError, connect
from appview.index.lock import index_lock
from appview.jobs.rows import Claim
from ingester.shard import Shard

NAME: Final = "plyr-ingester-writer"
"""The leader's connection is the process that holds the shard: whoever looks at the server sees its name."""
WRITE_SECONDS: Final = 3_600.0
"""What a statement of the writer may take: it waits for commands that hold the index."""
RETRY_SECONDS: Final = 0.5
SILENT_SECONDS: Final = 10.0
"""How long a leader, which speaks each second, may say and do nothing before who stands by takes over."""
STARTING_SECONDS: Final = 120.0
"""The same for one that has not spoken yet, since it is still reading what there is."""

_LOCK: Final = 0x706C_7973
"""The class of the locks of all shards; the other half of each is its count and its index."""
_GATE: Final = 0x706C_7979
_HOLDERS: Final = """
    from pg_locks where locktype = 'advisory' and granted and classid = $1::bigint::oid and objsubid = 2
        and database = (select oid from pg_database where datname = current_database())
"""

log = logging.getLogger("plyr.leader")


class Fenced(Exception):
    """Another ingester has taken over this shard: this one must write no more."""


class _Sight(NamedTuple):
    """What one that stands by sees of the leader; the same again means that nothing was heard of it."""

    pid: int
    epoch: int | None
    spoke_at: object


class Leadership:
    """The right to write for `shard`, with the connection that carries it. `silence`, in seconds, is for tests."""

    def __init__(self, url: str, shard: Shard, *, silence: float = SILENT_SECONDS) -> None:
        self.epoch = 0
        self._url = url
        self._shard = shard
        self._silence = silence
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._sight: _Sight | None = None
        self._seen_since = 0.0

    @property
    def connection(self) -> "asyncpg.Connection[asyncpg.Record]":
        """The leader's connection."""
        if self._connection is None:
            raise RuntimeError("This process does not lead.")
        return self._connection

    @property
    def claim(self) -> Claim:
        """The jobs that are this process's to do, for as long as it leads."""
        return Claim(*self._shard, self.epoch)

    async def take(self) -> None:
        """Begin to lead, once nobody else does: from here on, whoever led before is fenced off."""
        await self._lock(standby=True)
        connection = self.connection
        async with connection.transaction():
            # The row may be new, and no command may be at work that has not seen it.
            await index_lock(connection)
            await self._settle_in(connection)
            self.epoch = await connection.fetchval(
                """
                insert into shards (shard, epoch, status_at) values ($1, 1, now())
                on conflict (shard) do update set
                    epoch = shards.epoch + 1, status = null, metrics = null, status_at = now()
                returning epoch
                """,
                str(self._shard),
            )
        log.info("leading shard %s, epoch %d", self._shard, self.epoch)

    async def resume(self) -> None:
        """Lead on over a new connection. Raises Fenced where another does."""
        await self.let_go()
        await asyncio.sleep(RETRY_SECONDS)
        await self._lock(standby=False)

    async def let_go(self) -> None:
        """Close the connection, and with it the lock."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def fence(self, connection: Connection) -> None:
        """The first thing a transaction does: it holds the shard's row until it ends. Raises Fenced."""
        epoch = await connection.fetchval("select epoch from shards where shard = $1 for update", str(self._shard))
        if epoch != self.epoch:
            raise Fenced(f"shard {self._shard} was taken over: epoch {self.epoch} is now {epoch}")

    async def _lock(self, *, standby: bool) -> None:
        """Connect and take the lock, waiting for the database, and on `standby` for who leads. Raises Fenced."""
        waits_for = ""
        while True:
            try:
                reason = await self._attempt(standby=standby)
            except (DatabaseError, asyncpg.PostgresError, *AWAY) as error:
                reason = f"waiting for the database: {error}"
            if not reason:
                return
            if reason != waits_for:
                log.warning("%s", reason)
                waits_for = reason
            await asyncio.sleep(RETRY_SECONDS)

    async def _attempt(self, *, standby: bool) -> str:
        """Connect and take the lock; where that cannot be yet, why. Raises Fenced, and what a database raises."""
        connection = await connect(self._url, command_seconds=WRITE_SECONDS)
        try:
            reason = await self._claim(connection)
            if not reason:
                # It looks up keys: a plan made, and kept, while a table was small must not be a scan of it.
                await connection.execute(f"set application_name = '{NAME}'; set enable_seqscan = off")
                self._connection = connection
            elif standby:
                await self._relieve(connection)
            elif await self._end_our_last_session(connection):
                reason = f"waiting for our own lost connection to let go of shard {self._shard}"
            else:
                raise Fenced(reason)
            return reason
        finally:
            if self._connection is not connection:
                connection.terminate()

    async def _claim(self, connection: Connection) -> str:
        """Take the lock; where that cannot be, why."""
        async with connection.transaction():
            # One at a time, so that of two divisions of the work never both begin.
            await connection.execute("select pg_advisory_xact_lock($1)", _GATE)
            others = [shard for shard in await leaders(connection) if shard.total != self._shard.total]
            if others:
                return f"shard {others[0]} is led by another ingester, of another division than {self._shard}; waiting"
            if await connection.fetchval("select pg_try_advisory_lock($1, $2)", _LOCK, _key(self._shard)):
                return ""
            return f"another ingester holds shard {self._shard}; standing by"

    async def _relieve(self, connection: Connection) -> None:
        """End the session of a leader that is silent and idle, for long enough that it cannot be merely busy."""
        row = await connection.fetchrow(
            f"""
            select pid, state, shards.epoch, shards.status_at, shards.status is null as is_starting
            from (select pid {_HOLDERS} and objid = $2::bigint::oid) as holder
                join pg_stat_activity using (pid) left join shards on shard = $3
            """,  # noqa: S608 - our own words
            _LOCK,
            _key(self._shard),
            str(self._shard),
        )
        sight = None if row is None or row["state"] == "active" else _Sight(row["pid"], row["epoch"], row["status_at"])
        if sight is None or row is None or sight != self._sight:
            self._sight, self._seen_since = sight, time.monotonic()
            return
        silent = time.monotonic() - self._seen_since
        if silent > (STARTING_SECONDS if row["is_starting"] else self._silence):
            log.warning("the leader of shard %s has been silent for %.0f s: its session ends", self._shard, silent)
            await connection.execute("select pg_terminate_backend($1)", sight.pid)
            self._sight = None

    async def _end_our_last_session(self, connection: Connection) -> bool:
        """The server may not have noticed that our last connection is gone, and holds the lock for it; while the epoch
        is ours, that session can be nobody else's.
        """
        if self.epoch != await connection.fetchval("select epoch from shards where shard = $1", str(self._shard)):
            return False
        await connection.execute(
            f"select pg_terminate_backend(pid) {_HOLDERS} and objid = $2::bigint::oid", _LOCK, _key(self._shard)
        )
        return True

    async def _settle_in(self, connection: Connection) -> None:
        """Where the work was divided otherwise until now, begin where the slowest of those shards stood.

        The first of the new division does it for all of it; the rows of the old one go, which fences its writers off.
        An upstream that one of them never had a cursor of is followed anew.
        """
        mine = f"%/{self._shard.total}"
        await connection.execute(
            """
            with before as (
                select url, min(cursor) as cursor from upstreams where shard not like $1
                group by url having count(cursor) = max(split_part(shard, '/', 2)::integer)
            )
            insert into upstreams (shard, url, cursor)
            select index || '/' || $2::integer, url, cursor from before, generate_series(0, $2::integer - 1) as index
            on conflict (shard, url) do update set cursor = excluded.cursor
            """,
            mine,
            self._shard.total,
        )
        await connection.execute("delete from upstreams where shard not like $1", mine)
        await connection.execute("delete from shards where shard not like $1", mine)


def _key(shard: Shard) -> int:
    return shard.total << 16 | shard.number


async def leaders(connection: Connection) -> list[Shard]:
    """The shards that an ingester leads now, in order."""
    rows = await connection.fetch(f"select objid::bigint as key {_HOLDERS}", _LOCK)
    return sorted(Shard(row["key"] & 0xFFFF, row["key"] >> 16) for row in rows)
