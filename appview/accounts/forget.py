"""Forgetting an account: what we have of it that is not from its repository."""

from appview.accounts.grant_rows import REVOCATION
from appview.accounts.sessions import drop_empty
from appview.db import Connection


async def forget(connection: Connection, did: str) -> None:
    """Delete everything private of an account, in the caller's transaction; what its browsers hold of others stays.

    No server is told: of an account that lives on, end the grants first (`Grants.end_all`).
    """
    browsers = await connection.fetch("select browser from browser_accounts where did = $1", did)
    # With a grant goes the place in a browser, or the developer token, that had it.
    gone = await connection.fetch("delete from grants where did = $1 returning id", did)
    await drop_empty(connection, [row["browser"] for row in browsers])
    await connection.execute(
        "delete from jobs where kind = $1 and subject = any($2::text[])", REVOCATION, [str(row["id"]) for row in gone]
    )
    await connection.execute("delete from preferences where did = $1", did)
    await connection.execute("delete from coming_likes where did = $1", did)
    await connection.execute("delete from write_intents where did = $1", did)
