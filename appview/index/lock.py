"""Who may write the index: one transaction at a time for each shard.

The ingester of a shard begins each of its transactions with the lock of its own row of `shards`, where it compares its
epoch. Whoever else writes takes all rows, here.
"""

from typing import Final

from appview.db import Connection

# Any number will do that no other program takes in the same database.
_OTHERS: Final = 0x706C_7972_0002


async def index_lock(connection: Connection) -> None:
    """Hold off every other writer until this transaction ends; it must be the first thing the transaction does.

    Commands exclude each other by an advisory lock, since before an ingester first ran there are no rows to lock. An
    ingester that adds its row calls this first in that transaction: so no row appears beside a command that has not
    seen it. The order is always the same (advisory, then rows by name), so nobody waits in a circle. Raises
    RuntimeError outside a transaction, where the lock would be gone at once.
    """
    if not connection.is_in_transaction():
        raise RuntimeError("the lock of the index was taken outside a transaction")
    # Whoever writes looks up keys: a plan that was made, and kept, while a table was small must not be a scan of it.
    await connection.execute("select pg_advisory_xact_lock($1), set_config('enable_seqscan', 'off', true)", _OTHERS)
    await connection.execute("select from shards order by shard for update")
