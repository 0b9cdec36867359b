"""Forgetting an account: what we have of it that is not from its repository."""

from appview.accounts.grant_rows import REVOCATION, hold
from appview.accounts.sessions import drop_empty
from appview.accounts.vault import digest
from appview.db import Connection


async def forget(connection: Connection, did: str) -> None:
    """Delete everything private of an account, in the caller's transaction; what its browsers hold of others stays.

    When that was is kept, for `backups.restore`. No server is told: of an account that lives on, end the grants first
    (`Grants.end_all`).
    """
    await connection.execute("select from erasures where did = $1 for update", did)
    await hold(connection, did)
    await connection.execute(
        """
        insert into forgotten (account, at) select $2, clock_timestamp()
        where exists (select from grants where did = $1) or exists (select from preferences where did = $1)
        on conflict (account) do update set at = excluded.at
        """,
        did,
        digest(did),
    )
    browsers = await connection.fetch(
        """
        select id from browsers where id in (select browser from browser_accounts where did = $1)
        order by id for update
        """,
        did,
    )
    await connection.execute("delete from browser_accounts where did = $1", did)
    await drop_empty(connection, [row["id"] for row in browsers])
    await connection.execute("delete from developer_tokens where did = $1", did)
    await connection.execute("select from grants where did = $1 order by id for update", did)
    gone = await connection.fetch("delete from grants where did = $1 returning id", did)
    await connection.execute(
        "delete from jobs where kind = $1 and subject = any($2::text[])", REVOCATION, [str(row["id"]) for row in gone]
    )
    await connection.execute("delete from preferences where did = $1", did)
    await connection.execute("delete from coming_likes where did = $1", did)
    await connection.execute("delete from write_intents where did = $1", did)
