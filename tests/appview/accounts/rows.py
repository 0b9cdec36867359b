"""Grants as rows, for tests of those who have them."""

from typing import Final

from appview.accounts import grant_rows
from appview.accounts.grant_rows import Kind
from appview.db import Pool

ALICE: Final = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
BOB: Final = "did:plc:44ybard66vv44zksje25o7dz"


async def add_grant(pool: Pool, did: str = ALICE, kind: Kind = "session") -> int:
    """A grant that nobody has yet."""
    grant = await grant_rows.number(pool)
    await grant_rows.add(
        pool, grant, did, kind, issuer="https://pds.test", scope="atproto", key_id=None, sealed=b"sealed"
    )
    return grant


async def state(pool: Pool, grant: int) -> str | None:
    """What has become of it; None: it is gone."""
    found: str | None = await pool.fetchval("select state from grants where id = $1", grant)
    return found


async def revocations(pool: Pool) -> set[int]:
    """The grants whose servers are to be told by a job."""
    return {int(row["subject"]) for row in await pool.fetch("select subject from jobs where kind = 'revocation'")}


async def age(pool: Pool, table: str, column: str, interval: str) -> None:
    """Put the times in `column` back."""
    await pool.execute(f"update {table} set {column} = {column} - interval '{interval}'")
